/* The resolver's inner contract, for the SMTP transport: one question at a time, answered on the asker's loop. */
#ifndef DEMIT_RESOLVER_PRIV_H
#define DEMIT_RESOLVER_PRIV_H

#include <stdbool.h>
#include <stdint.h>

#include <apr_pools.h>

#include "demit/delivery.h"
#include "demit/loop.h"
#include "demit/task.h"

#include "core/delivery/route.h"

/*
 * A question. The asker fills in the first part, keeps it alive, and keeps its hands off POOL until TASK runs on LOOP;
 * then the answer, in POOL, is his.
 */
typedef struct demit_lookup demit_lookup_t;
struct demit_lookup {
    demit_task_t task; /* posted to LOOP when the answer is there */
    demit_loop_t *loop;
    apr_pool_t *pool; /* may be used by any thread: no allocator shared without a lock */
    const char *name;
    /*
     * NAME is a host that the operator chose: if its MX cannot be had now, its address will do. So a Gateway of the
     * hosts file works where the DNS does not.
     */
    bool address_suffices;
    demit_dns_answer_t answer;
    /* private */
    demit_lookup_t *next;
    demit_resolver_t *resolver;
    uint32_t pending; /* questions under way */
    uint32_t ttl_s;   /* the smallest seen */
};

/*
 * Asks where the mail of LOOKUP->name goes: its MX, or the name itself if there is none, and their addresses. Always
 * answers, also after demit_resolver_stop(): then with TEMPORARY. Any thread; never blocks.
 */
void demit_resolver_lookup(demit_resolver_t *resolver, demit_lookup_t *lookup);

#endif
