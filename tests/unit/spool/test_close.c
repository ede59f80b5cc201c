/*
 * Closing the spool while a segment is being emptied. The mover is asked, and never answers: its queue has stopped, and
 * what it still holds is void. Whoever closes must hear of everything else that ends, or waits for ever.
 */
#include "support.h"

#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#include "core/spool/spool_priv.h"

#define WITH_SPOOL(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

enum { MESSAGES = 2 }; /* in a segment for about fourteen: few enough to empty it */

/* What the wrapped wait looks at: there is one spool at a time. */
static _Atomic(demit_spool_t *) watched;
static atomic_bool closer_waits;

apr_status_t __real_apr_thread_cond_wait(apr_thread_cond_t *cond, apr_thread_mutex_t *mutex);
apr_status_t __wrap_apr_thread_cond_wait(apr_thread_cond_t *cond, apr_thread_mutex_t *mutex);

/* The lock is held until the wait has begun: whoever takes it after this was said finds the closer asleep. */
apr_status_t __wrap_apr_thread_cond_wait(apr_thread_cond_t *cond, apr_thread_mutex_t *mutex)
{
    const demit_spool_t *spool = atomic_load(&watched);

    if (spool != NULL && cond == spool->maintenance_idle && !spool->maintenance_queued) {
        atomic_store(&closer_waits, true);
    }
    return __real_apr_thread_cond_wait(cond, mutex);
}

static void give_up(int number)
{
    static const char text[] = "the spool does not close: nobody woke the thread that waits\n";

    (void)number;
    (void)!write(STDERR_FILENO, text, sizeof text - 1);
    _exit(1);
}

static bool is_true(void *baton)
{
    return atomic_load((atomic_bool *)baton);
}

static void close_watched(fixture_t *fixture)
{
    assert_ptr_not_equal(signal(SIGALRM, give_up), SIG_ERR);
    alarm(PATIENCE_MS / 1000);
    fixture_close(fixture);
    alarm(0);
    atomic_store(&watched, NULL);
}

typedef struct mover {
    atomic_uint questions;
    bool slow;   /* it takes its time, in the middle of the scan, until the close has begun to wait */
    bool waited; /* and it has */
} mover_t;

static void move(void *baton, uint64_t id, demit_spool_location_t location, void *ticket)
{
    mover_t *mover = baton;

    (void)id;
    (void)location;
    (void)ticket;
    atomic_fetch_add(&mover->questions, 1);
    if (mover->slow) {
        mover->waited = wait_until(is_true, &closer_waits, PATIENCE_MS);
    }
}

static void moved(void *baton, uint64_t id, demit_spool_location_t from, demit_spool_location_t to)
{
    (void)baton;
    (void)id;
    (void)from;
    (void)to;
    fail_msg("nothing was to be moved");
}

/* A segment with MESSAGES that live among many that are over; the second start finds it worth emptying. */
static void open_with_sparse_segment(fixture_t *fixture, mover_t *mover)
{
    demit_spool_mover_t contract = {move, moved, mover};
    fillers_t fillers = {.count = 0};
    demit_spool_location_t location;
    recovered_t recovered;
    uint64_t id;

    fixture->options.workers = NULL;
    fixture_open(fixture);
    for (int i = 0; i < MESSAGES; i++) {
        assert_int_equal(put(fixture, 100, &id, &location), APR_SUCCESS);
    }
    fillers_leave(fixture, &fillers, location.segment);
    fillers_end(fixture, &fillers);
    fixture_close(fixture);

    fixture->options.workers = fixture->workers;
    fixture_open(fixture);
    atomic_store(&closer_waits, false);
    atomic_store(&watched, fixture->spool);
    demit_spool_set_mover(fixture->spool, &contract);
    assert_int_equal(recover(fixture, &recovered), APR_SUCCESS);
    assert_int_equal(recovered.count, MESSAGES);
    recovered_free(&recovered);
}

static bool one_is_asked_about(void *baton)
{
    return atomic_load(&((mover_t *)baton)->questions) > 0;
}

/* The mover is asked about every record: those that are over are skipped by a queue that has not gone home. */
static bool several_are_asked_about(void *baton)
{
    return atomic_load(&((mover_t *)baton)->questions) > MESSAGES;
}

/* A mover that has gone home does not keep the spool from closing. */
static void test_questions_without_an_answer_are_void(void **state)
{
    fixture_t *fixture = *state;
    mover_t mover = {.slow = false};

    open_with_sparse_segment(fixture, &mover);
    assert_true(wait_until(several_are_asked_about, &mover, PATIENCE_MS));
    close_watched(fixture);
}

/*
 * The scan ends while the closer sleeps, and only a question is left: that is an end to hear of, too. And nobody is
 * asked any more about the messages behind that one.
 */
static void test_a_scan_that_ends_during_the_close_wakes_it(void **state)
{
    fixture_t *fixture = *state;
    mover_t mover = {.slow = true};

    open_with_sparse_segment(fixture, &mover);
    assert_true(wait_until(one_is_asked_about, &mover, PATIENCE_MS));
    close_watched(fixture);
    assert_true(mover.waited);
    assert_int_equal(atomic_load(&mover.questions), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SPOOL(test_questions_without_an_answer_are_void),
        WITH_SPOOL(test_a_scan_that_ends_during_the_close_wakes_it),
    };

    return cmocka_run_group_tests_name("spool close", tests, NULL, NULL);
}
