/* What every connection of the SMTP client on one loop stands on. */
#ifndef DEMIT_CLIENT_CONTEXT_H
#define DEMIT_CLIENT_CONTEXT_H

#include <stdint.h>

#include <apr_pools.h>

#include "demit/delivery.h"

typedef struct demit_client_context demit_client_context_t;

/* Belongs to the loop's thread. */
struct demit_client_context {
    demit_loop_t *loop;
    demit_workers_t *workers;
    demit_spool_t *spool;
    apr_pool_t *pool;     /* of this loop alone, with an allocator of its own */
    uint32_t open_bodies; /* messages whose reader is not known to be closed */
    /* DELIVERY is over, its results are set and nothing reads its message any more. */
    void (*report)(demit_client_context_t *context, demit_delivery_t *delivery);
    /* The last of open_bodies is gone. */
    void (*quiet)(demit_client_context_t *context);
};

#endif
