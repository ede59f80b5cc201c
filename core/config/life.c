/* How long settings live: as long as somebody holds them. */
#include "core/config/life.h"

#include <stdatomic.h>

struct demit_settings_life {
    atomic_uint_fast32_t holders;
    apr_pool_t *pool; /* of the settings, this struct included */
};

void demit_settings_begin_life(demit_settings_t *settings, apr_pool_t *pool)
{
    demit_settings_life_t *life = apr_palloc(pool, sizeof(*life));
    atomic_init(&life->holders, 1);
    life->pool = pool;
    settings->life = life;
}

const demit_settings_t *demit_settings_hold(const demit_settings_t *settings)
{
    if (settings->life != NULL) {
        atomic_fetch_add_explicit(&settings->life->holders, 1, memory_order_relaxed);
    }
    return settings;
}

void demit_settings_release(const demit_settings_t *settings)
{
    /* What any holder did with them is done before the last one frees them. */
    if (settings->life != NULL && atomic_fetch_sub_explicit(&settings->life->holders, 1, memory_order_acq_rel) == 1) {
        apr_pool_destroy(settings->life->pool);
    }
}

static apr_status_t release(void *settings)
{
    demit_settings_release(settings);
    return APR_SUCCESS;
}

void demit_settings_hold_in(const demit_settings_t *settings, apr_pool_t *pool)
{
    if (settings->life != NULL) {
        /* The clean-up's argument is not const, but nothing is changed. */
        apr_pool_cleanup_register(pool, (void *)demit_settings_hold(settings), release, apr_pool_cleanup_null);
    }
}

apr_pool_t *demit_settings_pool(const demit_settings_t *settings)
{
    return settings->life != NULL ? settings->life->pool : NULL;
}
