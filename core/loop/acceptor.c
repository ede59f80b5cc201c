/* Listening sockets in a loop's pollset. */
#include "core/loop/loop_priv.h"

#include <string.h>

#include <apr_portable.h>

#include "demit/log.h"

enum { ACCEPTS_PER_WAKE_UP = 4, REST_AFTER_FAILURE_US = 100 * 1000 };

struct demit_listening {
    demit_pollee_t pollee;
    demit_loop_t *loop;
    apr_socket_t *socket;
    const demit_acceptor_t *acceptor;
    demit_timer_t rest; /* runs while accepting is suspended */
    demit_listening_t *next;
};

apr_status_t demit_loop_conn_pool(apr_pool_t **pool, demit_loop_t *loop)
{
    const apr_status_t status = apr_pool_create(pool, loop->pool);

    if (status == APR_SUCCESS) {
        apr_pool_tag(*pool, "connection");
    }
    return status;
}

/* Keeps one descriptor in reserve: with it a client can still be told that there are none left. */
static void refill_spare(demit_loop_t *loop)
{
    if (loop->spare_socket == NULL &&
        apr_socket_create(&loop->spare_socket, APR_INET, SOCK_STREAM, 0, loop->pool) != APR_SUCCESS) {
        loop->spare_socket = NULL;
    }
}

/* Takes one client only to tell it REFUSAL. */
static apr_status_t turn_away(demit_listening_t *listening)
{
    apr_pool_t *pool;
    apr_socket_t *client;
    apr_status_t status = demit_loop_conn_pool(&pool, listening->loop);

    if (status != APR_SUCCESS) {
        return status;
    }
    status = apr_socket_accept(&client, listening->socket, pool);
    if (status == APR_SUCCESS && listening->acceptor->refusal != NULL) {
        apr_size_t size = strlen(listening->acceptor->refusal);
        (void)apr_socket_timeout_set(client, 0);
        (void)apr_socket_send(client, listening->acceptor->refusal, &size);
    }
    apr_pool_destroy(pool);
    return status;
}

static void on_rested(demit_timer_t *timer)
{
    demit_listening_t *listening = DEMIT_CONTAINER_OF(timer, demit_listening_t, rest);

    refill_spare(listening->loop);
    if (demit_pollee_add(listening->loop, &listening->pollee, APR_POLLIN) != APR_SUCCESS) {
        demit_timer_start(listening->loop, &listening->rest, REST_AFTER_FAILURE_US);
    }
}

/* Out of descriptors or memory: without a pause the listener, still readable, would turn the loop at full speed. */
static void suspend(demit_listening_t *listening, apr_status_t reason)
{
    demit_loop_t *loop = listening->loop;
    char text[DEMIT_LOG_VALUE_MAX];

    if (loop->spare_socket != NULL) {
        apr_socket_close(loop->spare_socket);
        loop->spare_socket = NULL;
        (void)turn_away(listening);
        refill_spare(loop);
    }
    demit_log(DEMIT_LOG_WARNING, "accept_suspended", "loop=%s error=%s", loop->name,
              demit_log_status(text, sizeof(text), reason));
    demit_pollee_remove(loop, &listening->pollee);
    demit_timer_start(loop, &listening->rest, REST_AFTER_FAILURE_US);
}

/* One accepted client becomes a connection, or the reason why not. */
static apr_status_t accept_one(demit_listening_t *listening)
{
    demit_loop_t *loop = listening->loop;
    apr_socket_t *client;
    apr_status_t status = APR_SUCCESS;

    if (loop->spare_pool == NULL) {
        status = demit_loop_conn_pool(&loop->spare_pool, loop);
    }
    if (status == APR_SUCCESS) {
        status = apr_socket_accept(&client, listening->socket, loop->spare_pool);
    }
    if (status != APR_SUCCESS) {
        return status;
    }
    demit_conn_t *conn = demit_conn_accepted(loop, client, loop->spare_pool);
    loop->spare_pool = NULL;
    if (conn != NULL && !listening->acceptor->on_accept(conn, listening->acceptor->baton)) {
        demit_conn_abort(conn);
    }
    return APR_SUCCESS;
}

/* The client gave up between the hand-shake and accept(2): no fault of ours. */
static bool is_clients_fault(apr_status_t status)
{
    return APR_STATUS_IS_ECONNABORTED(status) || APR_STATUS_IS_ECONNRESET(status) || APR_STATUS_IS_EINTR(status);
}

static void on_listener_event(demit_pollee_t *pollee, apr_int16_t events)
{
    demit_listening_t *listening = DEMIT_CONTAINER_OF(pollee, demit_listening_t, pollee);
    demit_loop_t *loop = listening->loop;

    (void)events;
    for (int i = 0; i < ACCEPTS_PER_WAKE_UP; i++) {
        const bool full = demit_loop_connections(loop) >= loop->max_connections;
        const apr_status_t status = full ? turn_away(listening) : accept_one(listening);
        if (APR_STATUS_IS_EAGAIN(status)) {
            return; /* another loop was faster, or that was all */
        }
        if (status != APR_SUCCESS && !is_clients_fault(status)) {
            suspend(listening, status);
            return;
        }
    }
}

/* One that is used no more, or a new one: listeners come and go with reloads, and the loop's pool only grows. */
static demit_listening_t *make_listening(demit_loop_t *loop, apr_socket_t *socket, const demit_acceptor_t *acceptor)
{
    demit_listening_t *listening = loop->spare_listening;

    if (listening != NULL) {
        loop->spare_listening = listening->next;
        memset(listening, 0, sizeof(*listening));
    } else {
        listening = apr_pcalloc(loop->pool, sizeof(*listening));
    }
    listening->loop = loop;
    listening->socket = socket;
    listening->acceptor = acceptor;
    listening->rest.fire = on_rested;
    listening->pollee.on_event = on_listener_event;
    listening->pollee.pfd = (apr_pollfd_t){.p = loop->pool, .desc_type = APR_POLL_SOCKET, .desc.s = socket};
    return listening;
}

static void add_listening(demit_loop_t *loop, demit_listening_t *listening)
{
    refill_spare(loop);
    listening->next = loop->listening;
    loop->listening = listening;
}

static void spare_listening(demit_loop_t *loop, demit_listening_t *listening)
{
    listening->next = loop->spare_listening;
    loop->spare_listening = listening;
}

apr_status_t demit_loop_listen(demit_loop_t *loop, apr_socket_t *socket, const demit_acceptor_t *acceptor)
{
    demit_listening_t *listening = make_listening(loop, socket, acceptor);
    const apr_status_t status = demit_pollee_add(loop, &listening->pollee, APR_POLLIN);

    if (status == APR_SUCCESS) {
        add_listening(loop, listening);
    } else {
        spare_listening(loop, listening);
    }
    return status;
}

void demit_loop_listen_anew(demit_loop_t *loop, apr_socket_t *socket, const demit_acceptor_t *acceptor)
{
    char text[DEMIT_LOG_VALUE_MAX];

    for (demit_listening_t *listening = loop->listening; listening != NULL; listening = listening->next) {
        if (listening->socket == socket) {
            listening->acceptor = acceptor;
            return;
        }
    }
    demit_listening_t *listening = make_listening(loop, socket, acceptor);
    const apr_status_t status = demit_pollee_add(loop, &listening->pollee, APR_POLLIN);
    add_listening(loop, listening);
    if (status != APR_SUCCESS) {
        demit_log(DEMIT_LOG_WARNING, "accept_suspended", "loop=%s error=%s", loop->name,
                  demit_log_status(text, sizeof(text), status));
        demit_timer_start(loop, &listening->rest, REST_AFTER_FAILURE_US);
    }
}

static void forget(demit_loop_t *loop, demit_listening_t *listening)
{
    demit_timer_stop(&listening->rest);
    demit_pollee_remove(loop, &listening->pollee);
}

void demit_loop_unlisten(demit_loop_t *loop, apr_socket_t *socket)
{
    for (demit_listening_t **link = &loop->listening; *link != NULL; link = &(*link)->next) {
        demit_listening_t *listening = *link;
        if (listening->socket == socket) {
            forget(loop, listening);
            *link = listening->next;
            spare_listening(loop, listening);
            return;
        }
    }
}

void demit_acceptors_close(demit_loop_t *loop)
{
    for (; loop->listening != NULL; loop->listening = loop->listening->next) {
        forget(loop, loop->listening);
    }
}
