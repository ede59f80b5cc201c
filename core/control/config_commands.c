/* Commands about the configuration: what is in force, and how another comes into force. */
#include "core/control/command.h"

#include <stdlib.h>
#include <string.h>

/* ---- config reload ---------------------------------------------------------------------------------------------- */

static void put_lines(console_answer_t *answer, const char *key, const apr_array_header_t *lines)
{
    json_t *array = console_put_array(answer, answer->value, key);

    for (int i = 0; i < lines->nelts; i++) {
        console_append(answer, array, console_string(APR_ARRAY_IDX(lines, i, const char *)));
    }
}

static void put_refusal(console_answer_t *answer, const demit_reload_outcome_t *outcome)
{
    static const console_part_t parts[] = {
        {.kind = CONSOLE_PART_LINES, .key = "errors"},
        {.kind = CONSOLE_PART_LINES, .key = "hint"},
    };

    console_answer_init(answer, parts, 2);
    put_lines(answer, "errors", outcome->errors);
    console_put(answer, answer->value, "hint", json_string("Nothing was changed."));
    answer->is_error = true;
    answer->exit_code = outcome->exit_code;
}

static void put_changes(console_answer_t *answer, const demit_reload_outcome_t *outcome)
{
    static const console_part_t parts[] = {
        {.kind = CONSOLE_PART_LINES, .key = "message"},
        {.kind = CONSOLE_PART_LINES, .key = "listeners_added", .title = "Listeners added"},
        {.kind = CONSOLE_PART_LINES, .key = "listeners_removed", .title = "Listeners removed"},
        {.kind = CONSOLE_PART_LINES, .key = "listeners_changed", .title = "Listeners changed, sockets kept"},
        {.kind = CONSOLE_PART_LINES, .key = "options_changed", .title = "Options changed"},
        {.kind = CONSOLE_PART_LINES, .key = "warnings", .title = "Warnings"},
    };
    const bool is_same =
        outcome->added->nelts + outcome->removed->nelts + outcome->changed->nelts == 0 && outcome->options->nelts == 0;

    console_answer_init(answer, parts, sizeof(parts) / sizeof(parts[0]));
    console_put(
        answer, answer->value, "message",
        json_string(is_same ? "Configuration reloaded; nothing in it has changed." : "Configuration reloaded."));
    put_lines(answer, "listeners_added", outcome->added);
    put_lines(answer, "listeners_removed", outcome->removed);
    put_lines(answer, "listeners_changed", outcome->changed);
    put_lines(answer, "options_changed", outcome->options);
    put_lines(answer, "warnings", outcome->warnings);
}

void console_complete_reload(console_inquiry_t *inquiry)
{
    const demit_control_options_t *options = inquiry->options;
    console_answer_t *answer = &inquiry->answer;
    demit_reload_outcome_t outcome = {.exit_code = CONSOLE_EXIT_SYSTEM};
    apr_pool_t *pool;

    if (apr_pool_create(&pool, NULL) != APR_SUCCESS) {
        console_answer_fail(answer, CONSOLE_EXIT_SYSTEM, NULL, "Out of memory.");
        return;
    }
    options->reload(options->baton, &outcome, pool);
    if (outcome.exit_code != 0) {
        put_refusal(answer, &outcome);
    } else {
        put_changes(answer, &outcome);
    }
    apr_pool_destroy(pool);
}

/* ---- config show ------------------------------------------------------------------------------------------------ */

/* A line of the array for each line of the text. */
static void put_text(console_answer_t *answer, json_t *lines, const char *text)
{
    while (*text != '\0') {
        const size_t size = strcspn(text, "\n");
        char *line = strndup(text, size);
        console_append(answer, lines, line != NULL ? console_string(line) : NULL);
        free(line);
        text += text[size] == '\n' ? size + 1 : size;
    }
}

void console_complete_show(console_inquiry_t *inquiry)
{
    static const console_part_t parts[] = {
        {.kind = CONSOLE_PART_LINES, .key = "text"},
    };
    console_answer_t *answer = &inquiry->answer;

    console_answer_init(answer, parts, 1);
    console_put(answer, answer->value, "file", console_string(inquiry->settings->file));
    json_t *lines = console_put_array(answer, answer->value, "text");
    put_text(answer, lines, inquiry->settings->text != NULL ? inquiry->settings->text : "");
}
