#include "core/delivery/client_encode.h"

#include <string.h>

#include "demit/envelope.h"

void demit_encoder_begin(demit_encoder_t *encoder, unsigned flags)
{
    encoder->fix = (flags & DEMIT_MESSAGE_LONE_LF) != 0;
    encoder->stuff = encoder->fix || (flags & DEMIT_MESSAGE_LEADING_DOT) != 0;
    encoder->at_line_start = true;
    encoder->held_cr = false;
    encoder->last = '\0';
}

bool demit_encoder_is_plain(const demit_encoder_t *encoder)
{
    return !encoder->stuff;
}

void demit_encoder_pass(demit_encoder_t *encoder, const char *bytes, size_t size)
{
    if (size > 0) {
        encoder->last = bytes[size - 1];
    }
}

size_t demit_encoder_room(size_t size)
{
    /* The worst are lines of ".\n": each becomes "..\r\n". A held CR and the end come on top. */
    return 2 * size + 16;
}

/* Line by line: memchr() finds the ends, memcpy() moves what is between. */
static size_t stuff_piece(demit_encoder_t *encoder, const char *bytes, size_t size, char *out)
{
    size_t used = 0;
    const char *end = bytes + size;
    while (bytes < end) {
        if (encoder->at_line_start && *bytes == '.') {
            out[used++] = '.';
        }
        const char *line_feed = memchr(bytes, '\n', (size_t)(end - bytes));
        const char *next = line_feed == NULL ? end : line_feed + 1;
        memcpy(out + used, bytes, (size_t)(next - bytes));
        used += (size_t)(next - bytes);
        encoder->at_line_start = line_feed != NULL;
        bytes = next;
    }
    return used;
}

static size_t fix_piece(demit_encoder_t *encoder, const char *bytes, size_t size, char *out)
{
    size_t used = 0;
    for (size_t i = 0; i < size; i++) {
        char c = bytes[i];
        if (c == '\n') { /* with a CR in front or without */
            out[used++] = '\r';
            out[used++] = '\n';
            encoder->held_cr = false;
            encoder->at_line_start = true;
            continue;
        }
        if (encoder->held_cr) {
            out[used++] = ' ';
            encoder->held_cr = false;
            encoder->at_line_start = false;
        }
        if (c == '\r') {
            encoder->held_cr = true;
            continue;
        }
        if (encoder->at_line_start && c == '.') {
            out[used++] = '.';
        }
        out[used++] = c;
        encoder->at_line_start = false;
    }
    return used;
}

size_t demit_encoder_piece(demit_encoder_t *encoder, const char *bytes, size_t size, char *out)
{
    size_t used = 0;
    if (encoder->fix) {
        used = fix_piece(encoder, bytes, size, out);
    } else if (encoder->stuff) {
        used = stuff_piece(encoder, bytes, size, out);
    } else {
        memcpy(out, bytes, size);
        used = size;
    }
    demit_encoder_pass(encoder, out, used);
    return used;
}

size_t demit_encoder_end(demit_encoder_t *encoder, char *out)
{
    size_t used = 0;
    if (encoder->held_cr) {
        out[used++] = ' ';
        encoder->last = ' ';
    }
    if (encoder->last != '\0' && encoder->last != '\n') {
        out[used++] = '\r';
        out[used++] = '\n';
    }
    out[used++] = '.';
    out[used++] = '\r';
    out[used++] = '\n';
    return used;
}
