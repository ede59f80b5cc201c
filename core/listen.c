/* Listening sockets: bound as root, opened to clients only when everything else stands. */
#include "core/daemon.h"

#include <errno.h>
#include <stdatomic.h>
#include <sysexits.h>

#include <apr_portable.h>

#include "demit/log.h"

/* Takes every listener out of one loop, on that loop's thread; the last loop closes the sockets. */
typedef struct unlisten {
    demit_task_t task;
    demit_loop_t *loop;
    demit_daemon_t *daemon;
    _Atomic uint32_t *loops_left;
} unlisten_t;

/* ---- binding ----------------------------------------------------------------------------------------------------- */

static int bind_failed(const demit_listen_settings_t *listen, apr_status_t status)
{
    char text[256];
    const char *advice = "";
    int code = EX_OSERR;

    if (APR_TO_OS_ERROR(status) == EADDRINUSE) {
        code = EX_UNAVAILABLE;
        advice = "; another server owns this port: stop it, or choose another one";
    } else if (APR_STATUS_IS_EACCES(status)) {
        code = EX_NOPERM;
        advice = "; a port below 1024 needs a start as root or the privilege to bind it";
    } else if (APR_TO_OS_ERROR(status) == EADDRNOTAVAIL) {
        code = EX_UNAVAILABLE;
        advice = "; no interface of this host has that address";
    }
    return demit_start_failed(code, "%s:%u:%u: Listen \"%s\": %s%s", listen->source.file, listen->source.line,
                              listen->source.column, listen->title, apr_strerror(status, text, sizeof(text)), advice);
}

static apr_status_t set_options(apr_socket_t *socket, const demit_listen_settings_t *listen)
{
    apr_status_t status = apr_socket_opt_set(socket, APR_SO_REUSEADDR, 1);

    if (status == APR_SUCCESS && listen->ipv6) {
        status = apr_socket_opt_set(socket, APR_IPV6_V6ONLY, 1);
    }
    if (status == APR_SUCCESS && listen->tcp_recv_buffer_bytes > 0) {
        status = apr_socket_opt_set(socket, APR_SO_RCVBUF, listen->tcp_recv_buffer_bytes);
    }
    if (status == APR_SUCCESS && listen->tcp_send_buffer_bytes > 0) {
        status = apr_socket_opt_set(socket, APR_SO_SNDBUF, listen->tcp_send_buffer_bytes);
    }
    if (status == APR_SUCCESS) {
        status = apr_socket_opt_set(socket, APR_SO_NONBLOCK, 1);
    }
    return status == APR_SUCCESS ? apr_socket_timeout_set(socket, 0) : status;
}

static apr_status_t bind_one(apr_socket_t **socket, const demit_listen_settings_t *listen, apr_pool_t *pool)
{
    const int family = listen->ipv6 ? APR_INET6 : APR_INET;
    const char *host = listen->host != NULL ? listen->host : listen->ipv6 ? "::" : "0.0.0.0";
    apr_sockaddr_t *address;
    apr_status_t status = apr_sockaddr_info_get(&address, host, family, listen->port, 0, pool);

    if (status == APR_SUCCESS) {
        status = apr_socket_create(socket, family, SOCK_STREAM, APR_PROTO_TCP, pool);
    }
    if (status == APR_SUCCESS) {
        status = set_options(*socket, listen);
    }
    return status == APR_SUCCESS ? apr_socket_bind(*socket, address) : status;
}

int demit_bind_listeners(demit_daemon_t *daemon)
{
    const apr_array_header_t *listeners = daemon->settings->listeners;

    daemon->bound = apr_array_make(daemon->pool, listeners->nelts, sizeof(demit_bound_t));
    for (int i = 0; i < listeners->nelts; i++) {
        const demit_listen_settings_t *listen = &APR_ARRAY_IDX(listeners, i, demit_listen_settings_t);
        apr_socket_t *socket;
        if (!listen->enable || listen->unix_path != NULL) {
            continue;
        }
        const apr_status_t status = bind_one(&socket, listen, daemon->pool);
        if (status != APR_SUCCESS) {
            demit_close_listeners(daemon);
            return bind_failed(listen, status);
        }
        APR_ARRAY_PUSH(daemon->bound, demit_bound_t) = (demit_bound_t){.socket = socket, .listen = listen};
    }
    return 0;
}

static void close_bound(demit_bound_t *bound)
{
    if (bound->unix_socket.path != NULL) {
        demit_unix_socket_close(&bound->unix_socket);
    } else if (bound->socket != NULL) {
        apr_socket_close(bound->socket);
    }
    bound->socket = NULL;
}

void demit_close_listeners(demit_daemon_t *daemon)
{
    for (int i = 0; i < daemon->bound->nelts; i++) {
        close_bound(&APR_ARRAY_IDX(daemon->bound, i, demit_bound_t));
    }
}

/* ---- serving ----------------------------------------------------------------------------------------------------- */

/* Every listener stands in every loop; whichever loop is free takes the client. */
static apr_status_t give_to_loops(demit_daemon_t *daemon, const demit_bound_t *bound)
{
    const demit_acceptor_t *acceptor = demit_smtp_acceptor(daemon->server, bound->listen, daemon->pool);
    apr_status_t status = APR_SUCCESS;

    for (uint32_t i = 0; status == APR_SUCCESS && i < daemon->loop_count; i++) {
        status = demit_loop_listen(daemon->loops[i], bound->socket, acceptor);
    }
    return status;
}

/* Unix sockets are made by the new identity, inside the jail: nothing of root's is at stake. */
static int open_unix_listeners(demit_daemon_t *daemon)
{
    const apr_array_header_t *listeners = daemon->settings->listeners;
    char error[512];

    for (int i = 0; i < listeners->nelts; i++) {
        const demit_listen_settings_t *listen = &APR_ARRAY_IDX(listeners, i, demit_listen_settings_t);
        const demit_unix_socket_request_t request = {
            .path = listen->unix_path, .mode = (mode_t)listen->file_mode, .backlog = listen->backlog};
        demit_bound_t bound = {.listen = listen};
        if (!listen->enable || listen->unix_path == NULL) {
            continue;
        }
        const apr_status_t status =
            demit_unix_socket_open(&bound.unix_socket, &request, error, sizeof(error), daemon->pool);
        if (status != APR_SUCCESS) {
            return demit_start_failed(APR_TO_OS_ERROR(status) == EADDRINUSE ? EX_UNAVAILABLE : EX_CANTCREAT,
                                      "%s:%u:%u: Listen: %s", listen->source.file, listen->source.line,
                                      listen->source.column, error);
        }
        bound.socket = bound.unix_socket.socket;
        APR_ARRAY_PUSH(daemon->bound, demit_bound_t) = bound;
    }
    return 0;
}

/* listen(2); from then on the socket only accepts, where descriptors have rights. */
static apr_status_t begin_listening(const demit_bound_t *bound)
{
    apr_os_sock_t fd;
    const apr_status_t status = apr_socket_listen(bound->socket, bound->listen->backlog);

    if (status != APR_SUCCESS) {
        return status;
    }
    apr_os_sock_get(&fd, bound->socket);
    const int code = demit_os_limit_descriptor(fd, DEMIT_DESCRIPTOR_LISTENER);
    return code == ENOTSUP ? APR_SUCCESS : APR_FROM_OS_ERROR(code);
}

/* Before the loops run: from then on a loop's pollset belongs to its thread. */
int demit_start_listening(demit_daemon_t *daemon)
{
    const int code = open_unix_listeners(daemon);

    for (int i = 0; code == 0 && i < daemon->bound->nelts; i++) {
        const demit_bound_t *bound = &APR_ARRAY_IDX(daemon->bound, i, demit_bound_t);
        apr_status_t status = bound->unix_socket.path != NULL ? APR_SUCCESS : begin_listening(bound);
        if (status == APR_SUCCESS) {
            status = give_to_loops(daemon, bound);
        }
        if (status != APR_SUCCESS) {
            return bind_failed(bound->listen, status);
        }
        demit_log(DEMIT_LOG_INFO, "listening", "address=%s", bound->listen->title);
    }
    return code;
}

static void run_unlisten(demit_task_t *task)
{
    unlisten_t *unlisten = DEMIT_CONTAINER_OF(task, unlisten_t, task);
    const apr_array_header_t *bound = unlisten->daemon->bound;

    for (int i = 0; i < bound->nelts; i++) {
        demit_loop_unlisten(unlisten->loop, APR_ARRAY_IDX(bound, i, demit_bound_t).socket);
    }
    if (atomic_fetch_sub(unlisten->loops_left, 1) == 1) {
        demit_close_listeners(unlisten->daemon);
    }
}

void demit_stop_listening(demit_daemon_t *daemon)
{
    _Atomic uint32_t *loops_left = apr_palloc(daemon->pool, sizeof(*loops_left));
    unlisten_t *unlisten = apr_pcalloc(daemon->pool, daemon->loop_count * sizeof(*unlisten));

    atomic_init(loops_left, daemon->loop_count);
    for (uint32_t i = 0; i < daemon->loop_count; i++) {
        unlisten[i] = (unlisten_t){
            .task.run = run_unlisten, .loop = daemon->loops[i], .daemon = daemon, .loops_left = loops_left};
        demit_loop_post(daemon->loops[i], &unlisten[i].task);
    }
}
