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

/* What the commands look at. Everything outlives the console. */
typedef struct demit_control_options {
    const demit_settings_t *settings;
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
    void *baton;
} demit_control_options_t;

/*
 * Makes the console; it opens nothing yet. OPTIONS is copied. POOL must outlive the loop and the queue's thread, which
 * may hold a request of a client that has long gone. Main thread.
 */
apr_status_t demit_control_create(demit_control_t **control, const demit_control_options_t *options, apr_pool_t *pool)
    __attribute__((warn_unused_result));

/*
 * Binds the sockets of the settings' enabled control listeners, as the present identity: a stale one is removed only if
 * connecting to it gives ECONNREFUSED; mode as File_Mode; no link is followed. They answer once the loop runs. All or
 * none: on failure ERROR is one line, what and why (APR_EEXIST: something else than a socket is there; EADDRINUSE:
 * another process answers there; …). Main thread, before the loop runs or on it; changes the umask for a moment.
 */
apr_status_t demit_control_listen(demit_control_t *control, char *error, size_t error_size)
    __attribute__((warn_unused_result));

/*
 * Closes the sockets and removes their names, if they are still ours. Clients that wait for an answer are dropped,
 * answers on their way out are finished while the loop runs on. Main thread, on the loop or when it has ended, but
 * before its pool goes; again: harmless.
 */
void demit_control_close(demit_control_t *control);

#endif
