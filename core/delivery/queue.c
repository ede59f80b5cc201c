#include "core/delivery/queue_priv.h"

#include <stdlib.h>

#include <apr_allocator.h>
#include <apr_thread_mutex.h>
#include <apr_time.h>

#include "demit/log.h"
#include "demit/os.h"

enum { TASKS_PER_TURN = 1024, KEPT_FREE_BYTES = 8 * 1024 * 1024 };
static const int64_t longest_sleep_us = INT64_C(60) * 1000000;

/* ---- clocks ----------------------------------------------------------------------------------------------------- */

static int64_t system_monotonic_us(void *baton)
{
    (void)baton;
    return demit_os_monotonic_us();
}

static int64_t system_wall_us(void *baton)
{
    (void)baton;
    return apr_time_now();
}

int64_t demit_queue_wall_us(const demit_queue_t *queue)
{
    return queue->clock.wall_us(queue->clock.baton);
}

/* ---- mailbox ---------------------------------------------------------------------------------------------------- */

void demit_queue_post(demit_queue_t *queue, demit_task_t *task)
{
    demit_task_t *head = atomic_load_explicit(&queue->mailbox, memory_order_relaxed);
    do {
        task->next = head;
    } while (!atomic_compare_exchange_weak_explicit(&queue->mailbox, &head, task, memory_order_release,
                                                    memory_order_relaxed));
    /* Whoever finds it empty wakes the queue; the others' tasks are seen by the same look. */
    if (head == NULL) {
        (void)apr_pollset_wakeup(queue->pollset);
    }
}

/* Moves the mailbox, which is last in first out, to the end of an empty inbox in the order of posting. */
static void refill_inbox(demit_queue_t *queue)
{
    demit_task_t *task = atomic_exchange_explicit(&queue->mailbox, NULL, memory_order_acquire);
    while (task != NULL) {
        demit_task_t *next = task->next;
        task->next = queue->inbox;
        queue->inbox = task;
        task = next;
    }
}

/* Bounded, so that a burst (the recovery of a million messages, say) does not keep deliveries from starting. */
static void run_tasks(demit_queue_t *queue)
{
    for (unsigned count = 0; count < TASKS_PER_TURN; count++) {
        if (queue->inbox == NULL) {
            refill_inbox(queue);
        }
        demit_task_t *task = queue->inbox;
        if (task == NULL) {
            return;
        }
        queue->inbox = task->next;
        task->next = NULL;
        task->run(task);
    }
}

/* ---- turns ------------------------------------------------------------------------------------------------------ */

static void line_up_what_is_due(demit_queue_t *queue)
{
    demit_wheel_advance(&queue->retries, queue->now_us, &queue->due);
    for (unsigned count = 0; count < TASKS_PER_TURN && !demit_list_is_empty(&queue->due); count++) {
        demit_leg_t *leg = DEMIT_CONTAINER_OF(queue->due.next, demit_leg_t, node.link);
        if (leg->state == DEMIT_LEG_BLOCKED) {
            leg->message->moving = false; /* nothing was heard of it: it stands where it stood, or a try will tell */
        }
        demit_leg_set_state(queue, leg, DEMIT_LEG_READY, 0);
    }
}

static int64_t earlier(int64_t one, int64_t other)
{
    return one < other ? one : other;
}

static int64_t next_turn_us(demit_queue_t *queue)
{
    if (queue->inbox != NULL || !demit_list_is_empty(&queue->due)) {
        return queue->now_us;
    }
    int64_t next = earlier(demit_wheel_next_us(&queue->retries), demit_wheel_next_us(&queue->rests));
    if (queue->unrecorded_count > 0) {
        next = earlier(next, queue->rerecord_us);
    }
    if (queue->stopping) {
        next = earlier(next, queue->stop_deadline_us);
    }
    return next;
}

int64_t demit_queue_turn(demit_queue_t *queue)
{
    queue->now_us = queue->clock.monotonic_us(queue->clock.baton);
    run_tasks(queue);
    if (!queue->stopping) {
        line_up_what_is_due(queue);
        demit_queue_wake_destinations(queue);
        demit_queue_start_deliveries(queue);
    }
    if (queue->unrecorded_count > 0 && queue->now_us >= queue->rerecord_us) {
        demit_queue_rerecord(queue);
    }
    return next_turn_us(queue);
}

/*
 * Sleeps in a pollset without descriptors and not on a condition variable: APR's timed wait counts on the wall clock,
 * which an administrator may turn back by an hour.
 */
static void sleep_until(demit_queue_t *queue, int64_t when_us)
{
    int64_t pause_us = when_us - queue->clock.monotonic_us(queue->clock.baton);
    if (pause_us <= 0 || atomic_load_explicit(&queue->mailbox, memory_order_relaxed) != NULL) {
        return;
    }
    apr_int32_t count = 0;
    const apr_pollfd_t *ready = NULL;
    (void)apr_pollset_poll(queue->pollset, earlier(pause_us, longest_sleep_us), &count, &ready);
}

static void *APR_THREAD_FUNC run(apr_thread_t *thread, void *baton)
{
    demit_queue_t *queue = baton;
    (void)thread;
    demit_os_name_thread("demit-queue");
    for (;;) {
        const int64_t next_us = demit_queue_turn(queue);
        if (demit_queue_is_done(queue)) {
            atomic_store(&queue->drained, true);
            return NULL;
        }
        sleep_until(queue, next_us);
    }
}

/* ---- life ------------------------------------------------------------------------------------------------------- */

/* The deliveries' pools are filled by transports in threads of theirs, so their common allocator takes a lock. */
static apr_status_t make_delivery_pool(demit_queue_t *queue)
{
    apr_allocator_t *allocator;
    apr_thread_mutex_t *mutex;
    apr_status_t status = apr_allocator_create(&allocator);
    if (status != APR_SUCCESS) {
        return status;
    }
    status = apr_pool_create_ex(&queue->deliveries, queue->pool, NULL, allocator);
    if (status != APR_SUCCESS) {
        apr_allocator_destroy(allocator);
        return status;
    }
    apr_allocator_owner_set(allocator, queue->deliveries);
    apr_allocator_max_free_set(allocator, KEPT_FREE_BYTES);
    apr_pool_tag(queue->deliveries, "deliveries");
    status = apr_thread_mutex_create(&mutex, APR_THREAD_MUTEX_DEFAULT, queue->deliveries);
    if (status == APR_SUCCESS) {
        apr_allocator_mutex_set(allocator, mutex);
    }
    return status;
}

static apr_status_t forget(void *baton)
{
    demit_queue_forget_all(baton);
    return APR_SUCCESS;
}

apr_status_t demit_queue_create_with_clock(demit_queue_t **queue, const demit_queue_options_t *options,
                                           const demit_queue_clock_t *clock, apr_pool_t *pool)
{
    demit_queue_t *made = apr_pcalloc(pool, sizeof(*made));
    made->spool = options->spool;
    made->workers = options->workers;
    made->settings = demit_settings_hold(options->settings);
    made->clock = *clock;
    made->now_us = clock->monotonic_us(clock->baton);
    atomic_init(&made->mailbox, NULL);
    atomic_init(&made->most_connections, UINT32_MAX);
    demit_list_init(&made->by_age);
    made->last_recovered = &made->by_age;
    demit_list_init(&made->runnable_local);
    demit_list_init(&made->runnable_remote);
    demit_list_init(&made->due);
    demit_list_init(&made->batches);
    demit_list_init(&made->abandoned);
    demit_wheel_init(&made->retries, made->now_us);
    demit_wheel_init(&made->rests, made->now_us);

    apr_status_t status = apr_pool_create(&made->pool, pool);
    if (status != APR_SUCCESS) {
        demit_settings_release(made->settings);
        return status;
    }
    apr_pool_tag(made->pool, "queue");
    made->destinations = apr_hash_make(made->pool);
    status = apr_pool_create(&made->scratch, made->pool);
    if (status == APR_SUCCESS) {
        status = make_delivery_pool(made);
    }
    if (status == APR_SUCCESS) {
        status = apr_pollset_create(&made->pollset, 1, made->pool, APR_POLLSET_WAKEABLE | APR_POLLSET_NOCOPY);
    }
    if (status == APR_SUCCESS) {
        status = demit_queue_index_init(&made->index);
    }
    if (status != APR_SUCCESS) {
        apr_pool_destroy(made->pool);
        demit_settings_release(made->settings);
        return status;
    }
    /* Before the deliveries' pools go: what was reported after the queue had stopped still stands in its mailbox. */
    apr_pool_pre_cleanup_register(made->pool, made, forget);
    *queue = made;
    return APR_SUCCESS;
}

apr_status_t demit_queue_create(demit_queue_t **queue, const demit_queue_options_t *options, apr_pool_t *pool)
{
    static const demit_queue_clock_t system_clock = {system_monotonic_us, system_wall_us, NULL};
    return demit_queue_create_with_clock(queue, options, &system_clock, pool);
}

void demit_queue_limit_connections(demit_queue_t *queue, uint32_t most)
{
    atomic_store_explicit(&queue->most_connections, most, memory_order_relaxed);
}

void demit_queue_set_transport(demit_queue_t *queue, demit_delivery_method_t method, demit_transport_t *transport)
{
    queue->transports[method] = transport;
}

apr_status_t demit_queue_start(demit_queue_t *queue)
{
    demit_queue_set_mover(queue);
    queue->recovering = true;
    apr_status_t status = apr_thread_create(&queue->thread, NULL, run, queue, queue->pool);
    if (status != APR_SUCCESS) {
        return status;
    }
    return apr_thread_create(&queue->recovery_thread, NULL, demit_queue_recover, queue, queue->pool);
}

/* ---- stop ------------------------------------------------------------------------------------------------------- */

void demit_queue_begin_stop(demit_queue_t *queue, int64_t grace_us)
{
    queue->stopping = true;
    queue->stop_deadline_us = queue->clock.monotonic_us(queue->clock.baton) + grace_us;
    /* What the disk would not take a moment ago it may take now; the next start would deliver it again. */
    demit_queue_rerecord(queue);
}

bool demit_queue_is_done(demit_queue_t *queue)
{
    if (!queue->stopping) {
        return false;
    }
    if (queue->deliveries_under_way == 0 && queue->records_under_way == 0 && queue->inbox == NULL) {
        return true;
    }
    if (queue->clock.monotonic_us(queue->clock.baton) < queue->stop_deadline_us) {
        return false;
    }
    demit_log(DEMIT_LOG_WARNING, "queue_stopped", "deliveries=%u records=%llu note=\"given up after the grace period\"",
              queue->deliveries_under_way, (unsigned long long)queue->records_under_way);
    return true;
}

static void on_drain(demit_task_t *task)
{
    demit_queue_t *queue = DEMIT_CONTAINER_OF(task, demit_queue_t, drain_task);
    demit_queue_begin_stop(queue, queue->grace_us);
}

void demit_queue_drain(demit_queue_t *queue, int64_t grace_us)
{
    demit_spool_end_recovery(queue->spool); /* what it would find yet is not delivered before the next start */
    queue->draining = true;
    queue->grace_us = grace_us;
    queue->drain_task.run = on_drain;
    demit_queue_post(queue, &queue->drain_task);
}

static void on_hurry(demit_task_t *task)
{
    demit_queue_begin_stop(DEMIT_CONTAINER_OF(task, demit_queue_t, hurry_task), 0);
}

void demit_queue_hurry(demit_queue_t *queue)
{
    queue->hurry_task.run = on_hurry;
    demit_queue_post(queue, &queue->hurry_task);
}

bool demit_queue_is_drained(const demit_queue_t *queue)
{
    return atomic_load(&queue->drained);
}

void demit_queue_stop(demit_queue_t *queue, int64_t grace_us)
{
    apr_status_t status;
    demit_spool_end_recovery(queue->spool);
    if (queue->recovery_thread != NULL) {
        (void)apr_thread_join(&status, queue->recovery_thread);
    }
    queue->recovery_thread = NULL;
    if (queue->thread != NULL) {
        if (!queue->draining) {
            demit_queue_drain(queue, grace_us);
        }
        (void)apr_thread_join(&status, queue->thread);
    }
    queue->thread = NULL;
    /* What the console or a reload has posted stands in pools of theirs, which may go before the queue's does. */
    demit_queue_discard_posted(queue);
}
