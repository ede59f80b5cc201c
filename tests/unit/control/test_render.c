/* Answers as text and as JSON, and the distance of words. */
#include "core/control/answer.h"
#include "core/control/command.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const console_column_t columns[] = {
    {.key = "name", .heading = "NAME", .width_max = 8, .empty = "<>"},
    {.key = "size", .heading = "SIZE", .cell = CONSOLE_CELL_BYTES},
    {.key = "age", .heading = "AGE", .cell = CONSOLE_CELL_DURATION, .absent = "never"},
    {.key = "why", .heading = "WHY"},
};
static const console_part_t parts[] = {
    {.kind = CONSOLE_PART_TABLE, .key = "rows", CONSOLE_COLUMNS(columns)},
    {.kind = CONSOLE_PART_LINES, .key = "note", .title = "Note"},
};

static char *rendered(const console_answer_t *answer, bool json)
{
    console_text_t out = {.bytes = NULL};

    console_render(&out, answer, json);
    console_text_append(&out, "", 1);
    assert_false(out.failed);
    return out.bytes;
}

static void add_row(console_answer_t *answer, const char *name, uint64_t size, json_t *age, const char *why)
{
    json_t *row = json_object();

    console_put(answer, row, "name", console_string(name));
    console_put(answer, row, "size", console_count(size));
    console_put(answer, row, "age", age);
    console_put(answer, row, "why", console_string(why));
    console_append(answer, json_object_get(answer->value, "rows"), row);
}

static void a_table_is_aligned(void **state)
{
    console_answer_t answer;
    (void)state;
    console_answer_init(&answer, parts, 2);
    console_put_array(&answer, answer.value, "rows");
    add_row(&answer, "short", 10, json_integer(59), "x");
    add_row(&answer, "much too long", 1536, json_integer(3600 * 3 + 720), NULL);
    add_row(&answer, "", UINT64_MAX, json_null(), "");
    add_row(&answer, "\xc3\xa4\xc3\xb6\xc3\xbc", 1024ULL * 1024 * 300, json_integer(86400 * 5 + 1), "y");
    console_put(&answer, answer.value, "note", console_string("done"));
    char *text = rendered(&answer, false);
    assert_string_equal(text, "NAME      SIZE    AGE  WHY\n"
                              "short      10B    59s  x\n"
                              "much to\xe2\x80\xa6  1.5K  3h12m  -\n"
                              "<>        8.0E  never  -\n"
                              "\xc3\xa4\xc3\xb6\xc3\xbc       300M   5d0h  y\n"
                              "\n"
                              "Note\n"
                              "done\n");
    free(text);
    console_answer_free(&answer);
}

static void empty_parts_are_passed_over(void **state)
{
    console_answer_t answer;
    (void)state;
    console_answer_init(&answer, parts, 2);
    console_put_array(&answer, answer.value, "rows");
    char *text = rendered(&answer, false);
    assert_string_equal(text, "");
    free(text);
    console_answer_free(&answer);
}

static void a_terminal_is_safe_from_values(void **state)
{
    console_answer_t answer;
    json_error_t error;
    (void)state;
    console_answer_init(&answer, parts, 2);
    console_put(&answer, answer.value, "note", console_string("a\x1b[2J\r\n\x7f \xc2\x9b z"));
    char *text = rendered(&answer, false);
    assert_string_equal(text, "Note\na\\x1b[2J\\x0d\\x0a\\x7f \\u009b z\n");
    free(text);
    char *json = rendered(&answer, true);
    for (const char *at = json; *at != '\0'; at++) {
        assert_true(*at == '\n' || ((unsigned char)*at >= 0x20 && (unsigned char)*at <= 0x7f));
    }
    json_t *back = json_loads(json, 0, &error);
    assert_non_null(back);
    assert_string_equal(json_string_value(json_object_get(back, "note")), "a\x1b[2J\r\n\x7f \xc2\x9b z");
    json_decref(back);
    free(json);
    console_answer_free(&answer);
}

static void what_is_not_utf8_is_still_a_string(void **state)
{
    json_t *value = console_string("caf\xe9 \xc3\xa9");
    (void)state;
    assert_non_null(value);
    assert_string_equal(json_string_value(value), "caf\xef\xbf\xbd \xef\xbf\xbd\xef\xbf\xbd");
    json_decref(value);
    assert_true(json_is_null(console_string(NULL)));
}

static void wrong_types_do_no_harm(void **state)
{
    console_answer_t answer;
    json_t *row;
    (void)state;
    console_answer_init(&answer, parts, 2);
    console_put_array(&answer, answer.value, "rows");
    row = json_object();
    console_put(&answer, row, "name", json_integer(1));
    console_put(&answer, row, "size", json_string("x"));
    console_append(&answer, json_object_get(answer.value, "rows"), row);
    char *text = rendered(&answer, false);
    assert_string_equal(text, "NAME  SIZE    AGE  WHY\n-       0B  never  -\n");
    free(text);
    console_answer_free(&answer);
}

static void no_memory_is_noted(void **state)
{
    console_answer_t answer;
    (void)state;
    console_answer_init(&answer, parts, 2);
    assert_false(answer.incomplete);
    console_put(&answer, answer.value, "x", NULL); /* as json_string() gives it without memory */
    assert_true(answer.incomplete);
    console_answer_free(&answer);
}

static void an_error_takes_the_place_of_an_answer(void **state)
{
    console_answer_t answer;
    (void)state;
    console_answer_init(&answer, parts, 2);
    console_answer_fail(&answer, 64, "Do this.", "No %s.", "such");
    assert_true(answer.is_error);
    assert_int_equal(answer.exit_code, 64);
    char *text = rendered(&answer, false);
    assert_string_equal(text, "No such.\nDo this.\n");
    free(text);
    console_answer_free(&answer);
}

static void distances(void **state)
{
    (void)state;
    assert_int_equal(console_distance("", ""), 0);
    assert_int_equal(console_distance("mailq", "MAILQ"), 0);
    assert_int_equal(console_distance("mialq", "mailq"), 1);
    assert_int_equal(console_distance("mail", "mailq"), 1);
    assert_int_equal(console_distance("", "help"), 4);
    assert_int_equal(console_distance("kitten", "sitting"), 3);
    /* Longer than what is looked at: the first 32 bytes only. */
    assert_int_equal(console_distance("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "b"), 32);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_table_is_aligned),
        cmocka_unit_test(empty_parts_are_passed_over),
        cmocka_unit_test(a_terminal_is_safe_from_values),
        cmocka_unit_test(what_is_not_utf8_is_still_a_string),
        cmocka_unit_test(wrong_types_do_no_harm),
        cmocka_unit_test(no_memory_is_noted),
        cmocka_unit_test(an_error_takes_the_place_of_an_answer),
        cmocka_unit_test(distances),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
