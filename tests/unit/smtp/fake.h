/*
 * The rooms below SMTP, faked at the linker's seam: a connection that is fed by hand, timers that fire by hand, a spool
 * and workers whose answers come when the test lets them. One thread; nothing happens that a test did not ask for.
 */
#ifndef DEMIT_TESTS_SMTP_FAKE_H
#define DEMIT_TESTS_SMTP_FAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <apr_pools.h>

#include "demit/loop.h"
#include "demit/smtp.h"

/* A message that was committed, or was about to be. */
typedef struct fake_message {
    demit_envelope_t envelope; /* strings copied */
    char *text;                /* as appended, trace header and all */
    size_t size;
    const char *body; /* behind the trace header */
    size_t body_size;
} fake_message_t;

typedef struct fake_world {
    apr_pool_t *pool;
    demit_settings_t settings;
    demit_smtp_server_t *server;
    const demit_acceptor_t *acceptor;
    demit_loop_t *loop;

    /* What the spool does. */
    apr_status_t begin_status;
    uint32_t append_fails_at;    /* the Nth append of a message, from 1; 0: none */
    apr_status_t append_status;  /* with this */
    uint32_t append_waits_every; /* every Nth append says APR_EAGAIN first; 0: none */
    apr_status_t commit_status;
    bool hold_spool;   /* on_room and on_done do not come before fake_release() */
    bool hold_workers; /* nor do looks for mailboxes end */

    /* What came of it. */
    fake_message_t *messages;
    uint32_t message_count;
    uint32_t accepted;     /* calls of options->accepted */
    uint32_t open_writers; /* begun, neither committed nor discarded */
    uint32_t looks;        /* calls of mailbox_exists */
    uint64_t next_id;
} fake_world_t;

/* The one world; made new by every test. The settings are made by fake_setup(); a test changes them before it connects.
 */
extern fake_world_t fake;

void fake_setup(void);
/* Fails the test if anything is left: a session, a writer, a timer, a transaction. */
void fake_teardown(void);

/* A client at ADDRESS ("192.0.2.1", "2001:db8::1"; NULL: a Unix socket) is accepted. */
demit_conn_t *fake_connect(const char *address);
/* Bytes arrive. */
void fake_feed(demit_conn_t *conn, const char *bytes, size_t size);
/* Everything that other threads and posted tasks have to do is done, in order, until nothing is left. */
void fake_run(void);
/* One event of those, the CHOICE-th of what could happen next. False: there was none. */
bool fake_run_one(uint32_t choice);
/* Lets what was held come. */
void fake_release(void);
/* Time passes; timers that are due fire. */
void fake_pass(int64_t duration_us);
/* The peer is gone, or the socket broke; on_close is called. CONN is no more. */
void fake_disconnect(demit_conn_t *conn);
bool fake_is_closed(demit_conn_t *conn); /* by the server */
/* A backlog that the client does not read. */
void fake_set_stalled(demit_conn_t *conn, bool stalled);
/* Everything that was sent so far, NUL-terminated. */
const char *fake_output(demit_conn_t *conn);
void fake_forget_output(demit_conn_t *conn);
uint32_t fake_timers_running(void);
/* The lines that were logged, one below the other. */
const char *fake_log(void);

#endif
