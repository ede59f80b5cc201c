/*
 * The console: answers operators on a Unix socket. Its connections live on the main thread's loop.
 *
 * Wire: the client sends one line of at most 1024 bytes, `text COMMAND WORDS…` or `json COMMAND WORDS…`; the daemon
 * answers with a line `ok EXIT-CODE SIZE` or `error EXIT-CODE SIZE`, then a body of SIZE bytes, and closes. Fewer bytes
 * than SIZE: the answer was cut. Who may ask: root, the daemon's own user, members of Control_Group, by peer
 * credentials; another is refused before a byte of his is read, in text.
 */
#ifndef DEMIT_CONTROL_H
#define DEMIT_CONTROL_H

#include <apr_pools.h>
#include <apr_tables.h>

#include "demit/delivery.h"
#include "demit/loop.h"
#include "demit/os.h"
#include "demit/settings.h"
#include "demit/smtp.h"
#include "demit/spool.h"

typedef struct demit_control demit_control_t;

/* How an attempt to reload the configuration went. Arrays are of const char *, and never NULL. */
typedef struct demit_reload_outcome {
    int exit_code;                       /* 0; else nothing has changed, and ERRORS say why */
    apr_array_header_t *errors;          /* "FILE:LINE:COLUMN: what is wrong; what would be right" */
    apr_array_header_t *warnings;        /* the same form */
    apr_array_header_t *added, *removed; /* titles of listeners */
    apr_array_header_t *changed;         /* listeners whose sockets were kept and whose options are others now */
    apr_array_header_t *options;         /* what else has changed: options, and Domain scopes by title */
} demit_reload_outcome_t;

/* What every thread says that it holds, where the kernel does not show them. */
typedef struct demit_roll {
    demit_task_t done;         /* its RUN is set by who calls the roll: on the loop, when all have answered */
    apr_pool_t *pool;          /* of what follows; whoever called the roll destroys it */
    uint32_t threads;          /* that answered */
    int differences;           /* -1: one of them was not told by the kernel */
    apr_array_header_t *lines; /* const char *: how a thread differs */
} demit_roll_t;

/* What the commands look at. Everything outlives the console. */
typedef struct demit_control_options {
    const demit_settings_t *settings; /* held, until demit_control_use_settings() brings others */
    const demit_identity_t *identity;
    const apr_array_header_t *sandbox_parts; /* demit_sandbox_part_t, as entered; empty: Sandbox = off; or NULL */
    const demit_os_group_t *group;           /* Control_Group, or NULL */
    demit_loop_t *loop;                      /* the main thread's */
    demit_queue_t *queue;
    demit_spool_t *spool;
    demit_smtp_server_t *server;
    demit_loop_t *const *loops;
    uint32_t loop_count;
    /* Begins the graceful stop: on the loop, when the answer is out. Again when asked again. */
    void (*shutdown)(void *baton);
    /* Reads the configuration again, and fills in OUTCOME, in POOL. On the loop. */
    void (*reload)(void *baton, demit_reload_outcome_t *outcome, apr_pool_t *pool);
    /* Has every thread of demitd's compare what it holds with IDENTITY. On the loop; ROLL->done comes there, too.
     * Not called again before that. */
    apr_status_t (*call_roll)(void *baton, demit_roll_t *roll);
    void *baton;
} demit_control_options_t;

/*
 * Makes the console; it opens nothing yet. OPTIONS is copied. POOL must outlive the loop and the queue's thread, which
 * may hold a request of a client that has long gone. Main thread.
 */
apr_status_t demit_control_create(demit_control_t **control, const demit_control_options_t *options, apr_pool_t *pool)
    __attribute__((warn_unused_result));

/*
 * The acceptor for LISTEN, a control listener of SETTINGS, to be given to demit_loop_listen() on the console's loop.
 * Lives in POOL, which must live as long as it stands in the loop. Main thread.
 */
const demit_acceptor_t *demit_control_acceptor(demit_control_t *control, const demit_listen_settings_t *listen,
                                               apr_pool_t *pool);

/* Commands that come from now on tell of SETTINGS, which are held. On the loop. */
void demit_control_use_settings(demit_control_t *control, const demit_settings_t *settings);

/*
 * Ends the sessions: clients that wait for an answer are dropped, answers on their way out are finished while the loop
 * runs on. The sockets, which are others', stand in no loop any more. Main thread, on the loop or when it has ended,
 * but before its pool goes; again: harmless.
 */
void demit_control_close(demit_control_t *control);

#endif
