/* `demitctl spool check DIR`: what it prints, and what it says of a directory that is none. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <apr_file_io.h>

#define WITH_SPOOL(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

enum { TEXT_MAX = 4096 };

/* What the check of DIRECTORY says, and prints into TEXT. */
static apr_status_t check(const char *directory, bool json, char text[TEXT_MAX], apr_pool_t *pool)
{
    char path[] = "/tmp/demit-check-XXXXXX";
    apr_size_t size = TEXT_MAX - 1;
    apr_off_t start = 0;
    apr_status_t status;
    apr_file_t *out;

    assert_int_equal(apr_file_mktemp(&out, path, 0, pool), APR_SUCCESS); /* goes when it is closed */
    status = demit_spool_check(directory, out, json, pool);
    assert_int_equal(apr_file_seek(out, APR_SET, &start), APR_SUCCESS);
    if (apr_file_read(out, text, &size) != APR_SUCCESS) {
        size = 0;
    }
    text[size] = '\0';
    apr_file_close(out);
    return status;
}

/* What demitctl prints on both its outputs; its exit code. */
static int run(const char *directory, char text[TEXT_MAX])
{
    char command[512];
    size_t size;
    FILE *pipe;
    int status;

    snprintf(command, sizeof command, "'%s' spool check '%s' 2>&1", DEMITCTL, directory);
    pipe = popen(command, "r");
    assert_non_null(pipe);
    size = fread(text, 1, TEXT_MAX - 1, pipe);
    text[size] = '\0';
    status = pclose(pipe);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* Numbers that no two fields share, so that one in the place of another is seen. */
static void test_counts(void **state)
{
    static const uint32_t recipients[] = {1};
    static const demit_recipient_state_t states[] = {DEMIT_RECIPIENT_DELIVERED};
    fixture_t *fixture = *state;
    demit_spool_location_t location, first;
    char text[TEXT_MAX];
    uint64_t id, first_id;

    fixture->options.workers = NULL;
    fixture_open(fixture);
    assert_int_equal(put(fixture, 10000, &first_id, &first), APR_SUCCESS); /* two chunks and the message */
    assert_int_equal(put(fixture, 700, &id, &location), APR_SUCCESS);
    assert_int_equal(note(fixture,
                          &(demit_spool_outcome_t){
                              .id = id, .location = location, .count = 1, .recipients = recipients, .states = states}),
                     APR_SUCCESS);
    assert_int_equal(put(fixture, 50, &id, &location), APR_SUCCESS);
    assert_int_equal(note_final(fixture, id, location), APR_SUCCESS);
    fixture_close(fixture);
    assert_int_equal(check(fixture->directory, false, text, fixture->pool), APR_SUCCESS);
    assert_string_equal(text, "1 segment, 7 records, 2 messages waiting for 5 recipients, 10700 bytes\n"
                              "0 records torn, 0 damaged, 0 void: nothing acknowledged is damaged\n");
    assert_int_equal(run(fixture->directory, text), 0);
    assert_non_null(strstr(text, "1 segment, 7 records, 2 messages waiting for 5 recipients, 10700 bytes\n"));
    assert_int_equal(check(fixture->directory, true, text, fixture->pool), APR_SUCCESS);
    assert_non_null(strstr(text, "\"records\": 7"));
    assert_non_null(strstr(text, "\"recipients\": 5"));
    assert_non_null(strstr(text, "\"bytes\": 10700"));
}

/* Damage is counted and named, and the exit code says so too. */
static void test_damage_is_printed(void **state)
{
    fixture_t *fixture = *state;
    demit_spool_location_t location;
    char text[TEXT_MAX], path[128], id_text[DEMIT_ID_TEXT_SIZE];
    uint64_t id;
    FILE *file;

    fixture->options.workers = NULL;
    fixture_open(fixture);
    assert_int_equal(put(fixture, 2000, &id, &location), APR_SUCCESS);
    fixture_close(fixture);
    snprintf(path, sizeof path, "%s/%08x.seg", fixture->directory, (unsigned)location.segment);
    file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, (long)location.block * 8 + 1000, SEEK_SET), 0);
    assert_int_equal(fputc(0xff, file), 0xff);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(check(fixture->directory, false, text, fixture->pool), APR_EINVAL);
    assert_non_null(strstr(text, "DAMAGE: 00000001.seg near offset 4160: a record is not what was written (1, from "
                                 "sequence 1099511627777) message "));
    assert_non_null(strstr(text, demit_id_format(id, id_text)));
    assert_non_null(strstr(text, "1 segment, 0 records, 0 messages waiting for 0 recipients, 0 bytes\n"));
    assert_non_null(strstr(text, "0 records torn, 1 damaged, 0 void: acknowledged mail is DAMAGED\n"));
    assert_int_equal(run(fixture->directory, text), 1);
}

/* A spool may move to a machine whose integers lie in memory the other way round, or are of another size. */
static void test_a_spool_of_another_machine(void **state)
{
    fixture_t *fixture = *state;
    char text[TEXT_MAX], path[128];

    snprintf(path, sizeof path, "%s/00000001.seg", fixture->directory);
    assert_int_equal(apr_file_copy(WRITTEN_ELSEWHERE, path, APR_FPROT_FILE_SOURCE_PERMS, fixture->pool), APR_SUCCESS);
    assert_int_equal(truncate(path, 8388608), 0); /* the zeros at its end were not worth keeping */
    assert_int_equal(check(fixture->directory, false, text, fixture->pool), APR_SUCCESS);
    assert_string_equal(text, "1 segment, 4 records, 2 messages waiting for 3 recipients, 5661 bytes\n"
                              "0 records torn, 0 damaged, 0 void: nothing acknowledged is damaged\n");
}

/* A mistyped path is not a spool without mail. */
static void test_no_spool(void **state)
{
    fixture_t *fixture = *state;
    char text[TEXT_MAX], path[128];

    assert_true(APR_STATUS_IS_ENOENT(check(fixture->directory, false, text, fixture->pool)));
    assert_string_equal(text, "this is no spool: the directory holds neither a lock nor a segment\n");
    assert_true(APR_STATUS_IS_ENOENT(check(fixture->directory, true, text, fixture->pool)));
    assert_non_null(strstr(text, "\"ok\": false"));
    assert_non_null(strstr(text, "this is no spool"));
    assert_int_equal(run(fixture->directory, text), 66);
    assert_non_null(strstr(text, "this is no spool"));
    assert_non_null(strstr(text, fixture->directory));

    snprintf(path, sizeof path, "%s/missing", fixture->directory);
    assert_true(APR_STATUS_IS_ENOENT(check(path, false, text, fixture->pool)));
    assert_int_equal(run(path, text), 66);
    assert_non_null(strstr(text, path));
    assert_int_equal(run("/dev/null", text), 66);
}

/* One that holds no mail yet, and one whose lock was not copied, are spools. */
static void test_an_empty_spool(void **state)
{
    fixture_t *fixture = *state;
    char text[TEXT_MAX], path[128];

    fixture->options.workers = NULL;
    fixture_open(fixture);
    assert_int_equal(check(fixture->directory, false, text, fixture->pool), APR_SUCCESS);
    assert_non_null(strstr(text, "note: a daemon is using this spool"));
    fixture_close(fixture);
    assert_int_equal(check(fixture->directory, false, text, fixture->pool), APR_SUCCESS);
    assert_null(strstr(text, "note:"));
    snprintf(path, sizeof path, "%s/lock", fixture->directory);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(check(fixture->directory, false, text, fixture->pool), APR_SUCCESS);
    assert_non_null(strstr(text, "1 segment, 0 records"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SPOOL(test_counts),   WITH_SPOOL(test_damage_is_printed), WITH_SPOOL(test_a_spool_of_another_machine),
        WITH_SPOOL(test_no_spool), WITH_SPOOL(test_an_empty_spool),
    };

    return cmocka_run_group_tests_name("spool check", tests, NULL, NULL);
}
