#include "core/delivery/client_command.h"

#include <inttypes.h>
#include <string.h>

#include <apr_strings.h>

#include "demit/domain.h"

/* A local part, which the grammar holds to 64 octets, with room to spare; "@"; a domain. */
enum { ASCII_ADDRESS_SIZE = 256 + DEMIT_DOMAIN_SIZE };

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

/* ADDRESS with its domain in A-labels, written to ASCII; false if that does not make ASCII of it. */
static bool to_ascii(const char *address, char ascii[ASCII_ADDRESS_SIZE])
{
    const char *at = strrchr(address, '@');
    size_t local = at != NULL ? (size_t)(at + 1 - address) : 0;
    if (at == NULL || local > ASCII_ADDRESS_SIZE - DEMIT_DOMAIN_SIZE ||
        demit_domain_to_ascii(ascii + local, at + 1, strlen(at + 1)) != NULL) {
        return false;
    }
    memcpy(ascii, address, local);
    return !demit_text_is_8bit(ascii);
}

/* Whether ADDRESS can be said to a peer, without SMTPUTF8 if need be. */
static bool is_sayable(const char *address, const demit_peer_offer_t *offer)
{
    char ascii[ASCII_ADDRESS_SIZE];
    return offer->utf8 || !demit_text_is_8bit(address) || to_ascii(address, ascii);
}

/* ADDRESS, which is_sayable(), as it is said to a peer with OFFER. */
static const char *sayable(const char *address, const demit_peer_offer_t *offer, apr_pool_t *pool)
{
    char ascii[ASCII_ADDRESS_SIZE];
    bool as_written = offer->utf8 || !demit_text_is_8bit(address) || !to_ascii(address, ascii);
    return as_written ? address : apr_pstrdup(pool, ascii);
}

/* Whether the header is one that only SMTPUTF8 carries (RFC 6531 section 3.2). */
static bool has_international_header(const demit_envelope_t *envelope)
{
    unsigned both = DEMIT_MESSAGE_SMTPUTF8 | DEMIT_MESSAGE_HEADER_8BIT;
    return (envelope->flags & both) == both;
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
    if ((has_international_header(envelope) && !offer->utf8) || !is_sayable(envelope->sender, offer)) {
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
    if (!is_sayable(recipient->address, offer)) {
        return &not_utf8;
    }
    return NULL;
}

const char *demit_mail_command(const demit_envelope_t *envelope, const demit_peer_offer_t *offer, bool utf8_recipient,
                               apr_pool_t *result_pool)
{
    bool utf8 =
        offer->utf8 && (utf8_recipient || has_international_header(envelope) || demit_text_is_8bit(envelope->sender));
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
    return apr_pstrcat(result_pool, "MAIL FROM:<", sayable(envelope->sender, offer, result_pool), ">", size,
                       eightbit ? " BODY=8BITMIME" : "", utf8 ? " SMTPUTF8" : "", ret, envid, "\r\n", (char *)NULL);
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

/*
 * RFC 6533 section 3: where UTF-8 cannot be said, utf-8-addr-unitext becomes utf-8-addr-xtext, which differ in what is
 * not ASCII only. The grammar let UTF-8 in and nothing else; a sequence that breaks off in a spool ends the text.
 */
static const char *without_utf8(const char *original, apr_pool_t *pool)
{
    size_t size = strlen(original);
    char *out = apr_palloc(pool, size * sizeof("\\x{10FFFF}") + 1);
    char *at = out;
    for (const unsigned char *c = (const unsigned char *)original; *c != '\0'; c++) {
        if (*c < 0x80) {
            *at++ = (char)*c;
            continue;
        }
        unsigned length = *c < 0xe0 ? 2 : *c < 0xf0 ? 3 : 4;
        unsigned long point = *c & (0xffU >> (length + 1));
        for (unsigned i = 1; i < length; i++) {
            if ((c[1] & 0xc0U) != 0x80U) {
                *at = '\0';
                return out;
            }
            point = (point << 6) | (*++c & 0x3fU);
        }
        at += apr_snprintf(at, sizeof("\\x{10FFFF}"), "\\x{%lX}", point);
    }
    *at = '\0';
    return out;
}

/* What the sender called this recipient: as he said, or, where an alias changed the address, as he wrote it. */
static const char *orcpt_text(const demit_recipient_t *recipient, const demit_peer_offer_t *offer, apr_pool_t *pool)
{
    if (recipient->original != NULL && !holds_control(recipient->original)) {
        bool as_said = offer->utf8 || !demit_text_is_8bit(recipient->original);
        return apr_pstrcat(pool, " ORCPT=", as_said ? recipient->original : without_utf8(recipient->original, pool),
                           (char *)NULL);
    }
    if (recipient->original == NULL && recipient->accepted != NULL && !demit_text_is_8bit(recipient->accepted)) {
        return apr_pstrcat(pool, " ORCPT=rfc822;", xtext(recipient->accepted, pool), (char *)NULL);
    }
    return "";
}

const char *demit_rcpt_command(const demit_recipient_t *recipient, const demit_peer_offer_t *offer,
                               apr_pool_t *result_pool)
{
    return apr_pstrcat(result_pool, "RCPT TO:<", sayable(recipient->address, offer, result_pool), ">",
                       offer->dsn ? notify_text(recipient->notify, result_pool) : "",
                       offer->dsn ? orcpt_text(recipient, offer, result_pool) : "", "\r\n", (char *)NULL);
}
