/*
 * The SMTP transport on one loop: the batches that it works on there, and the connections that lie idle until another
 * batch for the same destination comes. Everything belongs to the loop's thread.
 */
#ifndef DEMIT_SMTP_LANE_H
#define DEMIT_SMTP_LANE_H

#include <stdbool.h>
#include <stdint.h>

#include "demit/delivery.h"

#include "core/delivery/client_context.h"
#include "core/delivery/client_session.h"

typedef struct demit_smtp_lane demit_smtp_lane_t;
typedef struct demit_smtp_batch demit_smtp_batch_t;

struct demit_smtp_lane {
    demit_client_context_t context; /* first: the context's callbacks find the lane */
    demit_queue_t *queue;
    demit_resolver_t *resolver;
    demit_task_t stop_task;
    demit_smtp_batch_t *batches;
    demit_client_session_t *idle; /* newest first: the oldest may rest in peace */
    uint32_t idle_count, idle_max;
    uint32_t sessions; /* alive, idle or not */
    bool stopping, stopped;
    void (*on_stopped)(demit_smtp_lane_t *lane);
    void *baton;
};

/* Takes the deliveries of BATCH, which is on its way to LANE's loop. */
void demit_smtp_batch_begin(demit_task_t *task);

/* Makes a batch of COUNT deliveries (array copied) for LANE. The queue's thread. */
demit_smtp_batch_t *demit_smtp_batch_create(demit_delivery_t **deliveries, uint32_t count)
    __attribute__((warn_unused_result));
/* Which destination it is for, and its task; the queue's thread. */
const char *demit_smtp_batch_key(const demit_smtp_batch_t *batch);
demit_task_t *demit_smtp_batch_assign(demit_smtp_batch_t *batch, demit_smtp_lane_t *lane);

/* The lane stops: what has not reached a peer that takes mail gives up. */
void demit_smtp_batch_hurry(demit_smtp_batch_t *batch);
demit_smtp_batch_t *demit_smtp_batch_next(const demit_smtp_batch_t *batch);

/* An idle connection for KEY, or NULL. It is the caller's now. */
demit_client_session_t *demit_smtp_lane_take(demit_smtp_lane_t *lane, const char *key);
/* Keeps SESSION for IDLE_US, or has it quit at once if that is 0 or there are many. It is the lane's now. */
void demit_smtp_lane_give(demit_smtp_lane_t *lane, demit_client_session_t *session, int64_t idle_us);

/* Something ended: if the lane is stopping and it was the last, the lane has stopped. */
void demit_smtp_lane_check(demit_smtp_lane_t *lane);

#endif
