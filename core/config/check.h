/*
 * Tree × option table: finds every node's option or scope, converts values, complains about the rest. Main thread.
 */
#ifndef DEMIT_CORE_CONFIG_CHECK_H
#define DEMIT_CORE_CONFIG_CHECK_H

#include <apr_pools.h>

#include "core/config/findings.h"
#include "core/config/table.h"
#include "core/config/tree.h"

/*
 * Fills in the option, scope and datum of every node of ROOT that is right; FINDINGS tell the rest. What goes into the
 * settings lives in RESULT_POOL. The titles of Domains become lower case.
 */
void demit_config_check(demit_config_node_t *root, demit_config_findings_t *findings, apr_pool_t *result_pool,
                        apr_pool_t *scratch_pool);

#endif
