/* Answers of the DNS, kept for a little while, for destinations that are asked about again and again. One thread. */
#ifndef DEMIT_RESOLVER_CACHE_H
#define DEMIT_RESOLVER_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include <apr_pools.h>

#include "core/delivery/route.h"

enum {
    DEMIT_CACHE_ENTRIES = 1024,
    DEMIT_CACHE_SECONDS = 60 /* longest stay, whatever the TTL: c-ares does not tell the TTL of an MX */
};

typedef struct demit_dns_cache demit_dns_cache_t;

/* Makes an empty cache in POOL. */
demit_dns_cache_t *demit_dns_cache_create(apr_pool_t *pool);

/* Copies what is known about NAME at NOW_US to ANSWER, in RESULT_POOL. False: nothing. */
bool demit_dns_cache_get(demit_dns_cache_t *cache, const char *name, int64_t now_us, demit_dns_answer_t *answer,
                         apr_pool_t *result_pool);

/* Keeps a copy of ANSWER for TTL_S seconds, DEMIT_CACHE_SECONDS at most. The oldest makes room. */
void demit_dns_cache_put(demit_dns_cache_t *cache, const char *name, int64_t now_us, uint32_t ttl_s,
                         const demit_dns_answer_t *answer);

/* A deep copy of FROM in RESULT_POOL. */
void demit_dns_answer_copy(demit_dns_answer_t *to, const demit_dns_answer_t *from, apr_pool_t *result_pool);

#endif
