/* Loops without connections: tasks, timers, workers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <unistd.h>

#include <apr_general.h>
#include <apr_thread_proc.h>
#include <apr_time.h>

#include "core/loop/loop_priv.h"
#include "demit/workers.h"

static apr_pool_t *pool;

static int set_up(void **state)
{
    (void)state;
    assert_int_equal(apr_initialize(), APR_SUCCESS);
    return apr_pool_create(&pool, NULL);
}

static int tear_down(void **state)
{
    (void)state;
    apr_pool_destroy(pool);
    return 0;
}

typedef struct numbered_task {
    demit_task_t task;
    demit_loop_t *loop;
    int producer, number;
} numbered_task_t;

enum { PRODUCERS = 4, TASKS = 5000 };
static int next_number[PRODUCERS];
static int tasks_run;

static void run_numbered(demit_task_t *task)
{
    numbered_task_t *numbered = DEMIT_CONTAINER_OF(task, numbered_task_t, task);

    assert_ptr_equal(demit_loop_current(), numbered->loop);
    assert_int_equal(numbered->number, next_number[numbered->producer]); /* in the order of posting */
    next_number[numbered->producer]++;
    if (++tasks_run == PRODUCERS * TASKS) {
        demit_loop_stop(numbered->loop);
    }
}

static void *APR_THREAD_FUNC produce(apr_thread_t *thread, void *baton)
{
    numbered_task_t *tasks = baton;

    (void)thread;
    for (int i = 0; i < TASKS; i++) {
        demit_loop_post(tasks[i].loop, &tasks[i].task);
    }
    return NULL;
}

static void tasks_from_many_threads(void **state)
{
    static numbered_task_t tasks[PRODUCERS][TASKS];
    apr_thread_t *threads[PRODUCERS];
    demit_loop_t *loop;
    apr_status_t ignored;

    (void)state;
    assert_int_equal(demit_loop_create(&loop, "test", 10, pool), APR_SUCCESS);
    assert_int_equal(demit_loop_start(loop), APR_SUCCESS);
    for (int p = 0; p < PRODUCERS; p++) {
        for (int i = 0; i < TASKS; i++) {
            tasks[p][i] = (numbered_task_t){.task.run = run_numbered, .loop = loop, .producer = p, .number = i};
        }
        assert_int_equal(apr_thread_create(&threads[p], NULL, produce, tasks[p], pool), APR_SUCCESS);
    }
    for (int p = 0; p < PRODUCERS; p++) {
        apr_thread_join(&ignored, threads[p]);
    }
    demit_loop_join(loop);
    assert_int_equal(tasks_run, PRODUCERS * TASKS);
}

typedef struct named_timer {
    demit_timer_t timer;
    demit_loop_t *loop;
    char name;
    bool again;
} named_timer_t;

static char fired[16];
static size_t fired_count;

static void note_timer(demit_timer_t *timer)
{
    named_timer_t *named = DEMIT_CONTAINER_OF(timer, named_timer_t, timer);

    assert_false(demit_timer_running(timer));
    fired[fired_count++] = named->name;
    if (named->again) {
        named->again = false;
        demit_timer_start(named->loop, timer, 25 * 1000);
    }
}

/* The loop's clock in the test's hands. Of the same duration, the first one started fires first. */
static void assert_fires_at(demit_loop_t *loop, int64_t now_us, const char *names)
{
    loop->now_us = now_us;
    fired_count = 0;
    demit_timers_fire(loop);
    fired[fired_count] = '\0';
    assert_string_equal(fired, names);
}

static void timers_fire_in_order_and_once(void **state)
{
    demit_loop_t *loop;
    named_timer_t timers[5];
    const char *names = "abcdz";

    (void)state;
    assert_int_equal(demit_loop_create(&loop, "test", 10, pool), APR_SUCCESS);
    const int64_t start_us = loop->now_us;
    assert_int_equal(demit_timers_wait(loop), -1); /* for ever */
    for (int i = 0; i < 5; i++) {
        timers[i] = (named_timer_t){.timer.fire = note_timer, .loop = loop, .name = names[i]};
    }
    demit_timer_start(loop, &timers[0].timer, 30 * 1000);
    demit_timer_start(loop, &timers[1].timer, 10 * 1000);
    demit_timer_start(loop, &timers[2].timer, 10 * 1000);
    demit_timer_start(loop, &timers[3].timer, 15 * 1000);
    demit_timer_start(loop, &timers[4].timer, 10 * 1000);
    timers[1].again = true;                               /* b: at 10 and again at 35 */
    demit_timer_stop(&timers[3].timer);                   /* d: never */
    demit_timer_stop(&timers[3].timer);                   /* harmless */
    demit_timer_start(loop, &timers[2].timer, 50 * 1000); /* c: moved from 10 to 50 */

    assert_int_equal(demit_timers_wait(loop), 10 * 1000);
    assert_fires_at(loop, start_us + 9999, "");
    assert_fires_at(loop, start_us + 10 * 1000, "bz");
    assert_int_equal(demit_timers_wait(loop), 20 * 1000);
    assert_fires_at(loop, start_us + 29999, "");
    assert_fires_at(loop, start_us + 30 * 1000, "a");
    assert_fires_at(loop, start_us + 35 * 1000, "b");
    assert_fires_at(loop, start_us + 49999, "");
    assert_fires_at(loop, start_us + 90 * 1000, "c"); /* late, and still */
    assert_int_equal(demit_timers_wait(loop), -1);
}

static void stop_the_loop(demit_timer_t *timer)
{
    demit_loop_stop(DEMIT_CONTAINER_OF(timer, named_timer_t, timer)->loop);
}

static void a_loop_sleeps_until_a_timer_is_due(void **state)
{
    named_timer_t timer = {.timer.fire = stop_the_loop};

    (void)state;
    assert_int_equal(demit_loop_create(&timer.loop, "test", 10, pool), APR_SUCCESS);
    const int64_t start_us = demit_loop_now_us(timer.loop);
    demit_timer_start(timer.loop, &timer.timer, 30 * 1000);
    assert_int_equal(demit_loop_run(timer.loop), APR_SUCCESS);
    assert_true(demit_loop_now_us(timer.loop) - start_us >= 30 * 1000);
    assert_true(demit_loop_rounds(timer.loop) < 10); /* it slept, and did not look and look again */
}

static void read_and_stop(void *baton, int fd)
{
    char byte;

    assert_int_equal(read(fd, &byte, 1), 1);
    assert_int_equal(byte, 'x');
    demit_loop_stop(baton);
}

static void a_watched_pipe(void **state)
{
    demit_loop_t *loop;
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(demit_loop_create(&loop, "test", 10, pool), APR_SUCCESS);
    assert_int_equal(demit_loop_watch(loop, ends[0], read_and_stop, loop), APR_SUCCESS);
    assert_int_equal(write(ends[1], "x", 1), 1);
    assert_int_equal(demit_loop_run(loop), APR_SUCCESS);
    close(ends[0]);
    close(ends[1]);
}

typedef struct worker_job {
    demit_task_t task;
    atomic_int *done;
} worker_job_t;

static void run_job(demit_task_t *task)
{
    worker_job_t *job = DEMIT_CONTAINER_OF(task, worker_job_t, task);

    apr_sleep(100);
    atomic_fetch_add(job->done, 1);
}

static void workers_finish_what_was_submitted(void **state)
{
    static worker_job_t jobs[500];
    atomic_int done = 0;
    demit_workers_t *workers;

    (void)state;
    assert_int_equal(demit_workers_create(&workers, 4, pool), APR_SUCCESS);
    for (int i = 0; i < 500; i++) {
        jobs[i] = (worker_job_t){.task.run = run_job, .done = &done};
        demit_workers_submit(workers, &jobs[i].task);
    }
    demit_workers_stop(workers);
    assert_int_equal(atomic_load(&done), 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tasks_from_many_threads),
        cmocka_unit_test(timers_fire_in_order_and_once),
        cmocka_unit_test(a_loop_sleeps_until_a_timer_is_due),
        cmocka_unit_test(a_watched_pipe),
        cmocka_unit_test(workers_finish_what_was_submitted),
    };
    return cmocka_run_group_tests_name("loop", tests, set_up, tear_down);
}
