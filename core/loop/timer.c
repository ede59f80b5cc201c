/* Timers: one FIFO per distinct duration, so that starting, stopping and firing cost the same for any number of them.
 */
#include "core/loop/loop_priv.h"

#include <stdlib.h>

static void ring_init(demit_timer_t *ring)
{
    ring->next = ring->prev = ring;
}

static demit_timer_queue_t *queue_for(demit_loop_t *loop, int64_t duration_us)
{
    demit_timer_queue_t *unused = NULL;

    for (demit_timer_queue_t *queue = loop->timer_queues; queue != NULL; queue = queue->next) {
        if (queue->duration_us == duration_us) {
            return queue;
        }
        if (queue->ring.next == &queue->ring) {
            unused = queue;
        }
    }
    if (unused == NULL) {
        unused = apr_pcalloc(loop->pool, sizeof(*unused));
        ring_init(&unused->ring);
        unused->next = loop->timer_queues;
        loop->timer_queues = unused;
    }
    unused->duration_us = duration_us;
    return unused;
}

bool demit_timer_running(const demit_timer_t *timer)
{
    return timer->queue != NULL;
}

void demit_timer_stop(demit_timer_t *timer)
{
    if (timer->queue == NULL) {
        return;
    }
    timer->prev->next = timer->next;
    timer->next->prev = timer->prev;
    timer->next = timer->prev = NULL;
    timer->queue = NULL;
}

void demit_timer_start(demit_loop_t *loop, demit_timer_t *timer, int64_t duration_us)
{
    demit_timer_stop(timer);
    demit_timer_queue_t *queue = queue_for(loop, duration_us);
    timer->due_us = loop->now_us + duration_us;
    timer->queue = queue;
    timer->next = &queue->ring;
    timer->prev = queue->ring.prev;
    timer->prev->next = timer;
    queue->ring.prev = timer;
}

apr_interval_time_t demit_timers_wait(const demit_loop_t *loop)
{
    int64_t due_us = INT64_MAX;

    for (const demit_timer_queue_t *queue = loop->timer_queues; queue != NULL; queue = queue->next) {
        const demit_timer_t *first = queue->ring.next;
        if (first != &queue->ring && first->due_us < due_us) {
            due_us = first->due_us;
        }
    }
    if (due_us == INT64_MAX) {
        return -1;
    }
    return due_us > loop->now_us ? due_us - loop->now_us : 0;
}

void demit_timers_fire(demit_loop_t *loop)
{
    for (demit_timer_queue_t *queue = loop->timer_queues; queue != NULL; queue = queue->next) {
        while (queue->ring.next != &queue->ring && queue->ring.next->due_us <= loop->now_us) {
            demit_timer_t *timer = queue->ring.next;
            demit_timer_stop(timer);
            timer->fire(timer);
        }
    }
}
