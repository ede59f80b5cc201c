#include "demit/domain.h"

#include <stdbool.h>
#include <string.h>

#include <idn2.h>

enum { LABEL_MAX = 63, UTF8_PER_LETTER = 4 };

static const char *const empty_label = "a label of the domain is empty";
static const char *const long_label = "a label of the domain is too long";
static const char *const long_domain = "the domain is too long";
static const char *const bad_hyphen = "a label of the domain begins or ends with a hyphen";
static const char *const bad_letter = "the domain holds a character that no domain can hold";
static const char *const no_memory = "there is no memory to convert the domain";

static bool is_ascii(const char *text, size_t size)
{
    unsigned char all = 0;
    for (size_t i = 0; i < size; i++) {
        all |= (unsigned char)text[i];
    }
    return all < 0x80;
}

static char lower(char c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* NULL or what is wrong with the label of SIZE bytes that ends before END. */
static const char *judge_label(const char *end, size_t size)
{
    if (size == 0) {
        return empty_label;
    }
    if (size > LABEL_MAX) {
        return long_label;
    }
    return end[-1] == '-' || *(end - size) == '-' ? bad_hyphen : NULL;
}

static const char *take_ascii(char ascii[DEMIT_DOMAIN_SIZE], const char *text, size_t size)
{
    if (size >= DEMIT_DOMAIN_SIZE) {
        return long_domain;
    }
    size_t label = 0;
    for (size_t i = 0; i < size; i++) {
        ascii[i] = lower(text[i]);
        if (ascii[i] != '.') {
            if (!is_letter(ascii[i])) {
                return bad_letter;
            }
            label++;
            continue;
        }
        const char *wrong = judge_label(ascii + i, label);
        if (wrong != NULL) {
            return wrong;
        }
        label = 0;
    }
    ascii[size] = '\0';
    return judge_label(ascii + size, label);
}

/* "[192.0.2.1]": whether an address stands in the brackets is the grammar's question. */
static const char *take_literal(char ascii[DEMIT_DOMAIN_SIZE], const char *text, size_t size)
{
    if (size >= DEMIT_DOMAIN_SIZE) {
        return long_domain;
    }
    for (size_t i = 0; i < size; i++) {
        ascii[i] = lower(text[i]);
    }
    ascii[size] = '\0';
    return text[size - 1] == ']' && memchr(text, '\0', size) == NULL ? NULL : bad_letter;
}

static const char *words_for(int error)
{
    switch (error) {
    case IDN2_MALLOC:
        return no_memory;
    case IDN2_TOO_BIG_DOMAIN:
        return long_domain;
    case IDN2_TOO_BIG_LABEL:
    case IDN2_PUNYCODE_BIG_OUTPUT:
        return long_label;
    case IDN2_HYPHEN_STARTEND:
        return bad_hyphen;
    case IDN2_ENCODING_ERROR:
    case IDN2_ICONV_FAIL:
        return "the domain is not UTF-8";
    case IDN2_BIDI:
        return "a label of the domain mixes directions of writing";
    case IDN2_2HYPHEN:
        return "a label of the domain has hyphens as its third and fourth letters";
    case IDN2_PUNYCODE_BAD_INPUT:
    case IDN2_ALABEL_ROUNDTRIP_FAILED:
        return "a label of the domain begins with xn-- and is no A-label";
    default:
        return bad_letter;
    }
}

static const char *take_utf8(char ascii[DEMIT_DOMAIN_SIZE], const char *text, size_t size)
{
    char copy[DEMIT_DOMAIN_SIZE * UTF8_PER_LETTER];
    if (size >= sizeof(copy)) {
        return long_domain;
    }
    if (memchr(text, '\0', size) != NULL) {
        return bad_letter;
    }
    memcpy(copy, text, size);
    copy[size] = '\0';

    uint8_t *converted = NULL;
    int error = idn2_lookup_u8((const uint8_t *)copy, &converted, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
    if (error != IDN2_OK) {
        return words_for(error);
    }
    /* The mapping makes dots, slashes, or nothing at all of some characters: whatever came of it is judged anew. */
    const char *wrong = take_ascii(ascii, (const char *)converted, strlen((const char *)converted));
    idn2_free(converted);
    return wrong;
}

const char *demit_domain_to_ascii(char ascii[DEMIT_DOMAIN_SIZE], const char *domain, size_t size)
{
    const char *wrong;
    if (size > 0 && domain[0] == '[') {
        wrong = take_literal(ascii, domain, size);
    } else {
        wrong = is_ascii(domain, size) ? take_ascii(ascii, domain, size) : take_utf8(ascii, domain, size);
    }
    if (wrong != NULL) {
        ascii[0] = '\0';
    }
    return wrong;
}
