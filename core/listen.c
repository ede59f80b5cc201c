/* Listening sockets: bound as root, opened to clients only when everything else stands. */
#include "core/daemon.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sysexits.h>

#include <apr_portable.h>

#include "demit/config.h"
#include "demit/log.h"

/* Takes the listeners of mail out of one loop, on that loop's thread; the main thread closes them after the last. */
typedef struct unlisten {
    demit_task_t task;
    demit_loop_t *loop;
    demit_daemon_t *daemon;
    _Atomic uint32_t *loops_left;
    demit_task_t *close_task;
} unlisten_t;

typedef struct close_all {
    demit_task_t task;
    demit_daemon_t *daemon;
} close_all_t;

/* ---- what is wrong ----------------------------------------------------------------------------------------------- */

void demit_listen_say(demit_error_text_t *error, const demit_listen_settings_t *listen, const char *format, ...)
{
    const demit_source_t *source = &listen->source;
    va_list arguments;
    int used = 0;

    if (source->file != NULL) { /* not the console that there is when none is written */
        used = snprintf(error->text, sizeof(error->text), "%s:%u:%u: ", source->file, source->line, source->column);
    }
    if (used >= 0 && (size_t)used < sizeof(error->text)) {
        va_start(arguments, format);
        (void)vsnprintf(error->text + used, sizeof(error->text) - (size_t)used, format, arguments);
        va_end(arguments);
    }
}

static const demit_bound_t *overlap_in(const apr_array_header_t *bounds, const demit_listen_settings_t *listen)
{
    for (int i = 0; i < bounds->nelts; i++) {
        const demit_bound_t *bound = APR_ARRAY_IDX(bounds, i, demit_bound_t *);
        if (demit_listen_overlaps(bound->listen, listen)) {
            return bound;
        }
    }
    return NULL;
}

/* One of our own sockets, beside which LISTEN cannot be bound, or NULL. */
static const demit_bound_t *own_overlap(const demit_daemon_t *daemon, const demit_listen_settings_t *listen)
{
    const demit_bound_t *bound = overlap_in(daemon->bound, listen);

    return bound != NULL ? bound : overlap_in(daemon->leaving, listen);
}

bool demit_listen_is_out_of_reach(const demit_daemon_t *daemon, const demit_listen_settings_t *listen)
{
    return listen->unix_path == NULL && listen->port < demit_identity_lowest_port(daemon->identity);
}

int demit_listen_say_denied(const demit_daemon_t *daemon, const demit_listen_settings_t *listen,
                            demit_error_text_t *error)
{
    if (daemon->main_loop == NULL) {
        demit_listen_say(error, listen,
                         "Listen \"%s\": Permission denied; a port below 1024 needs a start as root or the privilege "
                         "to bind it",
                         listen->title);
    } else if (demit_listen_is_out_of_reach(daemon, listen)) {
        demit_listen_say(error, listen,
                         "Listen \"%s\": Permission denied; the privilege to bind it was given up at the start; %s",
                         listen->title, demit_os_low_port_advice());
    } else {
        demit_listen_say(
            error, listen,
            "Listen \"%s\": Permission denied; the sandbox was closed at the start: Sandbox_Ports = ( %u ) "
            "in Security and a restart would allow it",
            listen->title, listen->port);
    }
    return EX_NOPERM;
}

static int say_failed(const demit_daemon_t *daemon, const demit_listen_settings_t *listen, apr_status_t status,
                      demit_error_text_t *error)
{
    const demit_bound_t *own = own_overlap(daemon, listen);
    char text[256];

    apr_strerror(status, text, sizeof(text));
    if (APR_TO_OS_ERROR(status) == EADDRINUSE && own != NULL) {
        demit_listen_say(
            error, listen,
            "Listen \"%s\": %s: \"%s\", which this server listens at, overlaps; reload without either, then "
            "with this one, or restart",
            listen->title, text, own->listen->title);
        return EX_UNAVAILABLE;
    }
    if (APR_TO_OS_ERROR(status) == EADDRINUSE) {
        demit_listen_say(error, listen,
                         "Listen \"%s\": %s; another server owns this port: stop it, or choose another one",
                         listen->title, text);
        return EX_UNAVAILABLE;
    }
    if (APR_STATUS_IS_EACCES(status)) {
        return demit_listen_say_denied(daemon, listen, error);
    }
    if (APR_TO_OS_ERROR(status) == EADDRNOTAVAIL) {
        demit_listen_say(error, listen, "Listen \"%s\": %s; no interface of this host has that address", listen->title,
                         text);
        return EX_UNAVAILABLE;
    }
    demit_listen_say(error, listen, "Listen \"%s\": %s", listen->title, text);
    return EX_OSERR;
}

/* ---- one socket -------------------------------------------------------------------------------------------------- */

apr_status_t demit_set_listener_options(apr_socket_t *socket, const demit_listen_settings_t *listen)
{
    apr_status_t status = APR_SUCCESS;

    if (listen->tcp_recv_buffer_bytes > 0) {
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

static apr_status_t bind_tcp(demit_bound_t *bound)
{
    const demit_listen_settings_t *listen = bound->listen;
    const int family = listen->ipv6 ? APR_INET6 : APR_INET;
    const char *host = listen->host != NULL ? listen->host : listen->ipv6 ? "::" : "0.0.0.0";
    apr_sockaddr_t *address;
    apr_status_t status = apr_sockaddr_info_get(&address, host, family, listen->port, 0, bound->pool);

    if (status == APR_SUCCESS) {
        status = apr_socket_create(&bound->socket, family, SOCK_STREAM, APR_PROTO_TCP, bound->pool);
    }
    if (status == APR_SUCCESS) {
        status = apr_socket_opt_set(bound->socket, APR_SO_REUSEADDR, 1);
    }
    if (status == APR_SUCCESS && listen->ipv6) {
        status = apr_socket_opt_set(bound->socket, APR_IPV6_V6ONLY, 1);
    }
    if (status == APR_SUCCESS) {
        status = demit_set_listener_options(bound->socket, listen);
    }
    return status == APR_SUCCESS ? apr_socket_bind(bound->socket, address) : status;
}

/* Made by the new identity, inside the jail: nothing of root's is at stake. */
static int open_unix(demit_bound_t *bound, demit_error_text_t *error)
{
    const demit_listen_settings_t *listen = bound->listen;
    const demit_unix_socket_request_t request = {
        .path = listen->unix_path, .mode = (mode_t)listen->file_mode, .backlog = listen->backlog};
    char text[512];
    const apr_status_t status = demit_unix_socket_open(&bound->unix_socket, &request, text, sizeof(text), bound->pool);

    if (status != APR_SUCCESS) {
        demit_listen_say(error, listen, "Listen: %s", text);
        return APR_TO_OS_ERROR(status) == EADDRINUSE ? EX_UNAVAILABLE : EX_CANTCREAT;
    }
    bound->socket = bound->unix_socket.socket;
    return 0;
}

apr_status_t demit_bound_make(demit_bound_t **bound, demit_daemon_t *daemon, const demit_listen_settings_t *listen)
{
    apr_pool_t *pool;
    const apr_status_t status = apr_pool_create(&pool, daemon->pool);

    if (status == APR_SUCCESS) {
        apr_pool_tag(pool, "listener");
        *bound = apr_pcalloc(pool, sizeof(**bound));
        **bound = (demit_bound_t){.pool = pool, .listen = listen, .is_wanted = true};
    }
    return status;
}

int demit_bound_open(demit_bound_t **bound, demit_daemon_t *daemon, const demit_listen_settings_t *listen,
                     bool is_console, demit_error_text_t *error)
{
    demit_bound_t *made;
    apr_status_t status = demit_bound_make(&made, daemon, listen);
    int code = 0;

    if (status != APR_SUCCESS) {
        return say_failed(daemon, listen, status, error);
    }
    made->is_console = is_console;
    if (listen->unix_path != NULL) {
        code = open_unix(made, error);
    } else {
        status = bind_tcp(made);
        code = status == APR_SUCCESS ? 0 : say_failed(daemon, listen, status, error);
    }
    if (code != 0) {
        apr_pool_destroy(made->pool); /* and with it the socket */
        return code;
    }
    *bound = made;
    return 0;
}

/* From then on the socket only listens and accepts, where descriptors have rights. */
static apr_status_t limit_to_listening(apr_socket_t *socket)
{
    apr_os_sock_t fd;

    apr_os_sock_get(&fd, socket);
    const int code = demit_os_limit_descriptor(fd, DEMIT_DESCRIPTOR_LISTENER);
    return code == ENOTSUP ? APR_SUCCESS : APR_FROM_OS_ERROR(code);
}

int demit_bound_listen(demit_daemon_t *daemon, demit_bound_t *bound, const demit_listen_settings_t *listen,
                       demit_error_text_t *error)
{
    apr_status_t status = apr_socket_listen(bound->socket, listen->backlog);

    if (status == APR_SUCCESS) {
        status = limit_to_listening(bound->socket);
    }
    return status == APR_SUCCESS ? 0 : say_failed(daemon, listen, status, error);
}

void demit_bound_close(demit_bound_t *bound)
{
    if (bound->unix_socket.path != NULL) {
        demit_unix_socket_close(&bound->unix_socket);
    }
    apr_pool_destroy(bound->pool);
}

const demit_acceptor_t *demit_bound_acceptor(demit_daemon_t *daemon, const demit_bound_t *bound,
                                             const demit_settings_t *settings)
{
    apr_pool_t *pool = demit_settings_pool(settings);

    return bound->is_console ? demit_control_acceptor(daemon->control, bound->listen, pool)
                             : demit_smtp_acceptor(daemon->server, settings, bound->listen, pool);
}

/* ---- all of them ------------------------------------------------------------------------------------------------- */

/* Opens those of LISTENERS that are enabled and, as IS_UNIX says, Unix sockets or not. */
static int open_some(demit_daemon_t *daemon, const apr_array_header_t *listeners, bool is_unix, bool is_console)
{
    demit_error_text_t error;

    for (int i = 0; i < listeners->nelts; i++) {
        const demit_listen_settings_t *listen = &APR_ARRAY_IDX(listeners, i, demit_listen_settings_t);
        demit_bound_t *bound;
        if (!listen->enable || (listen->unix_path != NULL) != is_unix || demit_is_bound(daemon, listen)) {
            continue;
        }
        const int code = demit_bound_open(&bound, daemon, listen, is_console, &error);
        if (code != 0) {
            return demit_start_failed(code, "%s", error.text);
        }
        APR_ARRAY_PUSH(daemon->bound, demit_bound_t *) = bound;
    }
    return 0;
}

int demit_bind_listeners(demit_daemon_t *daemon)
{
    const apr_array_header_t *listeners = daemon->settings->listeners;

    daemon->bound = apr_array_make(daemon->pool, listeners->nelts + 1, sizeof(demit_bound_t *));
    daemon->leaving = apr_array_make(daemon->pool, 4, sizeof(demit_bound_t *));
    int code = demit_adopt_listeners(daemon);
    if (code == 0) {
        code = open_some(daemon, listeners, false, false);
    }
    if (code != 0) {
        demit_close_listeners(daemon);
    }
    return code;
}

void demit_close_listeners(demit_daemon_t *daemon)
{
    for (int i = 0; i < daemon->bound->nelts; i++) {
        demit_bound_close(APR_ARRAY_IDX(daemon->bound, i, demit_bound_t *));
    }
    for (int i = 0; i < daemon->leaving->nelts; i++) {
        demit_bound_t *bound = APR_ARRAY_IDX(daemon->leaving, i, demit_bound_t *);
        if (!bound->is_wanted) {
            demit_bound_close(bound);
        }
    }
    apr_array_clear(daemon->bound);
    apr_array_clear(daemon->leaving);
}

/* ---- serving ----------------------------------------------------------------------------------------------------- */

/* Every listener of mail stands in every loop; whichever loop is free takes the client. */
static apr_status_t give_to_loops(demit_daemon_t *daemon, const demit_bound_t *bound)
{
    const demit_acceptor_t *acceptor = demit_bound_acceptor(daemon, bound, daemon->settings);
    apr_status_t status = APR_SUCCESS;

    if (bound->is_console) {
        return demit_loop_listen(daemon->main_loop, bound->socket, acceptor);
    }
    for (uint32_t i = 0; status == APR_SUCCESS && i < daemon->loop_count; i++) {
        status = demit_loop_listen(daemon->loops[i], bound->socket, acceptor);
    }
    return status;
}

static int begin_listening(demit_daemon_t *daemon, demit_bound_t *bound)
{
    demit_error_text_t error;
    int code = bound->unix_socket.path != NULL ? 0 : demit_bound_listen(daemon, bound, bound->listen, &error);

    if (code == 0) {
        const apr_status_t status = give_to_loops(daemon, bound);
        code = status == APR_SUCCESS ? 0 : say_failed(daemon, bound->listen, status, &error);
    }
    return code == 0 ? 0 : demit_start_failed(code, "%s", error.text);
}

/* Before the loops run: from then on a loop's pollset belongs to its thread. */
int demit_start_listening(demit_daemon_t *daemon)
{
    int code = open_some(daemon, daemon->settings->control_listeners, true, true);

    if (code == 0) {
        code = open_some(daemon, daemon->settings->listeners, true, false);
    }
    demit_log_unclaimed(daemon);
    for (int i = 0; code == 0 && i < daemon->bound->nelts; i++) {
        demit_bound_t *bound = APR_ARRAY_IDX(daemon->bound, i, demit_bound_t *);
        code = begin_listening(daemon, bound);
        if (code == 0) {
            demit_log(DEMIT_LOG_INFO, "listening", "address=%s%s", bound->listen->title,
                      bound->is_inherited ? " inherited=yes" : "");
        }
    }
    return code;
}

static void run_close(demit_task_t *task)
{
    demit_daemon_t *daemon = DEMIT_CONTAINER_OF(task, close_all_t, task)->daemon;
    apr_array_header_t *consoles = apr_array_make(daemon->pool, 1, sizeof(demit_bound_t *));

    for (int i = 0; i < daemon->bound->nelts; i++) {
        demit_bound_t *bound = APR_ARRAY_IDX(daemon->bound, i, demit_bound_t *);
        if (bound->is_console) {
            APR_ARRAY_PUSH(consoles, demit_bound_t *) = bound;
        } else {
            demit_bound_close(bound);
        }
    }
    daemon->bound = consoles;
}

static void run_unlisten(demit_task_t *task)
{
    unlisten_t *unlisten = DEMIT_CONTAINER_OF(task, unlisten_t, task);
    const apr_array_header_t *bound = unlisten->daemon->bound;

    for (int i = 0; i < bound->nelts; i++) {
        demit_loop_unlisten(unlisten->loop, APR_ARRAY_IDX(bound, i, demit_bound_t *)->socket);
    }
    if (atomic_fetch_sub(unlisten->loops_left, 1) == 1) {
        demit_loop_post(unlisten->daemon->main_loop, unlisten->close_task);
    }
}

/* The console stays open, for who wants to see how far the stop is. No reload comes after this. */
void demit_stop_listening(demit_daemon_t *daemon)
{
    _Atomic uint32_t *loops_left = apr_palloc(daemon->pool, sizeof(*loops_left));
    unlisten_t *unlisten = apr_pcalloc(daemon->pool, daemon->loop_count * sizeof(*unlisten));
    close_all_t *close_all = apr_pcalloc(daemon->pool, sizeof(*close_all));

    *close_all = (close_all_t){.task.run = run_close, .daemon = daemon};
    atomic_init(loops_left, daemon->loop_count);
    for (uint32_t i = 0; i < daemon->loop_count; i++) {
        unlisten[i] = (unlisten_t){.task.run = run_unlisten,
                                   .loop = daemon->loops[i],
                                   .daemon = daemon,
                                   .loops_left = loops_left,
                                   .close_task = &close_all->task};
        demit_loop_post(daemon->loops[i], &unlisten[i].task);
    }
}
