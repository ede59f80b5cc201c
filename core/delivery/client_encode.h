/*
 * The body on its way out (RFC 5321 section 4.5.2): dots stuffed, lone line ends made whole, the end marked. Pure.
 */
#ifndef DEMIT_CLIENT_ENCODE_H
#define DEMIT_CLIENT_ENCODE_H

#include <stdbool.h>
#include <stddef.h>

typedef struct demit_encoder {
    bool stuff;         /* some line begins with a dot */
    bool fix;           /* there are CR or LF alone */
    bool at_line_start; /* the next byte begins a line */
    bool held_cr;       /* fix: a CR whose next byte is not known yet */
    char last;          /* the last byte that was written, or 0 */
} demit_encoder_t;

/*
 * Begins a body with the message's FLAGS (DEMIT_MESSAGE_*). A message with a lone LF is stuffed in any case: where it
 * becomes CRLF, a dot behind it begins a line, and an unstuffed one would end the message (SMTP smuggling).
 */
void demit_encoder_begin(demit_encoder_t *encoder, unsigned flags);

/* Whether bytes go out as they are: the caller may then skip demit_encoder_piece() and say so with _pass(). */
bool demit_encoder_is_plain(const demit_encoder_t *encoder);
void demit_encoder_pass(demit_encoder_t *encoder, const char *bytes, size_t size);

/* Room that SIZE bytes and the end need at most. */
size_t demit_encoder_room(size_t size);

/*
 * Writes SIZE bytes encoded to OUT and returns how many came of it. A lone LF becomes CRLF (RFC 5321 2.3.8); a lone CR
 * becomes a space: made CRLF it would begin a line, or a header field, that nobody who looked at the message saw.
 */
size_t demit_encoder_piece(demit_encoder_t *encoder, const char *bytes, size_t size, char *out);

/* Writes the end, CRLF first if the last line has none, to OUT (8 bytes) and returns its size. */
size_t demit_encoder_end(demit_encoder_t *encoder, char *out);

#endif
