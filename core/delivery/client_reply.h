/*
 * Replies of an SMTP or LMTP server (RFC 5321 section 4.2): pure, no I/O. Nothing a peer can send makes it read or keep
 * more than the limits below.
 */
#ifndef DEMIT_CLIENT_REPLY_H
#define DEMIT_CLIENT_REPLY_H

#include <stdbool.h>
#include <stddef.h>

enum {
    DEMIT_REPLY_LINE_MAX = 4096,      /* bytes of a line with its end; RFC 5321 4.5.3.1.5 promises 512 */
    DEMIT_REPLY_SIZE_MAX = 64 * 1024, /* bytes of a reply, all lines together */
    DEMIT_REPLY_TEXT_MAX = 2048,      /* bytes of text that are kept; what is more is dropped */
    DEMIT_REPLY_STATUS_SIZE = 12      /* "5.123.123" and a NUL */
};

/* A reply, while it comes in and when it is whole. Zeroed before the first use; begins anew by itself. */
typedef struct demit_reply {
    int code;                             /* 220 … 559 */
    char status[DEMIT_REPLY_STATUS_SIZE]; /* enhanced status (RFC 2034) of the first line, or "" */
    char text[DEMIT_REPLY_TEXT_MAX];      /* the lines' text without code, joined by '\n', printable */
    size_t text_size;                     /* without the NUL that follows */
    size_t total_bytes;
    unsigned lines;
    bool whole; /* what was read last ended it */
} demit_reply_t;

typedef enum demit_reply_progress {
    DEMIT_REPLY_MORE,  /* everything that was a whole line is consumed; the reply goes on */
    DEMIT_REPLY_WHOLE, /* REPLY holds one; what follows is not consumed */
    DEMIT_REPLY_JUNK   /* this is not SMTP: give the peer up */
} demit_reply_progress_t;

/*
 * Reads lines from BYTES until a reply is whole. *CONSUMED says how many bytes are done with; offer the others again,
 * in front of what comes next. Split anywhere, the same bytes give the same replies.
 */
demit_reply_progress_t demit_reply_read(demit_reply_t *reply, const char *bytes, size_t size, size_t *consumed);

/* First digit of the code: 2, 3, 4 or 5. */
int demit_reply_class(const demit_reply_t *reply);

/*
 * Writes the reply as one printable line, "550 5.1.1 No such user", into BUFFER (SIZE at least 8), cut if it is longer.
 * Returns BUFFER.
 */
const char *demit_reply_line(const demit_reply_t *reply, char *buffer, size_t size);

#endif
