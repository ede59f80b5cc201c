/* The console as a whole. session.c answers. */
#include "demit/control.h"

#include <string.h>

#include <apr_strings.h>

#include "core/control/control_priv.h"

/* Runs when the pool goes, after loop and queue: what is left are sessions whose trip through the queue never ended. */
static apr_status_t forget(void *baton)
{
    demit_control_t *control = baton;

    console_sessions_free(control);
    demit_settings_release(control->options.settings);
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
    demit_control_t *control = apr_pcalloc(pool, sizeof(*control));

    control->options = *options;
    demit_settings_hold(control->options.settings);
    control->pool = pool;
    control->created_us = demit_os_monotonic_us();
    control->refusal = make_refusal(pool);
    apr_pool_cleanup_register(pool, control, forget, apr_pool_cleanup_null);
    *out = control;
    return APR_SUCCESS;
}

const demit_acceptor_t *demit_control_acceptor(demit_control_t *control, const demit_listen_settings_t *listen,
                                               apr_pool_t *pool)
{
    console_listener_t *listener = apr_pcalloc(pool, sizeof(*listener));

    listener->control = control;
    listener->path = listen->unix_path;
    listener->acceptor =
        (demit_acceptor_t){.on_accept = console_session_accept, .refusal = control->refusal, .baton = listener};
    return &listener->acceptor;
}

void demit_control_use_settings(demit_control_t *control, const demit_settings_t *settings)
{
    const demit_settings_t *older = control->options.settings;

    control->options.settings = demit_settings_hold(settings);
    demit_settings_release(older);
}

void demit_control_close(demit_control_t *control)
{
    console_sessions_abort(control);
}
