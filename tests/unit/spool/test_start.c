/* Ids and sequences are new at every start, whatever a power cut has left of the starts before. */
#include "sim.h"
#include "support.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/spool/format.h"

#define WITH_SPOOL(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

enum { STARTS = 4, CUTS_MAX = 1000, REFUSED_AFTER_MAX = 64 };

/* The highest sequence that a segment's header in DIRECTORY begins with; 0: no segment. */
static uint64_t highest_first_sequence(const char *directory)
{
    DIR *stream = opendir(directory);
    const struct dirent *entry;
    uint64_t highest = 0;

    assert_non_null(stream);
    while ((entry = readdir(stream)) != NULL) {
        unsigned char block[SPOOL_BLOCK];
        spool_segment_header_t header;
        int fd;

        if (strstr(entry->d_name, ".seg") == NULL) {
            continue;
        }
        fd = openat(dirfd(stream), entry->d_name, O_RDONLY);
        assert_true(fd >= 0);
        assert_int_equal(pread(fd, block, sizeof block, 0), sizeof block);
        close(fd);
        assert_true(spool_segment_header_decode(&header, block));
        highest = header.first_sequence > highest ? header.first_sequence : highest;
    }
    closedir(stream);
    return highest;
}

/* Starts on what a cut has left in DIRECTORY; no id up to HIGHEST_ID, nor any sequence, may be given again. */
static void assert_new_numbers(const fixture_t *original, const char *directory, uint64_t highest_id)
{
    fixture_t fixture = *original;
    uint64_t before = highest_first_sequence(directory), id;
    demit_spool_location_t location;

    snprintf(fixture.directory, sizeof fixture.directory, "%s", directory);
    fixture.options.directory = fixture.directory;
    fixture.options.files = NULL;
    fixture.options.workers = NULL;
    fixture_open(&fixture);
    assert_int_equal(put(&fixture, 10, &id, &location), APR_SUCCESS);
    assert_true(id > highest_id);
    fixture_close(&fixture);
    id = highest_first_sequence(directory);
    assert_true(id > before);
    /* Both count in the same generations: what an id of the past was given, its sequences were, too. */
    assert_true(id >> SPOOL_GENERATION_SHIFT > highest_id >> SPOOL_GENERATION_SHIFT);
    remove_directory(directory);
}

/* ---- a cut at every call ---- */

typedef struct cutter {
    atomic_uint_fast64_t given; /* the highest id that anybody has seen */
    struct {
        char directory[64];
        uint64_t given;
    } cuts[CUTS_MAX];
    unsigned count;
} cutter_t;

/* With the simulator's mutex held. */
static void cut(sim_t *sim, void *baton)
{
    cutter_t *cutter = baton;

    assert_true(cutter->count < CUTS_MAX);
    cutter->cuts[cutter->count].given = atomic_load(&cutter->given);
    sim_cut(sim, cutter->cuts[cutter->count++].directory);
}

/* Starts, takes a message, ends it and stops, several times over, so that segments are left and recycled meanwhile. */
static void test_a_cut_at_any_call(void **state)
{
    fixture_t *fixture = *state;
    static cutter_t cutter;
    static sim_t sim;

    sim_init(&sim, fixture->directory);
    sim.power = true;
    fixture->options.files = &sim.table;
    sim_watch(&sim, cut, &cutter);
    for (int start = 0; start < STARTS; start++) {
        demit_spool_location_t location;
        recovered_t recovered;
        uint64_t id;

        fixture_open(fixture);
        assert_int_equal(recover(fixture, &recovered), APR_SUCCESS);
        recovered_free(&recovered);
        id = demit_spool_next_id(fixture->spool);
        assert_true(id > atomic_load(&cutter.given));
        atomic_store(&cutter.given, id);
        assert_int_equal(put(fixture, 10, &id, &location), APR_SUCCESS);
        atomic_store(&cutter.given, id);
        assert_int_equal(note_final(fixture, id, location), APR_SUCCESS);
        fixture_close(fixture);
    }
    sim_watch(&sim, NULL, NULL);
    for (unsigned i = 0; i < cutter.count; i++) {
        assert_new_numbers(fixture, cutter.cuts[i].directory, cutter.cuts[i].given);
    }
    print_message("%u cuts\n", cutter.count);
    assert_true(cutter.count > 50);
    sim_destroy(&sim);
}

/* ---- between two segments ---- */

/* A task at the end of the only worker's line: when it runs, what was handed over before is done. */
typedef struct barrier {
    demit_task_t task;
    atomic_bool passed;
} barrier_t;

static void pass(demit_task_t *task)
{
    atomic_store(&DEMIT_CONTAINER_OF(task, barrier_t, task)->passed, true);
}

static bool has_passed(void *baton)
{
    barrier_t *barrier = baton;

    return atomic_load(&barrier->passed);
}

static void wait_for(demit_workers_t *worker)
{
    for (int twice = 0; twice < 2; twice++) { /* what maintenance finds to do again goes to the end of the line */
        barrier_t barrier = {.task.run = pass};

        demit_workers_submit(worker, &barrier.task);
        assert_true(wait_until(has_passed, &barrier, 30000));
    }
}

/* Opens no file from now on, so that no segment can be begun; or does again. */
static void open_nothing(sim_t *sim, bool nothing)
{
    pthread_mutex_lock(&sim->mutex);
    sim->fail = SIM_OPEN;
    sim->fail_at = nothing ? sim->counts[SIM_OPEN] + 1 : 0;
    sim->fail_more = UINT32_MAX / 2;
    sim->error = ENOSPC;
    pthread_mutex_unlock(&sim->mutex);
}

/*
 * The only segment is full, all of it is over, and the next one cannot be begun: the power goes just then. Had the
 * empty one been recycled, nothing would be left to say which ids were given.
 */
static void test_a_cut_between_two_segments(void **state)
{
    fixture_t *fixture = *state;
    demit_workers_t *worker;
    apr_status_t status = APR_SUCCESS;
    uint64_t highest = 0;
    char copy[64];
    static sim_t sim;

    assert_int_equal(demit_workers_create(&worker, 1, fixture->pool), APR_SUCCESS);
    sim_init(&sim, fixture->directory);
    sim.power = true;
    fixture->options.files = &sim.table;
    fixture->options.workers = worker;
    fixture->options.force_fsync = false; /* no marks after a pause, or an outcome could be the first without room */
    fixture_open(fixture);
    open_nothing(&sim, true);
    for (int i = 0; status == APR_SUCCESS; i++) {
        demit_spool_location_t location;

        assert_true(i < REFUSED_AFTER_MAX);
        status = put(fixture, 2000, &highest, &location);
        if (status == APR_SUCCESS) {
            assert_int_equal(note_final(fixture, highest, location), APR_SUCCESS);
        }
    }
    assert_int_equal(status, ENOSPC);
    wait_for(worker);
    pthread_mutex_lock(&sim.mutex);
    sim_cut(&sim, copy);
    pthread_mutex_unlock(&sim.mutex);
    assert_new_numbers(fixture, copy, highest);
    assert_int_equal(count_files(fixture, ".seg"), 1);
    open_nothing(&sim, false);
    fixture_close(fixture);
    demit_workers_stop(worker);
    sim_destroy(&sim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SPOOL(test_a_cut_at_any_call),
        WITH_SPOOL(test_a_cut_between_two_segments),
    };

    return cmocka_run_group_tests_name("spool start", tests, NULL, NULL);
}
