/*
 * Watches the header section of a message while it is stored: how far it has travelled, whether it went in circles
 * (RFC 5321 section 6.3), and where bytes above 0x7f stand. Pure; holds the beginning of one header field at a time.
 */
#ifndef DEMIT_SMTP_HEADERS_H
#define DEMIT_SMTP_HEADERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How much of a field is looked at: enough for the "from" and "by" clauses of any sensible Received field. */
enum { DEMIT_HEADERS_FIELD_MAX = 1024 };

typedef struct demit_headers {
    const char *hostname; /* ours */
    bool over;            /* the section has ended: the rest is body */
    bool line_has_8bit;
    bool after_cr, after_crlf;
    uint32_t flags;        /* DEMIT_MESSAGE_HEADER_8BIT, DEMIT_MESSAGE_BODY_8BIT */
    uint32_t received;     /* Received fields */
    uint32_t received_own; /* those that say "by" HOSTNAME */
    size_t field_size;     /* so far, of the field under way; more than FIELD_MAX are counted, not kept */
    size_t line_from;      /* where the line under way begins in it */
    char field[DEMIT_HEADERS_FIELD_MAX];
} demit_headers_t;

/* HOSTNAME must live as long as HEADERS. */
void demit_headers_init(demit_headers_t *headers, const char *hostname);

/* The next SIZE bytes of the stored message, the trace header left out. */
void demit_headers_feed(demit_headers_t *headers, const char *bytes, size_t size);

/* No more bytes will come. */
void demit_headers_finish(demit_headers_t *headers);

/* Whether one of BYTES is above 0x7f. */
bool demit_has_8bit(const char *bytes, size_t size);

#endif
