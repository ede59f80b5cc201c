/*
 * The disk gives back something else than it was given: bytes flipped, zeroed, cut off. An acknowledged message is then
 * either still there, byte for byte, or reported as damaged where it stood; and nothing is there that was never
 * submitted. With DEMIT_LONG at every offset, else at a sample of them.
 */
#include "tests/unit/spool/model.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <apr_file_io.h>
#include <apr_strings.h>

#include "demit/files.h"

/* Room for the messages even if a slow machine writes each piece in a batch of its own, and a mark behind each. */
enum { MESSAGES = 24, SEGMENT = 640 * 1024, MESSAGES_LONG = 8, SEGMENT_LONG = 320 * 1024 };
/* What stands between a place and the next one that a report may name: a record, and the padding behind its batch. */
enum { NEAR = TEST_THRESHOLD + 2 * 4096 };

static const size_t sizes[] = {0, 40, 700, 3000, 5000, 4096, 20000};

typedef enum harm { FLIP, ZERO_BYTES, ZERO_SECTOR, ZERO_BLOCK, CUT, HARMS } harm_t;

static const size_t lengths[HARMS] = {1, 16, 512, 4096, 0};

static bool is_long(void)
{
    return getenv("DEMIT_LONG") != NULL;
}

/* A spool in one closed segment; its name is put into PATH. */
static void fill(fixture_t *fixture, model_t *model, char path[128])
{
    unsigned messages = is_long() ? MESSAGES_LONG : MESSAGES;

    fixture->options.workers = NULL;
    fixture->options.segment_size_bytes = is_long() ? SEGMENT_LONG : SEGMENT;
    model_init(model, fixture);
    fixture_open(fixture);
    for (unsigned i = 0; i < messages; i++) {
        size_t index = model_put(model, sizes[i % (sizeof sizes / sizeof sizes[0])]);

        assert_int_not_equal(index, SIZE_MAX);
        if (i % 6 == 5)
            assert_int_equal(model_end(model, index), APR_SUCCESS);
    }
    fixture_close(fixture);
    assert_int_equal(count_files(fixture, ".seg"), 1);
    snprintf(path, 128, "%s/00000001.seg", fixture->directory);
}

/* The first byte that is harmed at OFFSET, and how many. */
static long harm_start(harm_t how, long offset)
{
    return how == ZERO_SECTOR ? offset / 512 * 512 : how == ZERO_BLOCK ? offset / 4096 * 4096 : offset;
}

static void harm(const char *path, harm_t how, long offset)
{
    long start = harm_start(how, offset);
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

/* What the check says, and whether one of its findings is near START of the first segment, of LENGTH bytes. */
static apr_status_t check(const fixture_t *fixture, long start, long length, bool *named)
{
    unsigned long long offset;
    apr_file_t *out;
    apr_status_t status;
    apr_pool_t *pool;
    char line[512];

    assert_int_equal(apr_pool_create(&pool, NULL), APR_SUCCESS);
    assert_int_equal(apr_file_mktemp(&out, apr_pstrdup(pool, "/tmp/demit-said-XXXXXX"), 0, pool), APR_SUCCESS);
    status = demit_spool_check(fixture->directory, out, false, pool);
    assert_int_equal(apr_file_seek(out, APR_SET, &(apr_off_t){0}), APR_SUCCESS);
    *named = false;
    while (apr_file_gets(line, sizeof line, out) == APR_SUCCESS)
        if (sscanf(line, "DAMAGE: 00000001.seg near offset %llu:", &offset) == 1)
            *named |= (long)offset <= start + length && (long)offset + NEAR > start;
    apr_pool_destroy(pool);
    return status;
}

/* Opens the copy that was harmed at START. Returns how many acknowledged messages are not there. */
static unsigned examine(const model_t *model, const char *directory, long start, long length)
{
    fixture_t fixture = *model->fixture;
    recovered_t recovered;
    unsigned lost = 0;
    size_t known = 0;
    apr_status_t checked;
    bool named;

    snprintf(fixture.directory, sizeof fixture.directory, "%s", directory);
    fixture.options.directory = fixture.directory;
    checked = check(&fixture, start, length, &named);
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
    assert_int_equal(named, recovered.result.damaged_records > 0);
    recovered_free(&recovered);
    fixture_close(&fixture);
    return lost;
}

/* What is harmed was written long ago, and what is written now nobody wants to keep: syncs would only take time. */
static int sync_nothing(const demit_files_t *files, int fd)
{
    (void)files;
    (void)fd;
    return 0;
}

/* Up to where something was written, and somewhat more. */
static long end_of(const char *path, long size)
{
    unsigned char *bytes = malloc((size_t)size);
    FILE *file = fopen(path, "rb");
    long end = size;

    assert_non_null(file);
    assert_int_equal(fread(bytes, 1, (size_t)size, file), size);
    fclose(file);
    while (bytes[end - 1] == 0)
        end--;
    free(bytes);
    return end + 8192 < size ? end + 8192 : size;
}

/* From one place to the next one. */
static long step(harm_t how)
{
    static const long every[HARMS] = {1, 1, 512, 4096, 1};

    return is_long() ? every[how] : 1999 - how * 16;
}

static void test_harm_anywhere(void **state)
{
    fixture_t *fixture = *state;
    demit_files_t files = demit_files_system;
    unsigned examined = 0, lost = 0;
    struct stat status;
    char path[128];
    model_t model;
    long end;

    fill(fixture, &model, path);
    assert_int_equal(stat(path, &status), 0);
    end = end_of(path, (long)status.st_size);
    files.datasync = files.sync_directory = sync_nothing;
    fixture->options.files = &files;
    for (int how = 0; how < HARMS; how++)
        for (long offset = is_long() ? 0 : how * 3; offset < end; offset += step((harm_t)how)) {
            char copy[64], harmed[128];

            copy_directory(fixture->directory, copy);
            snprintf(harmed, sizeof harmed, "%s/00000001.seg", copy);
            harm(harmed, (harm_t)how, offset);
            /* A cut through the last, unsynced mark leaves everything acknowledged in place. */
            lost += examine(&model, copy, harm_start((harm_t)how, offset), (long)lengths[how]);
            examined++;
            remove_directory(copy);
        }
    fixture->options.files = NULL;
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

/* The last message before a stop, or before a pause and a crash: a mark of its own says that it was acknowledged. */
static void assert_the_last_is_missed(fixture_t *fixture, const char *directory, demit_spool_location_t location)
{
    fixture_t other = *fixture;
    recovered_t recovered;
    char path[128];

    snprintf(other.directory, sizeof other.directory, "%s", directory);
    other.options.directory = other.directory;
    snprintf(path, sizeof path, "%s/%08x.seg", directory, (unsigned)location.segment);
    harm(path, FLIP, (long)location.block * 8 + 1000);
    fixture_open(&other);
    assert_int_equal(recover(&other, &recovered), APR_SUCCESS);
    assert_int_equal(recovered.count, 0);
    assert_int_equal(recovered.result.damaged_records, 1);
    recovered_free(&recovered);
    fixture_close(&other);
}

static bool a_mark_is_written(void *baton)
{
    const fixture_t *fixture = baton;
    demit_spool_statistics_t statistics;

    demit_spool_statistics(fixture->spool, &statistics);
    return statistics.bytes_written > 4096;
}

static void test_the_last_message(void **state)
{
    fixture_t *fixture = *state;
    demit_spool_location_t location;
    char copy[64];
    uint64_t id;

    fixture->options.workers = NULL;
    fixture_open(fixture);
    assert_int_equal(put(fixture, 2000, &id, &location), APR_SUCCESS);
    assert_true(wait_until(a_mark_is_written, fixture, PATIENCE_MS));
    copy_directory(fixture->directory, copy); /* as a crash would leave it */
    fixture_close(fixture);
    assert_the_last_is_missed(fixture, copy, location);
    remove_directory(copy);
    assert_the_last_is_missed(fixture, fixture->directory, location);
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

/* A disk that cannot read some block any more. */
static struct bad_disk {
    demit_files_t table;
    uint64_t start, end;
} bad_disk;

static int bad_pread(const demit_files_t *files, int fd, void *bytes, size_t size, uint64_t offset, size_t *done)
{
    (void)files;
    if (offset < bad_disk.end && offset + size > bad_disk.start)
        return EIO;
    return demit_files_system.pread(&demit_files_system, fd, bytes, size, offset, done);
}

/* What stands there is lost and reported; what stands around it is there, although it is read in larger pieces. */
static void test_a_block_that_cannot_be_read(void **state)
{
    fixture_t *fixture = *state;
    demit_spool_location_t location[3];
    recovered_t recovered;
    uint64_t id[3];

    fixture->options.workers = NULL; /* all in one segment */
    fixture_open(fixture);
    for (int i = 0; i < 3; i++)
        assert_int_equal(put(fixture, 2000, &id[i], &location[i]), APR_SUCCESS);
    fixture_close(fixture);
    bad_disk.table = demit_files_system;
    bad_disk.table.pread = bad_pread;
    bad_disk.start = (uint64_t)location[1].block * 8 / 4096 * 4096;
    bad_disk.end = bad_disk.start + 4096;
    fixture->options.files = &bad_disk.table;
    fixture_open(fixture);
    assert_int_equal(recover(fixture, &recovered), APR_SUCCESS);
    assert_int_equal(recovered.count, 2);
    assert_int_equal(recovered.result.damaged_records, 1);
    for (int i = 0; i < 3; i += 2) {
        const struct found *found = find(&recovered, id[i]);

        assert_non_null(found);
        assert_body(fixture, found->location, id[i], 2000);
    }
    recovered_free(&recovered);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_harm_anywhere, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_one_bit, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_the_last_message, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_a_block_that_cannot_be_read, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_lost_header, fixture_setup, fixture_teardown),
    };

    return cmocka_run_group_tests_name("spool damage", tests, NULL, NULL);
}
