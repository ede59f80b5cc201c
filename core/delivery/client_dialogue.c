/*
 * The dialogue: one table of steps, each said by one small function and its reply heard by another. What was said and
 * not yet answered stands in a queue; whether one step waits for the other or all go out at once (RFC 2920) is decided
 * in one place, demit_client_go_on().
 */
#include "core/delivery/client_session_priv.h"

#include <assert.h>
#include <string.h>

#include <apr_strings.h>

#include "core/delivery/client_command.h"
#include "core/delivery/client_outcome.h"

enum { PARTING_TIMEOUT_US = 5 * 1000 * 1000 }; /* for the answer to QUIT, which nothing depends on */

/* ---- what is said ------------------------------------------------------------------------------------------------ */

static void say_text(demit_client_session_t *session, const char *text)
{
    demit_conn_write(session->conn, text, strlen(text));
}

static const char *our_name(const demit_client_session_t *session)
{
    const demit_settings_t *settings = session->settings;
    return settings->ehlo_hostname != NULL ? settings->ehlo_hostname : settings->hostname;
}

static void say_nothing(demit_client_session_t *session)
{
    (void)session; /* connecting, or the body's last piece, said it */
}

static void say_ehlo(demit_client_session_t *session)
{
    demit_conn_printf(session->conn, "EHLO %s\r\n", our_name(session));
}

static void say_helo(demit_client_session_t *session)
{
    demit_conn_printf(session->conn, "HELO %s\r\n", our_name(session));
}

static void say_lhlo(demit_client_session_t *session)
{
    demit_conn_printf(session->conn, "LHLO %s\r\n", our_name(session));
}

static void say_rset(demit_client_session_t *session)
{
    session->now.reset_first = false;
    say_text(session, "RSET\r\n");
}

static void say_mail(demit_client_session_t *session)
{
    const demit_delivery_t *delivery = session->now.delivery;
    session->now.mail_said = true;
    session->dirty = true;
    say_text(session,
             demit_mail_command(delivery->envelope, &session->offer, session->now.utf8_recipient, delivery->pool));
}

static void say_rcpt(demit_client_session_t *session)
{
    const demit_delivery_t *delivery = session->now.delivery;
    uint32_t index = session->now.order[session->now.said++];
    say_text(session, demit_rcpt_command(delivery->recipients[index].recipient, &session->offer, delivery->pool));
}

static void say_data(demit_client_session_t *session)
{
    session->now.data_said = true;
    say_text(session, "DATA\r\n");
}

static void say_lone_dot(demit_client_session_t *session)
{
    say_text(session, ".\r\n");
}

static void say_quit(demit_client_session_t *session)
{
    say_text(session, "QUIT\r\n");
}

/* ---- results ----------------------------------------------------------------------------------------------------- */

/* The reply's result for whoever of the delivery has none yet. */
static void result_for_all(demit_client_session_t *session, demit_reply_to_t to, demit_result_t result)
{
    char line[DEMIT_REPLY_TEXT_MAX + 8];
    demit_delivery_set_all(session->now.delivery, result, demit_reply_status(&session->reply, to, result),
                           demit_reply_line(&session->reply, line, sizeof(line)), true);
}

static void result_for_one(demit_client_session_t *session, uint32_t index, demit_reply_to_t to, demit_result_t result)
{
    char line[DEMIT_REPLY_TEXT_MAX + 8];
    demit_delivery_t *delivery = session->now.delivery;
    demit_delivery_recipient_t *recipient = &delivery->recipients[index];
    recipient->result = result;
    recipient->status = apr_pstrdup(delivery->pool, demit_reply_status(&session->reply, to, result));
    recipient->diagnostic = apr_pstrdup(delivery->pool, demit_reply_line(&session->reply, line, sizeof(line)));
    recipient->diagnostic_is_smtp = true;
}

/* A refusal: whatever the reply is, it is not the "yes" that the step needs. */
static demit_result_t refusal_result(const demit_client_session_t *session, demit_reply_to_t to)
{
    demit_result_t result = demit_reply_result(&session->reply, to);
    return result == DEMIT_RESULT_DELIVERED ? DEMIT_RESULT_DEFERRED : result;
}

/*
 * The peer has the message for this recipient. RFC 3461 5.2.2: if it cannot promise a success notification that was
 * asked for, we have to say "relayed". An LMTP server delivers for good (RFC 2033 section 1), so there it is
 * "delivered".
 */
static void result_taken(demit_client_session_t *session, uint32_t index)
{
    const demit_recipient_t *recipient = session->now.delivery->recipients[index].recipient;
    bool asked = (recipient->notify & DEMIT_NOTIFY_SUCCESS) != 0;
    session->now.delivery->peer_notifies = session->lmtp && session->offer.dsn;
    bool relayed = asked && !session->offer.dsn && !session->lmtp;
    result_for_one(session, index, DEMIT_REPLY_TO_MESSAGE, relayed ? DEMIT_RESULT_RELAYED : DEMIT_RESULT_DELIVERED);
}

/* ---- what is heard ----------------------------------------------------------------------------------------------- */

/* The peer does not want to talk to us at all. */
static void heard_no(demit_client_session_t *session)
{
    demit_client_lose_by_reply(session, refusal_result(session, DEMIT_REPLY_TO_GREETING));
}

static void heard_banner(demit_client_session_t *session)
{
    if (demit_reply_class(&session->reply) != 2) {
        heard_no(session);
    } else if (session->lmtp) {
        demit_client_say(session, DEMIT_STEP_LHLO);
    } else {
        demit_client_say(session, session->extended ? DEMIT_STEP_EHLO : DEMIT_STEP_HELO);
    }
}

static void heard_lhlo(demit_client_session_t *session)
{
    if (demit_reply_class(&session->reply) != 2) {
        heard_no(session);
        return;
    }
    demit_peer_offer_read(&session->offer, &session->reply);
    demit_client_greeted(session);
}

static void heard_ehlo(demit_client_session_t *session)
{
    if (demit_reply_class(&session->reply) == 5) {
        demit_client_say(session, DEMIT_STEP_HELO); /* RFC 5321 3.2: an old server */
    } else {
        heard_lhlo(session);
    }
}

static void heard_helo(demit_client_session_t *session)
{
    if (demit_reply_class(&session->reply) != 2) {
        heard_no(session);
    } else {
        demit_client_greeted(session);
    }
}

static void heard_rset(demit_client_session_t *session)
{
    if (demit_reply_class(&session->reply) == 2) {
        /* Pipelined, MAIL is on its way already and may have begun a new transaction. */
        session->dirty = session->now.mail_said;
        return;
    }
    session->reset_bad = true; /* the message now at hand has nothing to do with it */
    demit_client_lose_by_reply(session, DEMIT_RESULT_DEFERRED);
}

static void heard_mail(demit_client_session_t *session)
{
    if (demit_reply_class(&session->reply) == 2) {
        return;
    }
    session->now.mail_refused = true;
    session->dirty = false;
    result_for_all(session, DEMIT_REPLY_TO_MAIL, refusal_result(session, DEMIT_REPLY_TO_MAIL));
}

static void heard_rcpt(demit_client_session_t *session)
{
    demit_transaction_t *now = &session->now;
    uint32_t index = now->order[now->heard++];
    if (demit_reply_class(&session->reply) == 2) {
        now->accepted[now->accepted_count++] = index;
    } else if (!now->mail_refused) { /* then MAIL's reply says why */
        result_for_one(session, index, DEMIT_REPLY_TO_RCPT, refusal_result(session, DEMIT_REPLY_TO_RCPT));
    }
}

static void heard_data(demit_client_session_t *session)
{
    demit_transaction_t *now = &session->now;
    if (session->reply.code == 354 && now->accepted_count > 0 && !now->mail_refused) {
        now->sending = true;
        demit_client_feed(session);
    } else if (session->reply.code == 354 && now->accepted_count == 0 && !session->lmtp) {
        /* RFC 2920 3.1: it wants a message for nobody. There is no way back but to send one. */
        demit_client_say(session, DEMIT_STEP_NOTHING);
    } else if (demit_reply_class(&session->reply) <= 3) {
        /* Among others: RCPT accepted after MAIL was refused. A lone dot would now be a message for somebody, and
           with LMTP (RFC 2033 4.2) one without any reply. */
        demit_client_lose_by_nonsense(session, "answered DATA with nonsense");
    } else if (now->accepted_count > 0) {
        result_for_all(session, DEMIT_REPLY_TO_DATA, refusal_result(session, DEMIT_REPLY_TO_DATA));
    }
}

static void heard_message(demit_client_session_t *session)
{
    demit_transaction_t *now = &session->now;
    bool taken = demit_reply_class(&session->reply) == 2;
    demit_result_t refused = refusal_result(session, DEMIT_REPLY_TO_MESSAGE);
    /* RFC 2033 4.2: LMTP gives each accepted recipient a reply of his own, in the order of the RCPTs. */
    uint32_t end = session->lmtp ? now->accepted_heard + 1 : now->accepted_count;
    for (; now->accepted_heard < end; now->accepted_heard++) {
        uint32_t index = now->accepted[now->accepted_heard];
        if (taken) {
            result_taken(session, index);
        } else {
            result_for_one(session, index, DEMIT_REPLY_TO_MESSAGE, refused);
        }
    }
    now->doubtful = now->accepted_heard < now->accepted_count;
    session->dirty = false;
}

static void heard_of_nothing(demit_client_session_t *session)
{
    session->dirty = false; /* whatever it says: there was nobody to whom it matters */
}

static void heard_quit(demit_client_session_t *session)
{
    demit_client_lose(session, DEMIT_RESULT_DEFERRED, "4.4.2", "done", false);
}

/* ---- the table --------------------------------------------------------------------------------------------------- */

typedef enum patience { PATIENCE_GREETING, PATIENCE_MAIL, PATIENCE_RCPT, PATIENCE_BODY, PATIENCE_PARTING } patience_t;

static const struct {
    const char *name;
    patience_t patience;
    bool ends_group; /* nothing may be said behind it before its reply (RFC 2920 section 3.1) */
    void (*say)(demit_client_session_t *session);
    void (*heard)(demit_client_session_t *session);
} steps[] = {
    [DEMIT_STEP_BANNER] = {"the connection", PATIENCE_GREETING, true, say_nothing, heard_banner},
    [DEMIT_STEP_EHLO] = {"EHLO", PATIENCE_GREETING, true, say_ehlo, heard_ehlo},
    [DEMIT_STEP_HELO] = {"HELO", PATIENCE_GREETING, true, say_helo, heard_helo},
    [DEMIT_STEP_LHLO] = {"LHLO", PATIENCE_GREETING, true, say_lhlo, heard_lhlo},
    [DEMIT_STEP_RSET] = {"RSET", PATIENCE_MAIL, false, say_rset, heard_rset},
    [DEMIT_STEP_MAIL] = {"MAIL", PATIENCE_MAIL, false, say_mail, heard_mail},
    [DEMIT_STEP_RCPT] = {"RCPT", PATIENCE_RCPT, false, say_rcpt, heard_rcpt},
    [DEMIT_STEP_DATA] = {"DATA", PATIENCE_BODY, true, say_data, heard_data},
    [DEMIT_STEP_MESSAGE] = {"the message", PATIENCE_BODY, true, say_nothing, heard_message},
    [DEMIT_STEP_NOTHING] = {"an empty message", PATIENCE_BODY, true, say_lone_dot, heard_of_nothing},
    [DEMIT_STEP_QUIT] = {"QUIT", PATIENCE_PARTING, true, say_quit, heard_quit},
};

const char *demit_client_step_name(demit_client_step_t step)
{
    return steps[step].name;
}

int64_t demit_client_step_timeout_us(const demit_client_session_t *session, demit_client_step_t step)
{
    switch (steps[step].patience) {
    case PATIENCE_GREETING:
        return session->greeting_timeout_us;
    case PATIENCE_MAIL:
        return session->mail_timeout_us;
    case PATIENCE_RCPT:
        return session->rcpt_timeout_us;
    case PATIENCE_PARTING:
        return PARTING_TIMEOUT_US;
    case PATIENCE_BODY:
        break;
    }
    return session->body_timeout_us;
}

/* ---- saying and hearing ------------------------------------------------------------------------------------------ */

static void expect(demit_client_session_t *session, demit_client_step_t step)
{
    demit_expected_t *expected = &session->expected;
    assert(expected->count < expected->capacity);
    expected->steps[(expected->first + expected->count++) % expected->capacity] = step;
}

void demit_client_say(demit_client_session_t *session, demit_client_step_t step)
{
    expect(session, step);
    steps[step].say(session);
}

/* What is to be said next in the transaction. False: nothing, as far as is known now. */
static bool next_step(const demit_client_session_t *session, demit_client_step_t *step)
{
    const demit_transaction_t *now = &session->now;
    bool nobody_left = now->mail_refused || (session->expected.count == 0 && now->accepted_count == 0);
    if (now->reset_first) {
        *step = DEMIT_STEP_RSET;
    } else if (!now->mail_said) {
        *step = DEMIT_STEP_MAIL;
    } else if (now->said < now->count && !now->mail_refused) {
        *step = DEMIT_STEP_RCPT;
    } else if (!now->data_said && !nobody_left) {
        *step = DEMIT_STEP_DATA;
    } else {
        return false;
    }
    return true;
}

/* With pipelining all up to DATA goes out at once, without it one step at a time. */
void demit_client_go_on(demit_client_session_t *session)
{
    demit_client_step_t step;
    bool together = session->offer.pipelining;
    while ((together || session->expected.count == 0) && next_step(session, &step)) {
        demit_client_say(session, step);
        if (steps[step].ends_group) {
            break;
        }
    }
}

void demit_client_feed(demit_client_session_t *session)
{
    demit_transaction_t *now = &session->now;
    while (now->sending && demit_conn_backlog(session->conn) <= DEMIT_CONN_OUTPUT_LOW) {
        size_t size = 0;
        bool last = false;
        switch (demit_client_body_state(now->body)) {
        case DEMIT_BODY_WAIT:
            return;
        case DEMIT_BODY_BROKEN: /* breaking off before the dot is the only way to take a message back */
            demit_client_lose(session, DEMIT_RESULT_DEFERRED, "4.3.0", "the message cannot be read from the spool",
                              false);
            return;
        case DEMIT_BODY_READY:
            break;
        }
        const char *bytes = demit_client_body_piece(now->body, &size, &last);
        demit_conn_write(session->conn, bytes, size);
        demit_client_body_sent(now->body);
        if (last) {
            now->sending = false;
            now->doubtful = true;
            for (uint32_t i = 0; i < (session->lmtp ? now->accepted_count : 1); i++) {
                demit_client_say(session, DEMIT_STEP_MESSAGE);
            }
        }
    }
}

/* A reply that nothing was said to. */
static void heard_unasked(demit_client_session_t *session)
{
    int class = demit_reply_class(&session->reply);
    if (session->now.sending && class >= 4) {
        /* It refuses the message before it has seen the end: RFC 5321 has no such reply, but servers do it. */
        result_for_all(session, DEMIT_REPLY_TO_MESSAGE, refusal_result(session, DEMIT_REPLY_TO_MESSAGE));
        demit_client_lose_by_reply(session, DEMIT_RESULT_DEFERRED);
    } else if (session->reply.code == 421) {
        demit_client_lose_by_reply(session, DEMIT_RESULT_DEFERRED);
    } else {
        demit_client_lose_by_nonsense(session, "answered what nobody asked");
    }
}

void demit_client_hear(demit_client_session_t *session)
{
    demit_expected_t *expected = &session->expected;
    if (expected->count == 0) {
        heard_unasked(session);
        return;
    }
    demit_client_step_t step = expected->steps[expected->first];
    if (session->reply.code == 421 && step != DEMIT_STEP_QUIT) {
        /* RFC 5321 3.8: "closing", at any time and to anything. As the answer to a message it says "no". */
        session->now.doubtful = false;
        demit_client_lose_by_reply(session, DEMIT_RESULT_DEFERRED);
        return;
    }
    expected->first = (expected->first + 1) % expected->capacity;
    expected->count--;
    steps[step].heard(session);
    if (session->phase != DEMIT_CLIENT_TRANSACTION || session->now.delivery == NULL) {
        return;
    }
    session->unproven = false;
    demit_client_go_on(session);
    if (session->expected.count == 0 && !session->now.sending) {
        demit_client_transaction_over(session);
    }
}
