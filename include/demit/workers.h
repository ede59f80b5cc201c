/* Disk workers: a few threads for everything that may wait for a disk (mailboxes, bodies, compaction). */
#ifndef DEMIT_WORKERS_H
#define DEMIT_WORKERS_H

#include <stdint.h>

#include <apr_pools.h>

#include "demit/task.h"

typedef struct demit_workers demit_workers_t;

/* Starts COUNT threads. */
apr_status_t demit_workers_create(demit_workers_t **workers, uint32_t count, apr_pool_t *pool)
    __attribute__((warn_unused_result));

/* Runs TASK->run in one of them, first in, first out. Any thread; never blocks, never fails, allocates nothing. */
void demit_workers_submit(demit_workers_t *workers, demit_task_t *task);

uint32_t demit_workers_count(const demit_workers_t *workers);
/* Runs TASK->run in the INDEXth of them, before anything that is queued. Any thread; never blocks, never fails. */
void demit_workers_post(demit_workers_t *workers, uint32_t index, demit_task_t *task);

/* Any thread. */
void demit_workers_progress(demit_workers_t *workers, demit_progress_t *progress);

/* Runs what is queued, ends the threads and waits for them. */
void demit_workers_stop(demit_workers_t *workers);

#endif
