/* The end of the queue: what it no longer waits for, and what it leaves behind. */
#include "fakes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <apr_general.h>

static int make(void **state)
{
    *state = fixture_make();
    return 0;
}

static int end(void **state)
{
    fixture_free(*state);
    return 0;
}

/* A disk that is dying would hold up the stop, and nobody could hurry it any more. */
static void a_drain_ends_the_recovery(void **state)
{
    fixture_t *f = *state;
    demit_queue_drain(f->queue, 1000000);
    assert_true(fake_spool.recovery_is_ended);
}

/* So would it if the start has failed and nothing was drained. */
static void a_stop_ends_the_recovery(void **state)
{
    fixture_t *f = *state;
    demit_queue_stop(f->queue, 1000000);
    assert_true(fake_spool.recovery_is_ended);
}

static void an_ended_recovery_is_no_failure(void **state)
{
    fixture_t *f = *state;
    apr_thread_t *thread;
    apr_status_t status;
    fake_spool.recovery_is_ended = true;
    fake_log_reset();
    assert_int_equal(apr_thread_create(&thread, NULL, demit_queue_recover, f->queue, f->pool), APR_SUCCESS);
    apr_thread_join(&status, thread);
    assert_int_equal(fake_log_count("recovery_ended"), 1);
    assert_int_equal(fake_log_count("recovery_failed"), 0);
    fixture_turn(f);
    assert_false(f->queue->recovering);
}

static void fail_if_run(demit_task_t *task)
{
    (void)task;
    fail();
}

/* Neither the task of one whose memory goes before the queue does, nor a report. */
static void nothing_stays_in_the_mailbox(void **state)
{
    fixture_t *f = *state;
    demit_task_t *task = calloc(1, sizeof(*task));
    fixture_send_one(f, "a@x.example");
    demit_queue_begin_stop(f->queue, 0);
    demit_queue_turn(f->queue);
    assert_true(demit_queue_is_done(f->queue));
    task->run = fail_if_run;
    demit_queue_post(f->queue, task);
    demit_delivery_t *delivery = f->held[--f->held_count];
    demit_delivery_set_all(delivery, DEMIT_RESULT_DEFERRED, "4.4.2", "too late", false);
    demit_queue_report(f->queue, delivery);
    demit_queue_stop(f->queue, 0);
    assert_null(atomic_load(&f->queue->mailbox));
    assert_null(f->queue->inbox);
    memset(task, 0xff, sizeof(*task));
    free(task);
}

int main(void)
{
    apr_initialize();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_drain_ends_the_recovery, make, end),
        cmocka_unit_test_setup_teardown(a_stop_ends_the_recovery, make, end),
        cmocka_unit_test_setup_teardown(an_ended_recovery_is_no_failure, make, end),
        cmocka_unit_test_setup_teardown(nothing_stays_in_the_mailbox, make, end),
    };
    return cmocka_run_group_tests_name("queue stop", tests, NULL, NULL);
}
