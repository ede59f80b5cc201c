#include "core/control/text.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Makes room for SIZE more bytes. Doubles, so that a long answer is copied a constant number of times. */
static bool reserve(console_text_t *text, size_t size)
{
    size_t capacity = text->capacity < 1024 ? 1024 : text->capacity;

    if (text->failed || size > SIZE_MAX / 4 - text->size) {
        text->failed = true;
        return false;
    }
    if (text->bytes != NULL && text->capacity - text->size >= size) {
        return true;
    }
    while (capacity < text->size + size) {
        capacity *= 2;
    }
    char *bytes = realloc(text->bytes, capacity);
    if (bytes == NULL) {
        text->failed = true;
        return false;
    }
    text->bytes = bytes;
    text->capacity = capacity;
    return true;
}

void console_text_append(console_text_t *text, const char *bytes, size_t size)
{
    if (reserve(text, size)) {
        memcpy(text->bytes + text->size, bytes, size);
        text->size += size;
    }
}

void console_text_puts(console_text_t *text, const char *string)
{
    console_text_append(text, string, strlen(string));
}

void console_text_fill(console_text_t *text, char c, size_t count)
{
    if (reserve(text, count)) {
        memset(text->bytes + text->size, c, count);
        text->size += count;
    }
}

void console_text_printf(console_text_t *text, const char *format, ...)
{
    char piece[128];
    va_list arguments;

    va_start(arguments, format);
    const int length = vsnprintf(piece, sizeof(piece), format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length >= sizeof(piece)) {
        text->failed = true;
        return;
    }
    console_text_append(text, piece, (size_t)length);
}

void console_text_free(console_text_t *text)
{
    free(text->bytes);
    *text = (console_text_t){.bytes = NULL};
}
