/* The arguments of MAIL, RCPT and BDAT: RFC 5321 section 4.1.1 with RFC 1870, 6152, 3461, 6531 and 3030. */
#include "core/smtp/grammar.h"

#include <string.h>

/* RFC 3461 section 4.4 and 4.2: how long the values may be. */
enum { ENVID_MAX = 100, ORCPT_MAX = 500 };

static bool is_xchar(char c)
{
    return c >= '!' && c <= '~' && c != '+' && c != '=';
}

/* The value of an upper-case hexadecimal digit, the only kind that xtext has; 16 for anything else. */
static unsigned hex_value(char c)
{
    return (unsigned)(c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : 16);
}

/*
 * A decoded control character or 8-bit byte would travel into the header of a DSN as it is: RFC 3461 section 4.4
 * forbids them in ENVID, and no address type that ORCPT may name has them.
 */
bool demit_xtext_is_valid(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (is_xchar(text[i])) {
            continue;
        }
        if (text[i] != '+' || size - i < 3) {
            return false;
        }
        unsigned high = hex_value(text[i + 1]), low = hex_value(text[i + 2]);
        if (high > 7 || low > 15 || high < 2 || (high == 7 && low == 15)) {
            return false;
        }
        i += 2;
    }
    return size > 0;
}

/* RFC 6533 section 3: a utf-8 address is xtext, or with SMTPUTF8 UTF-8 in which "+" and "=" are encoded all the same.
 */
static bool is_utf8_orcpt(demit_slice_t value, bool utf8)
{
    if (!utf8 || !demit_utf8_is_valid(value.text, value.size)) {
        return demit_xtext_is_valid(value.text, value.size);
    }
    size_t from = 0;
    for (size_t i = 0; i <= value.size; i++) {
        bool ascii = i < value.size && ((unsigned char)value.text[i] & 0x80U) == 0;
        if (!ascii) {
            if (i > from && !demit_xtext_is_valid(value.text + from, i - from)) {
                return false;
            }
            from = i + 1;
        }
    }
    return value.size > 0;
}

/* RFC 3461 section 4.2: addr-type ";" xtext, where addr-type is an atom. */
static bool is_orcpt(demit_slice_t value, bool utf8)
{
    const char *semicolon = memchr(value.text, ';', value.size);

    if (semicolon == NULL || semicolon == value.text || value.size > ORCPT_MAX) {
        return false;
    }
    demit_slice_t type = {value.text, (size_t)(semicolon - value.text)};
    for (size_t i = 0; i < type.size; i++) {
        if (type.text[i] <= ' ' || type.text[i] > '~' || strchr("()<>@,;:\\\".[]", type.text[i]) != NULL) {
            return false;
        }
    }
    demit_slice_t address = {semicolon + 1, value.size - type.size - 1};
    if (demit_slice_is(type, "utf-8")) {
        return is_utf8_orcpt(address, utf8);
    }
    return demit_xtext_is_valid(address.text, address.size);
}

/* 1 to 20 digits (RFC 1870 section 3, RFC 3030 section 2) that fit 64 bits. */
static bool read_number(demit_slice_t digits, uint64_t *number)
{
    *number = 0;
    if (digits.size == 0 || digits.size > 20) {
        return false;
    }
    for (size_t i = 0; i < digits.size; i++) {
        if (digits.text[i] < '0' || digits.text[i] > '9') {
            return false;
        }
        unsigned digit = (unsigned)(digits.text[i] - '0');
        if (*number > (UINT64_MAX - digit) / 10) {
            return false;
        }
        *number = *number * 10 + digit;
    }
    return true;
}

/* RFC 3461 section 4.1: NEVER alone, or a list of the others. */
static bool read_notify(demit_slice_t value, uint8_t *notify)
{
    static const struct {
        const char *word;
        uint8_t bit;
    } words[] = {{"SUCCESS", DEMIT_NOTIFY_SUCCESS}, {"FAILURE", DEMIT_NOTIFY_FAILURE}, {"DELAY", DEMIT_NOTIFY_DELAY}};

    if (demit_slice_is(value, "NEVER")) {
        *notify = DEMIT_NOTIFY_NEVER;
        return true;
    }
    for (const char *end = value.text + value.size;;) {
        const char *comma = memchr(value.text, ',', (size_t)(end - value.text));
        demit_slice_t word = {value.text, (size_t)((comma != NULL ? comma : end) - value.text)};
        size_t i = 0;
        while (i < sizeof words / sizeof words[0] && !demit_slice_is(word, words[i].word)) {
            i++;
        }
        if (i == sizeof words / sizeof words[0]) {
            return false;
        }
        *notify |= words[i].bit;
        if (comma == NULL) {
            return true;
        }
        value.text = comma + 1;
    }
}

/* ---- one parameter "keyword[=value]" ---------------------------------------------------------------------------- */

typedef struct parameter {
    demit_slice_t keyword, value; /* value.text NULL: there was no "=" */
} parameter_t;

/* Takes the next parameter off *REST. False at the end. */
static bool next_parameter(demit_slice_t *rest, parameter_t *parameter)
{
    while (rest->size > 0 && *rest->text == ' ') {
        rest->text++;
        rest->size--;
    }
    if (rest->size == 0) {
        return false;
    }
    const char *space = memchr(rest->text, ' ', rest->size);
    size_t size = space != NULL ? (size_t)(space - rest->text) : rest->size;
    const char *equals = memchr(rest->text, '=', size);
    parameter->keyword = (demit_slice_t){rest->text, equals != NULL ? (size_t)(equals - rest->text) : size};
    parameter->value = (demit_slice_t){NULL, 0};
    if (equals != NULL) {
        parameter->value = (demit_slice_t){equals + 1, size - parameter->keyword.size - 1};
    }
    rest->text += size;
    rest->size -= size;
    return true;
}

static bool set_size(demit_mail_arguments_t *mail, demit_slice_t value)
{
    bool once = !mail->has_size;
    mail->has_size = true;
    return once && read_number(value, &mail->size_bytes);
}

static bool set_body(demit_mail_arguments_t *mail, demit_slice_t value)
{
    if (demit_slice_is(value, "8BITMIME")) {
        mail->flags |= DEMIT_MESSAGE_8BITMIME;
        return true;
    }
    return demit_slice_is(value, "7BIT");
}

static bool set_ret(demit_mail_arguments_t *mail, demit_slice_t value)
{
    bool once = mail->ret == DEMIT_RET_DEFAULT;
    mail->ret = demit_slice_is(value, "FULL") ? DEMIT_RET_FULL : DEMIT_RET_HDRS;
    return once && (mail->ret == DEMIT_RET_FULL || demit_slice_is(value, "HDRS"));
}

static bool set_envid(demit_mail_arguments_t *mail, demit_slice_t value)
{
    bool once = mail->envid.text == NULL;
    mail->envid = value;
    return once && value.size <= ENVID_MAX && demit_xtext_is_valid(value.text, value.size);
}

static bool set_smtputf8(demit_mail_arguments_t *mail, demit_slice_t value)
{
    bool once = (mail->flags & DEMIT_MESSAGE_SMTPUTF8) == 0;
    mail->flags |= DEMIT_MESSAGE_SMTPUTF8;
    return once && value.text == NULL;
}

static const struct {
    const char *keyword;
    bool takes_value;
    bool (*set)(demit_mail_arguments_t *mail, demit_slice_t value);
    const char *wrong;
} mail_parameters[] = {
    {"SIZE", true, set_size, "SIZE takes a number of bytes, once"},
    {"BODY", true, set_body, "BODY takes 7BIT or 8BITMIME"},
    {"RET", true, set_ret, "RET takes FULL or HDRS, once"},
    {"ENVID", true, set_envid, "ENVID takes up to 100 characters of xtext, once"},
    {"SMTPUTF8", false, set_smtputf8, "SMTPUTF8 takes no value and stands once"},
};

static demit_grammar_error_t read_mail_parameters(demit_mail_arguments_t *mail, demit_slice_t rest, const char **reason)
{
    parameter_t parameter;

    while (next_parameter(&rest, &parameter)) {
        size_t i = 0;
        while (i < sizeof mail_parameters / sizeof mail_parameters[0] &&
               !demit_slice_is(parameter.keyword, mail_parameters[i].keyword)) {
            i++;
        }
        if (i == sizeof mail_parameters / sizeof mail_parameters[0]) {
            *reason = "Parameter of MAIL not recognized";
            return DEMIT_GRAMMAR_UNKNOWN_PARAMETER;
        }
        bool has_value = parameter.value.text != NULL;
        if (has_value != mail_parameters[i].takes_value || !mail_parameters[i].set(mail, parameter.value)) {
            *reason = mail_parameters[i].wrong;
            return DEMIT_GRAMMAR_BAD_PARAMETER;
        }
    }
    return DEMIT_GRAMMAR_OK;
}

static demit_grammar_error_t read_rcpt_parameters(demit_rcpt_arguments_t *rcpt, demit_slice_t rest, bool utf8,
                                                  const char **reason)
{
    parameter_t parameter;

    while (next_parameter(&rest, &parameter)) {
        bool has_value = parameter.value.text != NULL;
        if (demit_slice_is(parameter.keyword, "NOTIFY")) {
            if (!has_value || rcpt->notify != 0 || !read_notify(parameter.value, &rcpt->notify)) {
                *reason = "NOTIFY takes NEVER or a list of SUCCESS, FAILURE and DELAY, once";
                return DEMIT_GRAMMAR_BAD_PARAMETER;
            }
        } else if (demit_slice_is(parameter.keyword, "ORCPT")) {
            if (!has_value || rcpt->orcpt.text != NULL || !is_orcpt(parameter.value, utf8)) {
                *reason = "ORCPT takes an address type, a semicolon and xtext, once";
                return DEMIT_GRAMMAR_BAD_PARAMETER;
            }
            rcpt->orcpt = parameter.value;
        } else {
            *reason = "Parameter of RCPT not recognized";
            return DEMIT_GRAMMAR_UNKNOWN_PARAMETER;
        }
    }
    return DEMIT_GRAMMAR_OK;
}

/* ---- the path ---------------------------------------------------------------------------------------------------- */

/*
 * Splits "<path> parameters" behind the keyword ("FROM:", "TO:"). A ">" within a quoted local part does not end the
 * path. A space after the colon is against the letter of RFC 5321 section 3.3 and common, so it is let pass.
 */
static bool split_path(demit_slice_t argument, const char *keyword, demit_slice_t *path, demit_slice_t *rest)
{
    if (!demit_slice_starts(argument, keyword)) {
        return false;
    }
    const char *at = argument.text + strlen(keyword), *end = argument.text + argument.size;
    while (at < end && *at == ' ') {
        at++;
    }
    if (at == end || *at != '<') {
        return false;
    }
    const char *begin = ++at;
    for (bool quoted = false; at < end && (quoted || *at != '>'); at++) {
        if (*at == '"') {
            quoted = !quoted;
        } else if (*at == '\\' && quoted && at + 1 < end) {
            at++;
        }
    }
    if (at >= end) {
        return false;
    }
    *path = (demit_slice_t){begin, (size_t)(at - begin)};
    *rest = (demit_slice_t){at + 1, (size_t)(end - at - 1)};
    return rest->size == 0 || *rest->text == ' ';
}

/* RFC 5321 appendix C: a source route "@a,@b:" is read and ignored. False when it is not well-formed. */
static bool drop_source_route(demit_slice_t *path, bool utf8)
{
    if (path->size == 0 || path->text[0] != '@') {
        return true;
    }
    if (path->size > DEMIT_PATH_MAX - 2) {
        return false;
    }
    const char *at = path->text, *end = path->text + path->size;
    for (;;) {
        const char *begin = ++at;
        /* The colons of "[IPv6:…]" do not end the route. */
        for (bool literal = false; at < end && (literal || (*at != ',' && *at != ':')); at++) {
            literal = *at == '[' || (literal && *at != ']');
        }
        if (at == end || !demit_domain_is_valid(begin, (size_t)(at - begin), utf8)) {
            return false;
        }
        if (*at == ':') {
            break;
        }
        if (++at == end || *at != '@') {
            return false;
        }
    }
    path->text = at + 1;
    path->size = (size_t)(end - at - 1);
    return path->size > 0;
}

static demit_grammar_error_t read_address(demit_slice_t *path, demit_address_t *address, bool utf8, const char **reason)
{
    if (!drop_source_route(path, utf8)) {
        *reason = "The source route is not well-formed";
        return DEMIT_GRAMMAR_BAD_ADDRESS;
    }
    *reason = demit_address_parse(address, path->text, path->size, utf8);
    if (*reason == NULL) {
        return DEMIT_GRAMMAR_OK;
    }
    demit_address_t again;
    bool only_utf8 = address->is_utf8 && !utf8 && demit_address_parse(&again, path->text, path->size, true) == NULL;
    return only_utf8 ? DEMIT_GRAMMAR_NEEDS_UTF8 : DEMIT_GRAMMAR_BAD_ADDRESS;
}

demit_grammar_error_t demit_mail_parse(demit_mail_arguments_t *mail, demit_slice_t argument, const char **reason)
{
    demit_slice_t rest;

    *mail = (demit_mail_arguments_t){.ret = DEMIT_RET_DEFAULT};
    if (!split_path(argument, "FROM:", &mail->path, &rest)) {
        *reason = "Syntax: MAIL FROM:<address> [parameters]";
        return DEMIT_GRAMMAR_SYNTAX;
    }
    /* The parameters first: SMTPUTF8 says how the path is to be read. */
    demit_grammar_error_t error = read_mail_parameters(mail, rest, reason);
    if (error != DEMIT_GRAMMAR_OK || mail->path.size == 0) {
        return error;
    }
    error = read_address(&mail->path, &mail->sender, (mail->flags & DEMIT_MESSAGE_SMTPUTF8) != 0, reason);
    if (error == DEMIT_GRAMMAR_OK && mail->sender.domain == NULL) {
        *reason = "The address has no domain";
        return DEMIT_GRAMMAR_BAD_ADDRESS;
    }
    return error;
}

demit_grammar_error_t demit_rcpt_parse(demit_rcpt_arguments_t *rcpt, demit_slice_t argument, bool utf8,
                                       const char **reason)
{
    demit_slice_t rest;

    *rcpt = (demit_rcpt_arguments_t){.notify = 0};
    if (!split_path(argument, "TO:", &rcpt->path, &rest)) {
        *reason = "Syntax: RCPT TO:<address> [parameters]";
        return DEMIT_GRAMMAR_SYNTAX;
    }
    demit_grammar_error_t error = read_address(&rcpt->path, &rcpt->recipient, utf8, reason);
    return error != DEMIT_GRAMMAR_OK ? error : read_rcpt_parameters(rcpt, rest, utf8, reason);
}

bool demit_bdat_parse(demit_bdat_arguments_t *bdat, demit_slice_t argument, bool *valid)
{
    const char *space = memchr(argument.text, ' ', argument.size);
    size_t digits = space != NULL ? (size_t)(space - argument.text) : argument.size;

    *valid = false;
    if (!read_number((demit_slice_t){argument.text, digits}, &bdat->size_bytes)) {
        return false;
    }
    demit_slice_t rest = {argument.text + digits, argument.size - digits};
    while (rest.size > 0 && *rest.text == ' ') {
        rest.text++;
        rest.size--;
    }
    bdat->last = demit_slice_is(rest, "LAST");
    *valid = rest.size == 0 || bdat->last;
    return true;
}
