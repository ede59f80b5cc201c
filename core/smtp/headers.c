#include "core/smtp/headers.h"

#include <string.h>

#include "core/smtp/grammar.h"
#include "demit/envelope.h"

void demit_headers_init(demit_headers_t *headers, const char *hostname)
{
    headers->hostname = hostname;
    headers->over = headers->line_has_8bit = headers->after_cr = headers->after_crlf = false;
    headers->flags = headers->received = headers->received_own = 0;
    headers->field_size = headers->line_from = 0;
}

/* Eight bytes at a time; the compiler makes vectors of it. */
bool demit_has_8bit(const char *bytes, size_t size)
{
    const uint64_t high_bits = UINT64_C(0x8080808080808080);
    uint64_t seen = 0, word;

    for (; size >= sizeof word; bytes += sizeof word, size -= sizeof word) {
        memcpy(&word, bytes, sizeof word);
        seen |= word;
    }
    for (; size > 0; bytes++, size--) {
        seen |= (unsigned char)*bytes;
    }
    return (seen & high_bits) != 0;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool ends_host(char c)
{
    return is_space(c) || c == ';' || c == '(' || c == '.';
}

/* Whether FIELD, the text of a Received field, says "by HOSTNAME". */
static bool says_by(demit_slice_t field, const char *hostname)
{
    size_t host_size = strlen(hostname);

    for (size_t i = 1; i + 2 < field.size; i++) {
        demit_slice_t rest = {field.text + i, field.size - i};
        if (!is_space(field.text[i - 1]) || !demit_slice_starts(rest, "by") || !is_space(rest.text[2])) {
            continue;
        }
        rest.text += 2;
        rest.size -= 2;
        while (rest.size > 0 && is_space(*rest.text)) {
            rest.text++;
            rest.size--;
        }
        /* The first "by" counts: what follows in comments and other clauses was written by anybody. */
        return demit_slice_starts(rest, hostname) && (rest.size == host_size || ends_host(rest.text[host_size]));
    }
    return false;
}

static void end_field(demit_headers_t *headers)
{
    size_t kept = headers->field_size < sizeof headers->field ? headers->field_size : sizeof headers->field;
    demit_slice_t field = {headers->field, kept};

    headers->field_size = headers->line_from = 0;
    if (!demit_slice_starts(field, "Received:")) {
        return;
    }
    headers->received++;
    field.text += strlen("Received:") - 1;
    field.size -= strlen("Received:") - 1;
    /* The colon stands for the space before a "by" that comes first. */
    headers->field[strlen("Received:") - 1] = ' ';
    if (says_by(field, headers->hostname)) {
        headers->received_own++;
    }
}

static void keep(demit_headers_t *headers, const char *bytes, size_t size)
{
    if (headers->field_size < sizeof headers->field) {
        size_t room = sizeof headers->field - headers->field_size;
        memcpy(headers->field + headers->field_size, bytes, size < room ? size : room);
    }
    headers->field_size += size;
}

/* Whether the line in FIELD begins as a header field does (RFC 5322 section 2.2), or goes on with one. */
static bool is_header_line(const demit_headers_t *headers)
{
    size_t kept = headers->field_size < sizeof headers->field ? headers->field_size : sizeof headers->field;

    if (headers->line_from > 0) {
        return true; /* folded: it began with white space */
    }
    for (size_t i = 0; i < kept; i++) {
        char c = headers->field[i];
        if (c == ':' || c == ' ' || c == '\t') {
            const char *colon = memchr(headers->field, ':', kept);
            return i > 0 && colon != NULL && (size_t)(colon - headers->field) >= i;
        }
        if (c < '!' || c > '~') {
            return false;
        }
    }
    return false;
}

/* A line is complete, its CRLF included. */
static void end_line(demit_headers_t *headers)
{
    bool has_8bit = headers->line_has_8bit;

    headers->line_has_8bit = false;
    if (!is_header_line(headers)) {
        /* An empty line, or a message whose body begins without one. */
        headers->over = true;
        headers->flags |= has_8bit ? (uint32_t)DEMIT_MESSAGE_BODY_8BIT : 0U;
        return;
    }
    headers->flags |= has_8bit ? (uint32_t)DEMIT_MESSAGE_HEADER_8BIT : 0U;
    headers->line_from = headers->field_size;
}

/* Takes up to the end of the line under way; returns how much. */
static size_t feed_line(demit_headers_t *headers, const char *bytes, size_t size)
{
    /* Whether a field goes on is known when the next line's first byte is. */
    if (headers->after_crlf) {
        headers->after_crlf = false;
        if (*bytes != ' ' && *bytes != '\t') {
            end_field(headers);
        }
    }
    const char *lf = memchr(bytes, '\n', size);
    size_t taken = lf != NULL ? (size_t)(lf - bytes) + 1 : size;
    bool crlf = lf != NULL && (lf > bytes ? lf[-1] == '\r' : headers->after_cr);

    headers->line_has_8bit |= demit_has_8bit(bytes, taken);
    headers->after_cr = bytes[taken - 1] == '\r';
    keep(headers, bytes, taken);
    if (crlf) {
        end_line(headers);
        headers->after_crlf = true;
    }
    return taken;
}

void demit_headers_feed(demit_headers_t *headers, const char *bytes, size_t size)
{
    while (size > 0 && !headers->over) {
        size_t taken = feed_line(headers, bytes, size);
        bytes += taken;
        size -= taken;
    }
    if (size > 0 && (headers->flags & DEMIT_MESSAGE_BODY_8BIT) == 0 && demit_has_8bit(bytes, size)) {
        headers->flags |= DEMIT_MESSAGE_BODY_8BIT;
    }
}

void demit_headers_finish(demit_headers_t *headers)
{
    if (!headers->over && headers->field_size > headers->line_from) {
        end_line(headers);
    }
    if (!headers->over) {
        end_field(headers);
    }
}
