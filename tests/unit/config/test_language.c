/* The language: what texts become, and that it does not matter how they arrive. */
#include "support.h"

#include <stdlib.h>
#include <string.h>

#include <apr_file_io.h>
#include <apr_strings.h>

#include "tree_text.h"

static size_t whole(void *baton, size_t left)
{
    (void)baton;
    return left;
}

static size_t by_byte(void *baton, size_t left)
{
    (void)baton, (void)left;
    return 1;
}

/* Once, after so many bytes. */
static size_t once(void *baton, size_t left)
{
    size_t *at = baton;
    size_t piece = *at == 0 || *at > left ? left : *at;
    *at = 0;
    return piece;
}

/* A small generator of one's own, so that a failure can be repeated. */
static size_t anywhere(void *baton, size_t left)
{
    uint32_t *seed = baton;
    *seed = *seed * 1664525u + 1013904223u;
    size_t piece = 1 + (*seed >> 16) % 7;
    return piece > left ? left : piece;
}

/* ---- what texts become ------------------------------------------------------------------------------------------ */

typedef struct row {
    const char *text, *tree;
} row_t;

#define ROOT(tree) "@0:0  {\n" tree "}\n"

static const row_t rows[] = {
    {"", ROOT("")},
    {"\xef\xbb\xbf# only a comment", ROOT("")},
    {"a=b", ROOT("@1:1 a@1:3 w<b>\n")},
    {"a = b\r\nc = d\r\n", ROOT("@1:1 a@1:5 w<b>\n@2:1 c@2:5 w<d>\n")},
    {"a\n=\n\"b c\"", ROOT("@1:1 a@3:1 q<b c>\n")},
    {"a = b c = d", ROOT("@1:1 a@1:5 w<b>\n@1:7 c@1:11 w<d>\n")},
    {"a = '\\\"'", ROOT("@1:1 a@1:5 q<\\\">\n")},
    {"a = \"\\\\ \\\" \\' # /* { \"", ROOT("@1:1 a@1:5 q<\\ \" ' # /* { >\n")},
    {"a = \"\" b = ''", ROOT("@1:1 a@1:5 q<>\n@1:8 b@1:12 q<>\n")},
    {"a = 127.0.0.1:25", ROOT("@1:1 a@1:5 w<127.0.0.1:25>\n")},
    {"a = /var/spool", ROOT("@1:1 a@1:5 w</var/spool>\n")},
    {"a = //x/", ROOT("@1:1 a@1:5 w<//x/>\n")},
    {"a = /", ROOT("@1:1 a@1:5 w</>\n")},
    {"a = b/* c */ d = e", ROOT("@1:1 a@1:5 w<b>\n@1:14 d@1:18 w<e>\n")},
    {"a = /**/b /***/ /* * / ** \n */", ROOT("@1:1 a@1:9 w<b>\n")},
    {"a = /* /* */ b # */", ROOT("@1:1 a@1:14 w<b>\n")},
    {"a = b# c\nd = e", ROOT("@1:1 a@1:5 w<b>\n@2:1 d@2:5 w<e>\n")},
    {"a = ( 127.0.0.0/8 \"::1\"\n b)", ROOT("@1:1 a@1:5 @1:7 w<127.0.0.0/8>@1:19 q<::1>@2:2 w<b>\n")},
    {"a = ()", ROOT("@1:1 a@1:5 \n")},
    {"a = [ b = c \"d e\" = \"f\" ]", ROOT("@1:1 a@1:5 @1:11 b:w<c>@1:21 d e:q<f>\n")},
    {"a{}", ROOT("@1:1 a {\n}\n")},
    {"a \"b\" { c = d e f { } }", ROOT("@1:1 a {\n@1:3 title<b>\n@1:9 c@1:13 w<d>\n@1:15 e {\n@1:17 title<f>\n}\n}\n")},
    {"a\n\"b\"\n{\n}", ROOT("@1:1 a {\n@2:1 title<b>\n}\n")},
    {"a\nb\n{\n}", ROOT("@1:1 a {\n@2:1 title<b>\n}\n")},
    {"INCLUDE \"x y\" a { include z }", "include<x y> in  @1:9 \ninclude<z> in a @1:27 \n" ROOT("@1:15 a {\n}\n")},
    {"\xc3\xa9 = \"\xe2\x82\xac\" b = c", ROOT("@1:1 \xc3\xa9@1:5 q<\xe2\x82\xac>\n@1:9 b@1:13 w<c>\n")},
    {"a = \"\xf0\x9f\x93\xa8\" b = c", ROOT("@1:1 a@1:5 q<\xf0\x9f\x93\xa8>\n@1:9 b@1:13 w<c>\n")},
};

static void test_trees(void **state)
{
    fixture_t *fixture = *state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        const char *expected = rows[i].tree,
                   *tree = tree_text(rows[i].text, strlen(rows[i].text), whole, NULL, fixture->pool);
        if (strcmp(tree, expected) != 0)
            fail_msg("for the text\n%s\nexpected\n%sand got\n%s", rows[i].text, expected, tree);
    }
}

/* ---- how they arrive -------------------------------------------------------------------------------------------- */

static void check_splits(const char *name, const char *text, size_t size, apr_pool_t *pool)
{
    apr_pool_t *scratch;
    assert_int_equal(apr_pool_create(&scratch, pool), APR_SUCCESS);
    const char *expected = tree_text(text, size, whole, NULL, pool);
    if (strcmp(tree_text(text, size, by_byte, NULL, pool), expected) != 0)
        fail_msg("%s: byte by byte gives another tree", name);
    for (size_t at = 1; at < size; at++) {
        size_t cut = at;
        if (strcmp(tree_text(text, size, once, &cut, scratch), expected) != 0)
            fail_msg("%s: cut after %zu bytes gives another tree", name, at);
        apr_pool_clear(scratch);
    }
    for (uint32_t seed = 1; seed <= 20; seed++) {
        uint32_t state = seed;
        if (strcmp(tree_text(text, size, anywhere, &state, scratch), expected) != 0)
            fail_msg("%s: seed %u gives another tree", name, seed);
        apr_pool_clear(scratch);
    }
    apr_pool_destroy(scratch);
}

static void test_rows_arrive_in_pieces(void **state)
{
    fixture_t *fixture = *state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
        check_splits(rows[i].text, rows[i].text, strlen(rows[i].text), fixture->pool);
}

/* Every file of DIRECTORY. */
static int check_directory(fixture_t *fixture, const char *directory)
{
    apr_dir_t *dir;
    apr_finfo_t entry;
    int count = 0;
    assert_int_equal(apr_dir_open(&dir, directory, fixture->pool), APR_SUCCESS);
    while (apr_dir_read(&entry, APR_FINFO_NAME | APR_FINFO_TYPE | APR_FINFO_SIZE, dir) == APR_SUCCESS) {
        if (entry.filetype != APR_REG)
            continue;
        const char *path = apr_pstrcat(fixture->pool, directory, "/", entry.name, NULL);
        char *text = apr_palloc(fixture->pool, (apr_size_t)entry.size + 1);
        apr_file_t *file;
        apr_size_t size = 0;
        assert_int_equal(apr_file_open(&file, path, APR_FOPEN_READ, 0, fixture->pool), APR_SUCCESS);
        (void)apr_file_read_full(file, text, (apr_size_t)entry.size, &size);
        assert_int_equal(size, entry.size);
        check_splits(path, text, size, fixture->pool);
        apr_file_close(file);
        count++;
    }
    apr_dir_close(dir);
    return count;
}

static void test_corpus_arrives_in_pieces(void **state)
{
    assert_true(check_directory(*state, DEMIT_SOURCE_DIRECTORY "/tests/fuzz/config/corpus") >= 40);
    assert_true(check_directory(*state, DEMIT_SOURCE_DIRECTORY "/conf/examples") >= 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_trees, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_rows_arrive_in_pieces, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_corpus_arrives_in_pieces, fixture_setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
