/* Disk workers: a queue of tasks and a few threads. The mutex guards the queue, never the work. */
#include "demit/workers.h"

#include <stdbool.h>
#include <stdio.h>

#include <apr_thread_cond.h>
#include <apr_thread_mutex.h>
#include <apr_thread_proc.h>

#include "demit/os.h"

typedef struct worker {
    demit_workers_t *workers;
    apr_thread_t *thread;
    demit_errands_t errands;
} worker_t;

struct demit_workers {
    apr_thread_mutex_t *mutex;
    apr_thread_cond_t *work;
    demit_task_t *head, **tail;
    bool stopping;
    uint64_t done;
    uint32_t count;
    worker_t each[];
};

static void *APR_THREAD_FUNC worker_thread(apr_thread_t *thread, void *baton)
{
    worker_t *worker = baton;
    demit_workers_t *workers = worker->workers;

    (void)thread;
    demit_os_name_thread("disk");
    apr_thread_mutex_lock(workers->mutex);
    for (;;) {
        while (workers->head == NULL && !workers->stopping && !demit_errands_wait(&worker->errands)) {
            apr_thread_cond_wait(workers->work, workers->mutex);
        }
        if (demit_errands_wait(&worker->errands)) {
            apr_thread_mutex_unlock(workers->mutex);
            demit_errands_run(&worker->errands);
            apr_thread_mutex_lock(workers->mutex);
            continue;
        }
        demit_task_t *task = workers->head;
        if (task == NULL) {
            break;
        }
        workers->head = task->next;
        if (workers->head == NULL) {
            workers->tail = &workers->head;
        }
        apr_thread_mutex_unlock(workers->mutex);
        task->next = NULL;
        task->run(task);
        apr_thread_mutex_lock(workers->mutex);
        workers->done++;
    }
    apr_thread_mutex_unlock(workers->mutex);
    return NULL;
}

apr_status_t demit_workers_create(demit_workers_t **out, uint32_t count, apr_pool_t *pool)
{
    demit_workers_t *workers = apr_pcalloc(pool, sizeof(*workers) + count * sizeof(workers->each[0]));
    apr_status_t status = apr_thread_mutex_create(&workers->mutex, APR_THREAD_MUTEX_DEFAULT, pool);

    workers->tail = &workers->head;
    if (status == APR_SUCCESS) {
        status = apr_thread_cond_create(&workers->work, pool);
    }
    while (status == APR_SUCCESS && workers->count < count) {
        worker_t *worker = &workers->each[workers->count];
        worker->workers = workers;
        status = apr_thread_create(&worker->thread, NULL, worker_thread, worker, pool);
        workers->count += status == APR_SUCCESS ? 1 : 0;
    }
    if (status != APR_SUCCESS) {
        if (workers->count > 0) {
            demit_workers_stop(workers);
        }
        return status;
    }
    *out = workers;
    return APR_SUCCESS;
}

void demit_workers_submit(demit_workers_t *workers, demit_task_t *task)
{
    task->next = NULL;
    apr_thread_mutex_lock(workers->mutex);
    *workers->tail = task;
    workers->tail = &task->next;
    apr_thread_cond_signal(workers->work);
    apr_thread_mutex_unlock(workers->mutex);
}

uint32_t demit_workers_count(const demit_workers_t *workers)
{
    return workers->count;
}

void demit_workers_post(demit_workers_t *workers, uint32_t index, demit_task_t *task)
{
    apr_thread_mutex_lock(workers->mutex);
    demit_errands_add(&workers->each[index].errands, task);
    apr_thread_cond_broadcast(workers->work); /* a signal could wake another one */
    apr_thread_mutex_unlock(workers->mutex);
}

void demit_workers_progress(demit_workers_t *workers, demit_progress_t *progress)
{
    apr_thread_mutex_lock(workers->mutex);
    *progress = (demit_progress_t){.done = workers->done, .waiting = workers->head != NULL};
    apr_thread_mutex_unlock(workers->mutex);
}

void demit_workers_stop(demit_workers_t *workers)
{
    apr_status_t ignored;

    apr_thread_mutex_lock(workers->mutex);
    workers->stopping = true;
    apr_thread_cond_broadcast(workers->work);
    apr_thread_mutex_unlock(workers->mutex);
    for (uint32_t i = 0; i < workers->count; i++) {
        apr_thread_join(&ignored, workers->each[i].thread);
    }
    workers->count = 0;
}
