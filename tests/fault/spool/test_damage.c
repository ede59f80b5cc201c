/*
 * The disk gives back something else than it was given: bytes flipped, zeroed, cut off. An acknowledged message is then
 * either still there, byte for byte, or reported as damaged; and nothing is there that was never submitted.
 */
#include "tests/unit/spool/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <apr_file_io.h>

/* Room for the messages even if a slow machine writes each piece in a batch of its own, and a mark behind each. */
enum { MESSAGES = 24, SEGMENT = 640 * 1024 };

static const size_t sizes[] = {0, 40, 700, 3000, 5000, 4096, 20000};

typedef enum harm { FLIP, ZERO_BYTES, ZERO_SECTOR, ZERO_BLOCK, CUT, HARMS } harm_t;

/* A spool in one closed segment; its name is put into PATH. */
static void fill(fixture_t *fixture, model_t *model, char path[128])
{
    fixture->options.workers = NULL;
    fixture->options.segment_size_bytes = SEGMENT;
    model_init(model, fixture);
    fixture_open(fixture);
    for (unsigned i = 0; i < MESSAGES; i++) {
        size_t index = model_put(model, sizes[i % (sizeof sizes / sizeof sizes[0])]);

        assert_int_not_equal(index, SIZE_MAX);
        if (i % 6 == 5)
            assert_int_equal(model_end(model, index), APR_SUCCESS);
    }
    fixture_close(fixture);
    assert_int_equal(count_files(fixture, ".seg"), 1);
    snprintf(path, 128, "%s/00000001.seg", fixture->directory);
}

static void harm(const char *path, harm_t how, long offset)
{
    static const size_t lengths[HARMS] = {1, 16, 512, 4096, 0};
    long start = how == ZERO_SECTOR ? offset / 512 * 512 : how == ZERO_BLOCK ? offset / 4096 * 4096 : offset;
    unsigned char bytes[4096] = {0};
    FILE *file;

    if (how == CUT) {
        assert_int_equal(truncate(path, offset), 0);
        return;
    }
    file = fopen(path, "r+b");
    assert_non_null(file);
    if (how == FLIP) {
        assert_int_equal(fseek(file, start, SEEK_SET), 0);
        assert_int_equal(fread(bytes, 1, 1, file), 1);
        bytes[0] ^= (unsigned char)(1u << (offset % 8));
    }
    assert_int_equal(fseek(file, start, SEEK_SET), 0);
    assert_int_equal(fwrite(bytes, 1, lengths[how], file), lengths[how]);
    fclose(file);
}

static apr_status_t check(const fixture_t *fixture)
{
    apr_file_t *out;
    apr_status_t status;

    assert_int_equal(apr_file_open(&out, "/dev/null", APR_FOPEN_WRITE, APR_FPROT_OS_DEFAULT, fixture->pool),
                     APR_SUCCESS);
    status = demit_spool_check(fixture->directory, out, true, fixture->pool);
    apr_file_close(out);
    return status;
}

/* Opens the harmed copy. Returns how many acknowledged messages are not there. */
static unsigned examine(const model_t *model, const char *directory)
{
    fixture_t fixture = *model->fixture;
    recovered_t recovered;
    unsigned lost = 0;
    size_t known = 0;
    apr_status_t checked;

    snprintf(fixture.directory, sizeof fixture.directory, "%s", directory);
    fixture.options.directory = fixture.directory;
    checked = check(&fixture);
    fixture_open(&fixture);
    assert_int_equal(recover(&fixture, &recovered), APR_SUCCESS);
    for (size_t i = 0; i < model->count; i++) {
        const model_message_t *message = &model->messages[i];
        const struct found *found = find(&recovered, message->id);

        known += found != NULL;
        if (found != NULL)
            assert_body(&fixture, found->location, message->id, message->size);
        lost += found == NULL && message->state == MODEL_STORED;
        /* What was over may come back only with a report: its outcome is what was lost. */
        if (found != NULL && message->state == MODEL_OVER)
            lost++;
    }
    assert_int_equal(known, recovered.count);
    if (lost > 0)
        assert_true(recovered.result.damaged_records > 0);
    assert_int_equal(checked, recovered.result.damaged_records > 0 ? APR_EINVAL : APR_SUCCESS);
    recovered_free(&recovered);
    fixture_close(&fixture);
    return lost;
}

/* Up to where something was written, and somewhat more. */
static long end_of(const char *path)
{
    static unsigned char bytes[SEGMENT];
    FILE *file = fopen(path, "rb");
    long end = SEGMENT;

    assert_non_null(file);
    assert_int_equal(fread(bytes, 1, sizeof bytes, file), sizeof bytes);
    fclose(file);
    while (bytes[end - 1] == 0)
        end--;
    return end + 8192 < SEGMENT ? end + 8192 : SEGMENT;
}

static void test_harm_anywhere(void **state)
{
    fixture_t *fixture = *state;
    unsigned examined = 0, lost = 0;
    char path[128];
    model_t model;
    long end;

    fill(fixture, &model, path);
    end = end_of(path);
    for (int how = 0; how < HARMS; how++)
        for (long offset = how * 3; offset < end; offset += 1999 - how * 16) {
            char copy[64], harmed[128];

            copy_directory(fixture->directory, copy);
            snprintf(harmed, sizeof harmed, "%s/00000001.seg", copy);
            harm(harmed, (harm_t)how, offset);
            /* A cut through the last, unsynced mark leaves everything acknowledged in place. */
            lost += examine(&model, copy);
            examined++;
            remove_directory(copy);
        }
    assert_true(lost > 0);
    print_message("%u harmed spools, %u messages lost, each with a report\n", examined, lost);
    model_destroy(&model);
}

static bool one_is_set_aside(void *baton)
{
    return count_files(baton, ".damaged") > 0;
}

/* One bit of a body: that message is set aside, all others are there. */
static void test_one_bit(void **state)
{
    fixture_t *fixture = *state;
    demit_spool_location_t location[3];
    recovered_t recovered;
    uint64_t id[3];
    char path[128];

    fixture->options.workers = NULL; /* all in one segment */
    fixture_open(fixture);
    for (int i = 0; i < 3; i++)
        assert_int_equal(put(fixture, 2000, &id[i], &location[i]), APR_SUCCESS);
    fixture_close(fixture);
    snprintf(path, sizeof path, "%s/%08x.seg", fixture->directory, (unsigned)location[1].segment);
    harm(path, FLIP, (long)location[1].block * 8 + 1000);
    fixture->options.workers = fixture->workers;
    fixture_open(fixture);
    assert_int_equal(recover(fixture, &recovered), APR_SUCCESS);
    assert_int_equal(recovered.count, 2);
    assert_int_equal(recovered.result.damaged_records, 1);
    assert_int_equal(recovered.result.torn_records, 0);
    assert_non_null(find(&recovered, id[0]));
    assert_non_null(find(&recovered, id[2]));
    /* When the rest of it is over the segment is kept for the operator. */
    for (int i = 0; i < 3; i += 2)
        assert_int_equal(note_final(fixture, id[i], location[i]), APR_SUCCESS);
    assert_true(wait_until(one_is_set_aside, fixture, PATIENCE_MS));
    assert_int_equal(count_files(fixture, ".damaged"), 1);
    recovered_free(&recovered);
}

/* A whole header is lost; the next segment knows the epoch, so the mail is not. */
static void test_lost_header(void **state)
{
    fixture_t *fixture = *state;
    recovered_t recovered;
    char path[128];
    model_t model;

    fixture->options.workers = NULL;
    model_init(&model, fixture);
    fixture_open(fixture);
    for (int i = 0; i < 40; i++)
        assert_int_not_equal(model_put(&model, 3000), SIZE_MAX);
    fixture_close(fixture);
    assert_true(count_files(fixture, ".seg") > 1);
    snprintf(path, sizeof path, "%s/00000001.seg", fixture->directory);
    harm(path, ZERO_BLOCK, 0);
    fixture_open(fixture);
    assert_int_equal(recover(fixture, &recovered), APR_SUCCESS);
    assert_int_equal(recovered.count, 40);
    assert_true(recovered.result.damaged_records > 0);
    for (size_t i = 0; i < model.count; i++) {
        const struct found *found = find(&recovered, model.messages[i].id);

        assert_non_null(found);
        assert_body(fixture, found->location, found->id, (size_t)found->size);
    }
    recovered_free(&recovered);
    model_destroy(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_harm_anywhere, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_one_bit, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_lost_header, fixture_setup, fixture_teardown),
    };

    return cmocka_run_group_tests_name("spool damage", tests, NULL, NULL);
}
