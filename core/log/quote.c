/* Values that peers sent, made fit for one line of the log. */
#include "demit/log.h"

#include <stdbool.h>
#include <string.h>

static const char ELLIPSIS[] = "\xe2\x80\xa6";

/* Length of the well-formed UTF-8 sequence at TEXT (RFC 3629 section 4), or 0. */
static size_t utf8_length(const unsigned char *text)
{
    static const struct {
        unsigned char first_low, first_high, second_low, second_high, length;
    } forms[] = {
        {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3}, {0xe1, 0xec, 0x80, 0xbf, 3},
        {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4},
        {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        if (text[0] < forms[i].first_low || text[0] > forms[i].first_high) {
            continue;
        }
        if (text[1] < forms[i].second_low || text[1] > forms[i].second_high) {
            return 0;
        }
        for (size_t k = 2; k < forms[i].length; k++) {
            if ((text[k] & 0xc0) != 0x80) {
                return 0;
            }
        }
        /* U+0080 to U+009F are control characters as well: a terminal may act on them. */
        return text[0] == 0xc2 && text[1] < 0xa0 ? 0 : forms[i].length;
    }
    return 0;
}

static bool needs_quotes(const char *text)
{
    return text[0] == '\0' || strpbrk(text, " =\"") != NULL;
}

/* Writes the form of the character at *TEXT into FORM, moves *TEXT on, returns the form's length. */
static size_t escape_one(const unsigned char **text, char form[4])
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char c = **text;
    size_t length = c > 0x7f ? utf8_length(*text) : 0;

    if (length > 0) {
        memcpy(form, *text, length);
        *text += length;
        return length;
    }
    *text += 1;
    if (c == '\\' || c == '"') {
        form[0] = '\\';
        form[1] = (char)c;
        return 2;
    }
    if (c < 0x20 || c >= 0x7f) {
        form[0] = '\\';
        form[1] = 'x';
        form[2] = digits[c >> 4];
        form[3] = digits[c & 15];
        return 4;
    }
    form[0] = (char)c;
    return 1;
}

const char *demit_log_quote(char *buffer, size_t buffer_size, const char *text)
{
    if (text == NULL) {
        text = "-";
    }
    const bool quoted = needs_quotes(text);
    /* What must still fit behind every character: the ellipsis, the closing quote, the end. */
    const size_t reserve = sizeof(ELLIPSIS) - 1 + (quoted ? 1 : 0) + 1;
    const unsigned char *from = (const unsigned char *)text;
    size_t used = 0;

    if (buffer_size < reserve + (quoted ? 1 : 0)) {
        if (buffer_size > 0) {
            buffer[0] = '\0';
        }
        return buffer;
    }
    if (quoted) {
        buffer[used++] = '"';
    }
    while (*from != '\0') {
        char form[4];
        const size_t length = escape_one(&from, form);
        if (used + length + reserve > buffer_size) {
            memcpy(buffer + used, ELLIPSIS, sizeof(ELLIPSIS) - 1);
            used += sizeof(ELLIPSIS) - 1;
            break;
        }
        memcpy(buffer + used, form, length);
        used += length;
    }
    if (quoted) {
        buffer[used++] = '"';
    }
    buffer[used] = '\0';
    return buffer;
}

const char *demit_log_status(char *buffer, size_t buffer_size, apr_status_t status)
{
    char text[256];

    apr_strerror(status, text, sizeof(text));
    return demit_log_quote(buffer, buffer_size, text);
}
