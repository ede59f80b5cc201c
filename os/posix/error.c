#include "os/posix/identity_priv.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* What the operator or a directory entry was called may hold anything; a sentence is one line. */
static void make_printable(char *text)
{
    for (char *c = text; *c != '\0'; c++) {
        if ((unsigned char)*c < ' ' || *c == 0x7f) {
            *c = '?';
        }
    }
}

int os_fail(demit_os_error_t *error, int code, const char *step, const char *format, ...)
{
    error->code = code;
    (void)snprintf(error->step, sizeof(error->step), "%s", step);
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(error->text, sizeof(error->text), format, arguments);
    va_end(arguments);
    make_printable(error->text);
    if (code != 0) {
        os_append(error->text, sizeof(error->text), ": %s", strerror(code));
    }
    return code != 0 ? code : EINVAL;
}

void os_append(char *buffer, size_t size, const char *format, ...)
{
    size_t used = strlen(buffer);
    if (used + 1 >= size) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(buffer + used, size - used, format, arguments);
    va_end(arguments);
    make_printable(buffer + used);
}

void os_tell(const os_sink_t *sink, const char *format, ...)
{
    if (sink->line == NULL) {
        return;
    }
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    make_printable(line);
    sink->line(sink->baton, line);
}
