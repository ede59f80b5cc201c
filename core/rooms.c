/* The stages that open the rooms, as the new identity and inside the jail: so a start proves what serving will need. */
#include "core/daemon.h"

#include <errno.h>
#include <sysexits.h>
#include <unistd.h>

#include "demit/log.h"

enum {
    DISK_WORKERS = 4,
    FIXED_DESCRIPTORS = 64, /* log, spool, console, resolver, workers' files */
    PER_LOOP = 3,           /* the pollset, and the two ends of what wakes it */
    CONSOLE_CONNECTIONS = 64,
    IDLE_SHARE = 4,  /* one in so many of the descriptors that no client gets: connections kept for mail to come */
    PER_DELIVERY = 2 /* a connection, and the message in the spool */
};

/* ---- log --------------------------------------------------------------------------------------------------------- */

int demit_open_log(demit_daemon_t *daemon)
{
    const char *log = daemon->settings->log;
    demit_log_target_t target = DEMIT_LOG_STDERR;
    char text[256];

    if (!daemon->options.foreground) {
        /* Nobody reads a daemon's standard error: there "stderr" means syslog. */
        target = log[0] == '/' ? DEMIT_LOG_FILE : DEMIT_LOG_SYSLOG;
    }
    if (daemon->options.debug) {
        demit_log_set_level(DEMIT_LOG_DEBUG);
    }
    apr_status_t status = demit_log_open(target, log);
    if (status == APR_SUCCESS) {
        status = demit_log_start(daemon->pool);
    }
    if (status != APR_SUCCESS) {
        return demit_start_failed(EX_CANTCREAT, "the log %s cannot be opened as the new identity: %s", log,
                                  APR_STATUS_IS_EINVAL(status) ? "it is not a regular file"
                                                               : apr_strerror(status, text, sizeof(text)));
    }
    if (target != DEMIT_LOG_STDERR) {
        demit_log_identity(daemon); /* said on the terminal already; now where it is kept */
        demit_log_sandbox(daemon);
    }
    return 0;
}

void demit_close_log(demit_daemon_t *daemon)
{
    (void)daemon;
    demit_log(DEMIT_LOG_INFO, "stopped", "pid=%ld", (long)getpid());
    demit_log_stop();
}

/* ---- disk -------------------------------------------------------------------------------------------------------- */

int demit_start_workers(demit_daemon_t *daemon)
{
    const apr_status_t status = demit_workers_create(&daemon->workers, DISK_WORKERS, daemon->pool);

    return status == APR_SUCCESS ? 0 : demit_start_failed(EX_OSERR, "the disk workers cannot be started");
}

void demit_stop_workers(demit_daemon_t *daemon)
{
    demit_workers_stop(daemon->workers);
}

int demit_open_spool(demit_daemon_t *daemon)
{
    const demit_settings_t *settings = daemon->settings;
    const demit_spool_options_t options = {
        .directory = settings->spool_base,
        .file_mode = settings->spool_mode,
        .segment_size_bytes = settings->segment_size_bytes,
        .large_message_threshold_bytes = settings->large_message_threshold_bytes,
        .minimum_free_bytes = settings->spool_minimum_free_bytes,
        .force_fsync = settings->force_fsync,
        .workers = daemon->workers,
    };
    char text[256];
    const apr_status_t status = demit_spool_open(&daemon->spool, &options, daemon->pool);

    if (APR_STATUS_IS_EAGAIN(status)) {
        return demit_start_failed(EX_UNAVAILABLE, "the spool %s belongs to another demitd that is running",
                                  settings->spool_base);
    }
    if (status != APR_SUCCESS) {
        return demit_start_failed(APR_STATUS_IS_EACCES(status) ? EX_CANTCREAT : EX_IOERR,
                                  "the spool %s cannot be opened as the new identity: %s", settings->spool_base,
                                  apr_strerror(status, text, sizeof(text)));
    }
    return 0;
}

void demit_close_spool(demit_daemon_t *daemon)
{
    demit_spool_close(daemon->spool);
}

/* ---- loops ------------------------------------------------------------------------------------------------------- */

/* Descriptors that are neither a client's nor a delivery's. When the loops have been counted. */
static uint32_t other_descriptors(const demit_daemon_t *daemon)
{
    const demit_settings_t *settings = daemon->settings;
    const int listeners = settings->listeners->nelts + settings->control_listeners->nelts;

    return FIXED_DESCRIPTORS + PER_LOOP * daemon->loop_count + (uint32_t)listeners;
}

int demit_make_loops(demit_daemon_t *daemon)
{
    const uint32_t configured = daemon->settings->event_loops;
    uint32_t others, most;
    apr_status_t status = demit_loop_create(&daemon->main_loop, "main", CONSOLE_CONNECTIONS, daemon->pool);

    daemon->loop_count = configured > 0 ? configured : demit_os_processors();
    others = other_descriptors(daemon);
    /* Any loop may come to hold all connections, so each is made for as many as there can be descriptors. */
    most = daemon->descriptors > 2 * others ? daemon->descriptors - others : others;
    daemon->loops = apr_pcalloc(daemon->pool, daemon->loop_count * sizeof(demit_loop_t *));
    for (uint32_t i = 0; status == APR_SUCCESS && i < daemon->loop_count; i++) {
        status = demit_loop_create(&daemon->loops[i], "loop", most, daemon->pool);
    }
    return status == APR_SUCCESS ? 0 : demit_start_failed(EX_OSERR, "the event loops cannot be made");
}

/* ---- descriptors: who gets how many -------------------------------------------------------------------------------
 */

/*
 * Descriptors that no client gets: a tenth of them, for files and deliveries. A server full of clients must still store
 * their mail and get rid of it.
 */
static uint32_t descriptors_apart(const demit_daemon_t *daemon)
{
    const uint32_t tenth = daemon->descriptors / 10, others = other_descriptors(daemon);

    return tenth > 2 * others ? tenth : 2 * others;
}

static uint32_t max_clients(const demit_daemon_t *daemon)
{
    const uint32_t apart = descriptors_apart(daemon);
    const uint32_t possible = daemon->descriptors > apart ? daemon->descriptors - apart : 1;
    const uint32_t wanted = daemon->settings->max_connections;

    if (wanted > possible) {
        demit_log(DEMIT_LOG_WARNING, "connection_limit", "wanted=%u granted=%u descriptors=%u", wanted, possible,
                  daemon->descriptors);
    }
    return wanted == 0 || wanted > possible ? possible : wanted;
}

/* What is left for deliveries when CLIENTS have come and all else is used, too. */
static uint32_t max_deliveries(const demit_daemon_t *daemon, uint32_t clients)
{
    const uint32_t taken = clients + other_descriptors(daemon) + descriptors_apart(daemon) / IDLE_SHARE;
    const uint32_t left = daemon->descriptors > taken ? (daemon->descriptors - taken) / PER_DELIVERY : 0;

    return left > 0 ? left : 1;
}

void demit_share_descriptors(const demit_daemon_t *daemon)
{
    const uint32_t clients = max_clients(daemon), deliveries = max_deliveries(daemon, clients);

    demit_smtp_server_set_limits(daemon->server, clients, daemon->settings->max_connections_per_client);
    demit_queue_limit_connections(daemon->queue, deliveries);
    demit_log(DEMIT_LOG_INFO, "descriptors", "limit=%u clients=%u deliveries=%u", daemon->descriptors, clients,
              deliveries);
}

/* ---- delivery and the server ------------------------------------------------------------------------------------- */

int demit_make_delivery(demit_daemon_t *daemon)
{
    const demit_queue_options_t options = {
        .spool = daemon->spool, .workers = daemon->workers, .settings = daemon->settings};
    apr_status_t status = demit_queue_create(&daemon->queue, &options, daemon->pool);
    const demit_transport_options_t transport = {
        .queue = daemon->queue,
        .spool = daemon->spool,
        .workers = daemon->workers,
        .loops = daemon->loops,
        .loop_count = daemon->loop_count,
        .idle_connections = descriptors_apart(daemon) / IDLE_SHARE,
        .resolver = daemon->resolver,
    };

    if (status == APR_SUCCESS) {
        status = demit_transport_smtp_create(&daemon->smtp_transport, &transport, daemon->pool);
    }
    if (status == APR_SUCCESS) {
        status = demit_transport_maildir_create(&daemon->maildir_transport, &transport, daemon->pool);
    }
    if (status != APR_SUCCESS) {
        return demit_start_failed(EX_OSERR, "delivery cannot be set up");
    }
    demit_queue_set_transport(daemon->queue, DEMIT_DELIVER_ESMTP, daemon->smtp_transport);
    demit_queue_set_transport(daemon->queue, DEMIT_DELIVER_SMTP, daemon->smtp_transport);
    demit_queue_set_transport(daemon->queue, DEMIT_DELIVER_LMTP, daemon->smtp_transport);
    demit_queue_set_transport(daemon->queue, DEMIT_DELIVER_MAILDIR, daemon->maildir_transport);
    return 0;
}

static void accepted(void *baton, const demit_envelope_t *envelope, demit_spool_location_t location)
{
    demit_queue_accept(baton, envelope, location);
}

int demit_make_server(demit_daemon_t *daemon)
{
    const demit_smtp_server_options_t options = {
        .spool = daemon->spool,
        .workers = daemon->workers,
        .mailbox_exists = demit_maildir_exists,
        .accepted = accepted,
        .accepted_baton = daemon->queue,
    };
    const apr_status_t status = demit_smtp_server_create(&daemon->server, &options, daemon->pool);

    if (status != APR_SUCCESS) {
        return demit_start_failed(EX_OSERR, "the SMTP server cannot be set up");
    }
    demit_share_descriptors(daemon);
    return 0;
}

/* ---- console ----------------------------------------------------------------------------------------------------- */

static void shutdown_from_console(void *baton)
{
    demit_begin_stop(baton);
}

static void reload_from_console(void *baton, demit_reload_outcome_t *outcome, apr_pool_t *pool)
{
    demit_reload(baton, outcome, pool);
}

int demit_open_console(demit_daemon_t *daemon)
{
    const demit_control_options_t options = {
        .settings = daemon->settings,
        .identity = daemon->identity,
        .sandbox_parts = daemon->sandbox_parts,
        .group = daemon->control_group,
        .loop = daemon->main_loop,
        .queue = daemon->queue,
        .spool = daemon->spool,
        .server = daemon->server,
        .loops = daemon->loops,
        .loop_count = daemon->loop_count,
        .shutdown = shutdown_from_console,
        .reload = reload_from_console,
        .call_roll = demit_call_roll,
        .baton = daemon,
    };
    const apr_status_t status = demit_control_create(&daemon->control, &options, daemon->pool);

    return status == APR_SUCCESS ? 0 : demit_start_failed(EX_OSERR, "the console cannot be set up");
}

void demit_close_console(demit_daemon_t *daemon)
{
    demit_control_close(daemon->control);
}
