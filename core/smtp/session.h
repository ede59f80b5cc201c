/*
 * The server side of one connection, private to core/smtp. Who calls what: server.c accepts and makes a session;
 * session.c reads lines, keeps the state and the clocks; commands.c knows the verbs; recipient.c and mailbox.c decide
 * about RCPT; receive.c takes the text of a message; transaction.c keeps what one message needs.
 *
 * A session lives on its loop, in its connection's pool. What other threads work on (the spool's committer, a disk
 * worker) is never the session but its transaction, which outlives the connection if it must: then it is an orphan,
 * and the last of its tasks to come home to the loop destroys it.
 */
#ifndef DEMIT_SMTP_SESSION_H
#define DEMIT_SMTP_SESSION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <apr_hash.h>
#include <apr_pools.h>
#include <apr_tables.h>
#include <apr_thread_mutex.h>

#include "core/smtp/body.h"
#include "core/smtp/clients.h"
#include "core/smtp/grammar.h"
#include "core/smtp/headers.h"
#include "core/smtp/known.h"
#include "core/smtp/recipient.h"
#include "core/smtp/trace.h"
#include "demit/smtp.h"

typedef struct demit_session demit_session_t;
typedef struct demit_transaction demit_transaction_t;
typedef struct demit_shard demit_shard_t;

enum {
    /*
     * The longest command line, CRLF included. RFC 5321 section 4.5.3.1.4 asks for 512 at least; SIZE, BODY, SMTPUTF8
     * and DSN together add less than 200 to MAIL and 512 to RCPT.
     */
    DEMIT_SMTP_LINE_MAX = 2048,
    /* Recipients that a transaction looks at beyond twice the number that it may accept. */
    DEMIT_SMTP_REFUSED_MAX = 1000,
    /* Received fields that name ourselves: more is a loop, even if the hop limit is far away. */
    DEMIT_SMTP_OWN_HOPS_MAX = 10
};

/* ---- the server -------------------------------------------------------------------------------------------------- */

struct demit_smtp_server {
    demit_smtp_server_options_t options;
    apr_pool_t *pool;
    demit_clients_t *clients;
    atomic_uint_fast32_t max_connections; /* 0: no limit */
    apr_thread_mutex_t *mutex;            /* protects the list of shards; held for a walk over a handful of them */
    demit_shard_t *shards;
    atomic_bool draining;
    atomic_uint_fast64_t connections, messages, rejected_recipients, bytes;
    atomic_uint_fast64_t buffered_bytes; /* of envelopes and text, an upper bound of what is held in memory of them */
    atomic_uint_fast32_t sessions;       /* and orphaned transactions */
};

/* What the server keeps for one loop; touched on that loop's thread only, but for what its comment excepts. */
enum { DEMIT_SHARD_FREE_POOLS = 64 };
struct demit_shard {
    demit_shard_t *next; /* under the server's mutex */
    demit_smtp_server_t *server;
    demit_loop_t *loop;
    apr_pool_t *pool;
    demit_task_t drain_task; /* posted once, by whichever thread drains */
    demit_session_t *sessions;
    demit_known_t *known;
    uint64_t known_serial; /* of the settings by which KNOWN is known */
    /* Cleared pools of past transactions: a message costs no malloc() in the ordinary case. */
    uint32_t free_pool_count;
    apr_pool_t *free_pools[DEMIT_SHARD_FREE_POOLS];
};

/* One Listen, and what it says to every client: made once, and lives as long as its settings. */
typedef struct demit_smtp_listener {
    demit_acceptor_t acceptor;
    demit_smtp_server_t *server;
    const demit_settings_t *settings;
    bool local_may_relay; /* 127.0.0.1, which is what the client of a Unix socket is taken for, is in Relay_Hosts */
    const char *hostname;
    const char *banner, *helo_reply, *ehlo_reply; /* CRLF included */
} demit_smtp_listener_t;

/* ---- the session ------------------------------------------------------------------------------------------------- */

/* Bits, so that a verb can say in which states it is allowed. */
typedef enum demit_session_state {
    DEMIT_SESSION_CONNECTED = 1,     /* the banner was sent */
    DEMIT_SESSION_READY = 2,         /* EHLO or HELO was said; no transaction */
    DEMIT_SESSION_MAIL = 4,          /* a sender is known */
    DEMIT_SESSION_RCPT = 8,          /* and at least one recipient */
    DEMIT_SESSION_DATA = 16,         /* the text is arriving, after 354 */
    DEMIT_SESSION_CHUNK = 32,        /* the bytes of a BDAT are arriving, to be stored or to be thrown away */
    DEMIT_SESSION_BDAT = 64,         /* between two chunks */
    DEMIT_SESSION_BDAT_FAILED = 128, /* a chunk was refused: RSET is wanted (RFC 3030 section 2) */
    DEMIT_SESSION_CLOSING = 256      /* the last reply was written; input is thrown away */
} demit_session_state_t;

/* Why no input is taken. */
typedef enum demit_wait {
    DEMIT_WAIT_NONE,
    DEMIT_WAIT_MAILBOX, /* a disk worker looks for a mailbox */
    DEMIT_WAIT_ROOM,    /* the spool writes a chunk */
    DEMIT_WAIT_COMMIT,  /* the spool commits the message */
    DEMIT_WAIT_OUTPUT   /* the client does not read its replies */
} demit_wait_t;

struct demit_session {
    demit_smtp_server_t *server;
    demit_shard_t *shard;
    demit_conn_t *conn;
    const demit_smtp_listener_t *listener;
    const demit_settings_t *settings; /* held, and with them the listener */
    demit_client_t *client;
    demit_session_t *next, *prev;     /* in the shard */
    demit_transaction_t *transaction; /* NULL outside of one */
    demit_timer_t command_timer, session_timer;
    demit_session_state_t state;
    demit_wait_t waiting;
    uint32_t errors;
    bool esmtp;         /* EHLO, not HELO */
    bool may_relay;     /* the client is in Relay_Hosts */
    bool skipping_line; /* within a command line that is too long */
    bool expired;       /* the session's time is over; said at the next opportunity */
    bool chunk_last;
    demit_session_state_t chunk_return; /* where a refused chunk leads to */
    const char *chunk_refusal;          /* NULL: the chunk is stored */
    uint64_t chunk_size_bytes, chunk_left_bytes;
    char client_text[DEMIT_CLIENT_TEXT_SIZE];
    char helo[DEMIT_DOMAIN_MAX + 1];
};

/* session.c; all on the session's loop. */
void demit_session_start(demit_smtp_listener_t *listener, demit_shard_t *shard, demit_conn_t *conn,
                         demit_client_t *client);
/* The one place where a state changes. */
void demit_session_set_state(demit_session_t *session, demit_session_state_t state);
/* Sends one reply line (without CRLF); a 5yz counts as an error, and one too many ends the session instead. */
void demit_session_reply(demit_session_t *session, const char *text);
/* The same with a line in the log: what was refused, to whom. DETAIL may be NULL. */
void demit_session_refuse(demit_session_t *session, const char *text, const char *detail);
/* Sends a last reply line and closes. */
void demit_session_end(demit_session_t *session, const char *text);
/* Takes no more input until demit_session_go_on(). */
void demit_session_wait(demit_session_t *session, demit_wait_t reason);
/* Input is taken again. May call on_input before it returns, so it is the last thing that a caller does. */
void demit_session_go_on(demit_session_t *session);
/* Ends SESSION if the server drains or its time is over and nothing is under way. */
void demit_session_leave_if_due(demit_session_t *session);

/* commands.c: executes one command line, without its end. */
void demit_command_run(demit_session_t *session, demit_slice_t line);
/* mailbox.c: a recipient that the grammar has passed; answers, now or when a disk worker has looked. */
void demit_rcpt_proceed(demit_session_t *session, const demit_rcpt_arguments_t *rcpt);

/* receive.c. Both return how many of BYTES they consumed. */
size_t demit_receive_data(demit_session_t *session, const char *bytes, size_t size);
size_t demit_receive_chunk(demit_session_t *session, const char *bytes, size_t size);
/* DATA was accepted: says 354, or why not. */
void demit_receive_begin_data(demit_session_t *session);
/* BDAT: the chunk's bytes follow. REFUSAL: they are consumed first and then refused. */
void demit_receive_begin_chunk(demit_session_t *session, const demit_bdat_arguments_t *bdat, const char *refusal);

/* ---- the transaction --------------------------------------------------------------------------------------------- */

/* Why a message that is arriving will not be stored; its rest is read and thrown away. */
typedef enum demit_failure {
    DEMIT_FAILURE_NONE,
    DEMIT_FAILURE_TOO_LARGE,
    DEMIT_FAILURE_LONE_LF,
    DEMIT_FAILURE_NUL,
    DEMIT_FAILURE_NO_MEMORY, /* Max_Buffer_Memory */
    DEMIT_FAILURE_NO_SPACE,
    DEMIT_FAILURE_STORAGE
} demit_failure_t;

struct demit_transaction {
    demit_session_t *session; /* NULL: an orphan */
    demit_shard_t *shard;
    const demit_settings_t *settings; /* held: an orphan has no session to do it */
    apr_pool_t *pool;                 /* this struct lives in it */
    demit_envelope_t envelope;
    apr_array_header_t *recipients; /* demit_recipient_t */
    uint32_t accepted_count;        /* RCPTs that got 250, repeated ones too */
    uint32_t tried_count;           /* RCPTs that were looked at, whatever came of it: each costs memory */
    uint64_t envelope_bytes;        /* what they cost, as counted in the server's buffered_bytes */
    apr_hash_t *seen;               /* addresses, from the second recipient on */

    /* The text. */
    demit_spool_writer_t *writer;
    demit_failure_t failure;
    bool trace_stored;
    bool finishing; /* all input is there; room is awaited for the last bytes */
    demit_slice_t trace;
    uint64_t size_bytes; /* stored, the trace header left out */
    uint64_t charged_bytes;
    demit_body_t body;
    demit_headers_t headers;

    /* Room in the spool: on_room is owed after APR_EAGAIN; it posts the task. */
    atomic_bool room_posted;
    demit_task_t room_task;

    /* The commit. */
    bool committing;
    apr_status_t commit_status;
    demit_task_t done_task;

    /* The look for a mailbox. */
    bool checking;
    apr_status_t check_status;
    const demit_mailbox_t *check_found;
    demit_resolution_t resolution;
    demit_recipient_t candidate; /* the recipient that is being looked at */
    const char *written;         /* as the client wrote it */
    demit_task_t check_task, checked_task;

    char id_text[DEMIT_ID_TEXT_SIZE];
    char client_text[DEMIT_CLIENT_TEXT_SIZE];
};

/* Makes SESSION's transaction. NULL: out of memory. */
demit_transaction_t *demit_transaction_create(demit_session_t *session);
/* The session is through with it: gone at once, or, when another thread works on it, as soon as that is over. */
void demit_transaction_release(demit_session_t *session);
/* A task of TRANSACTION has come home. True: it was an orphan, and is gone. */
bool demit_transaction_bury(demit_transaction_t *transaction);
/* Counts one more RCPT, whose arguments have SIZE bytes, as held in memory. False: Max_Buffer_Memory is used up. */
bool demit_transaction_charge_rcpt(demit_transaction_t *transaction, size_t size);

/*
 * Begins the stored message: a writer, the trace header. False: it will not be stored; transaction->failure says why.
 * DOTS: the text comes by DATA.
 */
bool demit_transaction_open(demit_transaction_t *transaction, bool dots);
/*
 * Stores SIZE bytes. APR_EAGAIN: wait for room and come again. Otherwise APR_SUCCESS: a message that cannot be stored
 * swallows what comes, and transaction->failure says why.
 */
apr_status_t demit_transaction_store(demit_transaction_t *transaction, const char *bytes, size_t size);
/* Gives up storing. */
void demit_transaction_fail(demit_transaction_t *transaction, demit_failure_t failure);
/* The reply that refuses the message now that all of it was seen; NULL: it may be committed. */
const char *demit_transaction_verdict(const demit_transaction_t *transaction);
/* Commits it; demit_receive_committed() follows on the loop, unless it has become an orphan. */
void demit_transaction_commit(demit_transaction_t *transaction);
/* receive.c */
void demit_receive_committed(demit_session_t *session);
void demit_receive_room(demit_session_t *session);

/* What the client is told about FAILURE. */
const char *demit_failure_reply(demit_failure_t failure);
demit_failure_t demit_failure_of(apr_status_t status);

#endif
