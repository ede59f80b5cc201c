#include "core/delivery/client_session_priv.h"

#include <string.h>

#include <apr_strings.h>

#include "demit/log.h"

#include "core/delivery/client_command.h"
#include "core/delivery/client_outcome.h"

/* ---- the end ----------------------------------------------------------------------------------------------------- */

void demit_client_lose(demit_client_session_t *session, demit_result_t result, const char *status,
                       const char *diagnostic, bool is_smtp)
{
    if (session->phase == DEMIT_CLIENT_OVER) {
        return;
    }
    session->loss.result = result;
    session->loss.status = apr_pstrdup(session->pool, status);
    session->loss.diagnostic = apr_pstrdup(session->pool, diagnostic);
    session->loss.is_smtp = is_smtp;
    session->loss.greeted = session->phase != DEMIT_CLIENT_CONNECTING && session->phase != DEMIT_CLIENT_GREETING;
    session->phase = DEMIT_CLIENT_OVER;
    demit_timer_stop(&session->timer);
    demit_conn_abort(session->conn);
}

void demit_client_lose_by_reply(demit_client_session_t *session, demit_result_t result)
{
    char line[DEMIT_REPLY_TEXT_MAX + 8];
    const char *status = demit_reply_status(&session->reply, DEMIT_REPLY_TO_GREETING, result);
    demit_client_lose(session, result, status, demit_reply_line(&session->reply, line, sizeof(line)), true);
}

void demit_client_lose_by_nonsense(demit_client_session_t *session, const char *what)
{
    const char *text = apr_psprintf(session->pool, "protocol error: %s %s", session->peer_name, what);
    demit_client_lose(session, DEMIT_RESULT_DEFERRED, "4.5.0", text, false);
}

/* What the session waits for, in words that go behind "while" or "timed out". */
static const char *occupation(const demit_client_session_t *session)
{
    if (session->now.sending) {
        return "sending the message";
    }
    if (session->expected.count > 0) {
        return apr_pstrcat(session->pool, "waiting for the reply to ",
                           demit_client_step_name(session->expected.steps[session->expected.first]), (char *)NULL);
    }
    return "idle";
}

static void lose_by_timeout(demit_client_session_t *session)
{
    const char *text = apr_psprintf(session->pool, "%s: timed out while %s", session->peer_name, occupation(session));
    demit_client_lose(session, DEMIT_RESULT_DEFERRED, "4.4.2", text, false);
}

/* The connection ended and nobody here wanted it to. */
static void note_end(demit_client_session_t *session, demit_conn_end_t end, apr_status_t status)
{
    char reason[160];
    const char *text = NULL;
    bool connecting = session->phase == DEMIT_CLIENT_CONNECTING;
    apr_strerror(status, reason, sizeof(reason));
    if (connecting) {
        text = apr_psprintf(session->pool, "connect to %s: %s", session->peer_name, reason);
    } else if (end == DEMIT_CONN_CLOSED_BY_PEER && (status == APR_SUCCESS || APR_STATUS_IS_EOF(status))) {
        text =
            apr_psprintf(session->pool, "%s closed the connection while %s", session->peer_name, occupation(session));
    } else {
        text = apr_psprintf(session->pool, "lost the connection with %s while %s: %s", session->peer_name,
                            occupation(session), reason);
    }
    demit_client_lose(session, DEMIT_RESULT_DEFERRED, connecting ? "4.4.1" : "4.4.2", text, false);
}

/*
 * RFC 5321 6.1 and RFC 1047: the peer may have the message, and we cannot know. It is tried again, so it may arrive
 * twice; the other choice is that it may be lost.
 */
static void log_doubt(const demit_client_session_t *session)
{
    char id[DEMIT_ID_TEXT_SIZE];
    char text[DEMIT_LOG_VALUE_MAX];
    demit_log(DEMIT_LOG_WARNING, "delivery_in_doubt", "id=%s error=%s action=deferred",
              demit_id_format(session->now.delivery->envelope->id, id),
              demit_log_quote(text, sizeof(text), session->loss.diagnostic));
}

/* Gives the delivery up that was under way. */
static void end_transaction(demit_client_session_t *session, bool report)
{
    demit_delivery_t *delivery = session->now.delivery;
    demit_client_body_t *body = session->now.body;
    memset(&session->now, 0, sizeof(session->now));
    if (body != NULL) {
        demit_client_body_end(body, report ? delivery : NULL);
    } else if (report) {
        session->context->report(session->context, delivery);
    }
}

static void on_close(demit_conn_t *conn, void *baton, demit_conn_end_t end, apr_status_t status)
{
    demit_client_session_t *session = baton;
    (void)conn;
    note_end(session, end, status); /* unless a reason is there */
    demit_timer_stop(&session->timer);
    demit_client_loss_t *loss = &session->loss;
    if (session->now.delivery != NULL) {
        loss->untouched = session->unproven || session->reset_bad;
        if (session->now.doubtful) {
            log_doubt(session);
        }
        if (!loss->untouched) {
            demit_delivery_set_all(session->now.delivery, DEMIT_RESULT_DEFERRED, loss->status, loss->diagnostic,
                                   loss->is_smtp);
        }
        end_transaction(session, !loss->untouched);
    }
    char text[DEMIT_LOG_VALUE_MAX];
    demit_log(DEMIT_LOG_DEBUG, "smtp_disconnect", "peer=%s deliveries=%u reason=%s", session->peer_name,
              session->deliveries, demit_log_quote(text, sizeof(text), loss->diagnostic));
    session->owner->lost(session->owner_baton, session, loss);
    apr_pool_destroy(session->pool);
}

/* ---- time -------------------------------------------------------------------------------------------------------- */

/* Starts the clock for what comes next, or stops it. */
static void arm(demit_client_session_t *session)
{
    demit_loop_t *loop = session->context->loop;
    if (session->phase == DEMIT_CLIENT_OVER) {
        return;
    }
    if (session->expected.count > 0) {
        demit_client_step_t step = session->expected.steps[session->expected.first];
        demit_timer_start(loop, &session->timer, demit_client_step_timeout_us(session, step));
    } else if (session->now.sending) {
        demit_timer_start(loop, &session->timer, session->body_timeout_us);
    } else if (session->phase != DEMIT_CLIENT_READY) {
        demit_timer_stop(&session->timer);
    }
}

static void on_timer(demit_timer_t *timer)
{
    demit_client_session_t *session = DEMIT_CONTAINER_OF(timer, demit_client_session_t, timer);
    if (session->phase == DEMIT_CLIENT_READY) {
        demit_client_session_quit(session); /* rested enough */
    } else {
        lose_by_timeout(session);
    }
}

/* ---- events ------------------------------------------------------------------------------------------------------ */

/* Whether LISTEN is what one reaches at the local address PEER. */
static bool is_listener_at(const demit_listen_settings_t *listen, apr_sockaddr_t *peer, apr_pool_t *pool)
{
    apr_ipsubnet_t *host = NULL;
    if (!listen->enable || listen->unix_path != NULL || listen->port != peer->port) {
        return false;
    }
    if (listen->host == NULL) {
        return true;
    }
    return apr_ipsubnet_create(&host, listen->host, NULL, pool) == APR_SUCCESS && apr_ipsubnet_test(host, peer);
}

/* 127.0.0.0/8, also within IPv6. Linux connects to 127.0.0.2 from 127.0.0.1. */
static bool is_loopback(const apr_sockaddr_t *address)
{
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
    const unsigned char *bytes = address->ipaddr_ptr;
    if (address->ipaddr_len == 4) {
        return bytes[0] == 127;
    }
    return memcmp(bytes, mapped, sizeof(mapped)) == 0 && bytes[12] == 127;
}

/*
 * Whether SESSION is connected to a listener of ours: who connects to an address of his own host does it from that
 * address, the loopback network excepted, so no list of the host's addresses is needed.
 */
static bool is_ourselves(const demit_client_session_t *session)
{
    const apr_array_header_t *listeners = session->settings->listeners;
    apr_sockaddr_t *peer = demit_conn_peer(session->conn);
    apr_sockaddr_t *local = demit_conn_local(session->conn);
    if (peer == NULL || local == NULL || !(apr_sockaddr_equal(peer, local) || is_loopback(peer))) {
        return false;
    }
    for (int i = 0; i < listeners->nelts; i++) {
        if (is_listener_at(&APR_ARRAY_IDX(listeners, i, demit_listen_settings_t), peer, session->pool)) {
            return true;
        }
    }
    return false;
}

static void on_connected(demit_conn_t *conn, void *baton)
{
    demit_client_session_t *session = baton;
    session->conn = conn;
    if (is_ourselves(session)) {
        session->loss.ourselves = true;
        demit_client_lose(session, DEMIT_RESULT_FAILED, "5.4.6",
                          apr_psprintf(session->pool, "%s is this very host: mail loops back", session->peer_name),
                          false);
        return;
    }
    session->phase = DEMIT_CLIENT_GREETING;
    demit_client_say(session, DEMIT_STEP_BANNER);
    arm(session);
}

static size_t on_input(demit_conn_t *conn, void *baton, const char *bytes, size_t size)
{
    demit_client_session_t *session = baton;
    size_t used = 0;
    (void)conn;
    while (used < size && session->phase != DEMIT_CLIENT_OVER) {
        size_t consumed = 0;
        demit_reply_progress_t progress = demit_reply_read(&session->reply, bytes + used, size - used, &consumed);
        used += consumed;
        if (progress == DEMIT_REPLY_MORE) {
            break;
        }
        if (progress == DEMIT_REPLY_JUNK) {
            demit_client_lose_by_nonsense(session, "sent what is no reply");
            break;
        }
        session->surplus = used < size;
        demit_client_hear(session);
        arm(session);
    }
    return session->phase == DEMIT_CLIENT_OVER ? size : used;
}

static void on_drained(demit_conn_t *conn, void *baton)
{
    demit_client_session_t *session = baton;
    (void)conn;
    demit_client_feed(session);
    arm(session);
}

static void on_body_change(void *baton)
{
    demit_client_session_t *session = baton;
    if (!session->now.sending) {
        return; /* read ahead */
    }
    demit_client_feed(session);
    arm(session);
}

/* ---- what the owner calls ---------------------------------------------------------------------------------------- */

static const demit_conn_handler_t handler = {on_connected, on_input, on_drained, on_close};

static const char *name_peer(const demit_hop_t *hop, apr_pool_t *pool)
{
    if (hop->ip == NULL) {
        return hop->host;
    }
    return apr_psprintf(pool, "%s[%s]:%u", hop->host, hop->ip, (unsigned)hop->address->port);
}

apr_status_t demit_client_session_open(demit_client_session_t **session, demit_client_context_t *context,
                                       const demit_client_target_t *target)
{
    const demit_hop_t *hop = target->hop;
    const demit_domain_settings_t *settings = target->settings;
    apr_pool_t *pool = NULL;
    apr_status_t status = apr_pool_create(&pool, context->pool);
    if (status != APR_SUCCESS) {
        return status;
    }
    apr_pool_tag(pool, "client session");
    demit_client_session_t *made = apr_pcalloc(pool, sizeof(*made));
    made->context = context;
    made->settings = target->server_settings;
    demit_settings_hold_in(made->settings, pool);
    made->pool = pool;
    made->phase = DEMIT_CLIENT_CONNECTING;
    made->key = apr_pstrdup(pool, target->key);
    made->hop = (demit_hop_t){.host = apr_pstrdup(pool, hop->host),
                              .ip = hop->ip == NULL ? NULL : apr_pstrdup(pool, hop->ip),
                              .preference = hop->preference};
    status = apr_sockaddr_info_copy(&made->hop.address, hop->address, pool); /* APR's socket points to it */
    if (status != APR_SUCCESS) {
        apr_pool_destroy(pool);
        return status;
    }
    made->peer_name = name_peer(&made->hop, pool);
    made->lmtp = settings->delivery_method == DEMIT_DELIVER_LMTP;
    made->extended = settings->delivery_method != DEMIT_DELIVER_SMTP;
    made->greeting_timeout_us = settings->ehlo_timeout_us;
    made->mail_timeout_us = settings->mailfrom_timeout_us;
    made->rcpt_timeout_us = settings->rcptto_timeout_us;
    made->body_timeout_us = settings->body_timeout_us;
    made->expected = (demit_expected_t){.steps = made->greeting_steps, .capacity = DEMIT_GREETING_STEPS};
    made->timer.fire = on_timer;

    const demit_connect_t peer = {.peer = made->hop.address,
                                  .connect_timeout_us = settings->connect_timeout_us,
                                  .handler = &handler,
                                  .baton = made};
    status = demit_conn_connect(&made->conn, context->loop, &peer);
    if (status != APR_SUCCESS) {
        apr_pool_destroy(pool);
        return status;
    }
    *session = made;
    return APR_SUCCESS;
}

void demit_client_session_own(demit_client_session_t *session, const demit_client_owner_t *owner, void *baton)
{
    session->owner = owner;
    session->owner_baton = baton;
}

void demit_client_greeted(demit_client_session_t *session)
{
    session->phase = DEMIT_CLIENT_READY;
    demit_timer_stop(&session->timer);
    demit_log(DEMIT_LOG_DEBUG, "smtp_connect", "peer=%s pipelining=%s", session->peer_name,
              session->offer.pipelining ? "yes" : "no");
    session->owner->ready(session->owner_baton, session);
}

void demit_client_transaction_over(demit_client_session_t *session)
{
    end_transaction(session, true);
    session->phase = DEMIT_CLIENT_READY;
    demit_timer_stop(&session->timer);
    if (session->surplus) { /* "421 closing" behind the last reply, or worse: no next message into this */
        demit_client_lose_by_nonsense(session, "went on talking after its last reply");
    } else {
        session->owner->finished(session->owner_baton, session);
    }
}

/* Chooses the recipients that this peer can take; the others get their result now. */
static void choose_recipients(demit_client_session_t *session, demit_delivery_t *delivery)
{
    demit_transaction_t *now = &session->now;
    const demit_refusal_t *refusal = demit_message_refusal(delivery->envelope, &session->offer);
    if (refusal != NULL) {
        demit_delivery_set_all(delivery, DEMIT_RESULT_FAILED, refusal->status, refusal->text, false);
    }
    for (uint32_t i = 0; i < delivery->recipient_count; i++) {
        demit_delivery_recipient_t *recipient = &delivery->recipients[i];
        if (recipient->result != DEMIT_RESULT_NONE) {
            continue;
        }
        refusal = demit_recipient_refusal(recipient->recipient, &session->offer);
        if (refusal != NULL) {
            recipient->result = DEMIT_RESULT_FAILED;
            recipient->status = refusal->status;
            recipient->diagnostic = refusal->text;
            recipient->diagnostic_is_smtp = false;
            continue;
        }
        now->utf8_recipient |= demit_text_is_8bit(recipient->recipient->address);
        now->order[now->count++] = i;
    }
}

bool demit_client_session_deliver(demit_client_session_t *session, demit_delivery_t *delivery)
{
    apr_pool_t *pool = delivery->pool;
    demit_transaction_t *now = &session->now;
    size_t count = delivery->recipient_count;

    demit_timer_stop(&session->timer); /* it may have rested */
    *now = (demit_transaction_t){.delivery = delivery, .reset_first = session->dirty};
    now->order = apr_palloc(pool, 2 * count * sizeof(*now->order) + 1);
    now->accepted = now->order + count;
    delivery->remote_host = apr_pstrdup(pool, session->hop.host);
    delivery->remote_ip = session->hop.ip == NULL ? NULL : apr_pstrdup(pool, session->hop.ip);
    choose_recipients(session, delivery);
    if (now->count == 0) {
        end_transaction(session, true);
        return false;
    }
    if (demit_client_body_begin(&now->body, session->context, delivery, on_body_change, session) != APR_SUCCESS) {
        demit_delivery_set_all(delivery, DEMIT_RESULT_DEFERRED, "4.3.0", "out of memory", false);
        end_transaction(session, true);
        return false;
    }
    /* RSET, MAIL, a RCPT for each, DATA; later as many replies as there are recipients (LMTP). */
    session->expected = (demit_expected_t){.capacity = now->count + 3};
    session->expected.steps = apr_palloc(pool, session->expected.capacity * sizeof(*session->expected.steps));
    session->phase = DEMIT_CLIENT_TRANSACTION;
    session->deliveries++;
    demit_client_go_on(session);
    arm(session);
    return true;
}

void demit_client_session_quit(demit_client_session_t *session)
{
    session->phase = DEMIT_CLIENT_QUITTING;
    session->expected = (demit_expected_t){.steps = session->greeting_steps, .capacity = DEMIT_GREETING_STEPS};
    demit_client_say(session, DEMIT_STEP_QUIT);
    arm(session);
}

void demit_client_session_rest(demit_client_session_t *session, int64_t idle_us)
{
    session->unproven = true;
    demit_timer_start(session->context->loop, &session->timer, idle_us);
}

void demit_client_session_abandon(demit_client_session_t *session)
{
    demit_client_lose(session, DEMIT_RESULT_DEFERRED, "4.3.2", "this server is stopping", false);
}

bool demit_client_session_is_ready(const demit_client_session_t *session)
{
    return session->phase == DEMIT_CLIENT_READY;
}

uint32_t demit_client_session_deliveries(const demit_client_session_t *session)
{
    return session->deliveries;
}

const char *demit_client_session_key(const demit_client_session_t *session)
{
    return session->key;
}

demit_client_link_t *demit_client_session_link(demit_client_session_t *session)
{
    return &session->link;
}
