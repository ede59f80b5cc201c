/* The text of a message: DATA (RFC 5321 section 4.1.1.4) and BDAT (RFC 3030). */
#include "core/smtp/session.h"

#include <apr_strings.h>

/* ---- the end of a message ---------------------------------------------------------------------------------------- */

/* The transaction is over, for good or ill. */
static void end_transaction(demit_session_t *session)
{
    demit_transaction_release(session);
    demit_session_set_state(session, DEMIT_SESSION_READY);
}

static void refuse_message(demit_session_t *session, const char *reply)
{
    const char *id = session->transaction->id_text;

    demit_session_refuse(session, reply, id);
    if (session->state != DEMIT_SESSION_CLOSING) {
        end_transaction(session);
    }
}

/* What must not be in a message is known as soon as it is read: the rest is swallowed, and refused at the end. */
static void judge_text(demit_transaction_t *transaction)
{
    const demit_body_t *body = &transaction->body;

    if (transaction->failure == DEMIT_FAILURE_NONE && (body->refused || body->has_nul)) {
        demit_transaction_fail(transaction, body->refused ? DEMIT_FAILURE_LONE_LF : DEMIT_FAILURE_NUL);
    }
}

/* Everything has arrived: stores what is held, judges, commits. Comes again from demit_receive_room(). */
static void finish_message(demit_session_t *session)
{
    demit_transaction_t *transaction = session->transaction;
    demit_body_t before = transaction->body;
    demit_body_piece_t rest = {.bytes = "", .size = 0};

    transaction->finishing = true;
    if (!transaction->body.dots) {
        demit_body_finish(&transaction->body, &rest);
    }
    judge_text(transaction);
    if (demit_transaction_store(transaction, rest.bytes, rest.size) == APR_EAGAIN) {
        transaction->body = before;
        demit_session_wait(session, DEMIT_WAIT_ROOM);
        return;
    }
    demit_headers_finish(&transaction->headers);
    const char *refusal = demit_transaction_verdict(transaction);
    if (refusal != NULL) {
        refuse_message(session, refusal);
        return;
    }
    demit_session_wait(session, DEMIT_WAIT_COMMIT);
    demit_transaction_commit(transaction);
}

void demit_receive_room(demit_session_t *session)
{
    if (session->waiting != DEMIT_WAIT_ROOM) {
        return; /* the writer failed in the meantime, or the session is closing */
    }
    if (session->transaction->finishing) {
        session->waiting = DEMIT_WAIT_NONE;
        finish_message(session);
        if (session->waiting != DEMIT_WAIT_NONE) {
            return;
        }
    }
    demit_session_go_on(session);
}

void demit_receive_committed(demit_session_t *session)
{
    demit_transaction_t *transaction = session->transaction;
    const char *refusal = demit_failure_reply(transaction->failure);

    if (session->state == DEMIT_SESSION_CLOSING) {
        demit_transaction_release(session);
        return;
    }
    if (refusal != NULL) {
        demit_session_reply(session, refusal);
    } else {
        char text[64];
        apr_snprintf(text, sizeof text, "250 2.0.0 Ok: queued as %s", transaction->id_text);
        demit_session_reply(session, text);
    }
    end_transaction(session);
    demit_session_go_on(session);
}

/* ---- the text ---------------------------------------------------------------------------------------------------- */

/*
 * Stores up to SIZE bytes, until the message ends (*END) or the spool has no room. Returns how many were consumed.
 * A piece that the spool does not take now was not read: its bytes are offered again.
 */
static size_t take_text(demit_session_t *session, const char *bytes, size_t size, bool *end)
{
    demit_transaction_t *transaction = session->transaction;
    size_t done = 0;

    *end = false;
    while (done < size && !*end) {
        demit_body_t before = transaction->body;
        demit_body_piece_t piece;
        demit_body_next(&transaction->body, bytes + done, size - done, &piece);
        judge_text(transaction);
        if (piece.size > 0 && demit_transaction_store(transaction, piece.bytes, piece.size) == APR_EAGAIN) {
            transaction->body = before;
            demit_session_wait(session, DEMIT_WAIT_ROOM);
            break;
        }
        done += piece.consumed;
        *end = piece.end;
    }
    return done;
}

void demit_receive_begin_data(demit_session_t *session)
{
    if (!demit_transaction_open(session->transaction, true)) {
        refuse_message(session, demit_failure_reply(session->transaction->failure));
        return;
    }
    demit_session_set_state(session, DEMIT_SESSION_DATA);
    demit_session_reply(session, "354 End data with <CR><LF>.<CR><LF>");
}

size_t demit_receive_data(demit_session_t *session, const char *bytes, size_t size)
{
    bool end;
    size_t done = take_text(session, bytes, size, &end);

    if (end) {
        finish_message(session);
    }
    return done;
}

/* ---- BDAT -------------------------------------------------------------------------------------------------------- */

/* All bytes of the chunk were consumed. */
static void finish_chunk(demit_session_t *session)
{
    demit_transaction_t *transaction = session->transaction;

    if (session->chunk_refusal != NULL) {
        demit_session_set_state(session, session->chunk_return);
        demit_session_reply(session, session->chunk_refusal);
        return;
    }
    if (session->chunk_last) {
        finish_message(session);
        return;
    }
    if (transaction->failure != DEMIT_FAILURE_NONE) {
        demit_session_set_state(session, DEMIT_SESSION_BDAT_FAILED);
        demit_session_refuse(session, demit_failure_reply(transaction->failure), transaction->id_text);
        return;
    }
    char text[64];
    apr_snprintf(text, sizeof text, "250 2.0.0 Ok: %" APR_UINT64_T_FMT " bytes",
                 (apr_uint64_t)session->chunk_size_bytes);
    demit_session_set_state(session, DEMIT_SESSION_BDAT);
    demit_session_reply(session, text);
}

void demit_receive_begin_chunk(demit_session_t *session, const demit_bdat_arguments_t *bdat, const char *refusal)
{
    demit_session_state_t state = session->state;

    session->chunk_size_bytes = session->chunk_left_bytes = bdat->size_bytes;
    session->chunk_last = bdat->last;
    session->chunk_refusal = refusal;
    session->chunk_return = state;
    if (refusal == NULL && state == DEMIT_SESSION_RCPT) {
        /* If this fails, transaction->failure is set: the bytes are swallowed, and the answer comes after them. */
        (void)demit_transaction_open(session->transaction, false);
    }
    if (refusal != NULL && (state == DEMIT_SESSION_RCPT || state == DEMIT_SESSION_BDAT)) {
        session->chunk_return = DEMIT_SESSION_BDAT_FAILED;
    }
    demit_session_set_state(session, DEMIT_SESSION_CHUNK);
    if (session->chunk_left_bytes == 0) {
        finish_chunk(session);
    }
}

size_t demit_receive_chunk(demit_session_t *session, const char *bytes, size_t size)
{
    size_t part = size < session->chunk_left_bytes ? size : (size_t)session->chunk_left_bytes;
    bool end;

    if (session->chunk_refusal == NULL) {
        part = take_text(session, bytes, part, &end);
    }
    session->chunk_left_bytes -= part;
    if (session->chunk_left_bytes == 0) {
        finish_chunk(session);
    }
    return part;
}
