/*
 * Delivery status notifications: multipart/report (RFC 6522) with a human's part, a program's part (RFC 3464) and the
 * original or its header (RFC 3462), by the wishes of the sender (RFC 3461), in UTF-8 where that is needed (RFC 6533).
 * Pure: makes text, does no I/O. Everything that came from outside is made printable here.
 */
#ifndef DEMIT_DELIVERY_DSN_H
#define DEMIT_DELIVERY_DSN_H

#include "demit/delivery.h"

enum {
    DEMIT_DSN_FULL_MAX = 64 * 1024,   /* without RET, a failed message of up to this size is returned whole */
    DEMIT_DSN_HEADER_MAX = 64 * 1024, /* most of a header section that is returned */
    /*
     * Whatever RET says: whole only if this is enough for every recipient of the message. The sender may be forged, and
     * each destination that fails sends him a notification of its own.
     */
    DEMIT_DSN_FULL_TOTAL_MAX = 8 * 1024 * 1024
};

typedef struct demit_dsn_recipient {
    const demit_recipient_t *recipient;
    demit_dsn_action_t action;
    const char *status, *diagnostic;
    bool diagnostic_is_smtp;
} demit_dsn_recipient_t;

/* What of the original is returned. */
typedef enum demit_dsn_return {
    DEMIT_DSN_RETURN_NOTHING,
    DEMIT_DSN_RETURN_HEADER,
    DEMIT_DSN_RETURN_FULL
} demit_dsn_return_t;

typedef struct demit_dsn {
    const demit_envelope_t *original;
    const char *hostname; /* of the reporting MTA: us */
    const char *remote_host;
    uint64_t id; /* of the notification itself */
    int64_t now_us;
    int64_t retry_until_us;  /* delayed: when we shall give up */
    const char *boundary;    /* occurs nowhere in the original */
    demit_dsn_return_t what; /* is returned */
    const demit_dsn_recipient_t *recipients;
    uint32_t recipient_count;
} demit_dsn_t;

/* What RFC 3461 section 4.3 wants returned, within the limits that section 6.2 leaves to us. */
demit_dsn_return_t demit_dsn_choose_return(const demit_dsn_t *dsn);

/*
 * Everything in front of the returned part, header section included; *FLAGS are the DEMIT_MESSAGE_* of the whole
 * notification (those of the original's bytes as far as they are returned). In POOL.
 */
const char *demit_dsn_head(const demit_dsn_t *dsn, uint32_t *flags, apr_pool_t *pool);
/* Everything behind the returned part. */
const char *demit_dsn_tail(const demit_dsn_t *dsn, apr_pool_t *pool);

/* How much of the first SIZE bytes of a message is its header section, without the empty line; whole lines only. */
size_t demit_dsn_header_size(const char *bytes, size_t size);

/* A boundary for notification ID that no sender can foresee. */
const char *demit_dsn_boundary(uint64_t id, apr_pool_t *pool);

#endif
