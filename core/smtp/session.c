/* One connection: lines, states, clocks. */
#include "core/smtp/session.h"

#include <string.h>

#include "demit/log.h"

/* ---- state and replies ------------------------------------------------------------------------------------------- */

static const char *state_name(demit_session_state_t state)
{
    switch (state) {
    case DEMIT_SESSION_CONNECTED:
        return "connected";
    case DEMIT_SESSION_READY:
        return "ready";
    case DEMIT_SESSION_MAIL:
        return "mail";
    case DEMIT_SESSION_RCPT:
        return "rcpt";
    case DEMIT_SESSION_DATA:
        return "data";
    case DEMIT_SESSION_CHUNK:
        return "chunk";
    case DEMIT_SESSION_BDAT:
        return "bdat";
    case DEMIT_SESSION_BDAT_FAILED:
        return "bdat_failed";
    case DEMIT_SESSION_CLOSING:
        return "closing";
    }
    return "?";
}

void demit_session_set_state(demit_session_t *session, demit_session_state_t state)
{
    demit_log(DEMIT_LOG_DEBUG, "smtp_state", "client=%s from=%s to=%s", session->client_text,
              state_name(session->state), state_name(state));
    session->state = state;
}

static void write_line(demit_session_t *session, const char *text)
{
    demit_conn_write(session->conn, text, strlen(text));
    demit_conn_write(session->conn, "\r\n", 2);
}

void demit_session_end(demit_session_t *session, const char *text)
{
    if (session->state == DEMIT_SESSION_CLOSING) {
        return;
    }
    write_line(session, text);
    demit_session_set_state(session, DEMIT_SESSION_CLOSING);
    /* A client that does not read its last reply is given the time of one command. */
    demit_timer_start(session->shard->loop, &session->command_timer, session->settings->command_timeout_us);
    demit_timer_stop(&session->session_timer);
    demit_conn_close(session->conn);
}

void demit_session_reply(demit_session_t *session, const char *text)
{
    uint32_t limit = session->settings->max_session_errors;

    session->errors += text[0] == '5' ? 1 : 0;
    if (limit != 0 && session->errors > limit) {
        demit_log(DEMIT_LOG_INFO, "rejected", "client=%s reason=errors", session->client_text);
        demit_session_end(session, "421 4.7.0 Too many errors");
        return;
    }
    write_line(session, text);
}

void demit_session_refuse(demit_session_t *session, const char *text, const char *detail)
{
    const demit_transaction_t *transaction = session->transaction;
    char helo[DEMIT_LOG_VALUE_MAX], from[DEMIT_LOG_VALUE_MAX], what[DEMIT_LOG_VALUE_MAX], reply[DEMIT_LOG_VALUE_MAX];

    demit_log(DEMIT_LOG_INFO, "rejected", "client=%s helo=%s from=%s what=%s reply=%s", session->client_text,
              demit_log_quote(helo, sizeof helo, session->helo),
              demit_log_quote(from, sizeof from, transaction != NULL ? transaction->envelope.sender : NULL),
              demit_log_quote(what, sizeof what, detail), demit_log_quote(reply, sizeof reply, text));
    demit_session_reply(session, text);
}

/* ---- waiting ----------------------------------------------------------------------------------------------------- */

void demit_session_wait(demit_session_t *session, demit_wait_t reason)
{
    session->waiting = reason;
    if (reason != DEMIT_WAIT_OUTPUT) {
        /* It is our turn: the client's clock stands still. */
        demit_timer_stop(&session->command_timer);
    }
    demit_conn_pause(session->conn);
}

void demit_session_leave_if_due(demit_session_t *session)
{
    bool between = session->state == DEMIT_SESSION_CONNECTED || session->state == DEMIT_SESSION_READY;

    if (session->state == DEMIT_SESSION_CLOSING || session->waiting != DEMIT_WAIT_NONE) {
        return;
    }
    if (session->expired) {
        demit_session_end(session, "421 4.4.2 The session has taken too long");
    } else if (between && atomic_load(&session->server->draining)) {
        demit_session_end(session, "421 4.3.2 The server is stopping");
    }
}

void demit_session_go_on(demit_session_t *session)
{
    session->waiting = DEMIT_WAIT_NONE;
    demit_session_leave_if_due(session);
    if (session->state != DEMIT_SESSION_CLOSING) {
        demit_timer_start(session->shard->loop, &session->command_timer, session->settings->command_timeout_us);
    }
    demit_conn_resume(session->conn);
}

/* ---- clocks ------------------------------------------------------------------------------------------------------ */

static void command_time_is_over(demit_timer_t *timer)
{
    demit_session_t *session = DEMIT_CONTAINER_OF(timer, demit_session_t, command_timer);

    if (session->state == DEMIT_SESSION_CLOSING || session->waiting == DEMIT_WAIT_OUTPUT) {
        demit_conn_abort(session->conn); /* it does not read: there is no use in telling it */
        return;
    }
    demit_log(DEMIT_LOG_INFO, "timeout", "client=%s state=%s", session->client_text, state_name(session->state));
    demit_session_end(session, "421 4.4.2 Timeout");
}

static void session_time_is_over(demit_timer_t *timer)
{
    demit_session_t *session = DEMIT_CONTAINER_OF(timer, demit_session_t, session_timer);

    if (session->waiting == DEMIT_WAIT_OUTPUT) {
        demit_conn_abort(session->conn);
        return;
    }
    demit_log(DEMIT_LOG_INFO, "timeout", "client=%s state=%s session=yes", session->client_text,
              state_name(session->state));
    /* A commit under way is waited for: the client learns what became of its message. */
    session->expired = true;
    demit_session_leave_if_due(session);
}

/* ---- input ------------------------------------------------------------------------------------------------------- */

/* Throws away up to and including the end of a line that is too long. Its CR may have come before. */
static size_t skip_line(demit_session_t *session, const char *bytes, size_t size)
{
    const char *lf = memchr(bytes, '\n', size);

    if (lf == NULL) {
        return size;
    }
    session->skipping_line = false;
    demit_session_reply(session, "500 5.5.2 The line is too long");
    return (size_t)(lf - bytes) + 1;
}

/* Runs the command line that BYTES begin with. 0: it is not all there yet. */
static size_t take_line(demit_session_t *session, const char *bytes, size_t size)
{
    if (session->skipping_line) {
        return skip_line(session, bytes, size);
    }
    size_t most = size < DEMIT_SMTP_LINE_MAX ? size : DEMIT_SMTP_LINE_MAX;
    const char *lf = memchr(bytes, '\n', most);
    if (lf == NULL) {
        session->skipping_line = size >= DEMIT_SMTP_LINE_MAX;
        return session->skipping_line ? most : 0;
    }
    size_t taken = (size_t)(lf - bytes) + 1;
    if (taken < 2 || lf[-1] != '\r') {
        /* A lone LF ends a line only so that it can be refused: no such line is ever a command. */
        demit_session_reply(session, "500 5.5.2 Lines end in CRLF");
    } else {
        demit_command_run(session, (demit_slice_t){bytes, taken - 2});
    }
    return taken;
}

static size_t take(demit_session_t *session, const char *bytes, size_t size)
{
    switch (session->state) {
    case DEMIT_SESSION_CLOSING:
        return size;
    case DEMIT_SESSION_DATA:
        return demit_receive_data(session, bytes, size);
    case DEMIT_SESSION_CHUNK:
        return demit_receive_chunk(session, bytes, size);
    case DEMIT_SESSION_CONNECTED:
    case DEMIT_SESSION_READY:
    case DEMIT_SESSION_MAIL:
    case DEMIT_SESSION_RCPT:
    case DEMIT_SESSION_BDAT:
    case DEMIT_SESSION_BDAT_FAILED:
        break;
    }
    return take_line(session, bytes, size);
}

static size_t on_input(demit_conn_t *conn, void *baton, const char *bytes, size_t size)
{
    demit_session_t *session = baton;
    size_t done = 0;

    while (done < size && session->waiting == DEMIT_WAIT_NONE) {
        size_t taken = take(session, bytes + done, size - done);
        done += taken;
        if (taken == 0) {
            break;
        }
        demit_session_leave_if_due(session);
        if (session->waiting == DEMIT_WAIT_NONE && demit_conn_backlog(conn) > DEMIT_CONN_OUTPUT_LOW) {
            demit_session_wait(session, DEMIT_WAIT_OUTPUT);
        }
    }
    /* Half a command line does not buy time (slow-loris); the text of a message does, within the session's time. */
    if (done > 0 && session->waiting == DEMIT_WAIT_NONE && session->state != DEMIT_SESSION_CLOSING &&
        !session->skipping_line) {
        demit_timer_start(session->shard->loop, &session->command_timer, session->settings->command_timeout_us);
    }
    return done;
}

static void on_drained(demit_conn_t *conn, void *baton)
{
    demit_session_t *session = baton;

    (void)conn;
    if (session->waiting == DEMIT_WAIT_OUTPUT) {
        demit_session_go_on(session);
    }
}

static void on_close(demit_conn_t *conn, void *baton, demit_conn_end_t end, apr_status_t status)
{
    demit_session_t *session = baton;
    demit_smtp_server_t *server = session->server;

    (void)conn;
    (void)end;
    (void)status;
    demit_timer_stop(&session->command_timer);
    demit_timer_stop(&session->session_timer);
    demit_transaction_release(session);
    demit_clients_leave(server->clients, session->client);
    if (session->prev != NULL) {
        session->prev->next = session->next;
    } else {
        session->shard->sessions = session->next;
    }
    if (session->next != NULL) {
        session->next->prev = session->prev;
    }
    demit_settings_release(session->settings);
    atomic_fetch_sub(&server->sessions, 1);
}

static const demit_conn_handler_t handler = {
    .on_connected = NULL, .on_input = on_input, .on_drained = on_drained, .on_close = on_close};

/* ---- the beginning ----------------------------------------------------------------------------------------------- */

static bool is_relay_host(const demit_settings_t *settings, apr_sockaddr_t *peer)
{
    for (int i = 0; i < settings->relay_hosts->nelts; i++) {
        if (apr_ipsubnet_test(APR_ARRAY_IDX(settings->relay_hosts, i, apr_ipsubnet_t *), peer)) {
            return true;
        }
    }
    return false;
}

void demit_session_start(demit_smtp_listener_t *listener, demit_shard_t *shard, demit_conn_t *conn,
                         demit_client_t *client)
{
    demit_session_t *session = apr_pcalloc(demit_conn_pool(conn), sizeof *session);
    apr_sockaddr_t *peer = demit_conn_peer(conn);

    session->server = listener->server;
    session->shard = shard;
    session->conn = conn;
    session->listener = listener;
    session->settings = demit_settings_hold(listener->settings);
    session->client = client;
    session->state = DEMIT_SESSION_CONNECTED;
    session->may_relay = peer != NULL ? is_relay_host(session->settings, peer) : listener->local_may_relay;
    (void)demit_client_format(peer, session->client_text);
    if (shard->known_serial != session->settings->serial) {
        demit_known_forget(shard->known); /* mailboxes may be elsewhere now */
        shard->known_serial = session->settings->serial;
    }
    session->command_timer.fire = command_time_is_over;
    session->session_timer.fire = session_time_is_over;
    session->next = shard->sessions;
    if (session->next != NULL) {
        session->next->prev = session;
    }
    shard->sessions = session;
    atomic_fetch_add(&session->server->sessions, 1);
    demit_conn_set_handler(conn, &handler, session);
    demit_conn_write(conn, listener->banner, strlen(listener->banner));
    demit_timer_start(shard->loop, &session->command_timer, session->settings->command_timeout_us);
    demit_timer_start(shard->loop, &session->session_timer, session->settings->session_timeout_us);
}
