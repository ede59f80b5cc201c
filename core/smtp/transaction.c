/* What one message needs, from MAIL to the answer; it may outlive its session. */
#include "core/smtp/session.h"

#include <string.h>

#include <apr_strings.h>

#include "demit/log.h"

/* ---- life -------------------------------------------------------------------------------------------------------- */

static apr_pool_t *take_pool(demit_shard_t *shard)
{
    apr_pool_t *pool = NULL;

    if (shard->free_pool_count > 0) {
        return shard->free_pools[--shard->free_pool_count];
    }
    if (apr_pool_create(&pool, shard->pool) != APR_SUCCESS) {
        return NULL;
    }
    apr_pool_tag(pool, "smtp transaction");
    return pool;
}

static void give_pool(demit_shard_t *shard, apr_pool_t *pool)
{
    if (shard->free_pool_count < DEMIT_SHARD_FREE_POOLS) {
        apr_pool_clear(pool);
        shard->free_pools[shard->free_pool_count++] = pool;
    } else {
        apr_pool_destroy(pool);
    }
}

static void room_came(demit_task_t *task);
static void commit_done(demit_task_t *task);

demit_transaction_t *demit_transaction_create(demit_session_t *session)
{
    apr_pool_t *pool = take_pool(session->shard);

    if (pool == NULL) {
        return NULL;
    }
    demit_transaction_t *transaction = apr_pcalloc(pool, sizeof *transaction);
    transaction->pool = pool;
    transaction->session = session;
    transaction->shard = session->shard;
    transaction->settings = demit_settings_hold(session->settings);
    transaction->recipients = apr_array_make(pool, 1, sizeof(demit_recipient_t));
    transaction->room_task.run = room_came;
    transaction->done_task.run = commit_done;
    memcpy(transaction->client_text, session->client_text, sizeof transaction->client_text);
    return transaction;
}

/* Gives back what the text holds in memory. */
static void uncharge(demit_transaction_t *transaction)
{
    atomic_fetch_sub(&transaction->shard->server->buffered_bytes, transaction->charged_bytes);
    transaction->charged_bytes = 0;
}

static void discard(demit_transaction_t *transaction)
{
    if (transaction->writer != NULL) {
        demit_spool_discard(transaction->writer);
        transaction->writer = NULL;
    }
    uncharge(transaction);
}

/* Whether a task of it is with another thread or on its way to the loop. */
static bool is_busy(demit_transaction_t *transaction)
{
    return transaction->checking || transaction->committing || atomic_load(&transaction->room_posted);
}

static void destroy(demit_transaction_t *transaction)
{
    uncharge(transaction);
    atomic_fetch_sub(&transaction->shard->server->buffered_bytes, transaction->envelope_bytes);
    demit_settings_release(transaction->settings);
    give_pool(transaction->shard, transaction->pool);
}

void demit_transaction_release(demit_session_t *session)
{
    demit_transaction_t *transaction = session->transaction;

    if (transaction == NULL) {
        return;
    }
    session->transaction = NULL;
    transaction->session = NULL;
    if (!transaction->committing) {
        /* After this the committer does not call on_room any more, so what is_busy() sees will not change. */
        discard(transaction);
    }
    if (is_busy(transaction)) {
        atomic_fetch_add(&session->server->sessions, 1);
    } else {
        destroy(transaction);
    }
}

bool demit_transaction_bury(demit_transaction_t *transaction)
{
    if (transaction->session != NULL) {
        return false;
    }
    if (!is_busy(transaction)) {
        demit_smtp_server_t *server = transaction->shard->server;
        destroy(transaction);
        atomic_fetch_sub(&server->sessions, 1);
    }
    return true;
}

/* ---- storing ----------------------------------------------------------------------------------------------------- */

demit_failure_t demit_failure_of(apr_status_t status)
{
    return APR_STATUS_IS_ENOSPC(status) ? DEMIT_FAILURE_NO_SPACE : DEMIT_FAILURE_STORAGE;
}

const char *demit_failure_reply(demit_failure_t failure)
{
    switch (failure) {
    case DEMIT_FAILURE_NONE:
        break;
    case DEMIT_FAILURE_TOO_LARGE:
        return "552 5.3.4 The message is larger than this server takes";
    case DEMIT_FAILURE_LONE_LF:
        return "550 5.6.0 The message holds a CR or LF that is not part of a CRLF";
    case DEMIT_FAILURE_NUL:
        return "550 5.6.0 The message holds a NUL, which no text may";
    case DEMIT_FAILURE_NO_MEMORY:
        return "452 4.3.1 Too much mail is arriving at once, try again later";
    case DEMIT_FAILURE_NO_SPACE:
        return "452 4.3.1 Not enough space to store the message, try again later";
    case DEMIT_FAILURE_STORAGE:
        return "451 4.3.0 The message could not be stored, try again later";
    }
    return NULL;
}

void demit_transaction_fail(demit_transaction_t *transaction, demit_failure_t failure)
{
    transaction->failure = failure;
    discard(transaction);
}

static void fail_with(demit_transaction_t *transaction, apr_status_t status)
{
    char text[DEMIT_LOG_VALUE_MAX];

    demit_log(DEMIT_LOG_ERROR, "not_stored", "id=%s client=%s reason=%s", transaction->id_text,
              transaction->client_text, demit_log_status(text, sizeof text, status));
    demit_transaction_fail(transaction, demit_failure_of(status));
}

/* Committer's thread. */
static void on_room(void *baton)
{
    demit_transaction_t *transaction = baton;

    atomic_store(&transaction->room_posted, true);
    demit_loop_post(transaction->shard->loop, &transaction->room_task);
}

static void room_came(demit_task_t *task)
{
    demit_transaction_t *transaction = DEMIT_CONTAINER_OF(task, demit_transaction_t, room_task);

    atomic_store(&transaction->room_posted, false);
    if (!demit_transaction_bury(transaction)) {
        demit_receive_room(transaction->session);
    }
}

/* RFC 6531 section 4.3, RFC 3848. */
static const char *protocol_of(const demit_transaction_t *transaction)
{
    if ((transaction->envelope.flags & DEMIT_MESSAGE_SMTPUTF8) != 0) {
        return "UTF8SMTP";
    }
    return transaction->session->esmtp ? "ESMTP" : "SMTP";
}

static void write_trace(demit_transaction_t *transaction)
{
    const demit_recipient_t *first = &APR_ARRAY_IDX(transaction->recipients, 0, demit_recipient_t);
    const char *written = first->accepted != NULL ? first->accepted : first->address;
    const demit_trace_t trace = {
        .helo = transaction->session->helo,
        .client = transaction->client_text,
        .hostname = transaction->settings->hostname,
        .protocol = protocol_of(transaction),
        .id = transaction->id_text,
        .recipient = transaction->recipients->nelts == 1 ? written : NULL,
        .arrived = transaction->envelope.arrived_us,
    };
    transaction->trace = demit_trace_format(&trace, transaction->pool);
}

static bool memory_is_short(const demit_transaction_t *transaction, uint64_t more)
{
    uint64_t limit = transaction->settings->max_buffer_memory_bytes;
    return limit != 0 && atomic_load(&transaction->shard->server->buffered_bytes) + more > limit;
}

/*
 * An address is kept as written, as resolved and as a key, in a pool that gives nothing back before the end: a client
 * that goes on naming recipients takes memory without sending a byte of text.
 */
bool demit_transaction_charge_rcpt(demit_transaction_t *transaction, size_t size)
{
    enum { COPIES = 4, FIXED_BYTES = 512 };
    uint64_t more = (uint64_t)size * COPIES + FIXED_BYTES;

    /* The first one is in the ordinary case the only one, and fits into what every transaction has. */
    if (transaction->tried_count == 0) {
        return true;
    }
    if (memory_is_short(transaction, more)) {
        return false;
    }
    atomic_fetch_add(&transaction->shard->server->buffered_bytes, more);
    transaction->envelope_bytes += more;
    return true;
}

bool demit_transaction_open(demit_transaction_t *transaction, bool dots)
{
    demit_smtp_server_t *server = transaction->shard->server;

    transaction->envelope.id = demit_spool_next_id(server->options.spool);
    transaction->envelope.arrived_us = apr_time_now();
    (void)demit_id_format(transaction->envelope.id, transaction->id_text);
    demit_body_init(&transaction->body, dots, transaction->settings);
    demit_headers_init(&transaction->headers, transaction->settings->hostname);
    write_trace(transaction);
    if (memory_is_short(transaction, transaction->trace.size)) {
        transaction->failure = DEMIT_FAILURE_NO_MEMORY;
        return false;
    }
    apr_status_t status = demit_spool_begin(&transaction->writer, server->options.spool, on_room, transaction);
    if (status != APR_SUCCESS) {
        transaction->writer = NULL;
        fail_with(transaction, status);
        return false;
    }
    return true;
}

/*
 * Counts SIZE more bytes as held in memory. Over the threshold the spool holds no more of a message than about that
 * much, so neither do we count more.
 */
static bool charge(demit_transaction_t *transaction, size_t size)
{
    uint64_t threshold = transaction->settings->large_message_threshold_bytes;
    uint64_t room = transaction->charged_bytes < threshold ? threshold - transaction->charged_bytes : 0;
    uint64_t more = size < room ? size : room;

    if (more > 0 && memory_is_short(transaction, more)) {
        return false;
    }
    atomic_fetch_add(&transaction->shard->server->buffered_bytes, more);
    transaction->charged_bytes += more;
    return true;
}

/* APR_EAGAIN, or APR_SUCCESS: stored or failed. */
static apr_status_t append(demit_transaction_t *transaction, const char *bytes, size_t size)
{
    apr_status_t status = demit_spool_append(transaction->writer, bytes, size);

    if (APR_STATUS_IS_EAGAIN(status)) {
        return APR_EAGAIN;
    }
    if (status != APR_SUCCESS) {
        fail_with(transaction, status);
    } else if (!charge(transaction, size)) {
        demit_transaction_fail(transaction, DEMIT_FAILURE_NO_MEMORY);
    }
    return APR_SUCCESS;
}

apr_status_t demit_transaction_store(demit_transaction_t *transaction, const char *bytes, size_t size)
{
    uint64_t limit = transaction->settings->max_message_size_bytes;

    if (transaction->failure != DEMIT_FAILURE_NONE) {
        return APR_SUCCESS;
    }
    if (!transaction->trace_stored) {
        if (append(transaction, transaction->trace.text, transaction->trace.size) == APR_EAGAIN) {
            return APR_EAGAIN;
        }
        transaction->trace_stored = true;
    }
    if (limit != 0 && transaction->size_bytes + size > limit) {
        demit_transaction_fail(transaction, DEMIT_FAILURE_TOO_LARGE);
    }
    if (transaction->failure != DEMIT_FAILURE_NONE || size == 0) {
        return APR_SUCCESS;
    }
    if (append(transaction, bytes, size) == APR_EAGAIN) {
        return APR_EAGAIN;
    }
    transaction->size_bytes += size;
    demit_headers_feed(&transaction->headers, bytes, size);
    return APR_SUCCESS;
}

const char *demit_transaction_verdict(const demit_transaction_t *transaction)
{
    if (transaction->failure != DEMIT_FAILURE_NONE) {
        return demit_failure_reply(transaction->failure);
    }
    if (transaction->headers.received > transaction->settings->max_received_hops) {
        return "554 5.4.6 Too many hops: the message has travelled in a circle";
    }
    if (transaction->headers.received_own > DEMIT_SMTP_OWN_HOPS_MAX) {
        return "554 5.4.6 The message keeps coming back here";
    }
    return NULL;
}

/* ---- committing -------------------------------------------------------------------------------------------------- */

/* Committer's thread. After the post the loop may destroy TRANSACTION at any moment. */
static void on_done(void *baton, apr_status_t status, demit_spool_location_t location)
{
    demit_transaction_t *transaction = baton;
    demit_smtp_server_t *server = transaction->shard->server;

    transaction->commit_status = status;
    if (status == APR_SUCCESS) {
        atomic_fetch_add_explicit(&server->messages, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&server->bytes, transaction->envelope.size_bytes, memory_order_relaxed);
        server->options.accepted(server->options.accepted_baton, &transaction->envelope, location);
    }
    demit_loop_post(transaction->shard->loop, &transaction->done_task);
}

void demit_transaction_commit(demit_transaction_t *transaction)
{
    demit_envelope_t *envelope = &transaction->envelope;

    envelope->flags |= transaction->body.flags | transaction->headers.flags;
    envelope->recipients = (demit_recipient_t *)(void *)transaction->recipients->elts;
    envelope->recipient_count = (uint32_t)transaction->recipients->nelts;
    transaction->committing = true;
    demit_spool_writer_t *writer = transaction->writer;
    transaction->writer = NULL; /* the spool's now */
    demit_spool_commit(writer, envelope, NULL, on_done, transaction);
}

static void log_received(const demit_transaction_t *transaction)
{
    char sender[DEMIT_LOG_VALUE_MAX];

    demit_log(DEMIT_LOG_INFO, "received", "id=%s from=%s size=%" APR_UINT64_T_FMT " rcpts=%u client=%s tls=no",
              transaction->id_text,
              demit_log_quote(sender, sizeof sender,
                              apr_pstrcat(transaction->pool, "<", transaction->envelope.sender, ">", NULL)),
              (apr_uint64_t)transaction->envelope.size_bytes, transaction->envelope.recipient_count,
              transaction->client_text);
}

static void commit_done(demit_task_t *task)
{
    demit_transaction_t *transaction = DEMIT_CONTAINER_OF(task, demit_transaction_t, done_task);

    transaction->committing = false;
    if (transaction->commit_status == APR_SUCCESS) {
        log_received(transaction);
    } else {
        fail_with(transaction, transaction->commit_status);
    }
    if (!demit_transaction_bury(transaction)) {
        demit_receive_committed(transaction->session);
    }
}
