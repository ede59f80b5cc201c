/*
 * The Maildir transport: what the queue hands over in one go is written by one disk worker in one go, so that messages
 * for the same mailbox share the sync of its directory.
 */
#include "core/delivery/maildir.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <apr_thread_mutex.h>

typedef struct maildir {
    demit_transport_t transport; /* first: what the queue holds */
    demit_transport_options_t options;
    demit_maildir_context_t context;
    _Atomic uint32_t number;
    apr_thread_mutex_t *mutex; /* of the following */
    uint32_t runs;             /* handed to workers */
    void (*stopped)(void *baton);
    void *stopped_baton;
} maildir_t;

typedef struct run {
    demit_task_t task;
    maildir_t *maildir;
    uint32_t count;
    demit_delivery_t *deliveries[];
} run_t;

static uint32_t next_number(void *baton)
{
    maildir_t *maildir = baton;
    return atomic_fetch_add_explicit(&maildir->number, 1, memory_order_relaxed);
}

static void end_run(maildir_t *maildir)
{
    (void)apr_thread_mutex_lock(maildir->mutex);
    bool is_last = --maildir->runs == 0;
    void (*stopped)(void *baton) = is_last ? maildir->stopped : NULL;
    if (stopped != NULL) {
        maildir->stopped = NULL;
    }
    (void)apr_thread_mutex_unlock(maildir->mutex);
    if (stopped != NULL) {
        stopped(maildir->stopped_baton);
    }
}

/* Disk worker. */
static void store_all(demit_task_t *task)
{
    run_t *run = DEMIT_CONTAINER_OF(task, run_t, task);
    maildir_t *maildir = run->maildir;
    apr_pool_t *pool;
    /* Without a pool there is no result: deferred. */
    if (apr_pool_create(&pool, NULL) == APR_SUCCESS) {
        apr_pool_tag(pool, "maildir");
        demit_maildir_store_t *store = demit_maildir_store_begin(&maildir->context, pool);
        for (uint32_t i = 0; i < run->count; i++) {
            demit_maildir_store_add(store, run->deliveries[i]);
        }
        demit_maildir_store_finish(store);
        apr_pool_destroy(pool);
    }
    for (uint32_t i = 0; i < run->count; i++) {
        demit_queue_report(maildir->options.queue, run->deliveries[i]);
    }
    free(run);
    end_run(maildir);
}

static void start(demit_transport_t *transport, demit_delivery_t **deliveries, uint32_t count)
{
    maildir_t *maildir = (maildir_t *)(void *)transport;
    run_t *run = malloc(sizeof(*run) + count * sizeof(run->deliveries[0]));
    if (run == NULL) {
        for (uint32_t i = 0; i < count; i++) {
            demit_queue_report(maildir->options.queue, deliveries[i]); /* no result: deferred */
        }
        return;
    }
    run->task.run = store_all;
    run->maildir = maildir;
    run->count = count;
    memcpy(run->deliveries, deliveries, count * sizeof(run->deliveries[0]));
    (void)apr_thread_mutex_lock(maildir->mutex);
    maildir->runs++;
    (void)apr_thread_mutex_unlock(maildir->mutex);
    demit_workers_submit(maildir->options.workers, &run->task);
}

static void stop(demit_transport_t *transport, void (*stopped)(void *baton), void *baton)
{
    maildir_t *maildir = (maildir_t *)(void *)transport;
    (void)apr_thread_mutex_lock(maildir->mutex);
    bool is_idle = maildir->runs == 0;
    if (!is_idle) {
        maildir->stopped = stopped;
        maildir->stopped_baton = baton;
    }
    (void)apr_thread_mutex_unlock(maildir->mutex);
    if (is_idle) {
        stopped(baton);
    }
}

apr_status_t demit_transport_maildir_create(demit_transport_t **transport, const demit_transport_options_t *options,
                                            apr_pool_t *pool)
{
    maildir_t *maildir = apr_pcalloc(pool, sizeof(*maildir));
    maildir->transport = (demit_transport_t){.name = "maildir", .start = start, .stop = stop};
    maildir->options = *options;
    maildir->context = (demit_maildir_context_t){.spool = options->spool,
                                                 .files = options->files != NULL ? options->files : &demit_files_system,
                                                 .next_number = next_number,
                                                 .baton = maildir};
    atomic_init(&maildir->number, 0);
    apr_status_t status = apr_thread_mutex_create(&maildir->mutex, APR_THREAD_MUTEX_DEFAULT, pool);
    if (status == APR_SUCCESS) {
        *transport = &maildir->transport;
    }
    return status;
}
