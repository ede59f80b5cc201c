/*
 * A batch that was not synced when the daemon ended or the power went.
 *
 * A message is written with its last chunk in one batch, and of a batch that the power cut the disk may have kept the
 * one record and not the other. What is left of it then takes nothing's place: neither that of the copy which was
 * acknowledged, nor, as the report of a failure, that of the message which failed. And what a new daemon found in the
 * kernel's memory alone may take the place of what stands on the disk only when it stands there, too.
 */
#include "tests/unit/spool/sim.h"
#include "tests/unit/spool/support.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/spool/format.h"

enum { SIZE = TEST_THRESHOLD + 1000 }; /* one chunk, and the rest in the message's own record */

/* What the second message is to the first, which was acknowledged long ago. */
typedef enum relation { A_COPY, A_REPORT } relation_t;
/* When its chunk goes bad: before the batch was synced, or when it had been acknowledged too. */
typedef enum moment { TORN, DAMAGED } moment_t;

/* Holds the committer up at one sync, so that what comes meanwhile goes out as one batch, and copies that at the next.
 */
typedef struct gate {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    const char *directory;
    unsigned seen, syncs; /* datasync calls before, and since */
    bool held, open, kept;
    demit_spool_location_t location; /* when it is kept */
    char before[64], copy[64];       /* without the batch, and with it */
} gate_t;

static void wait_for(gate_t *gate, const bool *what)
{
    pthread_mutex_lock(&gate->mutex);
    while (!*what)
        pthread_cond_wait(&gate->cond, &gate->mutex);
    pthread_mutex_unlock(&gate->mutex);
}

static void tell(gate_t *gate, bool *what)
{
    pthread_mutex_lock(&gate->mutex);
    *what = true;
    pthread_cond_broadcast(&gate->cond);
    pthread_mutex_unlock(&gate->mutex);
}

static void before_call(sim_t *sim, void *baton)
{
    gate_t *gate = baton;

    if (sim->counts[SIM_DATASYNC] == gate->seen)
        return;
    gate->seen = sim->counts[SIM_DATASYNC];
    gate->syncs++;
    if (gate->syncs == 1) {
        copy_directory(gate->directory, gate->before);
        tell(gate, &gate->held);
        wait_for(gate, &gate->open);
    } else if (gate->syncs == 2) {
        copy_directory(gate->directory, gate->copy);
    }
}

static void kept(void *baton, apr_status_t status, demit_spool_location_t location)
{
    gate_t *gate = baton;

    assert_int_equal(status, APR_SUCCESS);
    gate->location = location;
    tell(gate, &gate->kept);
}

/* Writes a message with ENVELOPE and BODY whose chunk and record are in one batch. */
static void put_in_one_batch(fixture_t *fixture, sim_t *sim, gate_t *gate, demit_envelope_t *envelope,
                             const unsigned char *body, const demit_spool_outcome_t *reports)
{
    demit_spool_writer_t *writer;

    gate->directory = fixture->directory;
    gate->seen = sim->counts[SIM_DATASYNC];
    sim_watch(sim, before_call, gate);
    demit_spool_record_outcome(fixture->spool, &(demit_spool_outcome_t){.id = 1}, NULL, NULL); /* of nothing */
    wait_for(gate, &gate->held);
    assert_int_equal(demit_spool_begin(&writer, fixture->spool, NULL, NULL), APR_SUCCESS);
    assert_int_equal(demit_spool_append(writer, body, SIZE), APR_SUCCESS);
    demit_spool_commit(writer, envelope, reports, kept, gate);
    tell(gate, &gate->open);
    wait_for(gate, &gate->kept);
    sim_watch(sim, NULL, NULL);
    assert_int_equal(gate->syncs, 2);
}

/* Overwrites the beginning of BODY, which is in the chunk. */
static void harm(const char *directory, const unsigned char *body)
{
    static unsigned char bytes[TEST_SEGMENT];
    static const unsigned char zeros[64];
    const unsigned char *found;
    char path[128];
    int fd;

    snprintf(path, sizeof path, "%s/00000001.seg", directory);
    fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, bytes, sizeof bytes, 0), sizeof bytes);
    found = memmem(bytes, sizeof bytes, body, sizeof zeros);
    assert_non_null(found);
    assert_int_equal(pwrite(fd, zeros, sizeof zeros, found - bytes), sizeof zeros);
    close(fd);
}

typedef struct expected {
    unsigned torn, damaged;
    bool first_is_there; /* as it was acknowledged; the second never is */
} expected_t;

static void examine(const fixture_t *original, const char *directory, const struct found *first,
                    const expected_t *expected)
{
    fixture_t fixture = *original;

    snprintf(fixture.directory, sizeof fixture.directory, "%s", directory);
    fixture.options.directory = fixture.directory;
    fixture.options.files = NULL;
    for (int twice = 0; twice < 2; twice++) {
        recovered_t recovered;

        fixture_open(&fixture);
        assert_int_equal(recover(&fixture, &recovered), APR_SUCCESS);
        assert_int_equal(recovered.result.torn_records, expected->torn);
        assert_int_equal(recovered.result.damaged_records, expected->damaged);
        assert_int_equal(recovered.count, expected->first_is_there);
        if (expected->first_is_there) {
            assert_int_equal(recovered.found->id, first->id);
            assert_int_equal(recovered.found->location.block, first->location.block);
            assert_body(&fixture, recovered.found->location, first->id, SIZE);
        }
        recovered_free(&recovered);
        fixture_close(&fixture);
    }
}

static void run(fixture_t *fixture, relation_t relation, moment_t moment, const expected_t *expected)
{
    gate_t gate = {.mutex = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
    struct found first = {.size = SIZE};
    static sim_t sim; /* outlives a failed assertion */
    demit_spool_outcome_t report;
    unsigned char *body;
    uint64_t id;

    sim_init(&sim, fixture->directory);
    fixture->options.files = &sim.table;
    fixture->options.workers = NULL;
    fixture_open(fixture);
    assert_int_equal(put(fixture, SIZE, &first.id, &first.location), APR_SUCCESS);
    id = relation == A_COPY ? first.id : demit_spool_next_id(fixture->spool);
    body = make_body(id + 1, SIZE);
    report = (demit_spool_outcome_t){.id = first.id, .location = first.location, .final = true};
    put_in_one_batch(fixture, &sim, &gate, make_envelope(id, fixture->pool), body,
                     relation == A_REPORT ? &report : NULL);
    fixture_close(fixture);
    harm(moment == TORN ? gate.copy : fixture->directory, body);
    examine(fixture, moment == TORN ? gate.copy : fixture->directory, &first, expected);
    remove_directory(gate.before);
    remove_directory(gate.copy);
    sim_destroy(&sim);
    free(body);
}

static void test_a_torn_copy(void **state)
{
    run(*state, A_COPY, TORN, &(expected_t){.torn = 2, .first_is_there = true});
}

static void test_a_torn_report(void **state)
{
    run(*state, A_REPORT, TORN, &(expected_t){.torn = 2, .first_is_there = true});
}

/* The older copy is still there, and whole: no mail is lost. */
static void test_a_damaged_copy(void **state)
{
    run(*state, A_COPY, DAMAGED, &(expected_t){.damaged = 1, .first_is_there = true});
}

/* It may have been delivered before its chunk went bad: what it says was said. */
static void test_a_damaged_report(void **state)
{
    run(*state, A_REPORT, DAMAGED, &(expected_t){.damaged = 2, .first_is_there = false});
}

/* ---- a segment is lost ---- */

/* What became of the message whose younger copy has its chunk in the segment that is lost. */
typedef enum since { NOTHING, OVER, MOVED_ON } since_t;

/*
 * Writes a copy of message ID whose chunk stands in one segment and whose record stands in the next. Gives the number
 * of the former.
 */
static uint32_t put_across(fixture_t *fixture, fillers_t *fillers, uint64_t id, demit_spool_location_t *location)
{
    gate_t gate = {.mutex = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
    const uint32_t segment = fillers->last_segment;
    unsigned char *body = make_body(id, SIZE);
    demit_spool_writer_t *writer;

    assert_int_equal(demit_spool_begin(&writer, fixture->spool, NULL, NULL), APR_SUCCESS);
    assert_int_equal(demit_spool_append(writer, body, SIZE), APR_SUCCESS); /* the chunk goes off */
    fillers_leave(fixture, fillers, segment);
    demit_spool_commit(writer, make_envelope(id, fixture->pool), NULL, kept, &gate);
    wait_for(&gate, &gate.kept);
    *location = gate.location;
    assert_true(location->segment > segment);
    free(body);
    return segment;
}

static void lose_segment(fixture_t *fixture, since_t since, unsigned damaged)
{
    struct found first = {.size = SIZE};
    static fillers_t fillers;
    demit_spool_location_t second, third;
    unsigned char *body;
    char path[128];
    uint32_t segment;

    fillers.count = 0;
    fixture->options.workers = NULL;
    fixture_open(fixture);
    assert_int_equal(put(fixture, SIZE, &first.id, &first.location), APR_SUCCESS);
    fillers_leave(fixture, &fillers, first.location.segment);
    segment = put_across(fixture, &fillers, first.id, &second);
    fillers_leave(fixture, &fillers, second.segment);
    if (since == OVER) {
        assert_int_equal(note_final(fixture, first.id, second), APR_SUCCESS);
    } else if (since == MOVED_ON) {
        body = make_body(first.id, SIZE);
        assert_int_equal(put_with(fixture, make_envelope(first.id, fixture->pool), body, SIZE, NULL, &third),
                         APR_SUCCESS);
        free(body);
        first.location = third;
    }
    fillers_end(fixture, &fillers);
    fixture_close(fixture);
    snprintf(path, sizeof path, "%s/%08x.seg", fixture->directory, (unsigned)segment);
    assert_int_equal(unlink(path), 0);
    examine(fixture, fixture->directory, &first, &(expected_t){.damaged = damaged, .first_is_there = since != OVER});
}

/* An older copy is still there, and whole: no mail is lost, but it is told that the disk has lost something. */
static void test_a_copy_whose_chunk_is_gone(void **state)
{
    lose_segment(*state, NOTHING, 1);
}

/* Then the segment may have been recycled. */
static void test_a_chunk_gone_when_all_is_over(void **state)
{
    lose_segment(*state, OVER, 0);
}

static void test_a_chunk_gone_when_a_younger_copy_is_whole(void **state)
{
    lose_segment(*state, MOVED_ON, 0);
}

/* ---- killed, started, and then the power goes ---- */

/* Writes through SIM, unsynced, what FROM has and its own directory has not. */
static void write_unsynced(sim_t *sim, const char *from, uint32_t segment)
{
    static unsigned char bytes[TEST_SEGMENT], old[TEST_SEGMENT];
    struct iovec part = {bytes, SPOOL_BLOCK};
    char name[16], path[128];
    int fd, source;

    snprintf(name, sizeof name, "%08x.seg", (unsigned)segment);
    snprintf(path, sizeof path, "%s/%s", from, name);
    source = open(path, O_RDONLY);
    assert_true(source >= 0);
    assert_int_equal(pread(source, bytes, sizeof bytes, 0), sizeof bytes);
    close(source);
    snprintf(path, sizeof path, "%s/%s", sim->directory, name);
    assert_int_equal(sim->table.open(&sim->table, AT_FDCWD, path, O_RDWR, 0, &fd), 0);
    assert_int_equal(pread(fd, old, sizeof old, 0), sizeof old);
    for (size_t at = 0; at < sizeof bytes; at += SPOOL_BLOCK) {
        part.iov_base = bytes + at;
        if (memcmp(bytes + at, old + at, SPOOL_BLOCK) != 0)
            assert_int_equal(sim->table.pwritev(&sim->table, fd, &part, 1, at), 0);
    }
    assert_int_equal(sim->table.close(&sim->table, fd), 0);
}

static bool is_gone(void *baton)
{
    return !segment_is_there(baton, 1);
}

/* Every cut of the power leaves the message, once, wherever it stands then. */
static void cut(const fixture_t *original, sim_t *sim, uint64_t id)
{
    enum { CUTS = 20 };

    for (int i = 0; i < CUTS; i++) {
        fixture_t after = *original;
        recovered_t recovered;

        pthread_mutex_lock(&sim->mutex);
        sim_cut(sim, after.directory);
        pthread_mutex_unlock(&sim->mutex);
        after.options.directory = after.directory;
        after.options.files = NULL;
        fixture_open(&after);
        assert_int_equal(recover(&after, &recovered), APR_SUCCESS);
        assert_int_equal(recovered.count, 1);
        assert_int_equal(recovered.found->id, id);
        assert_body(&after, recovered.found->location, id, SIZE);
        recovered_free(&recovered);
        fixture_close(&after);
        remove_directory(after.directory);
    }
}

/*
 * A second daemon finds a copy that its predecessor has not synced, and would give away the segment of the older one.
 * Meanwhile the disk can be written to, or not.
 */
static void start_again(const fixture_t *original, const gate_t *gate, uint64_t id, bool syncs)
{
    fixture_t fixture = *original;
    static sim_t sim;
    recovered_t recovered;

    snprintf(fixture.directory, sizeof fixture.directory, "%s", gate->before);
    sim_init(&sim, gate->before);
    sim.power = true;
    write_unsynced(&sim, gate->copy, 2);
    fixture.options.directory = fixture.directory;
    fixture.options.files = &sim.table;
    fixture.options.workers = fixture.workers;
    fixture_open(&fixture);
    if (!syncs) {
        sim.fail = SIM_DATASYNC;
        sim.fail_at = sim.counts[SIM_DATASYNC] + 1;
        sim.error = EIO;
    }
    assert_int_equal(recover(&fixture, &recovered), APR_SUCCESS);
    assert_int_equal(recovered.count, 1);
    assert_int_equal(recovered.found->location.segment, 2);
    recovered_free(&recovered);
    if (syncs)
        assert_true(wait_until(is_gone, &fixture, PATIENCE_MS));
    cut(original, &sim, id);
    fixture_close(&fixture); /* when what was to be recycled has been */
    assert_int_equal(is_gone(&fixture), syncs);
    sim_destroy(&sim);
}

static void write_and_start_again(fixture_t *fixture, bool syncs)
{
    gate_t gate = {.mutex = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
    fillers_t fillers = {.count = 0};
    static sim_t sim; /* outlives a failed assertion */
    demit_spool_location_t location;
    unsigned char *body;
    uint64_t id;

    sim_init(&sim, fixture->directory);
    fixture->options.files = &sim.table;
    fixture->options.workers = NULL;
    fixture_open(fixture);
    assert_int_equal(put(fixture, SIZE, &id, &location), APR_SUCCESS);
    assert_int_equal(location.segment, 1);
    fillers_leave(fixture, &fillers, 1);
    fillers_end(fixture, &fillers);
    body = make_body(id, SIZE);
    put_in_one_batch(fixture, &sim, &gate, make_envelope(id, fixture->pool), body, NULL);
    start_again(fixture, &gate, id, syncs);
    remove_directory(gate.before);
    remove_directory(gate.copy);
    free(body);
    fixture_close(fixture);
    sim_destroy(&sim);
}

static void test_what_only_the_kernel_had(void **state)
{
    write_and_start_again(*state, true);
}

static void test_what_cannot_be_synced(void **state)
{
    write_and_start_again(*state, false);
}

/* ---- started without syncs, then with them, and then the power goes ---- */

/* Its marks are those of a run that has synced all, and the copy does not stand in the last of its segments. */
static void test_what_a_run_without_syncs_wrote(void **state)
{
    fixture_t *fixture = *state;
    demit_spool_location_t first, second;
    fillers_t fillers = {.count = 0};
    static sim_t sim; /* outlives a failed assertion */
    recovered_t recovered;
    unsigned char *body;
    uint64_t id;

    sim_init(&sim, fixture->directory);
    sim.power = true;
    fixture->options.files = &sim.table;
    fixture->options.workers = NULL;
    fixture_open(fixture);
    assert_int_equal(put(fixture, SIZE, &id, &first), APR_SUCCESS);
    assert_int_equal(first.segment, 1);
    fillers_leave(fixture, &fillers, 1);
    fillers_end(fixture, &fillers);
    fixture_close(fixture);
    fixture->options.force_fsync = false;
    fixture_open(fixture);
    body = make_body(id, SIZE);
    assert_int_equal(put_with(fixture, make_envelope(id, fixture->pool), body, SIZE, NULL, &second), APR_SUCCESS);
    free(body);
    fillers.count = 0;
    fillers_leave(fixture, &fillers, second.segment);
    fillers_end(fixture, &fillers);
    fixture_close(fixture);
    fixture->options.force_fsync = true;
    fixture->options.workers = fixture->workers;
    fixture_open(fixture);
    assert_int_equal(recover(fixture, &recovered), APR_SUCCESS);
    assert_int_equal(recovered.count, 1);
    assert_int_equal(recovered.found->location.segment, second.segment);
    recovered_free(&recovered);
    assert_true(wait_until(is_gone, fixture, PATIENCE_MS));
    cut(fixture, &sim, id);
    fixture_close(fixture);
    sim_destroy(&sim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_torn_copy, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_a_torn_report, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_a_damaged_copy, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_a_damaged_report, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_a_copy_whose_chunk_is_gone, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_a_chunk_gone_when_all_is_over, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_a_chunk_gone_when_a_younger_copy_is_whole, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(test_what_only_the_kernel_had, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_what_cannot_be_synced, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_what_a_run_without_syncs_wrote, fixture_setup, fixture_teardown),
    };

    return cmocka_run_group_tests_name("spool torn", tests, NULL, NULL);
}
