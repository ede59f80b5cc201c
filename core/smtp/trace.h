/* The trace header that demit puts before what it stores (RFC 5321 section 4.4). */
#ifndef DEMIT_SMTP_TRACE_H
#define DEMIT_SMTP_TRACE_H

#include <apr_network_io.h>
#include <apr_pools.h>
#include <apr_time.h>

#include "core/smtp/grammar.h"

/* "[192.0.2.1]" or "[IPv6:2001:db8::1]" and a NUL. */
enum { DEMIT_CLIENT_TEXT_SIZE = 64 };

/* PEER as an address literal (RFC 5321 section 4.1.3), in TEXT; "[local]" for NULL, a Unix socket. */
const char *demit_client_format(const apr_sockaddr_t *peer, char text[DEMIT_CLIENT_TEXT_SIZE]);

typedef struct demit_trace {
    const char *helo;     /* what the client called itself; anything but a domain or literal is defused */
    const char *client;   /* demit_client_format() */
    const char *hostname; /* ours */
    const char *protocol; /* "ESMTP" … */
    const char *id;
    const char *recipient; /* without brackets; NULL: more than one, which must not be told */
    apr_time_t arrived;
} demit_trace_t;

/* The Received field, lines ended by CRLF, the last one included. In POOL. */
demit_slice_t demit_trace_format(const demit_trace_t *trace, apr_pool_t *pool);

#endif
