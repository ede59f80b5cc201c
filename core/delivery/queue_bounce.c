/*
 * A notification is written in three threads: the queue's decides what it says, a disk worker reads the original and
 * writes the bytes, the committer makes it durable, in one record with the outcome that it reports. Then the queue's
 * thread believes the outcome. If the disk would not take it, the failed recipients stay pending and are tried again:
 * a failure that nobody can be told of has not happened yet.
 */
#include "core/delivery/queue_priv.h"

#include <string.h>

#include <apr_strings.h>

#include "demit/log.h"

#include "core/delivery/schedule.h"

enum { PIECE_SIZE = 64 * 1024 };

typedef enum bounce_step { STEP_OPEN, STEP_HEAD, STEP_READ, STEP_APPEND, STEP_TAIL, STEP_COMMIT } bounce_step_t;

typedef struct bounce {
    demit_task_t task; /* to the workers and back */
    demit_queue_t *queue;
    demit_delivery_t *delivery;
    demit_dsn_t dsn;
    bool tells_delay;
    demit_envelope_t envelope; /* of the notification */
    demit_recipient_t recipient;
    demit_spool_outcome_t *outcome;
    demit_spool_writer_t *writer;
    demit_spool_reader_t *reader; /* of the original; NULL: it is not returned */
    bounce_step_t step;
    const char *head, *tail;
    char *piece;
    size_t piece_size;
    uint64_t offset, end; /* of the original: what was read, what is returned */
    apr_status_t status;
    demit_spool_location_t location;
} bounce_t;

/* ---- what is due ------------------------------------------------------------------------------------------------- */

/*
 * Whether it is for us to say that RECIPIENT's mail arrived, and in which words: a mailbox cannot, and an LMTP server
 * (the mailbox's side of RFC 2033) does so only if it offers DSN. Mail that went to another host is "relayed" where
 * that host does not offer DSN; where it does, the request was passed on (RFC 3461 section 5.2).
 */
static bool success_action(const demit_delivery_t *delivery, const demit_delivery_recipient_t *recipient,
                           demit_dsn_action_t *action)
{
    *action = DEMIT_DSN_DELIVERED;
    switch (delivery->settings->delivery_method) {
    case DEMIT_DELIVER_MAILDIR:
        return true;
    case DEMIT_DELIVER_LMTP:
        return !delivery->peer_notifies;
    case DEMIT_DELIVER_ESMTP:
    case DEMIT_DELIVER_SMTP:
        break;
    }
    *action = DEMIT_DSN_RELAYED;
    return recipient->result == DEMIT_RESULT_RELAYED;
}

/* Whether RECIPIENT's result is to be reported, and as what. */
static bool is_due(const demit_queue_t *queue, const demit_delivery_t *delivery,
                   const demit_delivery_recipient_t *recipient, demit_dsn_action_t *action)
{
    const demit_ticket_t *ticket = delivery->queue_private;
    const demit_domain_settings_t *settings = delivery->settings;
    uint8_t notify = recipient->recipient->notify;
    switch (recipient->result) {
    case DEMIT_RESULT_DELIVERED:
    case DEMIT_RESULT_RELAYED:
        return (notify & DEMIT_NOTIFY_SUCCESS) != 0 && success_action(delivery, recipient, action);
    case DEMIT_RESULT_FAILED:
        *action = DEMIT_DSN_FAILED;
        return settings->generate_bounces && (notify == 0 || (notify & DEMIT_NOTIFY_FAILURE) != 0);
    case DEMIT_RESULT_NONE:
    case DEMIT_RESULT_DEFERRED:
        break;
    }
    *action = DEMIT_DSN_DELAYED;
    return settings->generate_delay_dsn && !ticket->leg->delay_told &&
           (notify == 0 || (notify & DEMIT_NOTIFY_DELAY) != 0) &&
           demit_schedule_is_delayed(settings, demit_queue_age_us(queue, ticket->leg->message));
}

/* RFC 5321 section 4.5.5: what has the null reverse-path is never answered. Its loss is at least said aloud. */
static void log_without_sender(const demit_delivery_t *delivery)
{
    bool is_ours = (delivery->envelope->flags & DEMIT_MESSAGE_BOUNCE) != 0;
    char id[DEMIT_ID_TEXT_SIZE], to[DEMIT_LOG_VALUE_MAX];
    for (uint32_t i = 0; i < delivery->recipient_count; i++) {
        const demit_delivery_recipient_t *recipient = &delivery->recipients[i];
        if (recipient->result != DEMIT_RESULT_FAILED) {
            continue;
        }
        demit_log(is_ours ? DEMIT_LOG_ERROR : DEMIT_LOG_WARNING, "double_bounce", "id=%s to=%s status=%s note=\"%s\"",
                  demit_id_format(delivery->envelope->id, id),
                  demit_log_quote(to, sizeof(to), recipient->recipient->address), recipient->status,
                  is_ours ? "a notification of ours could not be delivered and is dropped"
                          : "mail from <> could not be delivered and is dropped");
    }
}

static void collect(const demit_queue_t *queue, const demit_delivery_t *delivery, demit_dsn_t *dsn)
{
    demit_dsn_recipient_t *due = apr_palloc(delivery->pool, delivery->recipient_count * sizeof(*due));
    for (uint32_t i = 0; i < delivery->recipient_count; i++) {
        const demit_delivery_recipient_t *recipient = &delivery->recipients[i];
        demit_dsn_action_t action = DEMIT_DSN_FAILED;
        if (!is_due(queue, delivery, recipient, &action)) {
            continue;
        }
        due[dsn->recipient_count++] = (demit_dsn_recipient_t){.recipient = recipient->recipient,
                                                              .action = action,
                                                              .status = recipient->status,
                                                              .diagnostic = recipient->diagnostic,
                                                              .diagnostic_is_smtp = recipient->diagnostic_is_smtp};
    }
    dsn->recipients = due;
}

/* ---- writing it: disk workers ------------------------------------------------------------------------------------ */

/*
 * Without its original a notification is still one (RFC 6522 section 3: the third part is optional). An original that
 * the disk has spoilt must not keep it from being written: who waits for it would wait for ever.
 */
static void open_original(bounce_t *bounce)
{
    apr_pool_t *pool = bounce->delivery->pool;
    bounce->dsn.what = demit_dsn_choose_return(&bounce->dsn);
    bounce->piece = apr_palloc(pool, PIECE_SIZE);
    apr_status_t status =
        demit_spool_reader_open(&bounce->reader, NULL, bounce->queue->spool, bounce->delivery->location, pool);
    if (status == APR_SUCCESS) {
        status = demit_spool_reader_verify(bounce->reader);
    }
    if (status == APR_SUCCESS && bounce->dsn.what == DEMIT_DSN_RETURN_HEADER) {
        size_t size = PIECE_SIZE;
        status = demit_spool_reader_read(bounce->reader, 0, bounce->piece, &size);
        bounce->end = status == APR_SUCCESS ? demit_dsn_header_size(bounce->piece, size) : 0;
    } else if (status == APR_SUCCESS) {
        bounce->end = demit_spool_reader_size(bounce->reader);
    }
    if (status != APR_SUCCESS) {
        char id[DEMIT_ID_TEXT_SIZE], text[DEMIT_LOG_VALUE_MAX];
        demit_log(DEMIT_LOG_ERROR, "original_unreadable", "id=%s error=%s",
                  demit_id_format(bounce->dsn.original->id, id), demit_log_status(text, sizeof(text), status));
    }
    if (bounce->end == 0) {
        bounce->dsn.what = DEMIT_DSN_RETURN_NOTHING;
    }
}

/* Committer's thread: there is room again. */
static void on_room(void *baton)
{
    bounce_t *bounce = baton;
    demit_workers_submit(bounce->queue->workers, &bounce->task);
}

static apr_status_t step_open(bounce_t *bounce)
{
    apr_pool_t *pool = bounce->delivery->pool;
    open_original(bounce);
    bounce->head = demit_dsn_head(&bounce->dsn, &bounce->envelope.flags, pool);
    bounce->tail = demit_dsn_tail(&bounce->dsn, pool);
    bounce->step = STEP_HEAD;
    return demit_spool_begin(&bounce->writer, bounce->queue->spool, on_room, bounce);
}

static apr_status_t step_read(bounce_t *bounce)
{
    if (bounce->offset >= bounce->end) {
        bounce->step = STEP_TAIL;
        return APR_SUCCESS;
    }
    uint64_t left = bounce->end - bounce->offset;
    bounce->piece_size = left < PIECE_SIZE ? (size_t)left : PIECE_SIZE;
    apr_status_t status = demit_spool_reader_read(bounce->reader, bounce->offset, bounce->piece, &bounce->piece_size);
    if (status == APR_SUCCESS && bounce->piece_size == 0) {
        bounce->end = bounce->offset;
    } else {
        bounce->step = STEP_APPEND;
    }
    bounce->offset += bounce->piece_size;
    return status;
}

/* Appends SIZE bytes and goes on to NEXT. On APR_EAGAIN the step stays, and is taken again when there is room. */
static apr_status_t append(bounce_t *bounce, const char *bytes, size_t size, bounce_step_t next)
{
    apr_status_t status = demit_spool_append(bounce->writer, bytes, size);
    if (status == APR_SUCCESS) {
        bounce->step = next;
    }
    return status;
}

static apr_status_t take_step(bounce_t *bounce)
{
    switch (bounce->step) {
    case STEP_OPEN:
        return step_open(bounce);
    case STEP_HEAD:
        return append(bounce, bounce->head, strlen(bounce->head),
                      bounce->dsn.what == DEMIT_DSN_RETURN_NOTHING ? STEP_TAIL : STEP_READ);
    case STEP_READ:
        return step_read(bounce);
    case STEP_APPEND:
        return append(bounce, bounce->piece, bounce->piece_size, STEP_READ);
    case STEP_TAIL:
        return append(bounce, bounce->tail, strlen(bounce->tail), STEP_COMMIT);
    case STEP_COMMIT:
        break;
    }
    return APR_SUCCESS;
}

static void on_bounce_done(demit_task_t *task);

static void finish(bounce_t *bounce, apr_status_t status)
{
    bounce->status = status;
    bounce->task.run = on_bounce_done;
    demit_queue_post(bounce->queue, &bounce->task);
}

/* Committer's thread. */
static void committed(void *baton, apr_status_t status, demit_spool_location_t location)
{
    bounce_t *bounce = baton;
    bounce->location = location;
    finish(bounce, status);
}

static void write_bounce(demit_task_t *task)
{
    bounce_t *bounce = DEMIT_CONTAINER_OF(task, bounce_t, task);
    apr_status_t status = APR_SUCCESS;
    while (status == APR_SUCCESS && bounce->step != STEP_COMMIT) {
        status = take_step(bounce);
    }
    if (status == APR_EAGAIN) {
        return; /* on_room() goes on, perhaps already */
    }
    if (bounce->reader != NULL) {
        demit_spool_reader_close(bounce->reader);
    }
    bounce->reader = NULL;
    if (status == APR_SUCCESS) {
        demit_spool_commit(bounce->writer, &bounce->envelope, bounce->outcome, committed, bounce);
        return;
    }
    if (bounce->writer != NULL) {
        demit_spool_discard(bounce->writer);
    }
    finish(bounce, status);
}

/* ---- afterwards: the queue's thread ------------------------------------------------------------------------------ */

static void after_success(demit_queue_t *queue, bounce_t *bounce)
{
    demit_ticket_t *ticket = bounce->delivery->queue_private;
    char id[DEMIT_ID_TEXT_SIZE], dsn[DEMIT_ID_TEXT_SIZE], to[DEMIT_LOG_VALUE_MAX];
    demit_log(DEMIT_LOG_INFO, "notified", "id=%s to=%s dsn=%s", demit_id_format(bounce->dsn.original->id, id),
              demit_log_quote(to, sizeof(to), bounce->recipient.address), demit_id_format(bounce->envelope.id, dsn));
    queue->since_start.bounced++;
    ticket->leg->delay_told = ticket->leg->delay_told || bounce->tells_delay;
    demit_queue_accept(queue, &bounce->envelope, bounce->location); /* copies */
    demit_queue_apply(queue, bounce->delivery, bounce->outcome, true);
}

/* Nobody was told: what failed has not failed yet. What was delivered was, and is recorded as ever. */
static void after_failure(demit_queue_t *queue, bounce_t *bounce)
{
    demit_delivery_t *delivery = bounce->delivery;
    char id[DEMIT_ID_TEXT_SIZE], text[DEMIT_LOG_VALUE_MAX];
    demit_log(DEMIT_LOG_ERROR, "notification_not_stored", "id=%s error=%s note=\"what failed stays in the queue\"",
              demit_id_format(bounce->dsn.original->id, id), demit_log_status(text, sizeof(text), bounce->status));
    for (uint32_t i = 0; i < delivery->recipient_count; i++) {
        if (delivery->recipients[i].result == DEMIT_RESULT_FAILED) {
            delivery->recipients[i].result = DEMIT_RESULT_DEFERRED;
        }
    }
    demit_queue_apply(queue, delivery, demit_queue_outcome(queue, delivery), false);
}

static void on_bounce_done(demit_task_t *task)
{
    bounce_t *bounce = DEMIT_CONTAINER_OF(task, bounce_t, task);
    if (bounce->status == APR_SUCCESS) {
        after_success(bounce->queue, bounce);
    } else {
        after_failure(bounce->queue, bounce);
    }
}

/* ---- beginning --------------------------------------------------------------------------------------------------- */

static void prepare(demit_queue_t *queue, demit_delivery_t *delivery, bounce_t *bounce)
{
    const demit_ticket_t *ticket = delivery->queue_private;
    const demit_queued_t *message = ticket->leg->message;
    demit_dsn_t *dsn = &bounce->dsn;
    dsn->hostname = delivery->server_settings->hostname; /* a disk worker reads it */
    dsn->remote_host = delivery->remote_host;
    dsn->id = demit_spool_next_id(queue->spool);
    dsn->now_us = demit_queue_wall_us(queue);
    dsn->retry_until_us = message->arrived_us + delivery->settings->message_expiration_us;
    dsn->boundary = demit_dsn_boundary(dsn->id, delivery->pool);
    for (uint32_t i = 0; i < dsn->recipient_count; i++) {
        if (dsn->recipients[i].action == DEMIT_DSN_DELAYED) {
            bounce->tells_delay = true;
        }
    }

    bounce->queue = queue;
    bounce->delivery = delivery;
    bounce->outcome = demit_queue_outcome(queue, delivery);
    if (bounce->tells_delay) {
        bounce->outcome->delay_dsn_sent = true;
    }
    bounce->recipient.address = delivery->envelope->sender;
    bounce->recipient.notify = DEMIT_NOTIFY_NEVER; /* RFC 3461 section 6.1, where the next hop offers DSN */
    bounce->envelope.id = dsn->id;
    bounce->envelope.arrived_us = dsn->now_us;
    bounce->envelope.sender = "";
    bounce->envelope.recipients = &bounce->recipient;
    bounce->envelope.recipient_count = 1;
}

bool demit_queue_bounce(demit_queue_t *queue, demit_delivery_t *delivery)
{
    const char *sender = delivery->envelope->sender;
    if (sender == NULL || sender[0] == '\0') {
        log_without_sender(delivery);
        return false;
    }
    demit_dsn_t dsn = {.original = delivery->envelope};
    collect(queue, delivery, &dsn);
    if (dsn.recipient_count == 0) {
        return false;
    }
    bounce_t *bounce = apr_pcalloc(delivery->pool, sizeof(*bounce));
    bounce->dsn = dsn;
    prepare(queue, delivery, bounce);
    bounce->task.run = write_bounce;
    demit_workers_submit(queue->workers, &bounce->task);
    return true;
}
