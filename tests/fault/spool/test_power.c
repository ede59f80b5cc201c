/* The power goes at any call: what was acknowledged is there afterwards, what was over stays over, nothing else is. */
#include "tests/unit/spool/model.h"
#include "tests/unit/spool/sim.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { CUTS_MAX = 4000, THREADS = 8, COUNT = 40, KEEP = 5 };

typedef struct cut {
    char directory[64];
    model_snapshot_t before, after;
} cut_t;

typedef struct cutter {
    model_t *model;
    unsigned every, failing; /* how many calls from cut to cut, how many syncs from one that fails to the next, or 0 */
    cut_t cuts[CUTS_MAX];
    unsigned count;
} cutter_t;

/* With the simulator's mutex held: no call of the spool gets past it meanwhile. */
static void before_call(sim_t *sim, void *baton)
{
    cutter_t *cutter = baton;
    cut_t *cut;

    if (cutter->failing > 0 && sim->counts[SIM_DATASYNC] > sim->fail_at)
        sim->fail_at = sim->counts[SIM_DATASYNC] + cutter->failing;
    if (sim->total % cutter->every != 0 || cutter->count == CUTS_MAX)
        return;
    cut = &cutter->cuts[cutter->count++];
    cut->before = model_snapshot(cutter->model);
    sim_cut(sim, cut->directory);
    cut->after = model_snapshot(cutter->model);
}

static void run(fixture_t *fixture, unsigned every, uint64_t seed, unsigned failing)
{
    cutter_t *cutter = calloc(1, sizeof *cutter);
    recovered_t recovered;
    model_t model;
    static sim_t sim; /* outlives a failed assertion */

    model_init(&model, fixture);
    sim_init(&sim, fixture->directory);
    sim.power = true;
    sim.random += seed;
    sim.fail = SIM_DATASYNC;
    sim.error = EIO;
    fixture->options.files = &sim.table;
    fixture_open(fixture);
    assert_int_equal(recover(fixture, &recovered), APR_SUCCESS);
    model_attach(&model);
    cutter->model = &model;
    cutter->every = every;
    cutter->failing = failing;
    sim_watch(&sim, before_call, cutter);
    model_load(&model, THREADS, COUNT, KEEP);
    fixture_close(fixture);
    assert_int_equal(model.moved + model.stayed, model.moves); /* each was told once how it ended */
    sim_watch(&sim, NULL, NULL);
    sim.fail_at = 0;
    assert_int_equal(model.refused > 0, failing > 0);
    assert_true(cutter->count > 10);
    for (unsigned i = 0; i < cutter->count; i++) {
        cut_t *cut = &cutter->cuts[i];

        model_verify(&model, cut->directory, &cut->before, &cut->after);
        remove_directory(cut->directory);
        free(cut->before.states);
        free(cut->after.states);
    }
    print_message("%u cuts, %u calls, %u moved, %u refused\n", cutter->count, sim.total, model.moved, model.refused);
    sim_destroy(&sim);
    model_destroy(&model);
    free(cutter);
}

/* Every call with DEMIT_LONG, else a sample. */
static unsigned stride(unsigned calls)
{
    return getenv("DEMIT_LONG") != NULL ? 1 : calls;
}

static void test_power_cuts(void **state)
{
    run(*state, stride(29), 1, 0);
}

/* The same with a segment for a few messages only, so that recycling and compaction are under way at every cut. */
static void test_power_cuts_while_recycling(void **state)
{
    fixture_t *fixture = *state;

    fixture->options.large_message_threshold_bytes = 2000;
    run(fixture, stride(31), 2, 0);
}

/*
 * Now and then a sync fails. What it was about is not trusted, whatever a later sync says: who was told an error may
 * find the message or not, everybody else as ever, and nothing that was void looks damaged.
 */
static void test_power_cuts_after_failed_syncs(void **state)
{
    run(*state, stride(23), 3, 17);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_power_cuts, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_power_cuts_while_recycling, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_power_cuts_after_failed_syncs, fixture_setup, fixture_teardown),
    };

    return cmocka_run_group_tests_name("spool power", tests, NULL, NULL);
}
