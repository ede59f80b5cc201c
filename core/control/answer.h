/*
 * What a command answers: one JSON value, and a constant description of how text shows it. Programs get the value,
 * people the description's view of it, and the two cannot drift apart. Any one thread at a time.
 */
#ifndef DEMIT_CONTROL_ANSWER_H
#define DEMIT_CONTROL_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "core/control/text.h"

/* How one value looks in text. */
typedef enum console_cell {
    CONSOLE_CELL_TEXT,
    CONSOLE_CELL_NUMBER,
    CONSOLE_CELL_BYTES,    /* 4.2K */
    CONSOLE_CELL_DURATION, /* seconds, as 3h12m */
    CONSOLE_CELL_YES_NO
} console_cell_t;

typedef struct console_column {
    const char *key, *heading;
    console_cell_t cell;
    size_t width_max;   /* text beyond it is cut and ends in "…"; 0: never */
    const char *absent; /* for a value that is null or missing; NULL: "-" */
    const char *empty;  /* for a string without a character; NULL: as absent */
} console_column_t;

typedef enum console_part_kind {
    CONSOLE_PART_FIELDS, /* the members of an object, one per line; every member if there are no columns */
    CONSOLE_PART_TABLE,  /* an array of objects, one per line, below headings */
    CONSOLE_PART_LINES   /* a string or an integer, or an array of them, one per line */
} console_part_kind_t;

typedef struct console_part {
    console_part_kind_t kind;
    const char *key;   /* the member that is shown; NULL: the whole value. A missing or empty one is passed over. */
    const char *title; /* or NULL */
    const console_column_t *columns;
    size_t column_count;
} console_part_t;

/* The members columns and column_count of a part, from an array. */
#define CONSOLE_COLUMNS(array) .columns = (array), .column_count = sizeof(array) / sizeof((array)[0])

typedef struct console_answer {
    json_t *value; /* an object, owned */
    const console_part_t *parts;
    size_t part_count;
    bool is_error;
    int exit_code;
    bool incomplete; /* no memory for some of it */
} console_answer_t;

/* An empty answer that PARTS (constant) describe. */
void console_answer_init(console_answer_t *answer, const console_part_t *parts, size_t part_count);
void console_answer_free(console_answer_t *answer);

/*
 * Makes ANSWER an error, whatever it was before. HINT is what to do, or NULL. Text beyond 512 bytes is cut.
 */
void console_answer_fail(console_answer_t *answer, int exit_code, const char *hint, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Puts VALUE, which is taken over, into OBJECT (or ARRAY). NULL for VALUE: there was no memory, and ANSWER notes it. */
void console_put(console_answer_t *answer, json_t *object, const char *key, json_t *value);
void console_append(console_answer_t *answer, json_t *array, json_t *value);
/* Puts a new, empty object or array and returns it, still owned by OBJECT; NULL without memory, which puts accept. */
json_t *console_put_object(console_answer_t *answer, json_t *object, const char *key);
json_t *console_put_array(console_answer_t *answer, json_t *object, const char *key);

/*
 * A string value; null for NULL. JSON is UTF-8: in a TEXT that is not, each byte above 0x7f becomes U+FFFD.
 */
json_t *console_string(const char *text);
/* JSON's integers are signed here: more than INT64_MAX becomes that. */
json_t *console_count(uint64_t count);
/* "2026-03-01T12:00:00Z"; null for 0. */
json_t *console_time(int64_t wall_us);

/* Appends the answer's body to OUT: as JSON (pure ASCII, so that a terminal is safe from it), or as text. */
void console_render(console_text_t *out, const console_answer_t *answer, bool json);

#endif
