/* The loop itself: one round is poll, tasks, events, timers, and the end of the round. */
#include "core/loop/loop_priv.h"

#include <stdlib.h>

#include <apr_allocator.h>
#include <apr_portable.h>

#include "demit/log.h"
#include "demit/os.h"

/* Free memory that a loop's allocator keeps for the next connections. */
enum { ALLOCATOR_MAX_FREE_BYTES = 4 * 1024 * 1024 };

static _Thread_local demit_loop_t *current_loop;

apr_status_t demit_pollee_add(demit_loop_t *loop, demit_pollee_t *pollee, apr_int16_t events)
{
    pollee->pfd.reqevents = events;
    pollee->pfd.client_data = pollee;
    const apr_status_t status = apr_pollset_add(loop->pollset, &pollee->pfd);
    pollee->in_pollset = status == APR_SUCCESS;
    return status;
}

void demit_pollee_remove(demit_loop_t *loop, demit_pollee_t *pollee)
{
    if (pollee->in_pollset) {
        (void)apr_pollset_remove(loop->pollset, &pollee->pfd);
        pollee->in_pollset = false;
    }
}

apr_status_t demit_pollee_want(demit_loop_t *loop, demit_pollee_t *pollee, apr_int16_t events)
{
    if (pollee->in_pollset && pollee->pfd.reqevents == events) {
        return APR_SUCCESS;
    }
    demit_pollee_remove(loop, pollee);
    return demit_pollee_add(loop, pollee, events);
}

apr_status_t demit_loop_create(demit_loop_t **out, const char *name, uint32_t max_connections, apr_pool_t *parent)
{
    apr_allocator_t *allocator;
    apr_pool_t *pool;
    apr_status_t status = apr_allocator_create(&allocator);

    if (status != APR_SUCCESS) {
        return status;
    }
    /* No mutex: after the start only the loop's thread uses this allocator and the pools on it. */
    apr_allocator_max_free_set(allocator, ALLOCATOR_MAX_FREE_BYTES);
    status = apr_pool_create_ex(&pool, parent, NULL, allocator);
    if (status != APR_SUCCESS) {
        apr_allocator_destroy(allocator);
        return status;
    }
    apr_allocator_owner_set(allocator, pool);
    apr_pool_tag(pool, name);

    demit_loop_t *loop = apr_pcalloc(pool, sizeof(*loop));
    loop->name = name;
    loop->pool = pool;
    loop->max_connections = max_connections;
    loop->now_us = demit_os_monotonic_us();
    status = apr_pollset_create(&loop->pollset, max_connections + 16, pool, APR_POLLSET_WAKEABLE | APR_POLLSET_NOCOPY);
    if (status != APR_SUCCESS) {
        apr_pool_destroy(pool);
        return status;
    }
    *out = loop;
    return APR_SUCCESS;
}

demit_loop_t *demit_loop_current(void)
{
    return current_loop;
}

int64_t demit_loop_now_us(const demit_loop_t *loop)
{
    return loop->now_us;
}

uint32_t demit_loop_connections(const demit_loop_t *loop)
{
    return atomic_load_explicit(&loop->connections, memory_order_relaxed);
}

uint64_t demit_loop_rounds(const demit_loop_t *loop)
{
    return atomic_load_explicit(&loop->rounds, memory_order_relaxed);
}

void demit_loop_post(demit_loop_t *loop, demit_task_t *task)
{
    demit_task_t *head = atomic_load_explicit(&loop->mailbox, memory_order_relaxed);

    do {
        task->next = head;
    } while (!atomic_compare_exchange_weak_explicit(&loop->mailbox, &head, task, memory_order_acq_rel,
                                                    memory_order_relaxed));
    /* Only who finds the mailbox empty wakes the loop: it takes everything at once. */
    if (head == NULL && current_loop != loop) {
        (void)apr_pollset_wakeup(loop->pollset);
    }
}

void demit_loop_stop(demit_loop_t *loop)
{
    atomic_store(&loop->stopping, true);
    (void)apr_pollset_wakeup(loop->pollset);
}

/* Runs what was posted, oldest first. Returns whether there was anything. */
static bool run_mailbox(demit_loop_t *loop)
{
    demit_task_t *newest_first = atomic_exchange_explicit(&loop->mailbox, NULL, memory_order_acquire);
    demit_task_t *oldest_first = NULL;

    if (newest_first == NULL) {
        return false;
    }
    while (newest_first != NULL) {
        demit_task_t *task = newest_first;
        newest_first = task->next;
        task->next = oldest_first;
        oldest_first = task;
    }
    while (oldest_first != NULL) {
        demit_task_t *task = oldest_first;
        oldest_first = task->next;
        task->next = NULL;
        task->run(task);
    }
    return true;
}

static apr_status_t run_round(demit_loop_t *loop)
{
    const apr_pollfd_t *events = NULL;
    apr_int32_t count = 0;
    const bool busy = atomic_load_explicit(&loop->mailbox, memory_order_relaxed) != NULL;
    const apr_status_t status = apr_pollset_poll(loop->pollset, busy ? 0 : demit_timers_wait(loop), &count, &events);

    loop->now_us = demit_os_monotonic_us();
    if (status != APR_SUCCESS && !APR_STATUS_IS_TIMEUP(status) && !APR_STATUS_IS_EINTR(status)) {
        return status;
    }
    (void)run_mailbox(loop);
    for (apr_int32_t i = 0; status == APR_SUCCESS && i < count; i++) {
        demit_pollee_t *pollee = events[i].client_data;
        if (pollee->in_pollset) {
            pollee->on_event(pollee, events[i].rtnevents);
        }
    }
    demit_timers_fire(loop);
    demit_conns_finish_round(loop);
    atomic_fetch_add_explicit(&loop->rounds, 1, memory_order_relaxed);
    return APR_SUCCESS;
}

/* Ends what is still there: sessions learn by on_close, and what that posts is run. */
static void wind_up(demit_loop_t *loop)
{
    demit_acceptors_close(loop);
    for (demit_conn_t *conn = loop->all; conn != NULL; conn = conn->all_next) {
        demit_conn_abort(conn);
    }
    do {
        demit_conns_finish_round(loop);
    } while (run_mailbox(loop));
}

apr_status_t demit_loop_run(demit_loop_t *loop)
{
    apr_status_t status = APR_SUCCESS;

    current_loop = loop;
    while (status == APR_SUCCESS && !atomic_load(&loop->stopping)) {
        status = run_round(loop);
    }
    if (status != APR_SUCCESS) {
        char text[DEMIT_LOG_VALUE_MAX];
        demit_log(DEMIT_LOG_ERROR, "loop_failed", "loop=%s error=%s", loop->name,
                  demit_log_status(text, sizeof(text), status));
    }
    wind_up(loop);
    current_loop = NULL;
    return status;
}

typedef struct watched {
    demit_pollee_t pollee;
    int fd;
    void (*on_readable)(void *baton, int fd);
    void *baton;
} watched_t;

static void on_watched_event(demit_pollee_t *pollee, apr_int16_t events)
{
    watched_t *watched = DEMIT_CONTAINER_OF(pollee, watched_t, pollee);

    (void)events;
    watched->on_readable(watched->baton, watched->fd);
}

apr_status_t demit_loop_watch(demit_loop_t *loop, int fd, void (*on_readable)(void *baton, int fd), void *baton)
{
    watched_t *watched = apr_pcalloc(loop->pool, sizeof(*watched));
    apr_file_t *file = NULL;
    apr_os_file_t native = fd;
    /* apr_os_file_put() registers no clean-up: the descriptor stays its owner's. */
    const apr_status_t status = apr_os_file_put(&file, &native, APR_FOPEN_READ, loop->pool);

    if (status != APR_SUCCESS) {
        return status;
    }
    *watched = (watched_t){.fd = fd, .on_readable = on_readable, .baton = baton};
    watched->pollee.on_event = on_watched_event;
    watched->pollee.pfd = (apr_pollfd_t){.p = loop->pool, .desc_type = APR_POLL_FILE, .desc.f = file};
    return demit_pollee_add(loop, &watched->pollee, APR_POLLIN);
}

static void *APR_THREAD_FUNC loop_thread(apr_thread_t *thread, void *baton)
{
    demit_loop_t *loop = baton;

    (void)thread;
    demit_os_name_thread(loop->name);
    if (demit_loop_run(loop) != APR_SUCCESS) {
        /* A server with one deaf loop would look alive and not be: the supervisor must see the end. */
        demit_log_stop();
        abort();
    }
    return NULL;
}

apr_status_t demit_loop_start(demit_loop_t *loop)
{
    /* The thread's own pool must not come from the loop's allocator, which has no mutex. */
    return apr_thread_create(&loop->thread, NULL, loop_thread, loop, apr_pool_parent_get(loop->pool));
}

void demit_loop_join(demit_loop_t *loop)
{
    apr_status_t ignored;

    if (loop->thread != NULL) {
        apr_thread_join(&ignored, loop->thread);
        loop->thread = NULL;
    }
    while (run_mailbox(loop)) {
    }
}
