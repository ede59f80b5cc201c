#include "core/smtp/body.h"

#include <string.h>

#include "demit/envelope.h"

enum {
    LINE_MAX_BYTES = 998, /* RFC 5321 section 4.5.3.1.6, without the CRLF */
    LOOK_AHEAD_BYTES = 4096
};

void demit_body_init(demit_body_t *body, bool dots, const demit_settings_t *settings)
{
    *body = (demit_body_t){
        .dots = dots,
        .in_header = true,
        .in_headers = settings->lone_lf_in_headers,
        .in_body = settings->lone_lf_in_body,
        .at = DEMIT_BODY_LINE_START,
    };
}

static void grow_line(demit_body_t *body, size_t size)
{
    body->line_size_bytes += size;
    if (body->line_size_bytes > LINE_MAX_BYTES) {
        body->flags |= DEMIT_MESSAGE_LONG_LINE;
    }
}

/* A line of the stored message has ended; an empty one ends the header section. */
static void end_line(demit_body_t *body)
{
    if (body->line_size_bytes == 0) {
        body->in_header = false;
    }
    body->line_size_bytes = 0;
}

/* The first byte of a stored line is known: a dot there must be stuffed again on the way out. */
static void begin_line(demit_body_t *body, char first)
{
    if (body->line_size_bytes == 0 && first == '.') {
        body->flags |= DEMIT_MESSAGE_LEADING_DOT;
    }
}

/* A CR or LF, BYTE, that is not part of a CRLF. It never makes a line start of the wire. */
static void lone(demit_body_t *body, const char *byte, demit_body_piece_t *piece)
{
    demit_lone_lf_t policy = body->in_header ? body->in_headers : body->in_body;

    body->at = DEMIT_BODY_IN_LINE;
    switch (policy) {
    case DEMIT_LONE_LF_REJECT:
        body->refused = true;
        break;
    case DEMIT_LONE_LF_IGNORE:
        body->flags |= DEMIT_MESSAGE_LONE_LF;
        grow_line(body, 1);
        piece->bytes = byte;
        piece->size = 1;
        break;
    case DEMIT_LONE_LF_FIX:
        end_line(body);
        piece->bytes = "\r\n";
        piece->size = 2;
        break;
    }
}

/*
 * The first CR, LF or NUL from AT on. It looks only so far ahead: a text of nothing but lone CRs, each of which ends a
 * run, must not make every run search the whole input for an LF.
 */
static const char *find_special(const char *at, const char *end)
{
    size_t size = end - at < LOOK_AHEAD_BYTES ? (size_t)(end - at) : (size_t)LOOK_AHEAD_BYTES;
    const char specials[] = {'\n', '\r', '\0'};

    for (size_t i = 0; i < sizeof specials; i++) {
        const char *found = memchr(at, specials[i], size);
        size = found != NULL ? (size_t)(found - at) : size;
    }
    return at + size;
}

/*
 * The longest run of whole lines and a last partial one that can be stored as it is. It ends before a lone LF or a NUL,
 * at any CR that is not known to stand before an LF (held), and, if dots are stuffed, before a line that begins with
 * one.
 */
static void take_run(demit_body_t *body, const char *bytes, size_t size, demit_body_piece_t *piece)
{
    const char *at = bytes, *end = bytes + size;

    body->at = DEMIT_BODY_IN_LINE;
    while (at < end) {
        begin_line(body, *at);
        const char *stop = find_special(at, end);
        grow_line(body, (size_t)(stop - at));
        at = stop;
        if (end - at >= 2 && at[0] == '\r' && at[1] == '\n') {
            end_line(body);
            at += 2;
            if (at == end || (body->dots && *at == '.')) {
                body->at = DEMIT_BODY_LINE_START;
                break;
            }
        } else if (at < end && (*at == '\r' || *at == '\n' || *at == '\0')) {
            break;
        }
    }
    piece->bytes = bytes;
    piece->size = (size_t)(at - bytes);
    piece->consumed = piece->size;
    if (at < end && *at == '\r') {
        body->at = DEMIT_BODY_CR;
        piece->consumed++;
    }
}

/* A dot at the start of a line was held: whatever follows, it is not stored (RFC 5321 section 4.5.2). */
static void after_dot(demit_body_t *body, const char *bytes, demit_body_piece_t *piece)
{
    if (*bytes == '\r') {
        body->at = DEMIT_BODY_DOT_CR;
        piece->consumed = 1;
    } else if (*bytes == '\n') {
        piece->consumed = 1;
        lone(body, bytes, piece);
    } else {
        body->at = DEMIT_BODY_IN_LINE;
    }
}

/* A CR was held. */
static void after_cr(demit_body_t *body, const char *bytes, demit_body_piece_t *piece)
{
    if (*bytes != '\n') {
        lone(body, "\r", piece);
        return;
    }
    piece->consumed = 1;
    if (body->at == DEMIT_BODY_DOT_CR) {
        piece->end = true;
        return;
    }
    end_line(body);
    body->at = DEMIT_BODY_LINE_START;
    piece->bytes = "\r\n";
    piece->size = 2;
}

void demit_body_next(demit_body_t *body, const char *bytes, size_t size, demit_body_piece_t *piece)
{
    *piece = (demit_body_piece_t){.bytes = bytes};
    switch (body->at) {
    case DEMIT_BODY_LINE_START:
        if (body->dots && *bytes == '.') {
            body->at = DEMIT_BODY_DOT;
            piece->consumed = 1;
            return;
        }
        break;
    case DEMIT_BODY_DOT:
        after_dot(body, bytes, piece);
        if (piece->consumed > 0) {
            return;
        }
        break;
    case DEMIT_BODY_DOT_CR:
    case DEMIT_BODY_CR:
        after_cr(body, bytes, piece);
        if (piece->consumed > 0 || piece->size > 0) {
            return;
        }
        break;
    case DEMIT_BODY_IN_LINE:
        break;
    }
    if (*bytes == '\n') {
        piece->consumed = 1;
        lone(body, bytes, piece);
        return;
    }
    if (*bytes == '\0') {
        piece->consumed = 1;
        body->at = DEMIT_BODY_IN_LINE;
        body->has_nul = true;
        return;
    }
    take_run(body, bytes, size, piece);
}

void demit_body_finish(demit_body_t *body, demit_body_piece_t *piece)
{
    *piece = (demit_body_piece_t){.bytes = ""};
    if (body->at == DEMIT_BODY_CR) {
        lone(body, "\r", piece);
    }
    if (body->line_size_bytes > 0) {
        body->flags |= DEMIT_MESSAGE_NO_FINAL_CRLF;
    }
}
