/* The console as a whole: its listeners. session.c answers. */
#include "demit/control.h"

#include <stdio.h>
#include <string.h>

#include <apr_strings.h>

#include "core/control/control_priv.h"

/* Runs when the pool goes, after loop and queue: what is left are sessions whose trip through the queue never ended. */
static apr_status_t free_sessions(void *baton)
{
    console_sessions_free(baton);
    return APR_SUCCESS;
}

/* What the loop itself says when it cannot take another connection. */
static const char *make_refusal(apr_pool_t *pool)
{
    static const char body[] = "The daemon is out of connections.\nTry again.\n";

    return apr_psprintf(pool, "error %d %lu\n%s", CONSOLE_EXIT_UNAVAILABLE, (unsigned long)strlen(body), body);
}

apr_status_t demit_control_create(demit_control_t **out, const demit_control_options_t *options, apr_pool_t *pool)
{
    const apr_array_header_t *listens = options->settings->control_listeners;
    demit_control_t *control = apr_pcalloc(pool, sizeof(*control));

    control->options = *options;
    control->pool = pool;
    control->created_us = demit_os_monotonic_us();
    control->listeners = apr_pcalloc(pool, (apr_size_t)listens->nelts * sizeof(control->listeners[0]));
    control->refusal = make_refusal(pool);
    apr_pool_cleanup_register(pool, control, free_sessions, apr_pool_cleanup_null);
    *out = control;
    return APR_SUCCESS;
}

static apr_status_t open_listener(console_listener_t *listener, char *error, size_t error_size)
{
    demit_control_t *control = listener->control;
    const demit_listen_settings_t *settings = listener->settings;
    const demit_unix_socket_request_t request = {
        .path = settings->unix_path, .mode = settings->file_mode & 0777, .backlog = settings->backlog};
    apr_status_t status = demit_unix_socket_open(&listener->socket, &request, error, error_size, control->pool);

    if (status != APR_SUCCESS) {
        return status;
    }
    listener->acceptor =
        (demit_acceptor_t){.on_accept = console_session_accept, .refusal = control->refusal, .baton = listener};
    status = demit_loop_listen(control->options.loop, listener->socket.socket, &listener->acceptor);
    if (status != APR_SUCCESS) {
        char reason[128];
        snprintf(error, error_size, "%s: %s", settings->unix_path, apr_strerror(status, reason, sizeof(reason)));
        demit_unix_socket_close(&listener->socket);
    }
    return status;
}

apr_status_t demit_control_listen(demit_control_t *control, char *error, size_t error_size)
{
    const apr_array_header_t *listens = control->options.settings->control_listeners;

    for (int i = 0; i < listens->nelts; i++) {
        const demit_listen_settings_t *settings = &APR_ARRAY_IDX(listens, i, demit_listen_settings_t);
        console_listener_t *listener = &control->listeners[control->listener_count];

        if (!settings->enable) {
            continue;
        }
        if (settings->unix_path == NULL) {
            snprintf(error, error_size, "%s: the console listens on Unix sockets only; give a path", settings->title);
            demit_control_close(control);
            return APR_EINVAL;
        }
        *listener = (console_listener_t){.control = control, .settings = settings};
        const apr_status_t status = open_listener(listener, error, error_size);
        if (status != APR_SUCCESS) {
            demit_control_close(control);
            return status;
        }
        control->listener_count++;
    }
    return APR_SUCCESS;
}

void demit_control_close(demit_control_t *control)
{
    while (control->listener_count > 0) {
        console_listener_t *listener = &control->listeners[--control->listener_count];
        demit_loop_unlisten(control->options.loop, listener->socket.socket);
        demit_unix_socket_close(&listener->socket);
    }
    console_sessions_abort(control);
}
