/*
 * What SMTP says about a message besides its bytes (RFC 5321 section 2.3.1), with the DSN parameters of RFC 3461.
 * The grammar of addresses is smtp's; here they are strings without angle brackets that were valid when they came.
 */
#ifndef DEMIT_ENVELOPE_H
#define DEMIT_ENVELOPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <apr_pools.h>

/* RFC 3461 section 4.1. No bit: the parameter was absent, which asks for FAILURE (and permits DELAY). */
enum { DEMIT_NOTIFY_NEVER = 1, DEMIT_NOTIFY_SUCCESS = 2, DEMIT_NOTIFY_FAILURE = 4, DEMIT_NOTIFY_DELAY = 8 };

typedef enum demit_ret { DEMIT_RET_DEFAULT, DEMIT_RET_FULL, DEMIT_RET_HDRS } demit_ret_t;

/* Flags of a message. */
enum {
    DEMIT_MESSAGE_SMTPUTF8 = 1,       /* MAIL FROM said SMTPUTF8 (RFC 6531) */
    DEMIT_MESSAGE_8BITMIME = 2,       /* MAIL FROM said BODY=8BITMIME */
    DEMIT_MESSAGE_HEADER_8BIT = 4,    /* a byte above 0x7f in the header section */
    DEMIT_MESSAGE_BODY_8BIT = 8,      /* a byte above 0x7f in the body */
    DEMIT_MESSAGE_LEADING_DOT = 16,   /* some line begins with a dot: must be stuffed to go out by DATA */
    DEMIT_MESSAGE_LONE_LF = 32,       /* holds CR or LF alone (accepted with "ignore") */
    DEMIT_MESSAGE_NO_FINAL_CRLF = 64, /* the last line has no end */
    DEMIT_MESSAGE_LONG_LINE = 128,    /* a line of more than 998 bytes without its end */
    DEMIT_MESSAGE_BOUNCE = 256        /* a DSN that we made */
};

typedef enum demit_recipient_state {
    DEMIT_RECIPIENT_PENDING,
    DEMIT_RECIPIENT_DELIVERED,
    DEMIT_RECIPIENT_FAILED /* permanently; its DSN, if one is due, is in the spool */
} demit_recipient_state_t;

typedef struct demit_recipient {
    const char *address;  /* where it goes: after aliases */
    const char *original; /* ORCPT as sent, "rfc822;xtext" still encoded, or NULL */
    const char *accepted; /* the address as the client wrote it, when an alias changed it; else NULL */
    uint8_t notify;       /* DEMIT_NOTIFY_* */
    demit_recipient_state_t state;
} demit_recipient_t;

typedef struct demit_envelope {
    uint64_t id;         /* of the message, for life */
    int64_t arrived_us;  /* wall clock, since 1970 */
    uint64_t size_bytes; /* of the stored message, trace header included */
    uint32_t flags;      /* DEMIT_MESSAGE_* */
    demit_ret_t ret;
    const char *sender; /* "" is the null reverse-path */
    const char *envid;  /* ENVID as sent, xtext still encoded, or NULL */
    demit_recipient_t *recipients;
    uint32_t recipient_count;
    /* Retry state, so that a message moved by compaction keeps it. */
    uint32_t attempts;
    int64_t next_attempt_us; /* wall clock; 0: now */
    bool delay_dsn_sent;
} demit_envelope_t;

/* Length of what demit_envelope_encode() writes for ENVELOPE. */
size_t demit_envelope_encoded_size(const demit_envelope_t *envelope);
/* Writes exactly that many bytes: the format of docs/spool-format.md, little-endian, versioned. */
void demit_envelope_encode(const demit_envelope_t *envelope, unsigned char *out);
/* Reads it back; strings are copied into RESULT_POOL. APR_EINVAL when the bytes are not an envelope: nothing is
 * trusted. */
apr_status_t demit_envelope_decode(demit_envelope_t **envelope, const unsigned char *bytes, size_t size,
                                   apr_pool_t *result_pool) __attribute__((warn_unused_result));

/* 13 characters of Crockford base 32 and a NUL, as the log, Received: and the console show an id. */
enum { DEMIT_ID_TEXT_SIZE = 14 };
const char *demit_id_format(uint64_t id, char text[DEMIT_ID_TEXT_SIZE]);
bool demit_id_parse(const char *text, uint64_t *id);

#endif
