/* The spool as its callers see it. */
#include "model.h"
#include "sim.h"

#include <errno.h>
#include <limits.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WITH_SPOOL(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

static const size_t sizes[] = {0, 1, 7, 8, 100, 4095, 4096, 4097, 8192, 8193, 12345, 65536, 200000};
enum { SIZES = sizeof sizes / sizeof sizes[0] };

/* Every size around a boundary comes back as it went in: at once, and after a restart. */
static void test_round_trips(void **state)
{
    fixture_t *fixture = *state;
    demit_spool_location_t locations[SIZES];
    uint64_t ids[SIZES];
    recovered_t recovered;

    fixture_open(fixture);
    for (int i = 0; i < SIZES; i++) {
        assert_int_equal(put(fixture, sizes[i], &ids[i], &locations[i]), APR_SUCCESS);
        assert_body(fixture, locations[i], ids[i], sizes[i]);
    }
    for (int i = 0; i < SIZES; i++)
        assert_body(fixture, locations[i], ids[i], sizes[i]);
    fixture_close(fixture);

    fixture_open(fixture);
    assert_int_equal(recover(fixture, &recovered), APR_SUCCESS);
    assert_int_equal(recovered.count, SIZES);
    assert_int_equal(recovered.result.messages, SIZES);
    assert_int_equal(recovered.result.damaged_records, 0);
    assert_int_equal(recovered.result.torn_records, 0);
    for (int i = 0; i < SIZES; i++) {
        const struct found *found = find(&recovered, ids[i]);

        assert_non_null(found);
        assert_int_equal(found->size, sizes[i]);
        assert_body(fixture, found->location, ids[i], sizes[i]);
    }
    recovered_free(&recovered);
}

/* ---- outcomes ---- */

/* Three outcomes of one message in every order give the same state, also when one is met twice. */
static void test_outcomes_commute(void **state)
{
    static const int orders[][4] = {{0, 1, 2, 0}, {0, 2, 1, 1}, {1, 0, 2, 2}, {1, 2, 0, 0}, {2, 0, 1, 1}, {2, 1, 0, 2}};
    static const uint32_t first[] = {0}, second[] = {2};
    static const demit_recipient_state_t delivered[] = {DEMIT_RECIPIENT_DELIVERED}, failed[] = {DEMIT_RECIPIENT_FAILED};
    fixture_t *fixture = *state;
    demit_spool_location_t location;
    recovered_t recovered;
    uint64_t ids[6];

    fixture_open(fixture);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(put(fixture, 10, &ids[i], &location), APR_SUCCESS);
        for (int j = 0; j < 4; j++) {
            demit_spool_outcome_t outcomes[] = {
                {.attempts = 1, .next_attempt_us = 500, .count = 1, .recipients = first, .states = delivered},
                {.attempts = 2, .next_attempt_us = 900, .delay_dsn_sent = true},
                {.attempts = 3, .next_attempt_us = 700, .count = 1, .recipients = second, .states = failed},
            };
            demit_spool_outcome_t *outcome = &outcomes[orders[i][j]];

            outcome->id = ids[i];
            outcome->location = location;
            demit_spool_record_outcome(fixture->spool, outcome, NULL, NULL);
        }
    }
    fixture_close(fixture);
    fixture_open(fixture);
    assert_int_equal(recover(fixture, &recovered), APR_SUCCESS);
    assert_int_equal(recovered.count, 6);
    for (int i = 0; i < 6; i++) {
        const struct found *found = find(&recovered, ids[i]);

        assert_non_null(found);
        assert_int_equal(found->states[0], DEMIT_RECIPIENT_DELIVERED);
        assert_int_equal(found->states[1], DEMIT_RECIPIENT_PENDING);
        assert_int_equal(found->states[2], DEMIT_RECIPIENT_FAILED);
        assert_int_equal(found->attempts, 3);
        assert_int_equal(found->next_attempt_us, 700);
        assert_true(found->delay_dsn_sent);
    }
    recovered_free(&recovered);
}

static void test_a_final_outcome_ends_a_message(void **state)
{
    fixture_t *fixture = *state;
    demit_spool_location_t kept, gone;
    recovered_t recovered;
    uint64_t kept_id, gone_id;

    fixture_open(fixture);
    assert_int_equal(put(fixture, 9000, &gone_id, &gone), APR_SUCCESS);
    assert_int_equal(put(fixture, 9000, &kept_id, &kept), APR_SUCCESS);
    assert_int_equal(note_final(fixture, gone_id, gone), APR_SUCCESS);
    fixture_close(fixture);
    for (int start = 0; start < 3; start++) {
        fixture_open(fixture);
        assert_int_equal(recover(fixture, &recovered), APR_SUCCESS);
        assert_null(find(&recovered, gone_id));
        assert_non_null(find(&recovered, kept_id));
        assert_int_equal(recovered.count, 1);
        recovered_free(&recovered);
        fixture_close(fixture);
    }
}

/* A bounce and the end of the message that it is about are one record: both are true, or neither. */
static void test_a_bounce_ends_what_it_reports(void **state)
{
    fixture_t *fixture = *state;
    demit_spool_outcome_t reports = {.final = true};
    demit_spool_location_t location;
    recovered_t recovered;
    uint64_t bounce;

    fixture_open(fixture);
    assert_int_equal(put(fixture, 100, &reports.id, &reports.location), APR_SUCCESS);
    bounce = demit_spool_next_id(fixture->spool);
    assert_int_equal(put_with(fixture, make_envelope(bounce, fixture->pool), (const unsigned char *)"bounce\r\n", 8,
                              &reports, &location),
                     APR_SUCCESS);
    fixture_close(fixture);
    fixture_open(fixture);
    assert_int_equal(recover(fixture, &recovered), APR_SUCCESS);
    assert_int_equal(recovered.count, 1);
    assert_non_null(find(&recovered, bounce));
    recovered_free(&recovered);
}

/* ---- segments ---- */

static bool one_segment_is_left(void *baton)
{
    demit_spool_statistics_t statistics;

    demit_spool_statistics(baton, &statistics);
    return statistics.segments == 1;
}

/* When everything in it is over a segment is used again, and nothing that stood in it ever comes back. */
static void test_recycled_segments_stay_empty(void **state)
{
    fixture_t *fixture = *state;
    recovered_t recovered;
    model_t model;

    model_init(&model, fixture);
    for (int start = 0; start < 3; start++) {
        demit_spool_statistics_t statistics;

        fixture_open(fixture);
        assert_int_equal(recover(fixture, &recovered), APR_SUCCESS);
        assert_int_equal(recovered.count, 0);
        assert_int_equal(recovered.result.damaged_records, 0);
        assert_int_equal(recovered.result.torn_records, 0);
        recovered_free(&recovered);
        for (int i = 0; i < 100; i++)
            assert_int_not_equal(model_put(&model, 3000), SIZE_MAX);
        for (size_t i = model.count - 100; i < model.count; i++)
            demit_spool_record_outcome(fixture->spool,
                                       &(demit_spool_outcome_t){.id = model.messages[i].id,
                                                                .location = model.messages[i].location,
                                                                .final = true},
                                       NULL, NULL);
        /* All but the current one become free in the end. */
        assert_true(wait_until(one_segment_is_left, fixture->spool, PATIENCE_MS));
        demit_spool_statistics(fixture->spool, &statistics);
        assert_true(statistics.segments_free > 0);
        fixture_close(fixture);
    }
    model_destroy(&model);
}

/* The bytes of an old use at the same place in a new one, with all their old checksums: the epoch gives them away. */
static void test_old_records_do_not_pass(void **state)
{
    fixture_t *fixture = *state;
    demit_spool_location_t location;
    recovered_t recovered;
    char from[128], to[128], block[8192];
    uint64_t id;
    FILE *file;

    fixture->options.workers = NULL;
    fixture_open(fixture);
    assert_int_equal(put(fixture, 100, &id, &location), APR_SUCCESS);
    fixture_close(fixture);
    fixture_open(fixture); /* the second segment holds nothing yet */
    fixture_close(fixture);
    snprintf(from, sizeof from, "%s/00000001.seg", fixture->directory);
    snprintf(to, sizeof to, "%s/00000002.seg", fixture->directory);
    file = fopen(from, "rb");
    assert_int_equal(fseek(file, 4096, SEEK_SET), 0);
    assert_int_equal(fread(block, 1, 4096, file), 4096);
    fclose(file);
    file = fopen(to, "r+b");
    assert_int_equal(fseek(file, 4096, SEEK_SET), 0);
    assert_int_equal(fwrite(block, 1, 4096, file), 4096);
    fclose(file);
    assert_int_equal(unlink(from), 0);
    fixture_open(fixture);
    assert_int_equal(recover(fixture, &recovered), APR_SUCCESS);
    assert_int_equal(recovered.count, 0);
    assert_int_equal(recovered.result.damaged_records, 0);
    recovered_free(&recovered);
}

static bool some_are_moved(void *baton)
{
    return model_moved(baton) > 0;
}

/* Few live on in each segment: they are moved, with readers on them, while others come and go. */
static void test_compaction_under_load(void **state)
{
    fixture_t *fixture = *state;
    model_snapshot_t snapshot;
    recovered_t recovered;
    char copy[64];
    model_t model;

    model_init(&model, fixture);
    fixture_open(fixture);
    assert_int_equal(recover(fixture, &recovered), APR_SUCCESS);
    model_attach(&model);
    model_load(&model, 16, 60, 12);
    assert_true(wait_until(some_are_moved, &model, PATIENCE_MS));
    assert_int_equal(model.refused, 0);
    model_assert_bodies(&model);
    print_message("%u moved\n", model_moved(&model));
    fixture_close(fixture);
    assert_int_equal(model.moved + model.stayed, model.moves); /* each was told once how it ended */
    snapshot = model_snapshot(&model);
    copy_directory(fixture->directory, copy);
    model_verify(&model, copy, &snapshot, &snapshot);
    remove_directory(copy);
    free(snapshot.states);
    model_destroy(&model);
}

/* A reader keeps its segment in place though the message is over. */
static void test_readers_pin(void **state)
{
    fixture_t *fixture = *state;
    demit_spool_location_t location, other;
    demit_spool_reader_t *reader;
    char text[16];
    size_t size = sizeof text;
    uint64_t id, other_id;
    unsigned char *expected;

    fixture_open(fixture);
    assert_int_equal(put(fixture, 20000, &id, &location), APR_SUCCESS);
    expected = make_body(id, 20000);
    assert_int_equal(demit_spool_reader_open(&reader, NULL, fixture->spool, location, fixture->pool), APR_SUCCESS);
    assert_int_equal(note_final(fixture, id, location), APR_SUCCESS);
    for (int i = 0; i < 40; i++) {
        assert_int_equal(put(fixture, 3000, &other_id, &other), APR_SUCCESS);
        demit_spool_record_outcome(
            fixture->spool, &(demit_spool_outcome_t){.id = other_id, .location = other, .final = true}, NULL, NULL);
    }
    settle(fixture);
    assert_int_equal(demit_spool_reader_verify(reader), APR_SUCCESS);
    assert_int_equal(demit_spool_reader_read(reader, 19990, text, &size), APR_SUCCESS);
    assert_int_equal(size, 10);
    assert_memory_equal(text, expected + 19990, 10);
    demit_spool_reader_close(reader);
    free(expected);
}

/* ---- the rest ---- */

static void test_one_owner(void **state)
{
    fixture_t *fixture = *state, other = *fixture;

    fixture_open(fixture);
    assert_true(APR_STATUS_IS_EAGAIN(fixture_try_open(&other)));
    fixture_close(fixture);
    fixture_open(fixture);
}

static void test_ids_and_sequences_never_repeat(void **state)
{
    fixture_t *fixture = *state;
    uint64_t last = 0;

    for (int start = 0; start < 4; start++) {
        fixture_open(fixture);
        for (int i = 0; i < 3; i++) {
            uint64_t id = demit_spool_next_id(fixture->spool);

            assert_true(id > last);
            last = id;
        }
        fixture_close(fixture);
    }
}

static void no_room(void *baton)
{
    (void)baton;
    fail();
}

/* Given up at any moment, with a chunk on its way or not: nothing is left, nobody is called. */
static void test_discard(void **state)
{
    fixture_t *fixture = *state;
    demit_spool_statistics_t statistics;
    unsigned char *body = make_body(1, 9000);
    recovered_t recovered;

    fixture_open(fixture);
    for (size_t size = 0; size <= 9000; size += 450) {
        demit_spool_writer_t *writer;

        assert_int_equal(demit_spool_begin(&writer, fixture->spool, no_room, NULL), APR_SUCCESS);
        assert_int_equal(demit_spool_append(writer, body, size), APR_SUCCESS);
        demit_spool_discard(writer);
    }
    fixture_close(fixture);
    fixture_open(fixture);
    assert_int_equal(recover(fixture, &recovered), APR_SUCCESS);
    assert_int_equal(recovered.count, 0);
    demit_spool_statistics(fixture->spool, &statistics);
    assert_int_equal(statistics.buffered_bytes, 0);
    recovered_free(&recovered);
    free(body);
}

static void test_too_large_an_envelope(void **state)
{
    fixture_t *fixture = *state;
    demit_spool_location_t location;
    demit_envelope_t *envelope;
    char *sender = malloc(TEST_SEGMENT + 1);
    uint64_t id;

    memset(sender, 'x', TEST_SEGMENT);
    sender[TEST_SEGMENT] = '\0';
    fixture_open(fixture);
    envelope = make_envelope(demit_spool_next_id(fixture->spool), fixture->pool);
    envelope->sender = sender;
    assert_int_equal(put_with(fixture, envelope, (const unsigned char *)"x", 1, NULL, &location), EFBIG);
    assert_int_equal(put(fixture, 1, &id, &location), APR_SUCCESS); /* and the next one is none the worse */
    free(sender);
}

static void test_options_are_checked(void **state)
{
    fixture_t *fixture = *state;

    fixture->options.segment_size_bytes = TEST_SEGMENT - 4096;
    assert_int_equal(fixture_try_open(fixture), APR_EINVAL);
    fixture->options.segment_size_bytes = TEST_SEGMENT + 1;
    assert_int_equal(fixture_try_open(fixture), APR_EINVAL);
    fixture->options.segment_size_bytes = TEST_SEGMENT;
    fixture->options.directory = "/nonexistent/spool";
    assert_true(APR_STATUS_IS_ENOENT(fixture_try_open(fixture)));
}

/* One sync for a lone message; none at all when the configuration says so. */
static void test_syncs(void **state)
{
    fixture_t *fixture = *state;
    demit_spool_location_t location;
    uint64_t id;
    static sim_t sim; /* outlives a failed assertion */

    sim_init(&sim, fixture->directory);
    fixture->options.workers = NULL; /* spares are synced too */
    fixture->options.files = &sim.table;
    for (int force = 0; force < 2; force++) {
        unsigned before;

        fixture->options.force_fsync = force;
        fixture_open(fixture);
        before = sim.counts[SIM_DATASYNC];
        for (int i = 0; i < 3; i++)
            assert_int_equal(put(fixture, 100, &id, &location), APR_SUCCESS);
        assert_int_equal(sim.counts[SIM_DATASYNC] - before, force ? 3 : 0);
        fixture_close(fixture);
    }
    sim_destroy(&sim);
}

/* Root checks a spool whose files belong to somebody else, who may have put anything there. */
static void test_a_fifo_holds_no_check_up(void **state)
{
    fixture_t *fixture = *state;
    char lock[PATH_MAX], segment[PATH_MAX];
    apr_file_t *out;

    snprintf(lock, sizeof lock, "%s/lock", fixture->directory);
    snprintf(segment, sizeof segment, "%s/00000001.seg", fixture->directory);
    assert_int_equal(mkfifo(lock, 0600), 0);
    assert_int_equal(mkfifo(segment, 0600), 0);
    assert_int_equal(apr_file_open(&out, "/dev/null", APR_FOPEN_WRITE, APR_FPROT_OS_DEFAULT, fixture->pool),
                     APR_SUCCESS);
    (void)alarm(PATIENCE_MS / 1000);
    assert_int_not_equal(demit_spool_check(fixture->directory, out, false, fixture->pool), APR_SUCCESS);
    (void)alarm(0);
    apr_file_close(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SPOOL(test_round_trips),
        WITH_SPOOL(test_outcomes_commute),
        WITH_SPOOL(test_a_final_outcome_ends_a_message),
        WITH_SPOOL(test_a_bounce_ends_what_it_reports),
        WITH_SPOOL(test_recycled_segments_stay_empty),
        WITH_SPOOL(test_old_records_do_not_pass),
        WITH_SPOOL(test_compaction_under_load),
        WITH_SPOOL(test_readers_pin),
        WITH_SPOOL(test_one_owner),
        WITH_SPOOL(test_ids_and_sequences_never_repeat),
        WITH_SPOOL(test_discard),
        WITH_SPOOL(test_too_large_an_envelope),
        WITH_SPOOL(test_options_are_checked),
        WITH_SPOOL(test_a_fifo_holds_no_check_up),
        WITH_SPOOL(test_syncs),
    };

    return cmocka_run_group_tests_name("spool", tests, NULL, NULL);
}
