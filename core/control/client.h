/* The client's side of the console: ask one question, print the answer. Blocks; demitctl only. */
#ifndef DEMIT_CONTROL_CLIENT_H
#define DEMIT_CONTROL_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include <apr_pools.h>

typedef struct console_question {
    const char *socket_path;
    bool json;
    int64_t timeout_us; /* for connecting, and for each piece of the answer */
    const char *const *words;
    int word_count;
} console_question_t;

/*
 * Asks, and prints what the daemon says: answers to standard output, errors to standard error (in JSON, both to
 * standard output). Returns the exit code: the daemon's, or 64 (words that cannot be sent), 69 (nobody answers), 74
 * (the answer was cut, or could not be printed), 77 (no permission) with a line that says what to do.
 */
int console_ask(const console_question_t *question, apr_pool_t *pool);

#endif
