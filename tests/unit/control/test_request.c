/* The request line: whole, byte by byte, split anywhere; and everything that is not one. */
#include "core/control/request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static console_request_t request;
static const char *wrong;

static console_parse_t parse(const char *text)
{
    wrong = NULL;
    return console_request_parse(&request, text, strlen(text), &wrong);
}

static void words_are_cut_at_blanks(void **state)
{
    (void)state;
    assert_int_equal(parse("text  showqueue\texample.com 10 \nrest"), CONSOLE_PARSE_DONE);
    assert_false(request.json);
    assert_int_equal(request.word_count, 3);
    assert_string_equal(request.words[0], "showqueue");
    assert_string_equal(request.words[1], "example.com");
    assert_string_equal(request.words[2], "10");
    assert_int_equal(parse("json help\n"), CONSOLE_PARSE_DONE);
    assert_true(request.json);
}

static void every_prefix_is_partial_and_every_split_gives_the_same(void **state)
{
    static const char line[] = "json message details 0123456789ABC\n";
    (void)state;
    for (size_t size = 0; size < sizeof(line) - 1; size++) {
        /* An exact copy, so that a sanitizer sees a look beyond its end. */
        char *prefix = malloc(size + 1);
        assert_non_null(prefix);
        memcpy(prefix, line, size);
        assert_int_equal(console_request_parse(&request, prefix, size, &wrong), CONSOLE_PARSE_PARTIAL);
        free(prefix);
    }
    assert_int_equal(parse(line), CONSOLE_PARSE_DONE);
    assert_int_equal(request.word_count, 3);
    assert_string_equal(request.words[2], "0123456789ABC");
}

static void bad_lines_say_what_is_wrong(void **state)
{
    static const struct {
        const char *line, *part_of_why;
    } bad[] = {
        {"\n", "begin with"},
        {"   \n", "begin with"},
        {"summary\n", "begin with"},
        {"TEXT summary\n", "begin with"},
        {"textsummary\n", "begin with"},
        {"text\n", "names no command"},
        {"json \n", "names no command"},
        {"text summary\r\n", "control character"},
        {"text sum\x1b[2Jmary\n", "control character"},
        {"text \x7f\n", "control character"},
        {"text 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n", "16 words"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(parse(bad[i].line), CONSOLE_PARSE_BAD);
        assert_non_null(strstr(wrong, bad[i].part_of_why));
    }
}

static void a_nul_is_a_control_character(void **state)
{
    (void)state;
    assert_int_equal(console_request_parse(&request, "text a\0b\n", 9, &wrong), CONSOLE_PARSE_BAD);
    assert_non_null(strstr(wrong, "control character"));
}

static void a_line_has_1024_bytes_with_its_newline(void **state)
{
    char line[CONSOLE_LINE_MAX + 1];
    (void)state;
    memset(line, 'x', sizeof(line));
    memcpy(line, "text ", 5);
    assert_int_equal(console_request_parse(&request, line, CONSOLE_LINE_MAX - 1, &wrong), CONSOLE_PARSE_PARTIAL);
    assert_int_equal(console_request_parse(&request, line, CONSOLE_LINE_MAX, &wrong), CONSOLE_PARSE_BAD);
    assert_non_null(strstr(wrong, "longer"));
    line[CONSOLE_LINE_MAX] = '\n';
    assert_int_equal(console_request_parse(&request, line, sizeof(line), &wrong), CONSOLE_PARSE_BAD);
    line[CONSOLE_LINE_MAX - 1] = '\n';
    assert_int_equal(console_request_parse(&request, line, sizeof(line), &wrong), CONSOLE_PARSE_DONE);
    assert_int_equal(strlen(request.words[0]), CONSOLE_LINE_MAX - 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_are_cut_at_blanks),
        cmocka_unit_test(every_prefix_is_partial_and_every_split_gives_the_same),
        cmocka_unit_test(bad_lines_say_what_is_wrong),
        cmocka_unit_test(a_nul_is_a_control_character),
        cmocka_unit_test(a_line_has_1024_bytes_with_its_newline),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
