/* The life of settings, for who makes them. */
#ifndef DEMIT_CORE_CONFIG_LIFE_H
#define DEMIT_CORE_CONFIG_LIFE_H

#include <apr_pools.h>

#include "demit/settings.h"

/*
 * Begins the life of SETTINGS, which live in POOL, a pool without a parent: it is destroyed when the last holder lets
 * go. The caller is the first. Main thread.
 */
void demit_settings_begin_life(demit_settings_t *settings, apr_pool_t *pool);

#endif
