#include "core/delivery/client_command.h"

#include <inttypes.h>
#include <string.h>

#include <apr_strings.h>

bool demit_text_is_8bit(const char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text > 0x7f) {
            return true;
        }
    }
    return false;
}

static bool holds_control(const char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f) {
            return true;
        }
    }
    return false;
}

/* Whether the message itself, recipients aside, is one that only SMTPUTF8 carries (RFC 6531 section 3.2). */
static bool is_international(const demit_envelope_t *envelope)
{
    unsigned both = DEMIT_MESSAGE_SMTPUTF8 | DEMIT_MESSAGE_HEADER_8BIT;
    return (envelope->flags & both) == both || demit_text_is_8bit(envelope->sender);
}

static bool is_8bit(const demit_envelope_t *envelope)
{
    return (envelope->flags & (DEMIT_MESSAGE_BODY_8BIT | DEMIT_MESSAGE_HEADER_8BIT)) != 0;
}

const demit_refusal_t *demit_message_refusal(const demit_envelope_t *envelope, const demit_peer_offer_t *offer)
{
    static const demit_refusal_t too_large = {"5.3.4", "message is larger than the next host accepts"};
    static const demit_refusal_t not_8bit = {"5.6.3", "message holds 8-bit data and the next host lacks 8BITMIME"};
    static const demit_refusal_t not_utf8 = {"5.6.7", "message needs SMTPUTF8 and the next host lacks it"};
    static const demit_refusal_t bad_sender = {"5.1.7", "sender address holds a control character"};

    /* The grammar let no such byte in; should one come out of a spool all the same, it must not become a command. */
    if (holds_control(envelope->sender)) {
        return &bad_sender;
    }
    if (offer->size_max_bytes != 0 && envelope->size_bytes > offer->size_max_bytes) {
        return &too_large;
    }
    if (is_international(envelope) && !offer->utf8) {
        return &not_utf8;
    }
    if (is_8bit(envelope) && !offer->eightbit) {
        return &not_8bit;
    }
    return NULL;
}

const demit_refusal_t *demit_recipient_refusal(const demit_recipient_t *recipient, const demit_peer_offer_t *offer)
{
    static const demit_refusal_t not_utf8 = {"5.6.7", "address needs SMTPUTF8 and the next host lacks it"};
    static const demit_refusal_t bad_address = {"5.1.3", "address holds a control character"};

    if (holds_control(recipient->address)) {
        return &bad_address;
    }
    if (!offer->utf8 && demit_text_is_8bit(recipient->address)) {
        return &not_utf8;
    }
    return NULL;
}

const char *demit_mail_command(const demit_envelope_t *envelope, const demit_peer_offer_t *offer, bool utf8_recipient,
                               apr_pool_t *result_pool)
{
    bool utf8 = offer->utf8 && (utf8_recipient || is_international(envelope));
    bool eightbit = offer->eightbit && (is_8bit(envelope) || (envelope->flags & DEMIT_MESSAGE_8BITMIME) != 0);
    const char *size = offer->size ? apr_psprintf(result_pool, " SIZE=%" PRIu64, envelope->size_bytes) : "";
    const char *ret = "";
    const char *envid = "";
    if (offer->dsn) {
        if (envelope->ret != DEMIT_RET_DEFAULT) {
            ret = envelope->ret == DEMIT_RET_FULL ? " RET=FULL" : " RET=HDRS";
        }
        if (envelope->envid != NULL && !holds_control(envelope->envid)) {
            envid = apr_pstrcat(result_pool, " ENVID=", envelope->envid, (char *)NULL);
        }
    }
    return apr_pstrcat(result_pool, "MAIL FROM:<", envelope->sender, ">", size, eightbit ? " BODY=8BITMIME" : "",
                       utf8 ? " SMTPUTF8" : "", ret, envid, "\r\n", (char *)NULL);
}

/* RFC 3461 section 4.1, in the order of the grammar there. */
static const char *notify_text(unsigned notify, apr_pool_t *pool)
{
    static const struct {
        unsigned bit;
        const char *keyword;
    } keywords[] = {
        {DEMIT_NOTIFY_SUCCESS, "SUCCESS"}, {DEMIT_NOTIFY_FAILURE, "FAILURE"}, {DEMIT_NOTIFY_DELAY, "DELAY"}};

    if ((notify & DEMIT_NOTIFY_NEVER) != 0) {
        return " NOTIFY=NEVER";
    }
    const char *text = "";
    for (size_t i = 0; i < sizeof(keywords) / sizeof(keywords[0]); i++) {
        if ((notify & keywords[i].bit) != 0) {
            text = apr_pstrcat(pool, text, *text == '\0' ? " NOTIFY=" : ",", keywords[i].keyword, (char *)NULL);
        }
    }
    return text;
}

/* RFC 3461 section 4: xtext. */
static const char *xtext(const char *text, apr_pool_t *pool)
{
    static const char hex[] = "0123456789ABCDEF";
    char *out = apr_palloc(pool, 3 * strlen(text) + 1);
    char *at = out;
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if (c >= 0x21 && c <= 0x7e && c != '+' && c != '=') {
            *at++ = *text;
        } else {
            *at++ = '+';
            *at++ = hex[c >> 4];
            *at++ = hex[c & 15];
        }
    }
    *at = '\0';
    return out;
}

/* What the sender called this recipient: as he said, or, where an alias changed the address, as he wrote it. */
static const char *orcpt_text(const demit_recipient_t *recipient, apr_pool_t *pool)
{
    if (recipient->original != NULL && !holds_control(recipient->original)) {
        return apr_pstrcat(pool, " ORCPT=", recipient->original, (char *)NULL);
    }
    if (recipient->original == NULL && recipient->accepted != NULL && !demit_text_is_8bit(recipient->accepted)) {
        return apr_pstrcat(pool, " ORCPT=rfc822;", xtext(recipient->accepted, pool), (char *)NULL);
    }
    return "";
}

const char *demit_rcpt_command(const demit_recipient_t *recipient, const demit_peer_offer_t *offer,
                               apr_pool_t *result_pool)
{
    return apr_pstrcat(result_pool, "RCPT TO:<", recipient->address, ">",
                       offer->dsn ? notify_text(recipient->notify, result_pool) : "",
                       offer->dsn ? orcpt_text(recipient, result_pool) : "", "\r\n", (char *)NULL);
}
