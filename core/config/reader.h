/*
 * Files → tree: reads the main file and all that it includes. Main thread.
 */
#ifndef DEMIT_CORE_CONFIG_READER_H
#define DEMIT_CORE_CONFIG_READER_H

#include <apr_pools.h>

#include "core/config/findings.h"
#include "core/config/tree.h"

enum {
    DEMIT_CONFIG_FILE_MAX_BYTES = 8 * 1024 * 1024,
    DEMIT_CONFIG_FILES_MAX = 4096, /* readings of files, includes counted */
    DEMIT_CONFIG_INCLUDE_DEPTH_MAX = 16
};

/*
 * Reads FILE into *ROOT. What is wrong within the files, an include that cannot be read among it, stands in FINDINGS;
 * the status is an error only when FILE itself could not be opened or read (FINDINGS says so, too). Nodes live in POOL.
 */
apr_status_t demit_config_read(demit_config_node_t **root, const char *file, demit_config_findings_t *findings,
                               apr_pool_t *pool) __attribute__((warn_unused_result));

#endif
