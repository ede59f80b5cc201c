#include "demit/envelope.h"

#include <string.h>

#include <apr_errno.h>

#include "core/spool/bytes.h"

/* Where the fields stand: docs/spool-format.md. */
enum { ENVELOPE_VERSION = 1, HEAD_SIZE = 56, RECIPIENT_SIZE = 16, DELAY_DSN_SENT = 1 };

/* The length of a string that is NULL. */
#define ABSENT UINT32_MAX

static size_t text_size(const char *text)
{
    return text ? strlen(text) : 0;
}

size_t demit_envelope_encoded_size(const demit_envelope_t *envelope)
{
    size_t size = HEAD_SIZE + text_size(envelope->sender) + text_size(envelope->envid);

    for (uint32_t i = 0; i < envelope->recipient_count; i++) {
        const demit_recipient_t *recipient = &envelope->recipients[i];

        size += RECIPIENT_SIZE + text_size(recipient->address) + text_size(recipient->original) +
                text_size(recipient->accepted);
    }
    return size;
}

static uint32_t text_length(const char *text)
{
    return text ? (uint32_t)strlen(text) : ABSENT;
}

static unsigned char *put_text(unsigned char *out, const char *text)
{
    size_t size = text_size(text);

    if (size > 0) {
        memcpy(out, text, size);
    }
    return out + size;
}

static unsigned char *put_recipient(unsigned char *out, const demit_recipient_t *recipient)
{
    out[0] = recipient->notify;
    out[1] = (unsigned char)recipient->state;
    out[2] = 0;
    out[3] = 0;
    put_u32(out + 4, text_length(recipient->address));
    put_u32(out + 8, text_length(recipient->original));
    put_u32(out + 12, text_length(recipient->accepted));
    out = put_text(out + RECIPIENT_SIZE, recipient->address);
    out = put_text(out, recipient->original);
    return put_text(out, recipient->accepted);
}

void demit_envelope_encode(const demit_envelope_t *envelope, unsigned char *out)
{
    out[0] = ENVELOPE_VERSION;
    out[1] = (unsigned char)envelope->ret;
    out[2] = envelope->delay_dsn_sent ? DELAY_DSN_SENT : 0;
    out[3] = 0;
    put_u32(out + 4, envelope->flags);
    put_u64(out + 8, envelope->id);
    put_u64(out + 16, (uint64_t)envelope->arrived_us);
    put_u64(out + 24, envelope->size_bytes);
    put_u64(out + 32, (uint64_t)envelope->next_attempt_us);
    put_u32(out + 40, envelope->attempts);
    put_u32(out + 44, envelope->recipient_count);
    put_u32(out + 48, text_length(envelope->sender));
    put_u32(out + 52, text_length(envelope->envid));
    out = put_text(out + HEAD_SIZE, envelope->sender);
    out = put_text(out, envelope->envid);
    for (uint32_t i = 0; i < envelope->recipient_count; i++) {
        out = put_recipient(out, &envelope->recipients[i]);
    }
}

/* What is left to be read, and where the next string goes. */
typedef struct cursor {
    const unsigned char *in;
    size_t left;
    char *text; /* one allocation for all strings of an envelope */
} cursor_t;

/* Copies a string of LENGTH from the input. A NUL inside would make it shorter than what was accepted: refused. */
static bool take_text(cursor_t *cursor, uint32_t length, const char **text)
{
    *text = NULL;
    if (length == ABSENT) {
        return true;
    }
    if (length > cursor->left || memchr(cursor->in, 0, length) != NULL) {
        return false;
    }
    *text = cursor->text;
    memcpy(cursor->text, cursor->in, length);
    cursor->text[length] = '\0';
    cursor->text += (size_t)length + 1;
    cursor->in += length;
    cursor->left -= length;
    return true;
}

static bool take_recipient(cursor_t *cursor, demit_recipient_t *recipient)
{
    const unsigned char *in = cursor->in;

    if (cursor->left < RECIPIENT_SIZE || in[1] > DEMIT_RECIPIENT_FAILED || get_u32(in + 4) == ABSENT) {
        return false;
    }
    recipient->notify = in[0];
    recipient->state = (demit_recipient_state_t)in[1];
    cursor->in += RECIPIENT_SIZE;
    cursor->left -= RECIPIENT_SIZE;
    return take_text(cursor, get_u32(in + 4), &recipient->address) &&
           take_text(cursor, get_u32(in + 8), &recipient->original) &&
           take_text(cursor, get_u32(in + 12), &recipient->accepted);
}

static void take_numbers(demit_envelope_t *envelope, const unsigned char *in)
{
    envelope->ret = (demit_ret_t)in[1];
    envelope->delay_dsn_sent = in[2] != 0;
    envelope->flags = get_u32(in + 4);
    envelope->id = get_u64(in + 8);
    envelope->arrived_us = (int64_t)get_u64(in + 16);
    envelope->size_bytes = get_u64(in + 24);
    envelope->next_attempt_us = (int64_t)get_u64(in + 32);
    envelope->attempts = get_u32(in + 40);
    envelope->recipient_count = get_u32(in + 44);
}

apr_status_t demit_envelope_decode(demit_envelope_t **envelope, const unsigned char *bytes, size_t size,
                                   apr_pool_t *result_pool)
{
    demit_envelope_t *result;
    cursor_t cursor;

    *envelope = NULL;
    if (size < HEAD_SIZE || bytes[0] != ENVELOPE_VERSION || bytes[1] > DEMIT_RET_HDRS || bytes[2] > DELAY_DSN_SENT ||
        get_u32(bytes + 48) == ABSENT) {
        return APR_EINVAL;
    }
    cursor.in = bytes + HEAD_SIZE;
    cursor.left = size - HEAD_SIZE;
    /* Checked before anything is allocated: a hostile count cannot ask for more memory than the bytes justify. */
    if (get_u32(bytes + 44) > cursor.left / RECIPIENT_SIZE) {
        return APR_EINVAL;
    }

    result = apr_pcalloc(result_pool, sizeof *result);
    take_numbers(result, bytes);
    result->recipients = apr_pcalloc(result_pool, result->recipient_count * sizeof *result->recipients);
    /* A string takes a NUL more here than there; each recipient's head there is longer than its three NULs. */
    cursor.text = apr_palloc(result_pool, cursor.left + 2);
    if (!take_text(&cursor, get_u32(bytes + 48), &result->sender) ||
        !take_text(&cursor, get_u32(bytes + 52), &result->envid)) {
        return APR_EINVAL;
    }
    for (uint32_t i = 0; i < result->recipient_count; i++) {
        if (!take_recipient(&cursor, &result->recipients[i])) {
            return APR_EINVAL;
        }
    }
    if (cursor.left != 0) {
        return APR_EINVAL;
    }
    *envelope = result;
    return APR_SUCCESS;
}
