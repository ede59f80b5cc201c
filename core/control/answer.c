#include "core/control/answer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apr_time.h>

void console_answer_init(console_answer_t *answer, const console_part_t *parts, size_t part_count)
{
    *answer = (console_answer_t){.value = json_object(), .parts = parts, .part_count = part_count};
    answer->incomplete = answer->value == NULL;
}

void console_answer_free(console_answer_t *answer)
{
    json_decref(answer->value);
    answer->value = NULL;
}

void console_answer_fail(console_answer_t *answer, int exit_code, const char *hint, const char *format, ...)
{
    static const console_part_t parts[] = {
        {.kind = CONSOLE_PART_LINES, .key = "error"},
        {.kind = CONSOLE_PART_LINES, .key = "hint"},
    };
    char text[512];
    va_list arguments;

    va_start(arguments, format);
    const int length = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);

    console_answer_free(answer);
    console_answer_init(answer, parts, sizeof(parts) / sizeof(parts[0]));
    answer->is_error = true;
    answer->exit_code = exit_code;
    console_put(answer, answer->value, "error", console_string(length < 0 ? format : text));
    console_put(answer, answer->value, "exit_code", json_integer(exit_code));
    if (hint != NULL) {
        console_put(answer, answer->value, "hint", console_string(hint));
    }
}

void console_put(console_answer_t *answer, json_t *object, const char *key, json_t *value)
{
    if (json_object_set_new(object, key, value) != 0) {
        answer->incomplete = true;
    }
}

void console_append(console_answer_t *answer, json_t *array, json_t *value)
{
    if (json_array_append_new(array, value) != 0) {
        answer->incomplete = true;
    }
}

json_t *console_put_object(console_answer_t *answer, json_t *object, const char *key)
{
    console_put(answer, object, key, json_object());
    return json_object_get(object, key);
}

json_t *console_put_array(console_answer_t *answer, json_t *object, const char *key)
{
    console_put(answer, object, key, json_array());
    return json_object_get(object, key);
}

/* TEXT with every byte above 0x7f replaced. */
static json_t *replaced_string(const char *text)
{
    console_text_t ascii = {.bytes = NULL};

    for (const char *at = text; *at != '\0'; at++) {
        if ((unsigned char)*at > 0x7f) {
            console_text_puts(&ascii, "\xef\xbf\xbd");
        } else {
            console_text_append(&ascii, at, 1);
        }
    }
    json_t *value = ascii.failed ? NULL : json_stringn(ascii.bytes, ascii.size);
    console_text_free(&ascii);
    return value;
}

json_t *console_string(const char *text)
{
    if (text == NULL) {
        return json_null();
    }
    json_t *value = json_string(text);
    return value != NULL ? value : replaced_string(text);
}

json_t *console_count(uint64_t count)
{
    return json_integer(count > INT64_MAX ? INT64_MAX : (json_int_t)count);
}

json_t *console_time(int64_t wall_us)
{
    apr_time_exp_t utc;
    char text[64];

    if (wall_us == 0 || apr_time_exp_gmt(&utc, wall_us) != APR_SUCCESS) {
        return json_null();
    }
    snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02dZ", utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday,
             utc.tm_hour, utc.tm_min, utc.tm_sec);
    return json_string(text);
}
