/* demitd: open what only root can open, let go of root, prove it, and only then serve. */
#include "core/daemon.h"

#include <stdio.h>
#include <sysexits.h>

#include <apr_file_io.h>
#include <apr_general.h>

#include "demit/config.h"

static int tidy_process(demit_daemon_t *daemon)
{
    demit_os_error_t wrong;

    if (demit_os_inherit(&daemon->inherited, &wrong) != 0) {
        return demit_start_failed(EX_USAGE, "%s", wrong.text);
    }
    if (demit_os_watchdog(&daemon->watchdog_us, &wrong) != 0) {
        return demit_start_failed(EX_USAGE, "%s", wrong.text);
    }
    const int error = demit_os_tidy_process(&daemon->inherited);
    return error == 0 ? 0 : demit_start_failed(EX_OSERR, "the process could not be tidied: errno %d", error);
}

static int detach(demit_daemon_t *daemon)
{
    if (daemon->options.foreground) {
        return 0;
    }
    const int error = demit_os_detach_begin(&daemon->detach);
    return error == 0 ? 0 : demit_start_failed(EX_OSERR, "could not fork: errno %d", error);
}

/* The life of the process, in order. Up to demit_assume_identity() as root; one thread until then. */
static const demit_stage_t STAGES[] = {
    {"tidy", tidy_process, NULL},
    {"detach", detach, NULL},
    {"configuration", demit_read_configuration, demit_forget_configuration},
    {"resolve identity", demit_resolve_identity, demit_forget_identity},
    {"configuration's owner", demit_check_configuration, NULL},
    {"limits", demit_raise_limits, NULL},
    /* Here, and nowhere later, keys that root alone can read are read: demit_os_secret_read(). */
    {"bind", demit_bind_listeners, demit_close_listeners},
    {"directories", demit_make_directories, NULL},
    /* Before anybody can read where to send them, and before the first thread, which is not to be interrupted. */
    {"signals", demit_catch_signals, NULL},
    {"pid file", demit_write_pid_file, demit_unlock_pid_file},
    {"before chroot", demit_open_before_chroot, NULL},
    {"assume identity", demit_assume_identity, NULL},
    {"sandbox", demit_enter_sandbox, NULL},
    {"log", demit_open_log, demit_close_log},
    {"workers", demit_start_workers, demit_stop_workers},
    {"spool", demit_open_spool, demit_close_spool},
    {"loops", demit_make_loops, NULL},
    {"signals' loop", demit_watch_signals, NULL},
    {"delivery", demit_make_delivery, NULL},
    {"server", demit_make_server, NULL},
    {"console", demit_open_console, demit_close_console},
    {"listen", demit_start_listening, demit_close_listeners},
    {"threads", demit_start_threads, demit_stop_threads},
    {"audit", demit_audit_threads, NULL},
    {"ready", demit_tell_ready, NULL},
};

static int run(demit_daemon_t *daemon)
{
    const size_t count = sizeof(STAGES) / sizeof(STAGES[0]);
    size_t reached = 0;
    int code = 0;

    while (code == 0 && reached < count) {
        code = STAGES[reached].enter(daemon);
        reached += code == 0 ? 1 : 0;
    }
    if (code == 0) {
        code = demit_serve(daemon);
    }
    while (reached-- > 0) {
        if (STAGES[reached].leave != NULL) {
            STAGES[reached].leave(daemon);
        }
    }
    return code;
}

static int help_config(const demit_daemon_t *daemon)
{
    apr_file_t *out;

    if (apr_file_open_stdout(&out, daemon->pool) != APR_SUCCESS) {
        return EX_IOERR;
    }
    demit_config_print_help(out);
    return 0;
}

static int act(demit_daemon_t *daemon)
{
    switch (daemon->options.what) {
    case DEMIT_DO_RUN:
        return run(daemon);
    case DEMIT_DO_TEST:
        return demit_show_test(daemon);
    case DEMIT_DO_EXPLAIN:
        return demit_show_explain(daemon);
    case DEMIT_DO_HELP_CONFIG:
        return help_config(daemon);
    case DEMIT_DO_VERSION:
        demit_options_print_version();
        return 0;
    case DEMIT_DO_HELP:
        demit_options_print_help();
        return 0;
    }
    return EX_SOFTWARE;
}

int main(int argc, char **argv)
{
    demit_daemon_t daemon = {.pid_file = {.number_fd = -1, .lock_fd = -1}, .signal_fd = -1};

    if (apr_initialize() != APR_SUCCESS || apr_pool_create(&daemon.pool, NULL) != APR_SUCCESS) {
        fprintf(stderr, "demitd: no memory\n");
        return EX_OSERR;
    }
    apr_pool_tag(daemon.pool, "process");
    int code = demit_options_read(&daemon.options, argc, (const char *const *)argv, daemon.pool);
    if (code == 0) {
        code = act(&daemon);
    }
    apr_pool_destroy(daemon.pool);
    apr_terminate();
    return code;
}
