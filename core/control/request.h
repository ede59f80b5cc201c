/* The one line that a client of the console sends. Pure: no state, no I/O. */
#ifndef DEMIT_CONTROL_REQUEST_H
#define DEMIT_CONTROL_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

enum {
    CONSOLE_LINE_MAX = 1024, /* its newline included */
    CONSOLE_WORDS_MAX = 16
};

typedef struct console_request {
    bool json;
    size_t word_count;                    /* at least 1 */
    const char *words[CONSOLE_WORDS_MAX]; /* point into LINE */
    char line[CONSOLE_LINE_MAX];
} console_request_t;

typedef enum console_parse {
    CONSOLE_PARSE_PARTIAL, /* the newline has not come yet: ask again with more behind the same bytes */
    CONSOLE_PARSE_DONE,
    CONSOLE_PARSE_BAD
} console_parse_t;

/*
 * Reads `text WORDS…` or `json WORDS…` up to the first newline of BYTES[0..SIZE). Words are separated by spaces and
 * tabs; any other control character, a NUL among them, is refused. BAD fills *WRONG with a sentence; REQUEST->json is
 * right even then if the line began with a format. A line is BAD as soon as it is too long, whether it ends or not.
 */
console_parse_t console_request_parse(console_request_t *request, const char *bytes, size_t size, const char **wrong);

#endif
