/* The end of the queue: what it no longer waits for, and what it leaves behind. */
#include "fakes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

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

int main(void)
{
    apr_initialize();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_drain_ends_the_recovery, make, end),
        cmocka_unit_test_setup_teardown(a_stop_ends_the_recovery, make, end),
        cmocka_unit_test_setup_teardown(an_ended_recovery_is_no_failure, make, end),
    };
    return cmocka_run_group_tests_name("queue stop", tests, NULL, NULL);
}
