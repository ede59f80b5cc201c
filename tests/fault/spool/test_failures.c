/*
 * Every call to the system fails once, with every error that it may give: who was told "stored" is found after a
 * restart, who was told an error had one, and the spool works again when the trouble is over.
 */
#include "tests/unit/spool/model.h"
#include "tests/unit/spool/sim.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const struct {
    sim_call_t call;
    const char *name;
    int error;
    bool half;
} faults[] = {
    {SIM_OPEN, "open", EMFILE, false},         {SIM_OPEN, "open", ENOSPC, false},
    {SIM_CLOSE, "close", EIO, false},          {SIM_PWRITEV, "pwritev", EIO, false},
    {SIM_PWRITEV, "pwritev", ENOSPC, true},    {SIM_DATASYNC, "datasync", EIO, false},
    {SIM_DATASYNC, "datasync", ENOSPC, false}, {SIM_SYNC_DIRECTORY, "sync_directory", EIO, false},
    {SIM_ALLOCATE, "allocate", ENOSPC, false}, {SIM_RENAME, "rename", EIO, false},
    {SIM_UNLINK, "unlink", EIO, false},        {SIM_FREE_BYTES, "free_bytes", EIO, false},
    {SIM_PREAD, "pread", EIO, false},          {SIM_STAT, "stat", EIO, false},
};

static bool mail_is_taken(void *baton)
{
    return model_put(baton, 100) != SIZE_MAX;
}

/* One run with the AT-th call of the fault failing, and MORE after it. True: there was such a call. */
static bool run(fixture_t *original, size_t fault, unsigned at, unsigned more)
{
    fixture_t fixture = *original;
    model_snapshot_t snapshot;
    recovered_t recovered;
    model_t model;
    static sim_t sim; /* outlives a failed assertion */
    bool reached;

    snprintf(fixture.directory, sizeof fixture.directory, "/tmp/demit-spool-XXXXXX");
    assert_non_null(mkdtemp(fixture.directory));
    fixture.options.directory = fixture.directory;
    sim_init(&sim, fixture.directory);
    fixture.options.files = &sim.table;
    model_init(&model, &fixture);
    fixture_open(&fixture);
    assert_int_equal(recover(&fixture, &recovered), APR_SUCCESS);
    model_attach(&model);
    pthread_mutex_lock(&sim.mutex);
    sim.fail = faults[fault].call;
    sim.fail_at = sim.counts[faults[fault].call] + at;
    sim.fail_more = more;
    sim.error = faults[fault].error;
    sim.half = faults[fault].half;
    pthread_mutex_unlock(&sim.mutex);
    for (int i = 0; i < 12; i++) {
        size_t index = model_put(&model, (size_t)i * 1300);

        if (index != SIZE_MAX && i % 3 == 0)
            (void)model_end(&model, index);
    }
    pthread_mutex_lock(&sim.mutex);
    reached = sim.failed > 0;
    sim.fail_at = 0;
    pthread_mutex_unlock(&sim.mutex);
    if (model.refused > 0) { /* the trouble is over: soon mail is taken again */
        assert_true(wait_until(mail_is_taken, &model, PATIENCE_MS));
    }
    fixture_close(&fixture);
    assert_int_equal(model.moved + model.stayed, model.moves); /* each was told once how it ended */
    snapshot = model_snapshot(&model);
    model_verify(&model, fixture.directory, &snapshot, &snapshot);
    free(snapshot.states);
    model_destroy(&model);
    sim_destroy(&sim);
    remove_directory(fixture.directory);
    return reached;
}

static void test_each_call_fails(void **state)
{
    for (size_t fault = 0; fault < sizeof faults / sizeof faults[0]; fault++) {
        unsigned at = 1;

        while (at < 30 && run(*state, fault, at, at % 3))
            at += 1 + at / 3;
        print_message("%s: up to call %u\n", faults[fault].name, at);
    }
}

/* A spool that cannot be opened says why; tried again without the trouble, it opens. */
static void test_open_fails(void **state)
{
    static const sim_call_t calls[] = {SIM_OPEN,   SIM_PWRITEV, SIM_DATASYNC, SIM_SYNC_DIRECTORY,
                                       SIM_RENAME, SIM_LIST,    SIM_LOCK};
    fixture_t *fixture = *state;

    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
        for (unsigned at = 1; at < 4; at++) {
            apr_status_t status;
            static sim_t sim; /* outlives a failed assertion */

            sim_init(&sim, fixture->directory);
            sim.fail = calls[i];
            sim.fail_at = at;
            sim.error = EIO;
            fixture->options.files = &sim.table;
            status = fixture_try_open(fixture);
            /* An old segment that cannot be read is damage, and no reason not to start. */
            if (status != EIO || sim.failed == 0)
                assert_int_equal(status, APR_SUCCESS);
            if (calls[i] != SIM_OPEN)
                assert_int_equal(status, sim.failed > 0 ? EIO : APR_SUCCESS);
            if (status == APR_SUCCESS)
                fixture_close(fixture);
            sim.fail_at = 0;
            fixture_open(fixture);
            fixture_close(fixture);
            sim_destroy(&sim);
        }
}

/* No space: mail is refused, what is there can be ended, and when space is back mail is taken again. */
static void test_low_space(void **state)
{
    fixture_t *fixture = *state;
    demit_spool_location_t location, other;
    uint64_t id, other_id;
    static sim_t sim; /* outlives a failed assertion */

    sim_init(&sim, fixture->directory);
    fixture->options.files = &sim.table;
    fixture->options.minimum_free_bytes = 1000000;
    fixture_open(fixture);
    assert_int_equal(put(fixture, 100, &id, &location), APR_SUCCESS);
    sim_set_free_bytes(&sim, 999999);
    usleep(1100000); /* the answer is kept for a second */
    assert_int_equal(put(fixture, 100, &other_id, &other), ENOSPC);
    assert_int_equal(put(fixture, 10000, &other_id, &other), ENOSPC);
    assert_int_equal(note_final(fixture, id, location), APR_SUCCESS);
    sim_set_free_bytes(&sim, 0);
    usleep(1100000);
    assert_int_equal(put(fixture, 100, &other_id, &other), APR_SUCCESS);
    fixture_close(fixture);
    sim_destroy(&sim);
}

/*
 * However fast mail comes, the space that is to stay free does: it is what outcomes are written to when there is no
 * other, also after a restart or two, and without them nothing would ever be freed.
 */
static void test_the_minimum_stays_free(void **state)
{
    enum { FREE = 200 * 1000, MESSAGES_MAX = 100 };
    fixture_t *fixture = *state;
    demit_spool_statistics_t statistics = {.bytes_written = 0};
    demit_spool_location_t locations[MESSAGES_MAX];
    uint64_t ids[MESSAGES_MAX];
    apr_status_t status = APR_SUCCESS;
    static sim_t sim; /* outlives a failed assertion */
    int count = 0;

    sim_init(&sim, fixture->directory);
    fixture->options.files = &sim.table;
    fixture->options.workers = NULL;      /* no spares */
    fixture->options.force_fsync = false; /* no marks after a pause: all that is written is what is put */
    fixture->options.minimum_free_bytes = 1000000;
    sim_set_free_bytes(&sim, fixture->options.minimum_free_bytes + FREE);
    fixture_open(fixture);
    while (count < MESSAGES_MAX && status == APR_SUCCESS) {
        status = put(fixture, 3000, &ids[count], &locations[count]);
        count += status == APR_SUCCESS;
        demit_spool_statistics(fixture->spool, &statistics);
        assert_true(statistics.bytes_written <= FREE);
        sim_set_free_bytes(&sim, fixture->options.minimum_free_bytes + FREE - statistics.bytes_written);
    }
    assert_int_equal(status, ENOSPC);
    assert_true(statistics.bytes_written > FREE - 2 * 4096); /* and not much more is left unused */
    for (int i = 0; i < count; i++) {
        assert_int_equal(note_final(fixture, ids[i], locations[i]), APR_SUCCESS);
    }
    fixture_close(fixture);
    sim_destroy(&sim);
}

/* A disk that is full from the start does not keep the server from starting. */
static void test_full_from_the_start(void **state)
{
    fixture_t *fixture = *state;
    demit_spool_location_t location;
    uint64_t id;
    static sim_t sim; /* outlives a failed assertion */

    sim_init(&sim, fixture->directory);
    fixture->options.files = &sim.table;
    sim.fail = SIM_PWRITEV;
    sim.fail_at = 1;
    sim.fail_more = 1000000;
    sim.error = ENOSPC;
    fixture_open(fixture);
    assert_int_equal(put(fixture, 100, &id, &location), ENOSPC);
    pthread_mutex_lock(&sim.mutex);
    sim.fail_at = 0;
    pthread_mutex_unlock(&sim.mutex);
    usleep(1100000);
    assert_int_equal(put(fixture, 100, &id, &location), APR_SUCCESS);
    fixture_close(fixture);
    sim_destroy(&sim);
}

/* ---- a message that cannot be built while a part of it is being written ---- */

typedef struct gate {
    atomic_bool closed, reached;
    unsigned at; /* the sync that does not pass */
} gate_t;

static void stand_still(sim_t *sim, void *baton)
{
    gate_t *gate = baton;

    while (sim->counts[SIM_DATASYNC] == gate->at && atomic_load(&gate->closed)) {
        atomic_store(&gate->reached, true);
        usleep(1000);
    }
}

static bool is_set(void *baton)
{
    return atomic_load((atomic_bool *)baton);
}

typedef struct told {
    sim_t *sim;
    atomic_bool done;
    apr_status_t status;
    unsigned writes; /* before */
} told_t;

static void tell(void *baton, apr_status_t status, demit_spool_location_t location)
{
    told_t *told = baton;

    (void)location;
    told->status = status;
    told->writes = told->sim->counts[SIM_PWRITEV]; /* the committer's own thread, and there are no workers */
    atomic_store(&told->done, true);
}

static void have_room(void *baton)
{
    (void)baton;
}

static void append(demit_spool_writer_t *writer, size_t size)
{
    unsigned char *body = make_body(1, size);

    assert_int_equal(demit_spool_append(writer, body, size), APR_SUCCESS);
    free(body);
}

/* Its last chunk stands in the batch when the committer learns that there is no message: both end in this order. */
static void test_an_unbuilt_message_outlives_its_chunks(void **state)
{
    fixture_t *fixture = *state;
    const demit_spool_outcome_t too_much = {.count = UINT32_MAX};
    static sim_t sim; /* these outlive a failed assertion */
    static told_t first, second;
    static gate_t gate;
    demit_spool_writer_t *writer;

    sim_init(&sim, fixture->directory);
    fixture->options.files = &sim.table;
    fixture->options.workers = NULL;
    fixture_open(fixture);
    first.sim = second.sim = &sim;
    gate.at = sim.counts[SIM_DATASYNC] + 1;
    atomic_store(&gate.closed, true);
    sim_watch(&sim, stand_still, &gate);
    assert_int_equal(demit_spool_begin(&writer, fixture->spool, have_room, NULL), APR_SUCCESS);
    demit_spool_commit(writer, make_envelope(1, fixture->pool), NULL, tell, &first);
    assert_true(wait_until(is_set, &gate.reached, PATIENCE_MS));
    assert_int_equal(demit_spool_begin(&writer, fixture->spool, have_room, NULL), APR_SUCCESS);
    append(writer, TEST_THRESHOLD);
    append(writer, 1); /* sends the first chunk off */
    demit_spool_commit(writer, make_envelope(2, fixture->pool), &too_much, tell, &second);
    atomic_store(&gate.closed, false);
    assert_true(wait_until(is_set, &second.done, PATIENCE_MS));
    assert_int_equal(first.status, APR_SUCCESS);
    assert_int_equal(second.status, EFBIG);
    assert_int_equal(second.writes, first.writes + 1);
    sim_watch(&sim, NULL, NULL);
    fixture_close(fixture);
    sim_destroy(&sim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_open_fails, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_low_space, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_the_minimum_stays_free, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_full_from_the_start, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_an_unbuilt_message_outlives_its_chunks, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_each_call_fails, fixture_setup, fixture_teardown),
    };

    return cmocka_run_group_tests_name("spool failures", tests, NULL, NULL);
}
