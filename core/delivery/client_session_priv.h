/* The inside of a client session, shared by its life (client_session.c) and its dialogue (client_dialogue.c). */
#ifndef DEMIT_CLIENT_SESSION_PRIV_H
#define DEMIT_CLIENT_SESSION_PRIV_H

#include "core/delivery/client_session.h"

#include "core/delivery/client_body.h"
#include "core/delivery/client_peer.h"
#include "core/delivery/client_reply.h"

typedef enum demit_client_phase {
    DEMIT_CLIENT_CONNECTING,
    DEMIT_CLIENT_GREETING,
    DEMIT_CLIENT_READY,       /* nothing under way; idle if it rests */
    DEMIT_CLIENT_TRANSACTION, /* MAIL … final reply */
    DEMIT_CLIENT_QUITTING,
    DEMIT_CLIENT_OVER /* LOSS says why; only on_close is still to come */
} demit_client_phase_t;

/* What was said and is not yet answered. */
typedef enum demit_client_step {
    DEMIT_STEP_BANNER, /* said by connecting */
    DEMIT_STEP_EHLO,
    DEMIT_STEP_HELO,
    DEMIT_STEP_LHLO,
    DEMIT_STEP_RSET,
    DEMIT_STEP_MAIL,
    DEMIT_STEP_RCPT,
    DEMIT_STEP_DATA,
    DEMIT_STEP_MESSAGE, /* said by the final dot */
    DEMIT_STEP_NOTHING, /* a lone dot: the peer asked for a message that has no recipients left */
    DEMIT_STEP_QUIT
} demit_client_step_t;

enum { DEMIT_GREETING_STEPS = 2 }; /* at most so many are expected outside a transaction */

/* Steps whose reply is awaited, oldest first. */
typedef struct demit_expected {
    demit_client_step_t *steps;
    uint32_t first, count, capacity;
} demit_expected_t;

/* One message on its way. Memory: the delivery's pool. */
typedef struct demit_transaction {
    demit_delivery_t *delivery; /* NULL: none */
    demit_client_body_t *body;
    uint32_t *order; /* recipients to be named, as indices into the delivery's */
    uint32_t count, said, heard;
    uint32_t *accepted; /* those whom the peer took, in order */
    uint32_t accepted_count, accepted_heard;
    bool utf8_recipient;
    bool reset_first, mail_said, mail_refused, data_said;
    bool sending;  /* the peer waits for the body */
    bool doubtful; /* the final dot has been sent and its reply has not come */
} demit_transaction_t;

struct demit_client_session {
    demit_client_context_t *context;
    const demit_settings_t *settings; /* POOL holds them */
    apr_pool_t *pool;
    demit_conn_t *conn;
    demit_client_phase_t phase;
    const demit_client_owner_t *owner;
    void *owner_baton;
    demit_client_link_t link;

    const char *key;
    demit_hop_t hop;
    const char *peer_name; /* "mx.example.com[192.0.2.1]:25", for people */
    bool lmtp, extended;   /* LHLO; EHLO (and not just HELO) */
    int64_t greeting_timeout_us, mail_timeout_us, rcpt_timeout_us, body_timeout_us;

    demit_peer_offer_t offer;
    demit_reply_t reply;
    demit_expected_t expected;
    demit_client_step_t greeting_steps[DEMIT_GREETING_STEPS];
    demit_timer_t timer; /* for the next reply, for progress of the body, or for the end of the rest */
    demit_transaction_t now;
    uint32_t deliveries;
    bool dirty;     /* the peer holds an unfinished transaction: RSET comes before the next MAIL */
    bool unproven;  /* rested, and not a reply since: may be dead already */
    bool surplus;   /* the reply at hand is followed by bytes nobody asked for */
    bool reset_bad; /* RSET was refused */
    demit_client_loss_t loss;
};

/* ---- life: client_session.c -------------------------------------------------------------------------------------- */

/* Ends the connection. The first reason stands. */
void demit_client_lose(demit_client_session_t *session, demit_result_t result, const char *status,
                       const char *diagnostic, bool is_smtp);
/* The same for a reply that ends everything, and for a peer that does not speak SMTP. */
void demit_client_lose_by_reply(demit_client_session_t *session, demit_result_t result);
void demit_client_lose_by_nonsense(demit_client_session_t *session, const char *what);

/* The greeting is over. */
void demit_client_greeted(demit_client_session_t *session);

/* Every recipient has a result: reports, and tells the owner. */
void demit_client_transaction_over(demit_client_session_t *session);

/* ---- dialogue: client_dialogue.c --------------------------------------------------------------------------------- */

/* Name of STEP for a diagnostic. */
const char *demit_client_step_name(demit_client_step_t step);
/* How long its reply may take. */
int64_t demit_client_step_timeout_us(const demit_client_session_t *session, demit_client_step_t step);

/* Says STEP and expects its reply. */
void demit_client_say(demit_client_session_t *session, demit_client_step_t step);

/* The session's reply is whole: acts on it, and says what comes next. */
void demit_client_hear(demit_client_session_t *session);

/* Says all that may be said now. */
void demit_client_go_on(demit_client_session_t *session);

/* Sends of the body what is ready and what the connection takes. */
void demit_client_feed(demit_client_session_t *session);

#endif
