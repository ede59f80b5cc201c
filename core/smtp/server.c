/* The server as a whole: listeners, what is kept for each loop, draining, statistics. */
#include "core/smtp/session.h"

#include <string.h>

#include <apr_allocator.h>
#include <apr_strings.h>

#include "demit/log.h"

/* What a loop's allocator keeps for the next transactions instead of giving it back. */
enum { SHARD_MAX_FREE_BYTES = 1024 * 1024 };

static const char stopping[] = "421 4.3.2 The server is stopping\r\n";
static const char too_many[] = "421 4.7.0 Too many connections from your address\r\n";
static const char out_of_memory[] = "421 4.3.1 Out of memory, try again later\r\n";

/* ---- shards ------------------------------------------------------------------------------------------------------ */

static void drain_shard(demit_task_t *task)
{
    demit_shard_t *shard = DEMIT_CONTAINER_OF(task, demit_shard_t, drain_task);

    for (demit_session_t *session = shard->sessions; session != NULL; session = session->next) {
        demit_session_leave_if_due(session);
    }
}

/*
 * A shard's memory is its own: an allocator without a lock, used by one thread, so that a transaction costs no
 * contention between loops. The pool hangs below none of the main thread's; destroy_shards() ends it.
 */
static demit_shard_t *make_shard(demit_smtp_server_t *server, demit_loop_t *loop)
{
    apr_allocator_t *allocator;
    apr_pool_t *pool;

    if (apr_allocator_create(&allocator) != APR_SUCCESS) {
        return NULL;
    }
    apr_allocator_max_free_set(allocator, SHARD_MAX_FREE_BYTES);
    if (apr_pool_create_ex(&pool, NULL, apr_pool_abort_get(server->pool), allocator) != APR_SUCCESS) {
        apr_allocator_destroy(allocator);
        return NULL;
    }
    apr_allocator_owner_set(allocator, pool);
    apr_pool_tag(pool, "smtp shard");
    demit_shard_t *shard = apr_pcalloc(pool, sizeof *shard);
    shard->server = server;
    shard->loop = loop;
    shard->pool = pool;
    shard->known = demit_known_create(pool);
    shard->drain_task.run = drain_shard;
    shard->next = server->shards;
    server->shards = shard;
    return shard;
}

/* The shard of LOOP, made at its first connection. Any loop. */
static demit_shard_t *shard_of(demit_smtp_server_t *server, demit_loop_t *loop)
{
    (void)apr_thread_mutex_lock(server->mutex);
    demit_shard_t *shard = server->shards;
    while (shard != NULL && shard->loop != loop) {
        shard = shard->next;
    }
    if (shard == NULL) {
        shard = make_shard(server, loop);
    }
    (void)apr_thread_mutex_unlock(server->mutex);
    return shard;
}

static apr_status_t destroy_shards(void *baton)
{
    demit_smtp_server_t *server = baton;

    for (demit_shard_t *shard = server->shards, *next; shard != NULL; shard = next) {
        next = shard->next;
        apr_pool_destroy(shard->pool);
    }
    server->shards = NULL;
    return APR_SUCCESS;
}

/* ---- accepting --------------------------------------------------------------------------------------------------- */

/* Such a connection has no session, and counts nowhere. */
static bool refuse(demit_conn_t *conn, const char *reply)
{
    demit_conn_dismiss(conn, reply);
    return true;
}

static bool on_accept(demit_conn_t *conn, void *baton)
{
    demit_smtp_listener_t *listener = baton;
    demit_smtp_server_t *server = listener->server;
    demit_client_t *client;

    atomic_fetch_add_explicit(&server->connections, 1, memory_order_relaxed);
    demit_shard_t *shard = shard_of(server, demit_conn_loop(conn));
    if (shard == NULL) {
        return refuse(conn, out_of_memory);
    }
    /* After shard_of(): whoever drains either finds the shard or was seen here. */
    if (atomic_load(&server->draining)) {
        return refuse(conn, stopping);
    }
    const uint_fast32_t limit = atomic_load_explicit(&server->max_connections, memory_order_relaxed);
    if (limit != 0 && atomic_load(&server->sessions) >= limit) {
        return refuse(conn, listener->acceptor.refusal);
    }
    if (!demit_clients_enter(server->clients, demit_conn_peer(conn), &client)) {
        char text[DEMIT_CLIENT_TEXT_SIZE];
        demit_log(DEMIT_LOG_INFO, "rejected", "client=%s reason=connections",
                  demit_client_format(demit_conn_peer(conn), text));
        return refuse(conn, too_many);
    }
    demit_session_start(listener, shard, conn, client);
    return true;
}

/* ---- the public face --------------------------------------------------------------------------------------------- */

/* Whether the client of a Unix socket may relay: it is on this machine, as 127.0.0.1 is. */
static bool loopback_may_relay(const demit_settings_t *settings, apr_pool_t *pool)
{
    apr_sockaddr_t *loopback;

    if (apr_sockaddr_info_get(&loopback, "127.0.0.1", APR_INET, 0, 0, pool) != APR_SUCCESS) {
        return false;
    }
    for (int i = 0; i < settings->relay_hosts->nelts; i++) {
        if (apr_ipsubnet_test(APR_ARRAY_IDX(settings->relay_hosts, i, apr_ipsubnet_t *), loopback)) {
            return true;
        }
    }
    return false;
}

apr_status_t demit_smtp_server_create(demit_smtp_server_t **server, const demit_smtp_server_options_t *options,
                                      apr_pool_t *pool)
{
    demit_smtp_server_t *made = apr_pcalloc(pool, sizeof *made);
    apr_status_t status;

    made->options = *options;
    made->pool = pool;
    atomic_init(&made->max_connections, options->max_connections);
    status = apr_thread_mutex_create(&made->mutex, APR_THREAD_MUTEX_DEFAULT, pool);
    if (status != APR_SUCCESS) {
        return status;
    }
    status = demit_clients_create(&made->clients, options->max_connections_per_client, pool);
    if (status != APR_SUCCESS) {
        return status;
    }
    apr_pool_cleanup_register(pool, made, destroy_shards, apr_pool_cleanup_null);
    *server = made;
    return APR_SUCCESS;
}

/* RFC 5321 section 4.1.1.1: the first line, then one extension a line. */
static const char *make_ehlo_reply(const char *hostname, uint64_t max_message_size_bytes, apr_pool_t *pool)
{
    return apr_psprintf(pool,
                        "250-%s\r\n250-PIPELINING\r\n250-SIZE %" APR_UINT64_T_FMT "\r\n250-8BITMIME\r\n"
                        "250-ENHANCEDSTATUSCODES\r\n250-CHUNKING\r\n250-DSN\r\n250 SMTPUTF8\r\n",
                        hostname, (apr_uint64_t)max_message_size_bytes);
}

const demit_acceptor_t *demit_smtp_acceptor(demit_smtp_server_t *server, const demit_settings_t *settings,
                                            const demit_listen_settings_t *listen, apr_pool_t *pool)
{
    demit_smtp_listener_t *listener = apr_pcalloc(pool, sizeof *listener);

    listener->server = server;
    listener->settings = settings;
    listener->local_may_relay = loopback_may_relay(settings, pool);
    listener->hostname = listen->banner_hostname != NULL ? listen->banner_hostname : settings->hostname;
    listener->banner = apr_psprintf(pool, "220 %s ESMTP\r\n", listener->hostname);
    listener->helo_reply = apr_psprintf(pool, "250 %s\r\n", listener->hostname);
    listener->ehlo_reply = make_ehlo_reply(listener->hostname, settings->max_message_size_bytes, pool);
    listener->acceptor = (demit_acceptor_t){
        .on_accept = on_accept, .refusal = "421 4.3.2 Too many connections, try again later\r\n", .baton = listener};
    return &listener->acceptor;
}

void demit_smtp_server_set_limits(demit_smtp_server_t *server, uint32_t max_connections,
                                  uint32_t max_connections_per_client)
{
    atomic_store_explicit(&server->max_connections, max_connections, memory_order_relaxed);
    demit_clients_set_limit(server->clients, max_connections_per_client);
}

void demit_smtp_server_drain(demit_smtp_server_t *server)
{
    if (atomic_exchange(&server->draining, true)) {
        return; /* the tasks are on their way */
    }
    (void)apr_thread_mutex_lock(server->mutex);
    for (demit_shard_t *shard = server->shards; shard != NULL; shard = shard->next) {
        demit_loop_post(shard->loop, &shard->drain_task);
    }
    (void)apr_thread_mutex_unlock(server->mutex);
}

void demit_smtp_statistics(const demit_smtp_server_t *server, demit_smtp_statistics_t *statistics)
{
    *statistics = (demit_smtp_statistics_t){
        .connections = atomic_load_explicit(&server->connections, memory_order_relaxed),
        .messages = atomic_load_explicit(&server->messages, memory_order_relaxed),
        .rejected_recipients = atomic_load_explicit(&server->rejected_recipients, memory_order_relaxed),
        .bytes = atomic_load_explicit(&server->bytes, memory_order_relaxed),
        .sessions = (uint32_t)atomic_load(&server->sessions),
    };
}
