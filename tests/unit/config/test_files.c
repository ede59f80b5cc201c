/* Files and what they include. */
#include "support.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <apr_strings.h>

static const char *errors_of(fixture_t *fixture, const char *text)
{
    loaded_t loaded = load_text(fixture, text);
    assert_int_equal(loaded.status, APR_EINVAL);
    return report_lines(loaded.report.errors, fixture->pool);
}

static void test_missing_main_file(void **state)
{
    fixture_t *fixture = *state;
    loaded_t loaded = load_file(fixture, "nowhere.conf");
    assert_true(APR_STATUS_IS_ENOENT(loaded.status));
    assert_string_equal(report_lines(loaded.report.errors, fixture->pool),
                        "nowhere.conf: cannot be read: No such file or directory\n");
}

static void test_directory_as_main_file(void **state)
{
    fixture_t *fixture = *state;
    loaded_t loaded = load_file(fixture, ".");
    assert_string_equal(report_lines(loaded.report.errors, fixture->pool), ".: cannot be read: Is a directory\n");
}

static void test_file_within_scopes(void **state)
{
    write_text("listen.inc", "Listen \":25\" { include limits.inc }");
    write_text("limits.inc", "Listen_Backlog = 5");
    const demit_settings_t *s = load_good(*state, "ESMTP_Listener { include \"listen.inc\" Listen \":26\" {} }");
    assert_int_equal(s->listeners->nelts, 2);
    const demit_listen_settings_t *listen = &APR_ARRAY_IDX(s->listeners, 0, demit_listen_settings_t);
    assert_int_equal(listen->backlog, 5);
    assert_string_equal(listen->source.file, "listen.inc");
}

static void test_directory_in_lexical_order(void **state)
{
    fixture_t *fixture = *state;
    write_text("conf.d/20-b", "Domain \"*b.example\" { Retry_Interval = 20 }");
    write_text("conf.d/10-a", "Domain \"*a.b.example\" { Retry_Interval = 10 }");
    write_text("conf.d/3-c", "Domain \"*.example\" { Retry_Interval = 3 }");
    write_text("conf.d/.hidden", "nonsense");
    write_text("conf.d/sub/x", "nonsense");
    assert_int_equal(symlink("../linked", "conf.d/90-link"), 0);
    write_text("linked", "Max_Recipients = 90");
    const demit_settings_t *s = load_good(fixture, "include conf.d");
    assert_int_equal(s->domains->nelts, 3);
    assert_int_equal(demit_settings_domain(s, "x.a.b.example")->retry_interval_us, 10000000); /* the first fits */
    assert_string_equal(APR_ARRAY_IDX(s->domains, 2, demit_domain_settings_t).source.file, "conf.d/3-c");
    assert_int_equal(s->max_recipients, 90);
}

static void test_relative_paths(void **state)
{
    fixture_t *fixture = *state;
    write_text("sub/first.inc", "include second.inc include top.inc");
    write_text("sub/second.inc", "Max_Recipients = 2");
    write_text("second.inc", "nonsense, for it lies beside the wrong file");
    write_text("top.inc", "Max_Connections = 3"); /* beside the main file */
    const demit_settings_t *s = load_good(fixture, "include \"sub/first.inc\"");
    assert_int_equal(s->max_recipients, 2);
    assert_int_equal(s->max_connections, 3);
    s = load_good(fixture, apr_pstrcat(fixture->pool, "include \"", fixture->directory, "/top.inc\"", NULL));
    assert_int_equal(s->max_connections, 3);
}

static void test_errors_name_their_files_in_order(void **state)
{
    fixture_t *fixture = *state;
    write_text("a.inc", "\nMax_Recipients = a");
    write_text("b.inc", "Security {\n");
    assert_string_equal(
        errors_of(fixture, "include a.inc\ninclude b.inc\nMax_Connections = b\nMax_Recipients = 5\n}\n"),
        "test.conf:3:19: \"b\" is not a number; write decimal digits only\n"
        "test.conf:4:1: \"Max_Recipients\" is set twice; the first is on a.inc:2, remove one\n"
        "test.conf:5:1: this '}' closes nothing; no scope of this file is open here\n"
        "a.inc:2:18: \"a\" is not a number; write decimal digits only\n"
        "b.inc:1:1: the scope \"Security\" that opens here is never closed; a '}' is missing\n");
}

static void test_a_file_cannot_close_what_it_did_not_open(void **state)
{
    write_text("a.inc", "user = root }");
    assert_string_equal(errors_of(*state, "Security { include a.inc }"),
                        "a.inc:1:13: this '}' closes nothing; no scope of this file is open here\n");
}

static void test_missing_include(void **state)
{
    fixture_t *fixture = *state;
    assert_string_equal(
        errors_of(fixture, "include a.inc\n include \"/no/where\""),
        "test.conf:1:9: include \"a.inc\" cannot be read: No such file or directory (looked for a.inc)\n"
        "test.conf:2:10: include \"/no/where\" cannot be read: No such file or directory (looked for "
        "/no/where)\n");
    write_text("sub/a.inc", "include \"*.conf\"");
    assert_string_equal(errors_of(fixture, "include sub"),
                        "sub/a.inc:1:9: include \"*.conf\" cannot be read: No such file or directory (looked for "
                        "sub/*.conf and *.conf); patterns are not known here, name the directory\n");
}

static void test_recursion(void **state)
{
    fixture_t *fixture = *state;
    assert_string_equal(errors_of(fixture, "include test.conf"),
                        "test.conf:1:9: include \"test.conf\" is endless: it is being read already\n");
    write_text("a.inc", "include b.inc");
    write_text("b.inc", "include c.inc");
    assert_int_equal(link("a.inc", "c.inc"), 0); /* by another name it is the same file */
    assert_string_equal(errors_of(fixture, "include a.inc"),
                        "b.inc:1:9: include \"c.inc\" is endless: it is being read already\n");
    /* Twice is not endless. */
    write_text("d.inc", "Retry_Interval = 5");
    load_good(fixture, "Domain a.b { include d.inc } Domain c.d { include d.inc }");
}

static void test_depth_is_bounded(void **state)
{
    fixture_t *fixture = *state;
    for (int i = 0; i < 20; i++) {
        char name[16], text[32];
        snprintf(name, sizeof(name), "f%d", i);
        snprintf(text, sizeof(text), "include f%d", i + 1);
        write_text(name, text);
    }
    assert_string_equal(errors_of(fixture, "include f0"), "f15:1:9: files include each other deeper than 16\n");
}

static void test_what_is_no_file(void **state)
{
    fixture_t *fixture = *state;
    assert_int_equal(mkfifo("fifo", 0600), 0);
    assert_string_equal(errors_of(fixture, "include fifo"),
                        "test.conf:1:9: include \"fifo\" is neither a file nor a directory\n");
    assert_int_equal(mkdir("d", 0700), 0);
    assert_int_equal(mkfifo("d/fifo", 0600), 0);
    assert_string_equal(errors_of(fixture, "include d"), "test.conf:1:9: include \"d/fifo\" is not a file\n");
    load_good(fixture, ""); /* and an empty directory is nothing */
    assert_int_equal(mkdir("empty", 0700), 0);
    load_good(fixture, "include empty");
}

static void test_dangling_link(void **state)
{
    assert_int_equal(mkdir("d", 0700), 0);
    assert_int_equal(symlink("nowhere", "d/link"), 0);
    assert_string_equal(errors_of(*state, "include d"),
                        "test.conf:1:9: include \"d/link\" cannot be read: No such file or directory\n");
}

static void test_unreadable_include(void **state)
{
    fixture_t *fixture = *state;
    write_text("secret.inc", "");
    assert_int_equal(chmod("secret.inc", 0), 0);
    if (access("secret.inc", R_OK) == 0)
        return; /* root reads everything; as an ordinary user this test says more */
    char expected[160];
    (void)snprintf(expected, sizeof(expected),
                   "test.conf:1:9: include \"secret.inc\" cannot be read: Permission denied for uid %lu, gid %lu\n",
                   (unsigned long)getuid(), (unsigned long)getgid());
    assert_string_equal(errors_of(fixture, "include secret.inc"), expected);
}

static void test_huge_file(void **state)
{
    fixture_t *fixture = *state;
    write_text("huge.inc", "");
    assert_int_equal(truncate("huge.inc", 1), 0);
    FILE *file = fopen("huge.inc", "w");
    assert_non_null(file);
    for (int i = 0; i < 9 * 1024; i++)
        fprintf(file, "%1023s\n", "");
    assert_int_equal(fclose(file), 0);
    assert_string_equal(
        errors_of(fixture, "include huge.inc"),
        "huge.inc: larger than 8388608 bytes, which no configuration is; the rest of it was not read\n");
}

static void test_writable_by_somebody_else(void **state)
{
    fixture_t *fixture = *state;
    if (geteuid() != 0) {
        print_message("only root can give a file away: skipped\n");
        skip();
    }
    write_text("given.inc", "Hostname = a.b ESMTP_Listener { Listen :25 { } }");
    assert_int_equal(chown("given.inc", 64123, 64124), 0);
    assert_int_equal(chmod("given.inc", 0664), 0);
    loaded_t loaded = load_text(fixture, "include given.inc");
    assert_string_equal(report_lines(loaded.report.warnings, fixture->pool),
                        "given.inc: uid 64123 owns this file, and so decides what demitd does as uid 0; chown it\n"
                        "given.inc: everybody of gid 64124 may write this file; chmod g-w it\n");
}

static void test_writable_by_everybody(void **state)
{
    fixture_t *fixture = *state;
    write_text("open.inc", "Hostname = a.b ESMTP_Listener { Listen :25 { } }");
    assert_int_equal(chmod("open.inc", 0666), 0);
    loaded_t loaded = load_text(fixture, "include open.inc");
    assert_string_equal(report_lines(loaded.report.warnings, fixture->pool),
                        "open.inc: everybody may write this file; chmod o-w it\n");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_missing_main_file),
        TEST(test_directory_as_main_file),
        TEST(test_file_within_scopes),
        TEST(test_directory_in_lexical_order),
        TEST(test_relative_paths),
        TEST(test_errors_name_their_files_in_order),
        TEST(test_a_file_cannot_close_what_it_did_not_open),
        TEST(test_missing_include),
        TEST(test_recursion),
        TEST(test_depth_is_bounded),
        TEST(test_what_is_no_file),
        TEST(test_dangling_link),
        TEST(test_unreadable_include),
        TEST(test_huge_file),
        TEST(test_writable_by_everybody),
        TEST(test_writable_by_somebody_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
