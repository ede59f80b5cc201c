/* Tree → text: a configuration as its author could have written it, in one form. */
#ifndef DEMIT_CORE_CONFIG_TEXT_H
#define DEMIT_CORE_CONFIG_TEXT_H

#include "core/config/tree.h"

/*
 * NODE as text, in RESULT_POOL: an option with its value, a scope with all that it holds, or, if NODE is the root, the
 * whole configuration, without comments and with included files in their places. Reading it gives the same settings.
 */
const char *demit_config_text(const demit_config_node_t *node, apr_pool_t *result_pool, apr_pool_t *scratch_pool);

#endif
