/* Serving, and the graceful stop: no new mail, sessions finish what they began, the queue stays in the spool. */
#include "core/daemon.h"

#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include <apr_thread_cond.h>
#include <apr_thread_mutex.h>

#include "demit/build.h"
#include "demit/log.h"

static const int64_t GRACE_US = INT64_C(30) * 1000 * 1000;      /* for transactions and deliveries under way */
static const int64_t QUEUE_GRACE_US = INT64_C(5) * 1000 * 1000; /* of it, for deliveries when the sessions took long */
static const int64_t LOOK_INTERVAL_US = INT64_C(20) * 1000;     /* how often the stop looks whether all are gone */
static const int64_t TRANSPORT_GRACE_US = INT64_C(1000) * 1000; /* for QUIT on idle connections */

/* ---- threads ----------------------------------------------------------------------------------------------------- */

int demit_start_threads(demit_daemon_t *daemon)
{
    apr_status_t status = demit_resolver_start(daemon->resolver);

    for (uint32_t i = 0; status == APR_SUCCESS && i < daemon->loop_count; i++) {
        status = demit_loop_start(daemon->loops[i]);
    }
    if (status == APR_SUCCESS) {
        status = demit_queue_start(daemon->queue);
    }
    if (status != APR_SUCCESS) {
        demit_stop_threads(daemon); /* those that did start: nothing below may go while they run */
        return demit_start_failed(EX_OSERR, "the threads cannot be started");
    }
    return 0;
}

/* Waits for something that other threads report. */
typedef struct latch {
    apr_thread_mutex_t *mutex;
    apr_thread_cond_t *changed;
    int left;
} latch_t;

static void latch_count_down(void *baton)
{
    latch_t *latch = baton;

    apr_thread_mutex_lock(latch->mutex);
    latch->left--;
    apr_thread_cond_signal(latch->changed);
    apr_thread_mutex_unlock(latch->mutex);
}

static void stop_transports(demit_daemon_t *daemon)
{
    latch_t *latch = apr_pcalloc(daemon->pool, sizeof(*latch)); /* may outlive the wait */

    latch->left = 2;
    if (apr_thread_mutex_create(&latch->mutex, APR_THREAD_MUTEX_DEFAULT, daemon->pool) != APR_SUCCESS ||
        apr_thread_cond_create(&latch->changed, daemon->pool) != APR_SUCCESS) {
        return; /* the loops end the connections, less politely */
    }
    daemon->smtp_transport->stop(daemon->smtp_transport, latch_count_down, latch);
    daemon->maildir_transport->stop(daemon->maildir_transport, latch_count_down, latch);
    apr_thread_mutex_lock(latch->mutex);
    while (latch->left > 0 &&
           apr_thread_cond_timedwait(latch->changed, latch->mutex, TRANSPORT_GRACE_US) == APR_SUCCESS) {
    }
    apr_thread_mutex_unlock(latch->mutex);
}

void demit_stop_threads(demit_daemon_t *daemon)
{
    const int64_t left_us = daemon->stop_deadline_us - demit_os_monotonic_us();

    demit_queue_stop(daemon->queue, left_us > 0 ? left_us : 0);
    stop_transports(daemon);
    demit_resolver_stop(daemon->resolver); /* its answers go to the loops */
    for (uint32_t i = 0; i < daemon->loop_count; i++) {
        demit_loop_stop(daemon->loops[i]);
    }
    for (uint32_t i = 0; i < daemon->loop_count; i++) {
        demit_loop_join(daemon->loops[i]);
    }
}

/* ---- the stop ---------------------------------------------------------------------------------------------------- */

/*
 * First the sessions, whose mail the queue may still deliver, then the queue, which has its share of the grace whatever
 * a client does. Signals and the console are heard on.
 */
static void look_whether_done(demit_timer_t *timer)
{
    demit_daemon_t *daemon = DEMIT_CONTAINER_OF(timer, demit_daemon_t, stop_timer);
    const int64_t left_us = daemon->stop_deadline_us - demit_os_monotonic_us();
    demit_smtp_statistics_t statistics;

    demit_smtp_statistics(daemon->server, &statistics);
    if (!daemon->queue_drains && (statistics.sessions == 0 || left_us <= QUEUE_GRACE_US)) {
        demit_log(DEMIT_LOG_INFO, "sessions_ended", "left=%u", statistics.sessions);
        daemon->queue_drains = true;
        demit_queue_drain(daemon->queue, left_us > 0 ? left_us : 0);
    }
    if (daemon->queue_drains && demit_queue_is_drained(daemon->queue)) {
        demit_loop_stop(daemon->main_loop);
        return;
    }
    demit_timer_start(daemon->main_loop, timer, LOOK_INTERVAL_US);
}

void demit_begin_stop(demit_daemon_t *daemon)
{
    if (daemon->stop_deadline_us != 0) {
        daemon->stop_deadline_us = demit_os_monotonic_us(); /* asked twice: now */
        if (daemon->queue_drains && !daemon->queue_hurries) {
            daemon->queue_hurries = true;
            demit_queue_hurry(daemon->queue);
        }
        return;
    }
    demit_log(DEMIT_LOG_INFO, "stopping", "grace_s=%d", (int)(GRACE_US / 1000000));
    demit_os_notify("STOPPING=1");
    daemon->stop_deadline_us = demit_os_monotonic_us() + GRACE_US;
    demit_stop_listening(daemon);
    demit_smtp_server_drain(daemon->server);
    daemon->stop_timer.fire = look_whether_done;
    demit_timer_start(daemon->main_loop, &daemon->stop_timer, LOOK_INTERVAL_US);
}

/* ---- signals ----------------------------------------------------------------------------------------------------- */

static void reopen_log(void)
{
    const apr_status_t status = demit_log_reopen();
    char text[DEMIT_LOG_VALUE_MAX];

    if (status == APR_SUCCESS) {
        demit_log(DEMIT_LOG_INFO, "log_reopened", "%s", "");
    } else {
        demit_log(DEMIT_LOG_ERROR, "log_reopen_failed", "error=%s kept=old",
                  demit_log_status(text, sizeof(text), status));
    }
}

static void reload(demit_daemon_t *daemon)
{
    demit_reload_outcome_t outcome;
    apr_pool_t *pool;

    if (apr_pool_create(&pool, NULL) != APR_SUCCESS) {
        demit_log(DEMIT_LOG_ERROR, "reload_refused", "reason=\"no memory\"");
        return;
    }
    demit_reload(daemon, &outcome, pool);
    apr_pool_destroy(pool);
}

/* Several requests to reload that came at once are one: the file is read after the last. */
static void on_signal(void *baton, int fd)
{
    demit_daemon_t *daemon = baton;
    bool reloads = false;
    char letter;

    while (read(fd, &letter, 1) == 1) {
        switch (letter) {
        case 'T':
            demit_begin_stop(daemon);
            break;
        case 'U':
            reopen_log();
            break;
        case 'H':
            reloads = true;
            break;
        default:
            break;
        }
    }
    if (reloads) {
        reload(daemon);
    }
}

int demit_catch_signals(demit_daemon_t *daemon)
{
    const int code = demit_os_signals(&daemon->signal_fd);

    return code == 0 ? 0 : demit_start_failed(EX_OSERR, "signals cannot be received: %s", strerror(code));
}

int demit_watch_signals(demit_daemon_t *daemon)
{
    const apr_status_t status = demit_loop_watch(daemon->main_loop, daemon->signal_fd, on_signal, daemon);

    return status == APR_SUCCESS ? 0 : demit_start_failed(EX_OSERR, "signals cannot be waited for");
}

int demit_tell_ready(demit_daemon_t *daemon)
{
    demit_log(DEMIT_LOG_INFO, "ready", "pid=%ld version=" DEMIT_VERSION " loops=%u descriptors=%u", (long)getpid(),
              daemon->loop_count, daemon->descriptors);
    demit_os_notify("READY=1");
    if (!daemon->options.foreground) {
        const int code = demit_os_detach_finish(&daemon->detach);
        if (code != 0) {
            return demit_start_failed(EX_OSERR, "the terminal cannot be let go: %s", strerror(code));
        }
    }
    demit_start_watchdog(daemon);
    return 0;
}

int demit_serve(demit_daemon_t *daemon)
{
    if (demit_os_hear_signals() != 0) {
        return demit_start_failed(EX_OSERR, "signals cannot be received");
    }
    const apr_status_t status = demit_loop_run(daemon->main_loop);

    demit_loop_join(daemon->main_loop);
    return status == APR_SUCCESS ? 0 : EX_OSERR;
}
