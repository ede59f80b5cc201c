/*
 * The roll: where the kernel shows a process no thread but the one that asks, in a jail without /proc, each thread
 * compares what it holds with the identity, when it comes round to it, and the last one brings the answers home.
 */
#include "core/daemon.h"

#include <stdatomic.h>
#include <string.h>

#include "demit/log.h"

typedef struct call call_t;

/* What one thread says. Its own until the call's COUNT has been taken down for it. */
typedef struct answer {
    demit_task_t task;
    call_t *call;
    int differences;
    size_t used;
    char text[2048]; /* lines, each with its end; what does not fit is counted and not told */
} answer_t;

struct call {
    demit_daemon_t *daemon;
    demit_roll_t *roll;
    demit_task_t home; /* on the main loop */
    uint32_t made;
    _Atomic uint32_t left;
    answer_t answers[];
};

/* ---- in each thread ---------------------------------------------------------------------------------------------- */

static void note_line(void *baton, const char *line)
{
    answer_t *answer = baton;
    const size_t size = strlen(line) + 1;

    if (size <= sizeof(answer->text) - answer->used) {
        memcpy(answer->text + answer->used, line, size);
        answer->used += size;
    }
}

static void answer_for_oneself(demit_task_t *task)
{
    answer_t *answer = DEMIT_CONTAINER_OF(task, answer_t, task);
    call_t *call = answer->call;

    answer->differences = demit_identity_audit_thread(call->daemon->identity, note_line, answer);
    if (atomic_fetch_sub(&call->left, 1) == 1) {
        demit_loop_post(call->daemon->main_loop, &call->home);
    }
}

/* ---- on the main loop -------------------------------------------------------------------------------------------- */

static void gather(demit_task_t *task)
{
    call_t *call = DEMIT_CONTAINER_OF(task, call_t, home);
    demit_roll_t *roll = call->roll;

    for (uint32_t i = 0; i < call->made; i++) {
        const answer_t *answer = &call->answers[i];
        for (size_t at = 0; at < answer->used; at += strlen(answer->text + at) + 1) {
            APR_ARRAY_PUSH(roll->lines, const char *) = answer->text + at;
        }
        if (answer->differences < 0 || roll->differences < 0) {
            roll->differences = -1;
        } else {
            roll->differences += answer->differences;
        }
    }
    roll->threads = call->made;
    roll->done.run(&roll->done); /* the roll may be gone now */
}

static demit_task_t *next_task(call_t *call)
{
    answer_t *answer = &call->answers[call->made++];

    answer->call = call;
    answer->task.run = answer_for_oneself;
    return &answer->task;
}

/* Every thread that serves. One that reads the spool at the start and then ends is none. */
static void post_all(call_t *call)
{
    demit_daemon_t *daemon = call->daemon;
    const uint32_t workers = demit_workers_count(daemon->workers);

    for (uint32_t i = 0; i < daemon->loop_count; i++) {
        demit_loop_post(daemon->loops[i], next_task(call));
    }
    for (uint32_t i = 0; i < workers; i++) {
        demit_workers_post(daemon->workers, i, next_task(call));
    }
    demit_queue_post(daemon->queue, next_task(call));
    demit_spool_post(daemon->spool, next_task(call));
    demit_resolver_post(daemon->resolver, next_task(call));
    demit_log_post(next_task(call));
    answer_for_oneself(next_task(call));
}

apr_status_t demit_call_roll(void *baton, demit_roll_t *roll)
{
    enum { SINGLE_THREADS = 5 }; /* main, queue, committer, resolver, log */
    demit_daemon_t *daemon = baton;
    const uint32_t count = daemon->loop_count + demit_workers_count(daemon->workers) + SINGLE_THREADS;
    const apr_status_t status = apr_pool_create(&roll->pool, daemon->pool);

    if (status != APR_SUCCESS) {
        roll->pool = NULL;
        return status;
    }
    apr_pool_tag(roll->pool, "roll");
    call_t *call = apr_pcalloc(roll->pool, sizeof(*call) + count * sizeof(call->answers[0]));
    call->daemon = daemon;
    call->roll = roll;
    call->home.run = gather;
    atomic_init(&call->left, count);
    roll->lines = apr_array_make(roll->pool, 1, sizeof(const char *));
    roll->threads = 0;
    roll->differences = 0;
    post_all(call);
    return APR_SUCCESS;
}
