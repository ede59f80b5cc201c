/*
 * Checked tree → settings: defaults filled in, fallback from inner to outer scopes resolved. Main thread.
 */
#ifndef DEMIT_CORE_CONFIG_BUILD_H
#define DEMIT_CORE_CONFIG_BUILD_H

#include <apr_pools.h>

#include "core/config/findings.h"
#include "core/config/tree.h"
#include "demit/settings.h"

/*
 * The settings that the checked tree ROOT describes, in RESULT_POOL. FINDINGS tell what is wrong with the addresses of
 * listeners; a listener that is wrong is left out.
 */
demit_settings_t *demit_config_build(const demit_config_node_t *root, demit_config_findings_t *findings,
                                     apr_pool_t *result_pool, apr_pool_t *scratch_pool);

/* Complains about, or warns of, options that fit each by itself and not together. */
void demit_config_check_together(const demit_settings_t *settings, const demit_config_node_t *root,
                                 demit_config_findings_t *findings, apr_pool_t *scratch_pool);

/* The name of this host, made fully qualified if it can be without asking the network: as it was at the first call. */
const char *demit_config_host_name(apr_pool_t *pool);

#endif
