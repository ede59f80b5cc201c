/* Mailboxes and domains: RFC 5321 section 4.1.2 and 4.1.3, RFC 6531 section 3.3. */
#include "core/smtp/grammar.h"

#include <arpa/inet.h>
#include <string.h>

#include "demit/domain.h"

static const char *const not_a_domain = "The domain is not well-formed";

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter_or_digit(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_8bit(char c)
{
    return ((unsigned char)c & 0x80U) != 0;
}

/* RFC 5322 section 3.2.3. The caller has checked that bytes above 0x7f are UTF-8 and welcome. */
static bool is_atext(char c)
{
    return is_letter_or_digit(c) || is_8bit(c) || (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

static char lower(char c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

bool demit_slice_starts(demit_slice_t slice, const char *word)
{
    for (size_t i = 0; word[i] != '\0'; i++) {
        if (i >= slice.size || lower(slice.text[i]) != lower(word[i])) {
            return false;
        }
    }
    return true;
}

bool demit_slice_is(demit_slice_t slice, const char *word)
{
    return strlen(word) == slice.size && demit_slice_starts(slice, word);
}

/* The code point that begins at BYTES and its length in *USED; 0 when it is not well-formed. */
static uint32_t utf8_decode(const unsigned char *bytes, size_t size, size_t *used)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t length = bytes[0] < 0xc2 ? 0 : bytes[0] < 0xe0 ? 2 : bytes[0] < 0xf0 ? 3 : bytes[0] < 0xf5 ? 4 : 0;

    if (length == 0 || length > size) {
        return 0;
    }
    uint32_t point = bytes[0] & (0xffU >> (length + 1));
    for (size_t i = 1; i < length; i++) {
        if ((bytes[i] & 0xc0U) != 0x80U) {
            return 0;
        }
        point = (point << 6) | (bytes[i] & 0x3fU);
    }
    *used = length;
    bool surrogate = point >= 0xd800 && point <= 0xdfff;
    return point < least[length] || surrogate || point > 0x10ffff ? 0 : point;
}

bool demit_utf8_is_valid(const char *bytes, size_t size)
{
    for (size_t i = 0; i < size;) {
        size_t used = 1;
        if (is_8bit(bytes[i])) {
            uint32_t point = utf8_decode((const unsigned char *)bytes + i, size - i, &used);
            if (point < 0xa0) {
                return false;
            }
        }
        i += used;
    }
    return true;
}

static bool has_8bit(const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (is_8bit(bytes[i])) {
            return true;
        }
    }
    return false;
}

/* "[192.0.2.1]" or "[IPv6:2001:db8::1]". No other tag was ever registered, so nothing else can be delivered to. */
static bool is_literal(const char *text, size_t size)
{
    char address[INET6_ADDRSTRLEN];
    unsigned char binary[sizeof(struct in6_addr)];
    demit_slice_t inner = {text + 1, size - 2};
    int family = AF_INET;

    if (demit_slice_starts(inner, "IPv6:")) {
        inner.text += 5;
        inner.size -= 5;
        family = AF_INET6;
    }
    if (inner.size == 0 || inner.size >= sizeof address || memchr(inner.text, '\0', inner.size) != NULL) {
        return false;
    }
    memcpy(address, inner.text, inner.size);
    address[inner.size] = '\0';
    return inet_pton(family, address, binary) == 1;
}

/* 63 letters are the most; octets say nothing about a U-label, whose A-label is judged afterwards. */
static bool is_label(const char *text, size_t size)
{
    if (size > DEMIT_LABEL_MAX && !has_8bit(text, size)) {
        return false;
    }
    if (size == 0 || text[0] == '-' || text[size - 1] == '-') {
        return false;
    }
    for (size_t i = 0; i < size; i++) {
        if (!is_letter_or_digit(text[i]) && text[i] != '-' && !is_8bit(text[i])) {
            return false;
        }
    }
    return true;
}

bool demit_domain_is_valid(const char *text, size_t size, bool utf8)
{
    if (size == 0 || size > DEMIT_DOMAIN_MAX) {
        return false;
    }
    if (text[0] == '[') {
        return size > 2 && text[size - 1] == ']' && is_literal(text, size);
    }
    if (has_8bit(text, size) && (!utf8 || !demit_utf8_is_valid(text, size))) {
        return false;
    }
    const char *end = text + size;
    for (const char *label = text;;) {
        const char *dot = memchr(label, '.', (size_t)(end - label));
        if (!is_label(label, (size_t)((dot != NULL ? dot : end) - label))) {
            return false;
        }
        if (dot == NULL) {
            break;
        }
        label = dot + 1;
    }
    char ascii[DEMIT_DOMAIN_SIZE];
    return !has_8bit(text, size) ||
           demit_domain_to_ascii(ascii, text, size) == NULL; /* RFC 6531 section 3.3: U-label */
}

/* The length of the Quoted-string that TEXT begins with, quotes included; 0 when it is not one. */
static size_t quoted_string_size(const char *text, size_t size)
{
    for (size_t i = 1; i < size; i++) {
        if (text[i] == '"') {
            return i + 1;
        }
        if (text[i] == '\\') {
            /* quoted-pairSMTP: a printable ASCII character, nothing else. */
            if (++i == size || text[i] < ' ' || text[i] > '~') {
                return 0;
            }
        } else if (!is_8bit(text[i]) && (text[i] < ' ' || text[i] > '~')) {
            return 0;
        }
    }
    return 0;
}

/* The length of the Dot-string that TEXT begins with; 0 when it is not one. */
static size_t dot_string_size(const char *text, size_t size)
{
    size_t i = 0;

    for (bool want_atom = true; i < size; i++) {
        if (is_atext(text[i])) {
            want_atom = false;
        } else if (text[i] == '.' && !want_atom) {
            want_atom = true;
        } else {
            break;
        }
    }
    return i > 0 && text[i - 1] == '.' ? 0 : i;
}

const char *demit_address_parse(demit_address_t *address, const char *text, size_t size, bool utf8)
{
    *address = (demit_address_t){.local_part = text, .is_utf8 = has_8bit(text, size)};
    if (size == 0) {
        return "The address is empty";
    }
    if (size > DEMIT_PATH_MAX - 2) {
        return "The address is too long";
    }
    if (address->is_utf8 && !utf8) {
        return "The address needs SMTPUTF8";
    }
    if (address->is_utf8 && !demit_utf8_is_valid(text, size)) {
        return "The address is not UTF-8";
    }
    size_t local = text[0] == '"' ? quoted_string_size(text, size) : dot_string_size(text, size);
    if (local == 0) {
        return "The local part is not well-formed";
    }
    if (local > DEMIT_LOCAL_PART_MAX) {
        return "The local part is too long";
    }
    address->local_part_size = local;
    if (local == size) {
        return demit_slice_is((demit_slice_t){text, size}, "postmaster") ? NULL : "The address has no domain";
    }
    if (text[local] != '@') {
        return "The local part is not well-formed";
    }
    address->domain = text + local + 1;
    address->domain_size = size - local - 1;
    address->is_literal = address->domain_size > 0 && address->domain[0] == '[';
    return demit_domain_is_valid(address->domain, address->domain_size, utf8) ? NULL : not_a_domain;
}
