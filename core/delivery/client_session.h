/*
 * One connection to an SMTP or LMTP server, from connect to QUIT: the client's half of RFC 5321 (and RFC 2033), with
 * RFC 2920 pipelining where it is offered. Everything here belongs to the context's loop.
 */
#ifndef DEMIT_CLIENT_SESSION_H
#define DEMIT_CLIENT_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "core/delivery/client_context.h"
#include "core/delivery/route.h"

typedef struct demit_client_session demit_client_session_t;

/* How a session ended. Strings live until the callback returns. */
typedef struct demit_client_loss {
    demit_result_t result;  /* DEFERRED, or FAILED when the peer refused us for good */
    const char *status;     /* "4.4.2" */
    const char *diagnostic; /* the peer's words or ours */
    bool is_smtp;           /* the peer's */
    bool greeted;           /* it had come so far that it could take mail */
    bool ourselves;         /* the peer is this very host: RFC 5321 5.1 forbids to go on */
    /*
     * A delivery was under way, but on a connection that had been idle and not one reply came to it: the peer had
     * closed while we were looking elsewhere. Nothing happened to the delivery; it is the owner's again, to be tried on
     * a fresh connection.
     */
    bool untouched;
} demit_client_loss_t;

/* Whose session it is. Callbacks come one at a time and never from inside a call of demit_client_session_*(). */
typedef struct demit_client_owner {
    /* The peer takes mail. */
    void (*ready)(void *baton, demit_client_session_t *session);
    /* The delivery is over and was, or will be, reported; the session is ready for the next. */
    void (*finished)(void *baton, demit_client_session_t *session);
    /* Last call; SESSION is gone when it returns. A delivery that was under way is reported, unless untouched. */
    void (*lost)(void *baton, demit_client_session_t *session, const demit_client_loss_t *loss);
} demit_client_owner_t;

/* Whom to connect to, and how. */
typedef struct demit_client_target {
    const demit_hop_t *hop;                  /* copied */
    const demit_domain_settings_t *settings; /* timeouts and method: read by open() only */
    const demit_settings_t *server_settings; /* our own name and listeners: held by the session */
    const char *key;                         /* the destination's; copied */
} demit_client_target_t;

apr_status_t demit_client_session_open(demit_client_session_t **session, demit_client_context_t *context,
                                       const demit_client_target_t *target) __attribute__((warn_unused_result));

void demit_client_session_own(demit_client_session_t *session, const demit_client_owner_t *owner, void *baton);

/*
 * Sends DELIVERY's message to those of its recipients that have no result. The session must be ready. True: it is under
 * way, finished() or lost() follows. False: this peer cannot take it, for good; it was reported and the session is
 * ready for the next.
 */
bool demit_client_session_deliver(demit_client_session_t *session, demit_delivery_t *delivery);

/* Says QUIT, waits a little for the answer, and closes; lost() follows. The session must be ready. */
void demit_client_session_quit(demit_client_session_t *session);

/* Has the session, which must be ready, lie idle: after IDLE_US it quits by itself. */
void demit_client_session_rest(demit_client_session_t *session, int64_t idle_us);

/* Breaks off, whatever it is doing; lost() follows. */
void demit_client_session_abandon(demit_client_session_t *session);

/* Whether deliver(), quit() and rest() may be called now. */
bool demit_client_session_is_ready(const demit_client_session_t *session);

/* Messages that were given to this connection so far. */
uint32_t demit_client_session_deliveries(const demit_client_session_t *session);
const char *demit_client_session_key(const demit_client_session_t *session);

/* For a list of the owner's. */
typedef struct demit_client_link {
    demit_client_session_t *next, **back;
} demit_client_link_t;
demit_client_link_t *demit_client_session_link(demit_client_session_t *session);

#endif
