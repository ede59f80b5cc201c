/*
 * Connections. During a round they only collect: output, wishes to close, wishes to be resumed. The end of the round
 * sends, offers and buries, so that no callback ever runs inside another's call and nothing is freed while events of
 * the same batch may still name it.
 */
#include "core/loop/loop_priv.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <apr_portable.h>

enum {
    LAST_OUTPUT_TIMEOUT_US = 30 * 1000 * 1000, /* to take what was said before closing */
    LINGER_TIMEOUT_US = 2 * 1000 * 1000,       /* for the peer to close, once it may have read our last words */
    FIRST_CAPACITY = 1024
};

static void on_conn_event(demit_pollee_t *pollee, apr_int16_t events);
static void on_deadline(demit_timer_t *timer);

/* ---- lists ---------------------------------------------------------------------------------------------------- */

static void list_append(demit_conn_list_t *list, demit_conn_t *conn)
{
    conn->next = NULL;
    if (list->tail == NULL) {
        list->head = conn;
    } else {
        list->tail->next = conn;
    }
    list->tail = conn;
}

static demit_conn_t *list_take(demit_conn_list_t *list)
{
    demit_conn_t *conn = list->head;

    if (conn != NULL) {
        list->head = conn->next;
        if (list->head == NULL) {
            list->tail = NULL;
        }
        conn->next = NULL;
    }
    return conn;
}

/* The end of this round has work for CONN. */
static void mark_dirty(demit_conn_t *conn)
{
    if (!conn->in_dirty && conn->state != CONN_DEAD) {
        conn->in_dirty = true;
        list_append(&conn->loop->dirty, conn);
    }
}

/* ---- life and death --------------------------------------------------------------------------------------------- */

static demit_conn_t *make(demit_loop_t *loop, apr_socket_t *socket, apr_pool_t *pool, conn_state_t state)
{
    demit_conn_t *conn = apr_pcalloc(pool, sizeof(*conn));

    conn->loop = loop;
    conn->pool = pool;
    conn->socket = socket;
    conn->state = state;
    conn->deadline.fire = on_deadline;
    conn->pollee.on_event = on_conn_event;
    conn->pollee.pfd = (apr_pollfd_t){.p = pool, .desc_type = APR_POLL_SOCKET, .desc.s = socket};
    conn->all_next = loop->all;
    conn->all_link = &loop->all;
    if (loop->all != NULL) {
        loop->all->all_link = &conn->all_next;
    }
    loop->all = conn;
    atomic_fetch_add_explicit(&loop->connections, 1, memory_order_relaxed);
    return conn;
}

/* The connection is over: no event reaches it any more; on_close follows at the end of the round. */
static void die(demit_conn_t *conn, demit_conn_end_t end, apr_status_t status)
{
    if (conn->state == CONN_DEAD) {
        return;
    }
    if (conn->state == CONN_CONNECTING && end != DEMIT_CONN_CLOSED_BY_US) {
        end = DEMIT_CONN_CONNECT_FAILED;
    } else if (conn->state == CONN_LINGERING) {
        end = DEMIT_CONN_CLOSED_BY_US; /* all was said; how the peer went does not matter */
    }
    demit_timer_stop(&conn->deadline);
    demit_pollee_remove(conn->loop, &conn->pollee);
    conn->state = CONN_DEAD;
    conn->end = end;
    conn->end_status = status;
    if (!conn->in_dirty) {
        list_append(&conn->loop->dead, conn);
    }
}

/* The socket goes last: a peer that has seen the end, and comes back at once, is in nobody's count any more. */
static void bury(demit_conn_t *conn)
{
    if (conn->handler != NULL && conn->handler->on_close != NULL) {
        conn->handler->on_close(conn, conn->baton, conn->end, conn->end_status);
    }
    *conn->all_link = conn->all_next;
    if (conn->all_next != NULL) {
        conn->all_next->all_link = conn->all_link;
    }
    atomic_fetch_sub_explicit(&conn->loop->connections, 1, memory_order_relaxed);
    free(conn->kept);
    free(conn->out);
    apr_socket_close(conn->socket);
    apr_pool_destroy(conn->pool);
}

demit_conn_t *demit_conn_accepted(demit_loop_t *loop, apr_socket_t *socket, apr_pool_t *pool)
{
    demit_conn_t *conn = make(loop, socket, pool, CONN_OPEN);
    apr_sockaddr_t *local = NULL;
    apr_status_t status = apr_socket_opt_set(socket, APR_SO_NONBLOCK, 1);

    if (status == APR_SUCCESS) {
        status = apr_socket_timeout_set(socket, 0);
    }
    (void)apr_socket_addr_get(&local, APR_LOCAL, socket);
    if (local != NULL && local->family != APR_UNIX) {
        /* Replies are written in one piece already; waiting for more would only delay them. */
        (void)apr_socket_opt_set(socket, APR_TCP_NODELAY, 1);
    }
    if (status == APR_SUCCESS) {
        status = demit_pollee_add(loop, &conn->pollee, APR_POLLIN);
    }
    if (status != APR_SUCCESS) {
        die(conn, DEMIT_CONN_FAILED, status);
        return NULL;
    }
    return conn;
}

static void on_deadline(demit_timer_t *timer)
{
    demit_conn_t *conn = DEMIT_CONTAINER_OF(timer, demit_conn_t, deadline);

    die(conn, DEMIT_CONN_FAILED, APR_TIMEUP);
}

/* ---- outgoing ---------------------------------------------------------------------------------------------------- */

static apr_status_t begin_connect(demit_conn_t *conn, const demit_connect_t *target)
{
    apr_status_t status = apr_socket_opt_set(conn->socket, APR_SO_NONBLOCK, 1);

    if (status == APR_SUCCESS) {
        status = apr_socket_timeout_set(conn->socket, 0);
    }
    if (status == APR_SUCCESS && target->peer->family != APR_UNIX) {
        status = apr_socket_opt_set(conn->socket, APR_TCP_NODELAY, 1);
    }
    if (status == APR_SUCCESS && target->bind_to != NULL) {
        status = apr_socket_bind(conn->socket, target->bind_to);
    }
    if (status == APR_SUCCESS) {
        status = apr_socket_connect(conn->socket, target->peer);
    }
    return status;
}

apr_status_t demit_conn_connect(demit_conn_t **out, demit_loop_t *loop, const demit_connect_t *target)
{
    apr_pool_t *pool;
    apr_socket_t *socket;

    if (demit_loop_connections(loop) >= loop->max_connections) {
        return APR_EGENERAL;
    }
    apr_status_t status = demit_loop_conn_pool(&pool, loop);
    if (status != APR_SUCCESS) {
        return status;
    }
    const int protocol = target->peer->family == APR_UNIX ? 0 : APR_PROTO_TCP;
    status = apr_socket_create(&socket, target->peer->family, SOCK_STREAM, protocol, pool);
    if (status != APR_SUCCESS) {
        apr_pool_destroy(pool);
        return status;
    }
    demit_conn_t *conn = make(loop, socket, pool, CONN_CONNECTING);
    conn->handler = target->handler;
    conn->baton = target->baton;
    demit_timer_start(loop, &conn->deadline, target->connect_timeout_us);
    *out = conn;

    status = begin_connect(conn, target);
    if (status == APR_SUCCESS || APR_STATUS_IS_EINPROGRESS(status)) {
        status = demit_pollee_add(loop, &conn->pollee, APR_POLLOUT);
    }
    if (status != APR_SUCCESS) {
        die(conn, DEMIT_CONN_CONNECT_FAILED, status); /* told by on_close, like every other failure to connect */
    }
    return APR_SUCCESS;
}

/* What became of connect(2): POSIX getsockopt(SO_ERROR), which APR does not offer. */
static apr_status_t connect_result(demit_conn_t *conn)
{
    int error = 0;
    socklen_t size = sizeof(error);

    if (getsockopt(demit_conn_descriptor(conn), SOL_SOCKET, SO_ERROR, &error, &size) != 0) {
        error = errno;
    }
    return error == 0 ? APR_SUCCESS : APR_FROM_OS_ERROR(error);
}

static void finish_connect(demit_conn_t *conn)
{
    apr_status_t status = connect_result(conn);

    if (status == APR_SUCCESS) {
        status = demit_pollee_want(conn->loop, &conn->pollee, APR_POLLIN);
    }
    if (status != APR_SUCCESS) {
        die(conn, DEMIT_CONN_CONNECT_FAILED, status);
        return;
    }
    demit_timer_stop(&conn->deadline);
    conn->state = CONN_OPEN;
    conn->handler->on_connected(conn, conn->baton);
    mark_dirty(conn); /* what was written before the connection stood */
}

/* ---- input ------------------------------------------------------------------------------------------------------- */

/* Makes room for NEEDED bytes in a buffer that doubles. */
static bool reserve(char **buffer, size_t *capacity, size_t needed)
{
    size_t wanted = *capacity == 0 ? FIRST_CAPACITY : *capacity;

    while (wanted < needed) {
        wanted *= 2;
    }
    if (wanted == *capacity) {
        return true;
    }
    char *grown = realloc(*buffer, wanted);
    if (grown == NULL) {
        return false;
    }
    *buffer = grown;
    *capacity = wanted;
    return true;
}

static void drop_kept(demit_conn_t *conn)
{
    free(conn->kept);
    conn->kept = NULL;
    conn->kept_size = conn->kept_capacity = 0;
}

static size_t hand_over(demit_conn_t *conn, const char *bytes, size_t size)
{
    size_t used = 0;

    while (used < size && conn->state == CONN_OPEN && !conn->paused) {
        const size_t n = conn->handler->on_input(conn, conn->baton, bytes + used, size - used);
        if (n == 0) {
            break;
        }
        used += n;
    }
    return used;
}

/* Offers what was kept; what remains moves to the front. */
static void offer_kept(demit_conn_t *conn)
{
    const size_t used = hand_over(conn, conn->kept, conn->kept_size);

    if (used == conn->kept_size || conn->state != CONN_OPEN) {
        drop_kept(conn);
        return;
    }
    memmove(conn->kept, conn->kept + used, conn->kept_size - used);
    conn->kept_size -= used;
    if (conn->kept_size == DEMIT_CONN_INPUT_MAX && !conn->paused) {
        die(conn, DEMIT_CONN_FAILED, APR_ENOSPC); /* the handler broke the contract: nothing would ever move again */
    }
}

/* SIZE bytes have come into the loop's buffer. */
static void take_input(demit_conn_t *conn, size_t size)
{
    const char *bytes = conn->loop->input;

    if (conn->kept_size == 0) {
        const size_t used = hand_over(conn, bytes, size);
        bytes += used;
        size -= used;
        if (size == 0 || conn->state != CONN_OPEN) {
            return;
        }
    }
    if (!reserve(&conn->kept, &conn->kept_capacity, conn->kept_size + size)) {
        die(conn, DEMIT_CONN_FAILED, APR_ENOMEM);
        return;
    }
    const bool had_kept = conn->kept_size > 0;
    memcpy(conn->kept + conn->kept_size, bytes, size);
    conn->kept_size += size;
    if (had_kept || conn->kept_size == DEMIT_CONN_INPUT_MAX) {
        offer_kept(conn);
    }
}

/* The peer will say nothing more; what we still have to say it may be waiting for. */
static void peer_left(demit_conn_t *conn)
{
    if (demit_conn_backlog(conn) > 0) {
        demit_conn_close(conn);
        conn->end = DEMIT_CONN_CLOSED_BY_PEER;
    } else {
        die(conn, DEMIT_CONN_CLOSED_BY_PEER, APR_EOF);
    }
}

static void read_input(demit_conn_t *conn)
{
    apr_size_t size = DEMIT_CONN_INPUT_MAX - conn->kept_size;

    if (size == 0 && !conn->paused) {
        return; /* resumed in this round: at its end the handler gets what is kept, and then there is room */
    }
    if (conn->paused) {
        /* Level-triggered: ask no more until demit_conn_resume(). The peer's bytes wait in the kernel. */
        (void)demit_pollee_want(conn->loop, &conn->pollee, (apr_int16_t)(conn->pollee.pfd.reqevents & ~APR_POLLIN));
        return;
    }
    const apr_status_t status = apr_socket_recv(conn->socket, conn->loop->input, &size);
    if (size > 0) { /* bytes may come together with APR_EOF: first things first */
        take_input(conn, size);
    }
    if (conn->state == CONN_DEAD || APR_STATUS_IS_EAGAIN(status) || APR_STATUS_IS_EINTR(status)) {
        return;
    }
    if (APR_STATUS_IS_EOF(status)) {
        conn->peer_done = true;
        (void)demit_pollee_want(conn->loop, &conn->pollee, (apr_int16_t)(conn->pollee.pfd.reqevents & ~APR_POLLIN));
        if (conn->state == CONN_OPEN && !conn->paused) {
            peer_left(conn);
        }
    } else if (status != APR_SUCCESS) {
        die(conn, DEMIT_CONN_FAILED, status);
    }
}

/* Reads only to throw away. */
static void read_and_forget(demit_conn_t *conn)
{
    apr_size_t size = DEMIT_CONN_INPUT_MAX;
    const apr_status_t status = apr_socket_recv(conn->socket, conn->loop->input, &size);

    if (status == APR_SUCCESS || APR_STATUS_IS_EAGAIN(status) || APR_STATUS_IS_EINTR(status)) {
        return;
    }
    if (APR_STATUS_IS_EOF(status) && conn->state == CONN_CLOSING) {
        (void)demit_pollee_want(conn->loop, &conn->pollee, (apr_int16_t)(conn->pollee.pfd.reqevents & ~APR_POLLIN));
    } else {
        die(conn, DEMIT_CONN_FAILED, status);
    }
}

/* ---- output ------------------------------------------------------------------------------------------------------ */

/* Everything is sent and the connection is to be closed. */
static void finish_close(demit_conn_t *conn)
{
    apr_size_t size = DEMIT_CONN_INPUT_MAX;

    /* End of input, nothing there, an error: all the same now. */
    (void)apr_socket_recv(conn->socket, conn->loop->input, &size);
    if (size == 0) {
        /* Nothing unread: closing sends FIN, and our last words arrive. */
        die(conn, conn->end, APR_SUCCESS);
        return;
    }
    /*
     * With unread input, close(2) sends RST and the peer may lose the reply that says why (RFC 1122 4.2.2.13): shut
     * down only our direction and read on for a while.
     */
    conn->state = CONN_LINGERING;
    (void)apr_socket_shutdown(conn->socket, APR_SHUTDOWN_WRITE);
    demit_timer_start(conn->loop, &conn->deadline, LINGER_TIMEOUT_US);
    if (demit_pollee_want(conn->loop, &conn->pollee, APR_POLLIN) != APR_SUCCESS) {
        die(conn, DEMIT_CONN_CLOSED_BY_US, APR_SUCCESS);
    }
}

static void all_sent(demit_conn_t *conn)
{
    free(conn->out);
    conn->out = NULL;
    conn->out_start = conn->out_size = conn->out_capacity = 0;
    if (conn->pollee.pfd.reqevents & APR_POLLOUT) {
        (void)demit_pollee_want(conn->loop, &conn->pollee, (apr_int16_t)(conn->pollee.pfd.reqevents & ~APR_POLLOUT));
    }
    if (conn->state == CONN_CLOSING) {
        finish_close(conn);
    } else if (conn->was_behind) {
        conn->was_behind = false;
        if (conn->handler->on_drained != NULL) {
            conn->handler->on_drained(conn, conn->baton);
        }
    }
}

static void send_output(demit_conn_t *conn)
{
    while (conn->out_start < conn->out_size) {
        apr_size_t size = conn->out_size - conn->out_start;
        const apr_status_t status = apr_socket_send(conn->socket, conn->out + conn->out_start, &size);
        conn->out_start += size;
        if (status == APR_SUCCESS || APR_STATUS_IS_EINTR(status)) {
            continue;
        }
        if (APR_STATUS_IS_EAGAIN(status)) {
            (void)demit_pollee_want(conn->loop, &conn->pollee, (apr_int16_t)(conn->pollee.pfd.reqevents | APR_POLLOUT));
            return;
        }
        die(conn, DEMIT_CONN_FAILED, status);
        return;
    }
    all_sent(conn);
}

/* ---- events and the end of the round ----------------------------------------------------------------------------- */

static void on_conn_event(demit_pollee_t *pollee, apr_int16_t events)
{
    demit_conn_t *conn = DEMIT_CONTAINER_OF(pollee, demit_conn_t, pollee);

    if (conn->state == CONN_CONNECTING) {
        finish_connect(conn);
        return;
    }
    if (events & APR_POLLOUT) {
        mark_dirty(conn);
    }
    if (conn->state == CONN_OPEN && (events & APR_POLLIN)) {
        read_input(conn);
    } else if (events & APR_POLLIN) {
        read_and_forget(conn);
    } else if (events & (APR_POLLHUP | APR_POLLERR | APR_POLLNVAL)) {
        die(conn, DEMIT_CONN_CLOSED_BY_PEER, connect_result(conn));
    }
}

static void finish_one(demit_conn_t *conn)
{
    conn->in_dirty = false;
    if (conn->state == CONN_DEAD) { /* died while it stood in the list */
        list_append(&conn->loop->dead, conn);
        return;
    }
    if (conn->input_ready) {
        conn->input_ready = false;
        if (conn->kept_size > 0) {
            offer_kept(conn);
        }
        if (conn->state == CONN_OPEN && conn->peer_done && !conn->paused) {
            peer_left(conn);
        }
    }
    if (conn->state == CONN_OPEN || conn->state == CONN_CLOSING) {
        send_output(conn);
    }
}

void demit_conns_finish_round(demit_loop_t *loop)
{
    demit_conn_t *conn;

    while (loop->dirty.head != NULL || loop->dead.head != NULL) {
        while ((conn = list_take(&loop->dirty)) != NULL) {
            finish_one(conn);
        }
        while ((conn = list_take(&loop->dead)) != NULL) {
            bury(conn);
        }
    }
}

/* ---- what sessions call ------------------------------------------------------------------------------------------ */

void demit_conn_set_handler(demit_conn_t *conn, const demit_conn_handler_t *handler, void *baton)
{
    conn->handler = handler;
    conn->baton = baton;
}

demit_loop_t *demit_conn_loop(const demit_conn_t *conn)
{
    return conn->loop;
}

apr_pool_t *demit_conn_pool(const demit_conn_t *conn)
{
    return conn->pool;
}

static apr_sockaddr_t *address_of(const demit_conn_t *conn, apr_interface_e which)
{
    apr_sockaddr_t *address = NULL;

    if (apr_socket_addr_get(&address, which, conn->socket) != APR_SUCCESS || address->family == APR_UNIX) {
        return NULL;
    }
    return address;
}

apr_sockaddr_t *demit_conn_peer(const demit_conn_t *conn)
{
    return address_of(conn, APR_REMOTE);
}

apr_sockaddr_t *demit_conn_local(const demit_conn_t *conn)
{
    return address_of(conn, APR_LOCAL);
}

int demit_conn_descriptor(const demit_conn_t *conn)
{
    apr_os_sock_t fd = -1;

    (void)apr_os_sock_get(&fd, conn->socket);
    return fd;
}

void demit_conn_write(demit_conn_t *conn, const void *bytes, size_t size)
{
    if (conn->state != CONN_OPEN && conn->state != CONN_CONNECTING) {
        return;
    }
    if (conn->out_start > 0 && conn->out_size + size > conn->out_capacity) {
        memmove(conn->out, conn->out + conn->out_start, conn->out_size - conn->out_start);
        conn->out_size -= conn->out_start;
        conn->out_start = 0;
    }
    if (!reserve(&conn->out, &conn->out_capacity, conn->out_size + size)) {
        die(conn, DEMIT_CONN_FAILED, APR_ENOMEM);
        return;
    }
    memcpy(conn->out + conn->out_size, bytes, size);
    conn->out_size += size;
    conn->was_behind = conn->was_behind || demit_conn_backlog(conn) > DEMIT_CONN_OUTPUT_LOW;
    mark_dirty(conn);
}

void demit_conn_printf(demit_conn_t *conn, const char *format, ...)
{
    char line[1024];
    va_list arguments;

    va_start(arguments, format);
    const int size = vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    if (size < 0) {
        return;
    }
    if ((size_t)size < sizeof(line)) {
        demit_conn_write(conn, line, (size_t)size);
        return;
    }
    char *longer = malloc((size_t)size + 1);
    if (longer == NULL) {
        die(conn, DEMIT_CONN_FAILED, APR_ENOMEM);
        return;
    }
    va_start(arguments, format);
    (void)vsnprintf(longer, (size_t)size + 1, format, arguments);
    va_end(arguments);
    demit_conn_write(conn, longer, (size_t)size);
    free(longer);
}

size_t demit_conn_backlog(const demit_conn_t *conn)
{
    return conn->out_size - conn->out_start;
}

void demit_conn_pause(demit_conn_t *conn)
{
    conn->paused = true;
}

void demit_conn_resume(demit_conn_t *conn)
{
    conn->paused = false;
    if (conn->state != CONN_OPEN) {
        return;
    }
    if (!(conn->pollee.pfd.reqevents & APR_POLLIN) && !conn->peer_done) {
        (void)demit_pollee_want(conn->loop, &conn->pollee, (apr_int16_t)(conn->pollee.pfd.reqevents | APR_POLLIN));
    }
    if (conn->kept_size > 0 || conn->peer_done) {
        conn->input_ready = true;
        mark_dirty(conn);
    }
}

void demit_conn_close(demit_conn_t *conn)
{
    if (conn->state == CONN_CONNECTING) {
        die(conn, DEMIT_CONN_CLOSED_BY_US, APR_SUCCESS);
    } else if (conn->state == CONN_OPEN) {
        conn->end = DEMIT_CONN_CLOSED_BY_US;
        conn->state = CONN_CLOSING;
        demit_timer_start(conn->loop, &conn->deadline, LAST_OUTPUT_TIMEOUT_US);
        mark_dirty(conn);
    }
}

void demit_conn_abort(demit_conn_t *conn)
{
    die(conn, DEMIT_CONN_FAILED, APR_ECONNABORTED);
}

void demit_conn_dismiss(demit_conn_t *conn, const char *text)
{
    apr_size_t size = strlen(text), unread = DEMIT_CONN_INPUT_MAX;

    (void)apr_socket_send(conn->socket, text, &size);
    /* What came before the greeting would turn the end of the connection into a reset, and our word might be lost. */
    (void)apr_socket_recv(conn->socket, conn->loop->input, &unread);
    die(conn, DEMIT_CONN_CLOSED_BY_US, APR_SUCCESS);
}
