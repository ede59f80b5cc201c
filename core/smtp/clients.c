#include "core/smtp/clients.h"

#include <stdatomic.h>
#include <string.h>

#include <apr_general.h>
#include <apr_thread_mutex.h>
#include <xxhash.h>

enum { BUCKETS = 1024 };

struct demit_client {
    demit_client_t *next; /* in its bucket, or in the free list */
    unsigned char address[16];
    uint32_t connections;
};

struct demit_clients {
    apr_pool_t *pool;
    apr_thread_mutex_t *mutex;
    atomic_uint_fast32_t limit; /* changes with a reload */
    uint64_t seed;              /* so that nobody can choose addresses that share a bucket */
    demit_client_t *free;
    demit_client_t *buckets[BUCKETS];
};

apr_status_t demit_clients_create(demit_clients_t **clients, uint32_t limit, apr_pool_t *pool)
{
    demit_clients_t *made = apr_pcalloc(pool, sizeof *made);
    apr_status_t status;

    atomic_init(&made->limit, limit);
    status = apr_generate_random_bytes((unsigned char *)&made->seed, sizeof made->seed);
    if (status != APR_SUCCESS) {
        return status;
    }
    /* A pool of its own: entries are made under our lock, while others use POOL without it. */
    status = apr_pool_create(&made->pool, pool);
    if (status != APR_SUCCESS) {
        return status;
    }
    apr_pool_tag(made->pool, "smtp clients");
    status = apr_thread_mutex_create(&made->mutex, APR_THREAD_MUTEX_DEFAULT, made->pool);
    if (status != APR_SUCCESS) {
        return status;
    }
    *clients = made;
    return APR_SUCCESS;
}

void demit_clients_set_limit(demit_clients_t *clients, uint32_t limit)
{
    atomic_store_explicit(&clients->limit, limit, memory_order_relaxed);
}

void demit_client_address(const apr_sockaddr_t *peer, unsigned char address[16])
{
    static const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

    if (peer->ipaddr_len == 4) {
        memcpy(address, mapped, sizeof mapped);
        memcpy(address + sizeof mapped, peer->ipaddr_ptr, 4);
    } else {
        memcpy(address, peer->ipaddr_ptr, 16);
    }
}

static demit_client_t **bucket_of(demit_clients_t *clients, const unsigned char address[16])
{
    return &clients->buckets[XXH64(address, 16, clients->seed) % BUCKETS];
}

/* The entry for ADDRESS, made if there is none. Under the lock. */
static demit_client_t *find(demit_clients_t *clients, const unsigned char address[16])
{
    demit_client_t **bucket = bucket_of(clients, address);
    demit_client_t *client = *bucket;

    while (client != NULL && memcmp(client->address, address, sizeof client->address) != 0) {
        client = client->next;
    }
    if (client != NULL) {
        return client;
    }
    client = clients->free;
    if (client != NULL) {
        clients->free = client->next;
    } else {
        client = apr_palloc(clients->pool, sizeof *client);
    }
    memcpy(client->address, address, sizeof client->address);
    client->connections = 0;
    client->next = *bucket;
    *bucket = client;
    return client;
}

bool demit_clients_enter(demit_clients_t *clients, const apr_sockaddr_t *peer, demit_client_t **client)
{
    unsigned char address[16];
    bool welcome = true;

    *client = NULL;
    if (peer == NULL || (peer->ipaddr_len != 4 && peer->ipaddr_len != 16) ||
        atomic_load_explicit(&clients->limit, memory_order_relaxed) == 0) {
        return true;
    }
    demit_client_address(peer, address);
    (void)apr_thread_mutex_lock(clients->mutex);
    const uint_fast32_t limit = atomic_load_explicit(&clients->limit, memory_order_relaxed);
    demit_client_t *found = find(clients, address);
    /* An entry that was just made has no connection, and one is welcome at least: no empty entry stays behind. */
    if (limit == 0 || found->connections < limit) {
        found->connections++;
        *client = found;
    } else {
        welcome = false;
    }
    (void)apr_thread_mutex_unlock(clients->mutex);
    return welcome;
}

void demit_clients_leave(demit_clients_t *clients, demit_client_t *client)
{
    if (client == NULL) {
        return;
    }
    (void)apr_thread_mutex_lock(clients->mutex);
    if (--client->connections == 0) {
        demit_client_t **link = bucket_of(clients, client->address);
        while (*link != client) {
            link = &(*link)->next;
        }
        *link = client->next;
        client->next = clients->free;
        clients->free = client;
    }
    (void)apr_thread_mutex_unlock(clients->mutex);
}
