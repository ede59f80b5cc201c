/* A string that grows: what an answer is rendered into. Any one thread at a time. */
#ifndef DEMIT_CONTROL_TEXT_H
#define DEMIT_CONTROL_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* All zero is the empty text. After a failed allocation it stays as it was and FAILED says so: check once, at the end.
 */
typedef struct console_text {
    char *bytes; /* not terminated */
    size_t size, capacity;
    bool failed;
} console_text_t;

void console_text_append(console_text_t *text, const char *bytes, size_t size);
void console_text_puts(console_text_t *text, const char *string);
/* COUNT times C. */
void console_text_fill(console_text_t *text, char c, size_t count);
/* A piece of up to 127 bytes; what is longer is for console_text_append(). */
void console_text_printf(console_text_t *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Frees it; TEXT is empty again. */
void console_text_free(console_text_t *text);

#endif
