/*
 * The text of a message as it comes over the wire, turned into what is stored: dot-stuffing undone, the end found,
 * every CR and LF that does not stand in a CRLF dealt with as the configuration says. Only CR LF "." CR LF ends DATA
 * (RFC 5321 section 4.1.1.4); no other combination of CR, LF and dots ever does (SMTP smuggling, CVE-2023-51764).
 *
 * One pass, no copy: the reader names runs of the input that can be stored as they are, as long as they can be.
 * Pure: no I/O, nothing allocated. The state is a plain struct; a caller that cannot store a piece now keeps a copy of
 * the state from before and asks again later with the same input.
 */
#ifndef DEMIT_SMTP_BODY_H
#define DEMIT_SMTP_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "demit/settings.h"

/* What the last bytes were. Bytes "held" are consumed and not yet part of a piece. */
typedef enum demit_body_at {
    DEMIT_BODY_LINE_START, /* of the wire: after CRLF, or at the very beginning */
    DEMIT_BODY_DOT,        /* a dot at the start of a line, held */
    DEMIT_BODY_DOT_CR,     /* the same and a CR, held */
    DEMIT_BODY_IN_LINE,
    DEMIT_BODY_CR /* held: CRLF, or a lone CR? */
} demit_body_at_t;

typedef struct demit_body {
    bool dots; /* DATA: dots are stuffed and a dot ends it. Not so with BDAT. */
    bool in_header;
    bool refused; /* a lone CR or LF where the configuration refuses it */
    /*
     * A NUL: it has no place in 7bit or 8bit text (RFC 2045 section 2.7), and a server further on that drops it from
     * CR LF NUL "." CR LF would see an end where there is none.
     */
    bool has_nul;
    demit_lone_lf_t in_headers, in_body;
    demit_body_at_t at;
    uint32_t flags;           /* DEMIT_MESSAGE_LEADING_DOT, _LONE_LF, _NO_FINAL_CRLF, _LONG_LINE */
    uint64_t line_size_bytes; /* of the line under way, as it is stored */
} demit_body_t;

typedef struct demit_body_piece {
    const char *bytes; /* to be stored: within the input, or a constant */
    size_t size;       /* may be 0 */
    size_t consumed;   /* how much of the input it took */
    bool end;          /* CRLF.CRLF: the rest of the input is no longer the message */
} demit_body_piece_t;

void demit_body_init(demit_body_t *body, bool dots, const demit_settings_t *settings);

/* The next piece of BYTES[0..SIZE), SIZE > 0. It consumes at least one byte or yields at least one. */
void demit_body_next(demit_body_t *body, const char *bytes, size_t size, demit_body_piece_t *piece);

/* BDAT LAST: what is still held (may be nothing), and the flags of the end. */
void demit_body_finish(demit_body_t *body, demit_body_piece_t *piece);

#endif
