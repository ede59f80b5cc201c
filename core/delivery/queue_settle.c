#include "core/delivery/queue_priv.h"

#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>

#include "demit/log.h"

#include "core/delivery/schedule.h"

static const int64_t rerecord_pause_us = INT64_C(5) * 1000000;

int64_t demit_queue_age_us(const demit_queue_t *queue, const demit_queued_t *message)
{
    return queue->now_us - message->arrived_monotonic_us;
}

/* ---- the log ---------------------------------------------------------------------------------------------------- */

static const char *relay_text(const demit_delivery_t *delivery)
{
    if (delivery->remote_host == NULL && delivery->remote_ip == NULL) {
        return "-";
    }
    if (delivery->remote_ip == NULL) {
        return delivery->remote_host;
    }
    const char *host = delivery->remote_host != NULL ? delivery->remote_host : "";
    return apr_psprintf(delivery->pool, "%s[%s]", host, delivery->remote_ip);
}

static const char *event_of(demit_result_t result)
{
    switch (result) {
    case DEMIT_RESULT_DELIVERED:
    case DEMIT_RESULT_RELAYED:
        return "delivered";
    case DEMIT_RESULT_FAILED:
        return "failed";
    case DEMIT_RESULT_NONE:
    case DEMIT_RESULT_DEFERRED:
        break;
    }
    return "deferred";
}

/* SMTP's transport speaks LMTP, too; who reads the log wants to know which it was. */
static const char *via_of(const demit_destination_t *destination)
{
    if (destination->transport == NULL) {
        return "-";
    }
    return !destination->is_maildir && destination->settings->delivery_method == DEMIT_DELIVER_LMTP
               ? "lmtp"
               : destination->transport->name;
}

static void log_recipient(const demit_queue_t *queue, const demit_delivery_t *delivery,
                          const demit_delivery_recipient_t *recipient)
{
    const demit_ticket_t *ticket = delivery->queue_private;
    const demit_destination_t *destination = ticket->leg->destination;
    int64_t delay_us = demit_queue_age_us(queue, ticket->leg->message);
    char id[DEMIT_ID_TEXT_SIZE], to[DEMIT_LOG_VALUE_MAX], relay[DEMIT_LOG_VALUE_MAX], text[DEMIT_LOG_VALUE_MAX];
    demit_log(
        DEMIT_LOG_INFO, event_of(recipient->result), "id=%s to=%s via=%s status=%s delay=%.3f relay=%s text=%s",
        demit_id_format(delivery->envelope->id, id),
        demit_log_quote(to, sizeof(to), apr_pstrcat(delivery->pool, "<", recipient->recipient->address, ">", NULL)),
        via_of(destination), recipient->status, (double)delay_us / 1e6,
        demit_log_quote(relay, sizeof(relay), relay_text(delivery)),
        demit_log_quote(text, sizeof(text), recipient->diagnostic));
}

/* ---- results ---------------------------------------------------------------------------------------------------- */

/* A status that the transport forgot, or that is not of RFC 3463's form for RESULT, would spoil the DSN. */
static const char *sound_status(const demit_delivery_recipient_t *recipient)
{
    const char *status = recipient->status;
    switch (recipient->result) {
    case DEMIT_RESULT_DELIVERED:
    case DEMIT_RESULT_RELAYED:
        return status != NULL && status[0] == '2' ? status : "2.0.0";
    case DEMIT_RESULT_FAILED:
        return status != NULL && status[0] == '5' ? status : "5.0.0";
    case DEMIT_RESULT_NONE:
    case DEMIT_RESULT_DEFERRED:
        break;
    }
    return status != NULL && status[0] == '4' ? status : "4.0.0";
}

/* RFC 3463 3.5: X.4.7, delivery time expired. What the last attempt met is kept in the text. */
static void give_up(demit_delivery_t *delivery, demit_delivery_recipient_t *recipient)
{
    recipient->result = DEMIT_RESULT_FAILED;
    if (!recipient->diagnostic_is_smtp) {
        recipient->diagnostic =
            apr_pstrcat(delivery->pool, "delivery time expired; last: ", recipient->diagnostic, NULL);
    }
    recipient->status = "5.4.7";
}

/* Brings the results of DELIVERY into one form, and counts and logs them. */
static void take_results(demit_queue_t *queue, demit_delivery_t *delivery)
{
    demit_ticket_t *ticket = delivery->queue_private;
    for (uint32_t i = 0; i < delivery->recipient_count; i++) {
        demit_delivery_recipient_t *recipient = &delivery->recipients[i];
        if (recipient->result == DEMIT_RESULT_NONE) {
            recipient->result = DEMIT_RESULT_DEFERRED;
        }
        if (recipient->diagnostic == NULL) {
            recipient->diagnostic = "no answer";
        }
        recipient->status = sound_status(recipient);
        if (recipient->result == DEMIT_RESULT_DEFERRED) {
            queue->since_start.deferrals++;
            if (ticket->over) {
                give_up(delivery, recipient);
            }
        }
        log_recipient(queue, delivery, recipient);
    }
}

static void note_error(demit_leg_t *leg, const demit_delivery_t *delivery)
{
    for (uint32_t i = 0; i < delivery->recipient_count; i++) {
        const demit_delivery_recipient_t *recipient = &delivery->recipients[i];
        if (recipient->result != DEMIT_RESULT_DEFERRED && recipient->result != DEMIT_RESULT_FAILED) {
            continue;
        }
        demit_destination_t *destination = leg->destination;
        demit_note_t *note = demit_note_make(destination->note, recipient->diagnostic);
        if (note != NULL && note != destination->note) {
            demit_note_release(destination->note);
            note->references++;
            destination->note = note;
        }
        demit_note_release(leg->message->note);
        leg->message->note = note;
        return;
    }
}

/* Gives the connection back, and learns whether the host is there. */
static void end_in_batch(demit_queue_t *queue, const demit_delivery_t *delivery, demit_batch_t *batch)
{
    demit_destination_t *destination = batch->destination;
    if (delivery->connection_failed) {
        destination->failing = destination->expiring = true;
        demit_destination_rest(queue, destination, queue->now_us + destination->settings->host_failure_retry_us);
    } else {
        destination->failing = false;
    }
    if (--batch->outstanding == 0) {
        destination->batches--;
        if (!destination->is_maildir) {
            queue->connections--;
        }
        demit_list_remove(&batch->link);
        free(batch);
    }
}

void demit_queue_settle(demit_queue_t *queue, demit_delivery_t *delivery)
{
    demit_ticket_t *ticket = delivery->queue_private;
    demit_leg_t *leg = ticket->leg;
    int64_t age_us = demit_queue_age_us(queue, leg->message);
    ticket->over = demit_schedule_is_over(leg->destination->settings, leg->attempts + 1, age_us);
    take_results(queue, delivery);
    note_error(leg, delivery);
    if (ticket->batch != NULL) {
        demit_batch_t *batch = ticket->batch;
        ticket->batch = NULL;
        end_in_batch(queue, delivery, batch);
        demit_destination_reconsider(queue, leg->destination); /* the leg keeps it alive */
    }
    if (!demit_queue_bounce(queue, delivery)) {
        demit_queue_apply(queue, delivery, demit_queue_outcome(queue, delivery), false);
    }
}

static void on_report(demit_task_t *task)
{
    demit_delivery_t *delivery = DEMIT_CONTAINER_OF(task, demit_delivery_t, task);
    demit_ticket_t *ticket = delivery->queue_private;
    demit_queue_settle(ticket->queue, delivery);
}

void demit_queue_report(demit_queue_t *queue, demit_delivery_t *delivery)
{
    delivery->task.run = on_report;
    demit_queue_post(queue, &delivery->task);
}

/* ---- outcomes --------------------------------------------------------------------------------------------------- */

static bool is_settled(const demit_delivery_recipient_t *recipient)
{
    return recipient->result == DEMIT_RESULT_DELIVERED || recipient->result == DEMIT_RESULT_RELAYED ||
           recipient->result == DEMIT_RESULT_FAILED;
}

static demit_recipient_state_t state_of(const demit_delivery_recipient_t *recipient)
{
    return recipient->result == DEMIT_RESULT_FAILED ? DEMIT_RECIPIENT_FAILED : DEMIT_RECIPIENT_DELIVERED;
}

/*
 * The earliest time at which any leg of MESSAGE is tried again, OWN_US being that of OWN: after a crash the message
 * comes back as a whole. In terms of the wall clock, because it outlives the process.
 */
static int64_t next_attempt_us(const demit_queue_t *queue, const demit_queued_t *message, const demit_leg_t *own,
                               int64_t own_us)
{
    int64_t next = own_us;
    for (const demit_leg_t *leg = message->legs; leg != NULL; leg = leg->next) {
        if (leg != own && leg->state == DEMIT_LEG_WAITING && leg->node.due_us < next) {
            next = leg->node.due_us;
        }
    }
    return demit_queue_wall_us(queue) + (next - queue->now_us);
}

demit_spool_outcome_t *demit_queue_outcome(demit_queue_t *queue, demit_delivery_t *delivery)
{
    const demit_ticket_t *ticket = delivery->queue_private;
    const demit_leg_t *leg = ticket->leg;
    const demit_queued_t *message = leg->message;
    uint32_t *indices = apr_palloc(delivery->pool, delivery->recipient_count * sizeof(*indices));
    demit_recipient_state_t *states = apr_palloc(delivery->pool, delivery->recipient_count * sizeof(*states));
    demit_spool_outcome_t *outcome = apr_pcalloc(delivery->pool, sizeof(*outcome));
    for (uint32_t i = 0; i < delivery->recipient_count; i++) {
        if (!is_settled(&delivery->recipients[i])) {
            continue;
        }
        indices[outcome->count] = delivery->recipients[i].index;
        states[outcome->count++] = state_of(&delivery->recipients[i]);
    }
    outcome->id = message->id;
    outcome->location = message->location;
    outcome->final = message->pending == outcome->count;
    outcome->delay_dsn_sent = message->delay_dsn_sent;
    outcome->attempts = leg->attempts + 1 > message->attempts ? leg->attempts + 1 : message->attempts;
    int64_t pause_us =
        demit_schedule_pause_us(leg->destination->settings, leg->attempts + 1, demit_queue_age_us(queue, message));
    outcome->next_attempt_us = next_attempt_us(queue, message, leg, queue->now_us + pause_us);
    outcome->recipients = indices;
    outcome->states = states;
    return outcome;
}

/* An outcome on its way through the committer. */
typedef struct record {
    demit_task_t task;
    demit_queue_t *queue;
    demit_queued_t *message;
    apr_status_t status;
} record_t;

/* The disk would not take an outcome: what is known stays known here, and is written again as a whole in a while. */
static void remember_unrecorded(demit_queue_t *queue, demit_queued_t *message, apr_status_t status)
{
    char id[DEMIT_ID_TEXT_SIZE], text[DEMIT_LOG_VALUE_MAX];
    demit_log(DEMIT_LOG_ERROR, "outcome_not_stored", "id=%s error=%s note=\"a crash now would deliver it again\"",
              demit_id_format(message->id, id), demit_log_status(text, sizeof(text), status));
    message->final_recorded = false;
    if (message->unrecorded) {
        return;
    }
    if (queue->unrecorded_count == queue->unrecorded_space) {
        uint32_t space = queue->unrecorded_space > 0 ? queue->unrecorded_space * 2 : 64;
        uint64_t *ids = realloc(queue->unrecorded, space * sizeof(*ids));
        if (ids == NULL) {
            return; /* it stays in memory, and in the spool until the next start */
        }
        queue->unrecorded = ids;
        queue->unrecorded_space = space;
    }
    message->unrecorded = true;
    queue->unrecorded[queue->unrecorded_count++] = message->id;
    queue->rerecord_us = queue->now_us + rerecord_pause_us;
}

static void on_recorded(demit_task_t *task)
{
    record_t *record = DEMIT_CONTAINER_OF(task, record_t, task);
    demit_queue_t *queue = record->queue;
    demit_queued_t *message = record->message;
    queue->records_under_way--;
    message->records--;
    if (record->status != APR_SUCCESS) {
        remember_unrecorded(queue, message, record->status);
    }
    free(record);
    demit_queue_move_if_idle(queue, message);
    demit_queue_let_go(queue, message);
}

bool demit_queue_discard_record(demit_task_t *task)
{
    if (task->run != on_recorded) {
        return false;
    }
    free(DEMIT_CONTAINER_OF(task, record_t, task));
    return true;
}

/* Committer's thread. */
static void recorded(void *baton, apr_status_t status, demit_spool_location_t location)
{
    record_t *record = baton;
    (void)location;
    record->status = status;
    record->task.run = on_recorded;
    demit_queue_post(record->queue, &record->task);
}

/* -Wanalyzer-malloc-leak in write_record(): gcc 12 forgets that QUEUE->unrecorded stands behind a pointer, and is freed
   when the queue is. */
static void write_record(demit_queue_t *queue, demit_queued_t *message, const demit_spool_outcome_t *outcome)
{
    record_t *record = calloc(1, sizeof(*record));
    if (record == NULL) {
        remember_unrecorded(queue, message, APR_ENOMEM);
        return;
    }
    record->queue = queue;
    record->message = message;
    message->records++;
    queue->records_under_way++;
    if (outcome->final) {
        message->final_recorded = true;
    }
    demit_spool_record_outcome(queue->spool, outcome, recorded, record);
}

void demit_queue_record_all(demit_queue_t *queue, demit_queued_t *message)
{
    apr_pool_t *pool = queue->scratch;
    uint32_t *indices = apr_palloc(pool, message->recipient_count * sizeof(*indices) + 1);
    demit_recipient_state_t *states = apr_palloc(pool, message->recipient_count * sizeof(*states) + 1);
    demit_spool_outcome_t outcome = {.id = message->id, .location = message->location};
    for (uint32_t i = 0; i < message->recipient_count; i++) {
        if (message->recipients[i].state == DEMIT_RECIPIENT_PENDING) {
            continue;
        }
        indices[outcome.count] = i;
        states[outcome.count++] = (demit_recipient_state_t)message->recipients[i].state;
    }
    outcome.final = message->pending == 0;
    outcome.delay_dsn_sent = message->delay_dsn_sent;
    outcome.attempts = message->attempts;
    outcome.next_attempt_us = message->next_attempt_us;
    outcome.recipients = indices;
    outcome.states = states;
    write_record(queue, message, &outcome);
    apr_pool_clear(pool);
}

void demit_queue_rerecord(demit_queue_t *queue)
{
    uint32_t count = queue->unrecorded_count;
    uint64_t *ids = queue->unrecorded;
    queue->unrecorded = NULL;
    queue->unrecorded_count = queue->unrecorded_space = 0;
    for (uint32_t i = 0; i < count; i++) {
        demit_queued_t *message = demit_queue_index_find(&queue->index, ids[i]);
        if (message == NULL) {
            continue;
        }
        message->unrecorded = false;
        demit_queue_record_all(queue, message);
    }
    free(ids);
}

/* ---- what the results mean here ---------------------------------------------------------------------------------- */

static void settle_recipients(demit_queue_t *queue, demit_delivery_t *delivery, demit_leg_t *leg)
{
    demit_queued_t *message = leg->message;
    for (uint32_t i = 0; i < delivery->recipient_count; i++) {
        const demit_delivery_recipient_t *recipient = &delivery->recipients[i];
        demit_queued_recipient_t *queued = &message->recipients[recipient->index];
        queued->busy = false;
        if (!is_settled(recipient)) {
            continue;
        }
        queued->state = (uint8_t)state_of(recipient);
        if (recipient->result == DEMIT_RESULT_FAILED) {
            queue->since_start.failed++;
        } else {
            queue->since_start.delivered++;
        }
        leg->pending--;
        message->pending--;
        queue->recipients_pending--;
    }
}

/* All deliveries of LEG are back: it is over, or is tried again after a pause. */
static void end_of_attempt(demit_queue_t *queue, demit_leg_t *leg)
{
    demit_queued_t *message = leg->message;
    leg->attempts++;
    if (leg->attempts > message->attempts) {
        message->attempts = leg->attempts;
    }
    if (leg->pending == 0) {
        demit_leg_set_state(queue, leg, DEMIT_LEG_OVER, 0);
        return;
    }
    int64_t pause_us =
        demit_schedule_pause_us(leg->destination->settings, leg->attempts, demit_queue_age_us(queue, message));
    if (leg->astray) {
        demit_leg_find_way(queue, leg, queue->now_us + pause_us);
    } else {
        demit_leg_set_state(queue, leg, DEMIT_LEG_WAITING, queue->now_us + pause_us);
    }
}

void demit_queue_apply(demit_queue_t *queue, demit_delivery_t *delivery, const demit_spool_outcome_t *outcome,
                       bool is_recorded)
{
    const demit_ticket_t *ticket = delivery->queue_private;
    demit_leg_t *leg = ticket->leg;
    demit_queued_t *message = leg->message;
    settle_recipients(queue, delivery, leg);
    message->next_attempt_us = outcome->next_attempt_us;
    message->delay_dsn_sent = message->delay_dsn_sent || outcome->delay_dsn_sent;
    if (!is_recorded) {
        write_record(queue, message, outcome);
    } else if (outcome->final) {
        message->final_recorded = true;
    }
    leg->under_way--;
    queue->deliveries_under_way--;
    apr_pool_destroy(delivery->pool);

    if (leg->under_way == 0) {
        end_of_attempt(queue, leg);
    }
    /* Two legs that settled at the same time each believed the other to be pending. */
    if (message->pending == 0 && !message->final_recorded && !message->unrecorded) {
        demit_queue_record_all(queue, message);
    }
    demit_queue_move_if_idle(queue, message);
    demit_queue_let_go(queue, message);
}
