/* The daemon as a whole: what main() builds up stage by stage and takes down in reverse order. */
#ifndef DEMIT_CORE_DAEMON_H
#define DEMIT_CORE_DAEMON_H

#include <apr_pools.h>
#include <apr_tables.h>

#include "core/options.h"
#include "demit/control.h"
#include "demit/delivery.h"
#include "demit/loop.h"
#include "demit/os.h"
#include "demit/settings.h"
#include "demit/smtp.h"
#include "demit/spool.h"
#include "demit/unix_socket.h"
#include "demit/workers.h"

/* A bound socket and the Listen that it serves. Main thread. */
typedef struct demit_bound {
    apr_pool_t *pool;                      /* its own, and what it lives in */
    apr_socket_t *socket;                  /* NULL: closed */
    const demit_listen_settings_t *listen; /* of the daemon's settings */
    demit_unix_socket_t unix_socket;       /* its path is NULL unless we made it: TCP, or inherited */
    bool is_inherited;                     /* the supervisor's */
    bool is_console;                       /* a control listener: it stands in the main thread's loop */
    bool is_wanted;                        /* it stands in the daemon's BOUND */
    unsigned leaves;                       /* reloads that took it out, of which not every loop has heard */
} demit_bound_t;

typedef struct demit_daemon {
    demit_options_t options;
    apr_pool_t *pool;

    const demit_settings_t *settings; /* held; others with every reload */
    const char *config_file;          /* the option's, made absolute while the working directory is known */
    demit_identity_t *identity;
    apr_array_header_t *identity_warnings; /* const char * */
    demit_os_group_t *control_group;
    demit_os_detach_t detach;
    uint32_t descriptors;        /* how many the host allows */
    apr_array_header_t *bound;   /* demit_bound_t *: all that is listened at */
    apr_array_header_t *leaving; /* demit_bound_t * with LEAVES: to be closed, unless another reload wants it again */
    demit_os_inherited_t inherited;
    apr_array_header_t *unclaimed; /* const char *: what was inherited and no Listen wants */
    demit_os_pid_file_t pid_file;
    const char *start_directory; /* the working directory of the start; relative paths are below it */

    demit_sandbox_request_t sandbox;   /* what was asked of the sandbox; nothing with Sandbox = off */
    apr_array_header_t *sandbox_parts; /* demit_sandbox_part_t: what is enforced, and what not and why; NULL before */

    demit_resolver_t *resolver;
    demit_workers_t *workers;
    demit_spool_t *spool;
    demit_queue_t *queue;
    demit_transport_t *smtp_transport, *maildir_transport;
    demit_smtp_server_t *server;
    demit_control_t *control;
    demit_loop_t *main_loop; /* signals and the console */
    demit_loop_t **loops;
    uint32_t loop_count;

    int64_t watchdog_us; /* how often the supervisor wants a sign of life; 0: never */
    int signal_fd;
    demit_timer_t stop_timer;
    int64_t stop_deadline_us; /* of the monotonic clock; 0: not stopping */
    bool queue_drains, queue_hurries;
} demit_daemon_t;

/* One step up, and the step down that undoes it. ENTER returns 0 or a code of sysexits.h, having said why. */
typedef struct demit_stage {
    const char *name;
    int (*enter)(demit_daemon_t *daemon);
    void (*leave)(demit_daemon_t *daemon); /* NULL: nothing to undo */
} demit_stage_t;

/* Says on standard error, which the parent of a detached start still shares, why the start failed. Returns CODE. */
int demit_start_failed(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- as root: start.c ------------------------------------------------------------------------------------------- */
int demit_read_configuration(demit_daemon_t *daemon);
void demit_forget_configuration(demit_daemon_t *daemon);
int demit_resolve_identity(demit_daemon_t *daemon);
void demit_forget_identity(demit_daemon_t *daemon);
/* Refuses files of the configuration that the new identity could change: root would obey them at the next start. */
int demit_check_configuration(demit_daemon_t *daemon);
int demit_raise_limits(demit_daemon_t *daemon);
int demit_make_directories(demit_daemon_t *daemon);
int demit_write_pid_file(demit_daemon_t *daemon);
/* Says, with its place, why a start would refuse the path of the pid file: EX_CONFIG, or 0. Changes nothing. */
int demit_look_at_pid_file(const demit_daemon_t *daemon);
void demit_unlock_pid_file(demit_daemon_t *daemon);
int demit_open_before_chroot(demit_daemon_t *daemon);
int demit_assume_identity(demit_daemon_t *daemon);
/* event=identity, and what resolving it warned about. */
void demit_log_identity(const demit_daemon_t *daemon);

/* PATH as root sees it before chroot, when it will be looked up inside the jail later. */
const char *demit_outside_jail(const demit_daemon_t *daemon, const char *path);

/* ---- sockets of the supervisor: adopt.c -------------------------------------------------------------------------- */
/*
 * Takes every inherited socket that stands at the address of a Listen into daemon->bound, and closes the others. A
 * start without root thereby serves port 25.
 */
int demit_adopt_listeners(demit_daemon_t *daemon);
/* Whether LISTEN has a socket already. */
bool demit_is_bound(const demit_daemon_t *daemon, const demit_listen_settings_t *listen);
/* Warns of those that were closed, when the log is open. */
void demit_log_unclaimed(const demit_daemon_t *daemon);

/* ---- sockets: listen.c ------------------------------------------------------------------------------------------- */
/* The options of a Listen that a bound socket takes, too; non-blocking. */
apr_status_t demit_set_listener_options(apr_socket_t *socket, const demit_listen_settings_t *listen);
/* Binds every TCP port that was not inherited; no client can connect before demit_start_listening(). Unix sockets need
 * no root. */
int demit_bind_listeners(demit_daemon_t *daemon);
void demit_close_listeners(demit_daemon_t *daemon);
int demit_start_listening(demit_daemon_t *daemon);
/* Takes the listeners of mail out of the loops, on the loops' own threads, and closes them. */
void demit_stop_listening(demit_daemon_t *daemon);

/* Where one line says what is wrong. */
typedef struct demit_error_text {
    char text[1024];
} demit_error_text_t;

/* Writes what is wrong with LISTEN, behind the place where it is written. */
void demit_listen_say(demit_error_text_t *error, const demit_listen_settings_t *listen, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Whether a new socket of LISTEN's port takes a privilege that the identity does not keep. */
bool demit_listen_is_out_of_reach(const demit_daemon_t *daemon, const demit_listen_settings_t *listen);
/* Why LISTEN may not be bound, and what would change that. Returns EX_NOPERM. */
int demit_listen_say_denied(const demit_daemon_t *daemon, const demit_listen_settings_t *listen,
                            demit_error_text_t *error);

/* Makes a BOUND for LISTEN, without a socket. It goes by demit_bound_close(). */
apr_status_t demit_bound_make(demit_bound_t **bound, demit_daemon_t *daemon, const demit_listen_settings_t *listen)
    __attribute__((warn_unused_result));
/*
 * Opens the socket of LISTEN; a TCP one is only bound. 0, or a code of sysexits.h and why, in the form of the
 * configuration's errors. LISTEN must live as long as the daemon's settings.
 */
int demit_bound_open(demit_bound_t **bound, demit_daemon_t *daemon, const demit_listen_settings_t *listen,
                     bool is_console, demit_error_text_t *error) __attribute__((warn_unused_result));
/* Has a TCP socket listen, or a listening socket take another backlog. As demit_bound_open(). */
int demit_bound_listen(demit_daemon_t *daemon, demit_bound_t *bound, const demit_listen_settings_t *listen,
                       demit_error_text_t *error) __attribute__((warn_unused_result));
/* Closes the socket, and frees BOUND. */
void demit_bound_close(demit_bound_t *bound);
/* The acceptor for BOUND by its LISTEN of SETTINGS; lives as long as those. */
const demit_acceptor_t *demit_bound_acceptor(demit_daemon_t *daemon, const demit_bound_t *bound,
                                             const demit_settings_t *settings);

/* ---- sockets while it runs: relisten.c --------------------------------------------------------------------------- */
/* What a reload makes of the listeners. Titles are those of the settings. */
typedef struct demit_relisten demit_relisten_t;

/*
 * Opens what NEWER has and the daemon has not, and gives what both have the options of NEWER; clients notice nothing
 * yet. 0 and *CHANGE; else everything is as before, and a line for every listener that is wrong stands in OUTCOME.
 * Main thread, on its loop; POOL lives until commit.
 */
int demit_relisten_prepare(demit_relisten_t **change, demit_daemon_t *daemon, const demit_settings_t *newer,
                           demit_reload_outcome_t *outcome, apr_pool_t *pool) __attribute__((warn_unused_result));
/*
 * For a reload that is refused already: a line in OUTCOME for every port that NEWER has and the daemon has not, and
 * that takes a privilege which was given up at the start. Opens nothing.
 */
void demit_relisten_foresee(const demit_daemon_t *daemon, const demit_settings_t *newer,
                            demit_reload_outcome_t *outcome);
/*
 * Lets clients in by NEWER, which are the daemon's settings now: the loops are told, and sockets that are not wanted
 * any more close when the last of them has heard. Until then the change holds OLDER. Says in OUTCOME what was done.
 */
void demit_relisten_commit(demit_relisten_t *change, const demit_settings_t *older, demit_reload_outcome_t *outcome);

/* ---- another configuration: reload.c ----------------------------------------------------------------------------- */
/* Reads the configuration again and brings it into force, all or nothing. Says how in OUTCOME, in POOL, and in the log.
 * Main thread, on its loop. */
void demit_reload(demit_daemon_t *daemon, demit_reload_outcome_t *outcome, apr_pool_t *pool);

/* ---- what every thread holds, by its own word: roll.c ------------------------------------------------------------ */
/* As demit_control_options_t has it; BATON is the daemon. While its threads run. */
apr_status_t demit_call_roll(void *baton, demit_roll_t *roll);

/* ---- once the identity is verified: sandbox.c ---------------------------------------------------------------------
 */
/* Takes what demitd does not need, and proves it. Before any thread: a thread that is there already stays outside. */
int demit_enter_sandbox(demit_daemon_t *daemon);
/* event=sandbox for every part, event=sandbox_path for every path that was to be allowed and is missing. */
void demit_log_sandbox(const demit_daemon_t *daemon);
/*
 * For a reload: a sentence, in POOL, for everything that SETTINGS needs and that does not lie within the sandbox that
 * was entered; it names the option and what to do. Whoever gets one refuses the whole reload. const char *
 */
apr_array_header_t *demit_sandbox_lacks(const demit_daemon_t *daemon, const demit_settings_t *settings,
                                        apr_pool_t *pool);
/* For -e: prints each part with its paths and ports, and what would not be enforced. False: a start would fail. */
bool demit_show_sandbox(demit_daemon_t *daemon);
/* For -t: true, or false having said on standard error why Sandbox = required cannot be had here. */
bool demit_test_sandbox(demit_daemon_t *daemon);

/* ---- as the new identity: rooms.c -------------------------------------------------------------------------------- */
int demit_open_log(demit_daemon_t *daemon);
void demit_close_log(demit_daemon_t *daemon);
int demit_start_workers(demit_daemon_t *daemon);
void demit_stop_workers(demit_daemon_t *daemon);
int demit_open_spool(demit_daemon_t *daemon);
void demit_close_spool(demit_daemon_t *daemon);
int demit_make_loops(demit_daemon_t *daemon);
int demit_make_delivery(demit_daemon_t *daemon);
int demit_make_server(demit_daemon_t *daemon);
/* Tells server and queue how many connections each may have, by the settings and the descriptors, and logs it. */
void demit_share_descriptors(const demit_daemon_t *daemon);
int demit_open_console(demit_daemon_t *daemon);
void demit_close_console(demit_daemon_t *daemon);

/* ---- serving: serve.c -------------------------------------------------------------------------------------------- */
int demit_start_threads(demit_daemon_t *daemon);
void demit_stop_threads(demit_daemon_t *daemon);
/* From here on a signal to stop waits until the daemon serves; then the main thread hears it. */
int demit_catch_signals(demit_daemon_t *daemon);
int demit_watch_signals(demit_daemon_t *daemon);
int demit_tell_ready(demit_daemon_t *daemon);
/* Begins the graceful stop, or, when it has begun already, ends it at once. Main thread's loop. */
void demit_begin_stop(demit_daemon_t *daemon);
/* Runs until a signal or the console asks for the end and the sessions under way are finished. Returns the exit code.
 */
int demit_serve(demit_daemon_t *daemon);

/* ---- what the process holds: watch.c ----------------------------------------------------------------------------- */
/* For -e: what an attacker could do with it, and what could be less. */
void demit_print_reach(demit_daemon_t *daemon);
/* Logs what the kernel says the process holds, and compares every thread, now that all are there. */
int demit_audit_threads(demit_daemon_t *daemon);

/* ---- signs of life for the supervisor: watchdog.c ---------------------------------------------------------------- */
/*
 * Sends WATCHDOG=1 at half the supervisor's interval, but only if since the last time every loop and the queue turned a
 * round, and neither the committer nor the disk workers let work wait and did none. What hangs is logged, and the ping
 * follows as soon as it moves. Before the main loop runs; nothing without a supervisor.
 */
void demit_start_watchdog(demit_daemon_t *daemon);

/* ---- the file system as a start would find it: trial.c ------------------------------------------------------------
 */
/*
 * Looks, in a child that has become the daemon's user in its jail, at all paths that a start, a log rotation, a reload
 * and deliveries need, and says what is wrong with them. EX_CONFIG if a start would fail; the rest are warnings.
 * Changes nothing. As root, after demit_resolve_identity().
 */
int demit_try_paths(demit_daemon_t *daemon);

/* ---- looks that change nothing: show.c --------------------------------------------------------------------------- */
int demit_show_test(demit_daemon_t *daemon);
int demit_show_explain(demit_daemon_t *daemon);

#endif
