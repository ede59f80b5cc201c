#include "core/delivery/queue_priv.h"

#include <stdlib.h>

#include <apr_strings.h>

#include "demit/log.h"
#include "demit/os.h"

/* ---- where a message goes --------------------------------------------------------------------------------------- */

/*
 * Gives every pending recipient of MESSAGE its leg. FOUND[i] becomes the destination of leg i; returns how many there
 * are. A destination remembers which leg of the message that came last is its own, so this is one look per recipient.
 */
static uint32_t assign_legs(demit_queue_t *queue, demit_queued_t *message, demit_destination_t **found)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < message->recipient_count; i++) {
        demit_queued_recipient_t *recipient = &message->recipients[i];
        recipient->leg = DEMIT_NO_LEG;
        if (recipient->state != DEMIT_RECIPIENT_PENDING) {
            continue;
        }
        demit_destination_t *destination = demit_destination_for(queue, demit_queued_address(message, recipient));
        if (destination == NULL) {
            continue;
        }
        if (destination->intake_id != message->id) {
            destination->intake_id = message->id;
            destination->intake_leg = count;
            found[count++] = destination;
        }
        recipient->leg = destination->intake_leg;
    }
    return count;
}

/* When a recovered message is due. The wall clock may have been set meanwhile, so it is believed within limits only. */
static int64_t due_us(const demit_queue_t *queue, const demit_queued_t *message, const demit_destination_t *destination)
{
    if (message->next_attempt_us == 0) {
        return queue->now_us;
    }
    int64_t pause = message->next_attempt_us - demit_queue_wall_us(queue);
    if (pause > destination->settings->max_retry_interval_us) {
        pause = destination->settings->max_retry_interval_us;
    }
    return queue->now_us + (pause > 0 ? pause : 0);
}

static void begin_legs(demit_queue_t *queue, demit_queued_t *message, demit_destination_t **found)
{
    for (uint32_t i = 0; i < message->leg_count; i++) {
        demit_leg_t *leg = &message->legs[i];
        leg->message = message;
        leg->number = i;
        leg->next = i + 1 < message->leg_count ? leg + 1 : NULL;
        leg->destination = found[i];
        leg->attempts = message->attempts;
        leg->delay_told = message->delay_dsn_sent;
    }
    for (uint32_t i = 0; i < message->recipient_count; i++) {
        if (message->recipients[i].leg != DEMIT_NO_LEG) {
            message->legs[message->recipients[i].leg].pending++;
        }
    }
    for (uint32_t i = 0; i < message->leg_count; i++) {
        int64_t due = due_us(queue, message, found[i]);
        demit_leg_set_state(queue, &message->legs[i], due > queue->now_us ? DEMIT_LEG_WAITING : DEMIT_LEG_READY, due);
    }
}

/* Recovered messages are older than any that came since the start: they stand in front, in the order of their coming.
 */
static void insert_by_age(demit_queue_t *queue, demit_queued_t *message)
{
    if (!message->recovered) {
        demit_list_append(&queue->by_age, &message->by_age);
        return;
    }
    demit_list_insert_after(queue->last_recovered, &message->by_age);
    queue->last_recovered = &message->by_age;
}

void demit_queue_take_in(demit_queue_t *queue, demit_queued_t *message)
{
    int64_t age_us = demit_queue_wall_us(queue) - message->arrived_us;
    message->arrived_monotonic_us = queue->now_us - (age_us > 0 ? age_us : 0);
    insert_by_age(queue, message);
    demit_queue_index_add(&queue->index, message);
    queue->recipients_pending += message->pending;

    demit_destination_t **found = apr_palloc(queue->scratch, message->recipient_count * sizeof(*found) + 1);
    message->leg_count = assign_legs(queue, message, found);
    if (message->leg_count > 1) {
        demit_leg_t *legs = calloc(message->leg_count, sizeof(demit_leg_t));
        if (legs == NULL) {
            char id[DEMIT_ID_TEXT_SIZE];
            demit_log(DEMIT_LOG_ERROR, "queue_memory", "id=%s note=\"left in the spool until the next start\"",
                      demit_id_format(message->id, id));
            message->leg_count = 0;
            for (uint32_t i = 0; i < message->recipient_count; i++) {
                message->recipients[i].leg = DEMIT_NO_LEG;
            }
        } else {
            message->legs = legs;
        }
    }
    begin_legs(queue, message, found);
    apr_pool_clear(queue->scratch);
    if (message->pending == 0) { /* its last outcomes were not written as one, and a crash came in between */
        demit_queue_record_all(queue, message);
    }
}

void demit_queue_let_go(demit_queue_t *queue, demit_queued_t *message)
{
    if (message->pending > 0 || message->active > 0 || message->records > 0 || message->moving ||
        !message->final_recorded || message->unrecorded) {
        return;
    }
    if (message->move_ticket != NULL) {
        demit_spool_move_skip(queue->spool, message->move_ticket);
    }
    if (queue->last_recovered == &message->by_age) {
        queue->last_recovered = message->by_age.prev;
    }
    demit_list_remove(&message->by_age);
    demit_queue_index_remove(&queue->index, message);
    demit_queued_free(message);
}

/* ---- where messages come from ----------------------------------------------------------------------------------- */

static void on_arrival(demit_task_t *task)
{
    demit_queued_t *message = DEMIT_CONTAINER_OF(task, demit_queued_t, arriving.task);
    demit_queue_t *queue = message->arriving.queue;
    if (!message->recovered) {
        queue->since_start.received++;
    }
    demit_queue_take_in(queue, message);
}

static void send_in(demit_queue_t *queue, const demit_envelope_t *envelope, demit_spool_location_t location,
                    bool recovered)
{
    demit_queued_t *message = demit_queued_pack(envelope, location);
    if (message == NULL) {
        char id[DEMIT_ID_TEXT_SIZE];
        demit_log(DEMIT_LOG_ERROR, "queue_memory", "id=%s note=\"left in the spool until the next start\"",
                  demit_id_format(envelope->id, id));
        return;
    }
    message->recovered = recovered;
    message->arriving.queue = queue;
    message->arriving.task.run = on_arrival;
    demit_queue_post(queue, &message->arriving.task);
}

void demit_queue_accept(demit_queue_t *queue, const demit_envelope_t *envelope, demit_spool_location_t location)
{
    send_in(queue, envelope, location, false);
}

static void on_recovered_message(void *baton, const demit_envelope_t *envelope, demit_spool_location_t location)
{
    send_in(baton, envelope, location, true);
}

static void on_recovery_done(demit_task_t *task)
{
    DEMIT_CONTAINER_OF(task, demit_queue_t, recovered_task)->recovering = false;
}

void *APR_THREAD_FUNC demit_queue_recover(apr_thread_t *thread, void *baton)
{
    demit_queue_t *queue = baton;
    demit_spool_recovery_t found = {0};
    (void)thread;
    apr_pool_t *pool = NULL;
    demit_os_name_thread("demit-recover");
    apr_status_t status = apr_pool_create(&pool, NULL);
    if (status == APR_SUCCESS) {
        apr_pool_tag(pool, "recovery");
        status = demit_spool_recover(queue->spool, &found, on_recovered_message, queue, pool);
        apr_pool_destroy(pool);
    }
    char text[DEMIT_LOG_VALUE_MAX];
    if (APR_STATUS_IS_EINTR(status)) {
        demit_log(DEMIT_LOG_INFO, "recovery_ended",
                  "note=\"stopped before it was through: the next start begins again\"");
    } else if (status != APR_SUCCESS) {
        demit_log(DEMIT_LOG_ERROR, "recovery_failed", "error=%s", demit_log_status(text, sizeof(text), status));
    }
    queue->recovered_task.run = on_recovery_done;
    demit_queue_post(queue, &queue->recovered_task);
    return NULL;
}

/* ---- the end ---------------------------------------------------------------------------------------------------- */

/* Tasks that came when nobody ran them any more. Those that are part of something else go with that. */
static void discard_tasks(demit_task_t *task)
{
    while (task != NULL) {
        demit_task_t *next = task->next;
        if (task->run == on_arrival) {
            demit_queued_free(DEMIT_CONTAINER_OF(task, demit_queued_t, arriving.task));
        } else if (!demit_queue_discard_record(task) && !demit_queue_discard_settings(task)) {
            (void)demit_queue_discard_move(task);
        }
        task = next;
    }
}

void demit_queue_discard_posted(demit_queue_t *queue)
{
    discard_tasks(atomic_exchange(&queue->mailbox, NULL));
    discard_tasks(queue->inbox);
    queue->inbox = NULL;
}

void demit_queue_forget_all(demit_queue_t *queue)
{
    demit_queue_discard_posted(queue);
    for (demit_link_t *link; (link = demit_list_shift(&queue->by_age)) != NULL;) {
        demit_queued_free(DEMIT_CONTAINER_OF(link, demit_queued_t, by_age));
    }
    for (apr_hash_index_t *at = apr_hash_first(NULL, queue->destinations); at != NULL; at = apr_hash_next(at)) {
        void *destination;
        apr_hash_this(at, NULL, NULL, &destination);
        demit_destination_free(queue, destination);
    }
    while (!demit_list_is_empty(&queue->abandoned)) {
        demit_destination_free(queue, DEMIT_CONTAINER_OF(queue->abandoned.next, demit_destination_t, leaving));
    }
    for (demit_link_t *link; (link = demit_list_shift(&queue->batches)) != NULL;) {
        free(DEMIT_CONTAINER_OF(link, demit_batch_t, link));
    }
    free(queue->unrecorded);
    queue->unrecorded = NULL;
    demit_queue_index_destroy(&queue->index);
    demit_settings_release(queue->settings);
}
