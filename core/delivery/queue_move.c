/*
 * Compaction asks for messages to be written anew elsewhere. A message moves only while nothing of it is under way: a
 * delivery reads the body where it stood when the delivery was made.
 */
#include "core/delivery/queue_priv.h"

#include <stdlib.h>

#include "demit/log.h"

typedef struct move_request {
    demit_task_t task;
    demit_queue_t *queue;
    uint64_t id;
    demit_spool_location_t from, to;
    void *ticket;
} move_request_t;

static bool is_same(demit_spool_location_t one, demit_spool_location_t other)
{
    return one.segment == other.segment && one.block == other.block;
}

void demit_queue_move_if_idle(demit_queue_t *queue, demit_queued_t *message)
{
    if (message->move_ticket == NULL || message->active > 0 || message->records > 0 || message->unrecorded ||
        message->pending == 0) {
        return;
    }
    void *ticket = message->move_ticket;
    message->move_ticket = NULL;
    message->moving = true;
    for (demit_leg_t *leg = message->legs; leg != NULL; leg = leg->next) {
        if (leg->state == DEMIT_LEG_READY) {
            demit_leg_set_state(queue, leg, DEMIT_LEG_BLOCKED, 0);
        }
    }
    apr_pool_t *pool = queue->scratch;
    demit_spool_move(queue->spool, ticket, demit_queued_envelope(message, pool));
    apr_pool_clear(pool);
}

static void on_move(demit_task_t *task)
{
    move_request_t *request = DEMIT_CONTAINER_OF(task, move_request_t, task);
    demit_queue_t *queue = request->queue;
    demit_queued_t *message = demit_queue_index_find(&queue->index, request->id);
    if (message == NULL || !is_same(message->location, request->from)) {
        demit_spool_move_skip(queue->spool, request->ticket);
    } else {
        /* If it was on its way already and is asked for at the same place again, then that move came to nothing. */
        message->moving = false;
        message->move_ticket = request->ticket;
        demit_queue_move_if_idle(queue, message);
    }
    free(request);
}

static void on_moved(demit_task_t *task)
{
    move_request_t *request = DEMIT_CONTAINER_OF(task, move_request_t, task);
    demit_queue_t *queue = request->queue;
    demit_queued_t *message = demit_queue_index_find(&queue->index, request->id);
    if (message != NULL) {
        message->location = request->to;
        message->moving = false;
        for (demit_leg_t *leg = message->legs; leg != NULL; leg = leg->next) {
            if (leg->state == DEMIT_LEG_BLOCKED) {
                demit_leg_set_state(queue, leg, DEMIT_LEG_READY, 0);
            }
        }
        demit_queue_let_go(queue, message);
    }
    free(request);
}

bool demit_queue_discard_move(demit_task_t *task)
{
    if (task->run != on_move && task->run != on_moved) {
        return false;
    }
    free(DEMIT_CONTAINER_OF(task, move_request_t, task));
    return true;
}

static move_request_t *make_request(demit_queue_t *queue, uint64_t id, demit_spool_location_t from)
{
    move_request_t *request = calloc(1, sizeof(*request));
    if (request == NULL) {
        return NULL;
    }
    request->queue = queue;
    request->id = id;
    request->from = from;
    return request;
}

/* Disk worker. Without memory the ticket is kept unanswered: the segment stays as it is. */
static void move(void *baton, uint64_t id, demit_spool_location_t location, void *ticket)
{
    move_request_t *request = make_request(baton, id, location);
    if (request == NULL) {
        return;
    }
    request->ticket = ticket;
    request->task.run = on_move;
    demit_queue_post(baton, &request->task);
}

/* Committer's thread. */
static void moved(void *baton, uint64_t id, demit_spool_location_t from, demit_spool_location_t to)
{
    move_request_t *request = make_request(baton, id, from);
    if (request == NULL) {
        /* Nobody can be told where the message is now; the next start finds it. Until then it rests, unharmed. */
        demit_log(DEMIT_LOG_ERROR, "queue_memory", "note=\"a moved message is left alone until the next start\"");
        return;
    }
    request->to = to;
    request->task.run = on_moved;
    demit_queue_post(baton, &request->task);
}

void demit_queue_set_mover(demit_queue_t *queue)
{
    demit_spool_mover_t mover = {.move = move, .moved = moved, .baton = queue};
    demit_spool_set_mover(queue->spool, &mover);
}
