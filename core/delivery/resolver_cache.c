#include "core/delivery/resolver_cache.h"

#include <string.h>

#include <apr_hash.h>
#include <apr_strings.h>

typedef struct cache_entry {
    apr_pool_t *pool; /* NULL: free */
    const char *name;
    int64_t expires_us;
    demit_dns_answer_t answer;
} cache_entry_t;

struct demit_dns_cache {
    apr_pool_t *pool;
    apr_hash_t *by_name; /* name → entry */
    uint32_t next;       /* the slot that is filled next: the oldest */
    cache_entry_t entries[DEMIT_CACHE_ENTRIES];
};

demit_dns_cache_t *demit_dns_cache_create(apr_pool_t *pool)
{
    demit_dns_cache_t *cache = apr_pcalloc(pool, sizeof(*cache));
    cache->pool = pool;
    cache->by_name = apr_hash_make(pool);
    return cache;
}

static void copy_texts(const char **to, const char *const *from, uint32_t count, apr_pool_t *pool)
{
    for (uint32_t i = 0; i < count; i++) {
        to[i] = apr_pstrdup(pool, from[i]);
    }
}

void demit_dns_answer_copy(demit_dns_answer_t *to, const demit_dns_answer_t *from, apr_pool_t *result_pool)
{
    *to = *from;
    to->error = from->error == NULL ? NULL : apr_pstrdup(result_pool, from->error);
    to->mx = apr_pmemdup(result_pool, from->mx, from->mx_count * sizeof(*from->mx));
    for (uint32_t i = 0; i < from->mx_count; i++) {
        to->mx[i].host = apr_pstrdup(result_pool, from->mx[i].host);
        copy_texts(to->mx[i].ipv4, from->mx[i].ipv4, from->mx[i].ipv4_count, result_pool);
        copy_texts(to->mx[i].ipv6, from->mx[i].ipv6, from->mx[i].ipv6_count, result_pool);
    }
}

static void drop(demit_dns_cache_t *cache, cache_entry_t *entry)
{
    if (entry->pool == NULL) {
        return;
    }
    apr_hash_set(cache->by_name, entry->name, APR_HASH_KEY_STRING, NULL);
    apr_pool_destroy(entry->pool);
    memset(entry, 0, sizeof(*entry));
}

bool demit_dns_cache_get(demit_dns_cache_t *cache, const char *name, int64_t now_us, demit_dns_answer_t *answer,
                         apr_pool_t *result_pool)
{
    cache_entry_t *entry = apr_hash_get(cache->by_name, name, APR_HASH_KEY_STRING);
    if (entry == NULL) {
        return false;
    }
    if (entry->expires_us <= now_us) {
        drop(cache, entry);
        return false;
    }
    demit_dns_answer_copy(answer, &entry->answer, result_pool);
    return true;
}

void demit_dns_cache_put(demit_dns_cache_t *cache, const char *name, int64_t now_us, uint32_t ttl_s,
                         const demit_dns_answer_t *answer)
{
    cache_entry_t *known = apr_hash_get(cache->by_name, name, APR_HASH_KEY_STRING);
    if (known != NULL) {
        drop(cache, known);
    }
    cache_entry_t *entry = &cache->entries[cache->next];
    cache->next = (cache->next + 1) % DEMIT_CACHE_ENTRIES;
    drop(cache, entry);
    if (ttl_s == 0 || apr_pool_create(&entry->pool, cache->pool) != APR_SUCCESS) {
        entry->pool = NULL;
        return;
    }
    apr_pool_tag(entry->pool, "dns cache entry");
    entry->name = apr_pstrdup(entry->pool, name);
    entry->expires_us = now_us + (int64_t)(ttl_s < DEMIT_CACHE_SECONDS ? ttl_s : DEMIT_CACHE_SECONDS) * 1000000;
    demit_dns_answer_copy(&entry->answer, answer, entry->pool);
    apr_hash_set(cache->by_name, entry->name, APR_HASH_KEY_STRING, entry);
}
