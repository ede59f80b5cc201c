/*
 * The console: answers operators on a Unix socket. Its connections live on the main thread's loop.
 *
 * Wire: the client sends one line, `text COMMAND WORDS…` or `json COMMAND WORDS…`; the daemon answers with a line
 * `ok EXIT-CODE` or `error EXIT-CODE`, then the body, and closes. Who may ask: root, the daemon's own user, members of
 * Control_Group, by peer credentials.
 */
#ifndef DEMIT_CONTROL_H
#define DEMIT_CONTROL_H

#include <apr_pools.h>

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
    const demit_os_group_t *group; /* Control_Group, or NULL */
    demit_loop_t *loop;            /* the main thread's */
    demit_queue_t *queue;
    demit_spool_t *spool;
    demit_smtp_server_t *server;
    demit_loop_t *const *loops;
    uint32_t loop_count;
    void (*shutdown)(void *baton); /* begin the graceful stop */
    void *baton;
} demit_control_options_t;

apr_status_t demit_control_create(demit_control_t **control, const demit_control_options_t *options, apr_pool_t *pool)
    __attribute__((warn_unused_result));

/*
 * Binds the sockets of the settings' control listeners, as the present identity: a stale one is removed only if
 * connecting to it gives ECONNREFUSED; mode as File_Mode. They answer once the loop runs.
 */
apr_status_t demit_control_listen(demit_control_t *control, char *error, size_t error_size)
    __attribute__((warn_unused_result));

/* Closes the sockets and removes their names. */
void demit_control_close(demit_control_t *control);

#endif
