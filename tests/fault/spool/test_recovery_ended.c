/*
 * A recovery that nobody wants any more ends before its next read of the disk, whichever that is and whether or not the
 * disk still gives anything. It has told of no damage that is none, nothing is recycled, and the next start finds all.
 */
#include "tests/unit/spool/sim.h"
#include "tests/unit/spool/support.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { READS_MAX = 1000 };

typedef struct ender {
    demit_spool_t *spool;
    unsigned at; /* which read of the recovery it ends at */
} ender_t;

static void end_it(sim_t *sim, void *baton)
{
    ender_t *ender = baton;

    if (sim->counts[SIM_PREAD] == ender->at)
        demit_spool_end_recovery(ender->spool);
}

/* Starts with SIM, ends the recovery at its read number AT, and stops. False: it was through before. */
static bool end_at(fixture_t *fixture, sim_t *sim, unsigned at, bool disk_is_dying)
{
    ender_t ender;
    recovered_t recovered;
    apr_status_t status;

    fixture_open(fixture);
    ender = (ender_t){fixture->spool, sim->counts[SIM_PREAD] + at};
    sim_watch(sim, end_it, &ender);
    if (disk_is_dying) {
        sim->fail = SIM_PREAD;
        sim->fail_at = sim->counts[SIM_PREAD] + 1;
        sim->fail_more = READS_MAX;
        sim->error = EIO;
    }
    status = recover(fixture, &recovered);
    sim_watch(sim, NULL, NULL);
    sim->fail_at = 0;
    if (sim->counts[SIM_PREAD] >= ender.at) {
        assert_int_equal(status, APR_EINTR);
        assert_int_equal(sim->counts[SIM_PREAD], ender.at);
    }
    recovered_free(&recovered);
    fixture_close(fixture);
    return status == APR_EINTR;
}

/* Three segments: in the first everything is over, in the others nothing. Gives how many are alive. */
static unsigned fill(fixture_t *fixture)
{
    static fillers_t over, alive;

    memset(&over, 0, sizeof over);
    memset(&alive, 0, sizeof alive);
    fixture_open(fixture);
    fillers_leave(fixture, &over, 1);
    fillers_leave(fixture, &alive, over.last_segment);
    fillers_end(fixture, &over);
    fixture_close(fixture);
    return alive.count;
}

static void end_at_every_read(fixture_t *fixture, bool disk_is_dying)
{
    demit_workers_t *workers = fixture->workers;
    recovered_t recovered;
    static sim_t sim; /* outlives a failed assertion */
    unsigned alive, at = 1;

    sim_init(&sim, fixture->directory);
    fixture->options.files = &sim.table;
    fixture->options.workers = NULL; /* so that the first segment waits for the starts that follow */
    alive = fill(fixture);
    fixture->options.workers = workers;
    while (at < 40 && end_at(fixture, &sim, at, disk_is_dying)) {
        assert_true(segment_is_there(fixture, 1));
        at++;
    }
    print_message("ended at %u reads\n", at - 1);
    assert_true(at > 5);
    if (disk_is_dying) { /* else the last one was through, and may have recycled it */
        assert_int_equal(at, 40);
    }
    fixture_open(fixture);
    assert_int_equal(recover(fixture, &recovered), APR_SUCCESS);
    assert_int_equal(recovered.count, alive);
    assert_int_equal(recovered.result.damaged_records, 0);
    recovered_free(&recovered);
    fixture_close(fixture);
    assert_int_equal(count_files(fixture, ".damaged"), 0);
    sim_destroy(&sim);
}

static void test_at_every_read(void **state)
{
    end_at_every_read(*state, false);
}

static void test_with_a_dying_disk(void **state)
{
    end_at_every_read(*state, true);
}

/* ---- between two messages ---- */

static void end_at_first(void *baton, const demit_envelope_t *envelope, demit_spool_location_t location)
{
    ender_t *ender = baton;

    (void)envelope;
    (void)location;
    ender->at++;
    demit_spool_end_recovery(ender->spool);
}

static void test_between_two_messages(void **state)
{
    fixture_t *fixture = *state;
    demit_spool_recovery_t result;
    ender_t ender = {.at = 0};
    apr_pool_t *pool;

    assert_int_equal(apr_pool_create(&pool, fixture->pool), APR_SUCCESS);
    (void)fill(fixture);
    fixture_open(fixture);
    ender.spool = fixture->spool;
    assert_int_equal(demit_spool_recover(fixture->spool, &result, end_at_first, &ender, pool), APR_EINTR);
    assert_int_equal(ender.at, 1);
    fixture_close(fixture);
}

static void test_before_it_began(void **state)
{
    fixture_t *fixture = *state;
    recovered_t recovered;

    (void)fill(fixture);
    fixture_open(fixture);
    demit_spool_end_recovery(fixture->spool);
    assert_int_equal(recover(fixture, &recovered), APR_EINTR);
    assert_int_equal(recovered.count, 0);
    recovered_free(&recovered);
    fixture_close(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_at_every_read, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_with_a_dying_disk, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_between_two_messages, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_before_it_began, fixture_setup, fixture_teardown),
    };

    return cmocka_run_group_tests_name("spool recovery ended", tests, NULL, NULL);
}
