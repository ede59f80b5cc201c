#include "core/delivery/dsn.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <apr_general.h>
#include <apr_strings.h>
#include <apr_time.h>

enum { FOLD_COLUMN = 76, LINE_MAX_BYTES = 900, TYPE_MAX = 64, DATE_SIZE = 48 };

/* ---- pieces of text, joined at the end --------------------------------------------------------------------------- */

typedef struct text {
    apr_array_header_t *pieces; /* const char * */
    apr_pool_t *pool;
    bool utf8; /* bytes above 0x7f may stand in it */
} text_t;

static text_t text_begin(apr_pool_t *pool, bool utf8)
{
    return (text_t){apr_array_make(pool, 32, sizeof(const char *)), pool, utf8};
}

static void put(text_t *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(text_t *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    APR_ARRAY_PUSH(text->pieces, const char *) = apr_pvsprintf(text->pool, format, arguments);
    va_end(arguments);
}

static const char *text_end(const text_t *text)
{
    return apr_array_pstrcat(text->pool, text->pieces, 0);
}

static bool is_ascii(const char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text > 0x7f) {
            return false;
        }
    }
    return true;
}

/* ---- making printable ------------------------------------------------------------------------------------------- */

/* Length of the well-formed UTF-8 sequence at BYTES (RFC 3629), 0 when it is none. The text ends in NUL. */
static size_t utf8_sequence(const unsigned char *bytes)
{
    static const struct {
        unsigned char first, last, low, high; /* range of the first byte, and of the second */
        size_t size;
    } forms[] = {{0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3}, {0xe1, 0xec, 0x80, 0xbf, 3},
                 {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4},
                 {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4}};
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        if (bytes[0] < forms[i].first || bytes[0] > forms[i].last) {
            continue;
        }
        if (bytes[1] < forms[i].low || bytes[1] > forms[i].high) {
            return 0;
        }
        for (size_t n = 2; n < forms[i].size; n++) {
            if (bytes[n] < 0x80 || bytes[n] > 0xbf) {
                return 0;
            }
        }
        return forms[i].size;
    }
    return 0;
}

/* VALUE on one line: control characters become spaces, and what may not stand there a question mark. */
static char *printable(const text_t *text, const char *value)
{
    char *clean = apr_pstrdup(text->pool, value);
    for (unsigned char *at = (unsigned char *)clean; *at != '\0';) {
        size_t sequence = *at > 0x7f && text->utf8 ? utf8_sequence(at) : 0;
        /* U+0080 … U+009F are control characters too. */
        if (sequence == 2 && at[0] == 0xc2 && at[1] < 0xa0) {
            sequence = 0;
        }
        if (sequence > 0) {
            at += sequence;
            continue;
        }
        if (*at < 0x20 || *at == 0x7f) {
            *at = ' ';
        } else if (*at > 0x7f) {
            *at = '?';
        }
        at++;
    }
    return clean;
}

/* How many bytes of VALUE fit into a line that has ROOM left: up to a space if there is one, never within a character.
 */
static size_t line_break(const char *value, size_t room)
{
    size_t size = strlen(value);
    if (size <= room) {
        return size;
    }
    for (size_t at = room; at > 0; at--) {
        if (value[at] == ' ') {
            return at;
        }
    }
    const char *space = strchr(value + room, ' ');
    size_t end = space != NULL ? (size_t)(space - value) : size;
    if (end > LINE_MAX_BYTES) {
        for (end = LINE_MAX_BYTES; end > 1 && ((unsigned char)value[end] & 0xc0) == 0x80;) {
            end--;
        }
    }
    return end;
}

/* VALUE, broken into lines; a new line begins with INDENT. COLUMN is where it starts. */
static void put_folded(text_t *text, size_t column, const char *value, const char *indent)
{
    const char *rest = printable(text, value);
    for (;;) {
        size_t room = column < FOLD_COLUMN - 16 ? FOLD_COLUMN - column : 16;
        size_t size = line_break(rest, room);
        put(text, "%.*s\r\n", (int)size, rest);
        rest += size;
        while (*rest == ' ') {
            rest++;
        }
        if (*rest == '\0') {
            return;
        }
        put(text, "%s", indent);
        column = strlen(indent);
    }
}

static void put_field(text_t *text, const char *name, const char *type, const char *value)
{
    put(text, "%s: %s", name, type);
    size_t column = strlen(name) + 2 + strlen(type);
    if (*type != '\0') {
        put(text, "; ");
        column += 2;
    }
    put_folded(text, column, value, "    ");
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1; /* RFC 3461 section 4: upper case only */
}

/* Decodes xtext (RFC 3461 section 4). What would not be printable stays encoded: it must not break a line. */
static char *decode_xtext(const char *xtext, apr_pool_t *pool)
{
    char *decoded = apr_pstrdup(pool, xtext), *out = decoded;
    for (const char *in = xtext; *in != '\0';) {
        int high = *in == '+' ? hex_digit(in[1]) : -1;
        int low = high >= 0 ? hex_digit(in[2]) : -1;
        int byte = high * 16 + low;
        if (low >= 0 && byte >= 0x20 && byte < 0x7f) {
            *out++ = (char)byte;
            in += 3;
        } else {
            *out++ = *in++;
        }
    }
    *out = '\0';
    return decoded;
}

/* RFC 5322 section 3.3, in UTC: a server's local time helps nobody who reads it elsewhere. */
static const char *date_text(int64_t wall_us, char date[DATE_SIZE])
{
    apr_time_exp_t at;
    (void)apr_time_exp_gmt(&at, wall_us);
    snprintf(date, DATE_SIZE, "%s, %02d %s %04d %02d:%02d:%02d +0000", apr_day_snames[at.tm_wday], at.tm_mday,
             apr_month_snames[at.tm_mon], at.tm_year + 1900, at.tm_hour, at.tm_min, at.tm_sec);
    return date;
}

/* ---- what kind of notification ---------------------------------------------------------------------------------- */

static bool has_action(const demit_dsn_t *dsn, demit_dsn_action_t action)
{
    for (uint32_t i = 0; i < dsn->recipient_count; i++) {
        if (dsn->recipients[i].action == action) {
            return true;
        }
    }
    return false;
}

demit_dsn_return_t demit_dsn_choose_return(const demit_dsn_t *dsn)
{
    /* Only of a failed message more than the header may be returned: the others are still on their way, or there. */
    if (!has_action(dsn, DEMIT_DSN_FAILED)) {
        return DEMIT_DSN_RETURN_HEADER;
    }
    uint32_t copies = dsn->original->recipient_count > 0 ? dsn->original->recipient_count : 1;
    if (dsn->original->size_bytes > (uint64_t)DEMIT_DSN_FULL_TOTAL_MAX / copies) {
        return DEMIT_DSN_RETURN_HEADER;
    }
    switch (dsn->original->ret) {
    case DEMIT_RET_FULL:
        return DEMIT_DSN_RETURN_FULL;
    case DEMIT_RET_HDRS:
        return DEMIT_DSN_RETURN_HEADER;
    case DEMIT_RET_DEFAULT:
        break;
    }
    return dsn->original->size_bytes <= DEMIT_DSN_FULL_MAX ? DEMIT_DSN_RETURN_FULL : DEMIT_DSN_RETURN_HEADER;
}

/* Whether the types of RFC 6533 are needed: an address, or the header that is returned, is in UTF-8. */
static bool is_international(const demit_dsn_t *dsn)
{
    const demit_envelope_t *original = dsn->original;
    if (!is_ascii(original->sender)) {
        return true;
    }
    for (uint32_t i = 0; i < dsn->recipient_count; i++) {
        const demit_recipient_t *recipient = dsn->recipients[i].recipient;
        if (!is_ascii(recipient->address) || (recipient->accepted != NULL && !is_ascii(recipient->accepted))) {
            return true;
        }
    }
    uint32_t both = DEMIT_MESSAGE_SMTPUTF8 | DEMIT_MESSAGE_HEADER_8BIT;
    return dsn->what != DEMIT_DSN_RETURN_NOTHING && (original->flags & both) == both;
}

static const char *subject_of(const demit_dsn_t *dsn)
{
    if (has_action(dsn, DEMIT_DSN_FAILED)) {
        return "Undelivered mail returned to sender";
    }
    if (has_action(dsn, DEMIT_DSN_DELAYED)) {
        return "Your mail is delayed; no action is needed";
    }
    return "Your mail was delivered";
}

static const char *action_name(demit_dsn_action_t action)
{
    switch (action) {
    case DEMIT_DSN_FAILED:
        return "failed";
    case DEMIT_DSN_DELAYED:
        return "delayed";
    case DEMIT_DSN_DELIVERED:
        return "delivered";
    case DEMIT_DSN_RELAYED:
        break;
    }
    return "relayed";
}

static const char *action_sentence(demit_dsn_action_t action)
{
    switch (action) {
    case DEMIT_DSN_FAILED:
        return "Your message could not be delivered to these recipients, and will not be tried again:";
    case DEMIT_DSN_DELAYED:
        return "Your message could not yet be delivered to these recipients. It will be tried again;\r\n"
               "you need not do anything, and should not send it a second time:";
    case DEMIT_DSN_DELIVERED:
        return "Your message was delivered to these recipients:";
    case DEMIT_DSN_RELAYED:
        break;
    }
    return "Your message was passed on to a server that does not report deliveries. It is not known\r\n"
           "whether it reached these recipients:";
}

/* ---- the parts -------------------------------------------------------------------------------------------------- */

static void put_address(text_t *text, const char *words, const char *address)
{
    put(text, "  ");
    put_folded(text, 2, apr_pstrcat(text->pool, words, "<", address, ">", NULL), "  ");
}

static void put_for_people(text_t *text, const demit_dsn_t *dsn)
{
    static const demit_dsn_action_t order[] = {DEMIT_DSN_FAILED, DEMIT_DSN_DELAYED, DEMIT_DSN_DELIVERED,
                                               DEMIT_DSN_RELAYED};
    put(text, "This is the mail system at %s.\r\n", dsn->hostname);
    for (size_t kind = 0; kind < sizeof(order) / sizeof(order[0]); kind++) {
        if (!has_action(dsn, order[kind])) {
            continue;
        }
        put(text, "\r\n%s\r\n", action_sentence(order[kind]));
        for (uint32_t i = 0; i < dsn->recipient_count; i++) {
            const demit_dsn_recipient_t *recipient = &dsn->recipients[i];
            if (recipient->action != order[kind]) {
                continue;
            }
            put(text, "\r\n");
            const char *accepted = recipient->recipient->accepted;
            put_address(text, "", accepted != NULL ? accepted : recipient->recipient->address);
            if (accepted != NULL) {
                put_address(text, "here known as ", recipient->recipient->address);
            }
            put(text, "    ");
            put_folded(text, 4, recipient->diagnostic, "    ");
        }
    }
    char date[DATE_SIZE];
    if (has_action(dsn, DEMIT_DSN_DELAYED)) {
        put(text, "\r\nIt will be returned to you if it is not delivered by\r\n%s.\r\n",
            date_text(dsn->retry_until_us, date));
    }
}

/* RFC 3464 section 2.2. */
static void put_message_fields(text_t *text, const demit_dsn_t *dsn)
{
    char date[DATE_SIZE];
    /* RFC 3461 section 6.3 (a) */
    if (dsn->original->envid != NULL) {
        put_field(text, "Original-Envelope-Id", "", decode_xtext(dsn->original->envid, text->pool));
    }
    put(text, "Reporting-MTA: dns; %s\r\n", dsn->hostname);
    put(text, "Arrival-Date: %s\r\n", date_text(dsn->original->arrived_us, date));
}

/* ORCPT is "type;xtext". The utf-8 type has an encoding of its own (RFC 6533 section 3) that is fit for a field. */
static void put_original_recipient(text_t *text, const char *orcpt)
{
    const char *semicolon = strchr(orcpt, ';');
    if (semicolon == NULL) {
        return;
    }
    const char *type =
        apr_psprintf(text->pool, "%.*s", (int)(semicolon - orcpt < TYPE_MAX ? semicolon - orcpt : TYPE_MAX), orcpt);
    bool is_utf8 = strncasecmp(orcpt, "utf-8;", 6) == 0;
    put_field(text, "Original-Recipient", printable(text, type),
              is_utf8 ? semicolon + 1 : decode_xtext(semicolon + 1, text->pool));
}

/* RFC 3464 section 2.3. */
static void put_recipient_fields(text_t *text, const demit_dsn_t *dsn, const demit_dsn_recipient_t *recipient)
{
    char date[DATE_SIZE];
    const char *address = recipient->recipient->address;
    put(text, "\r\n");
    if (recipient->recipient->original != NULL) {
        put_original_recipient(text, recipient->recipient->original);
    }
    put_field(text, "Final-Recipient", is_ascii(address) ? "rfc822" : "utf-8", address);
    put(text, "Action: %s\r\n", action_name(recipient->action));
    put_field(text, "Status", "", recipient->status);
    if (dsn->remote_host != NULL) {
        put_field(text, "Remote-MTA", "dns", dsn->remote_host);
    }
    if (recipient->action != DEMIT_DSN_DELIVERED && recipient->action != DEMIT_DSN_RELAYED) {
        put_field(text, "Diagnostic-Code", recipient->diagnostic_is_smtp ? "smtp" : "x-demit", recipient->diagnostic);
    }
    put(text, "Last-Attempt-Date: %s\r\n", date_text(dsn->now_us, date));
    if (recipient->action == DEMIT_DSN_DELAYED) {
        put(text, "Will-Retry-Until: %s\r\n", date_text(dsn->retry_until_us, date));
    }
}

/* The header of the part that holds the original. */
static void put_returned_type(text_t *text, const demit_dsn_t *dsn, bool international)
{
    uint32_t high = dsn->original->flags & (DEMIT_MESSAGE_HEADER_8BIT | DEMIT_MESSAGE_BODY_8BIT);
    const char *type = international ? "message/global" : "message/rfc822";
    if (dsn->what == DEMIT_DSN_RETURN_HEADER) {
        type = international ? "message/global-headers" : "text/rfc822-headers";
        high &= DEMIT_MESSAGE_HEADER_8BIT;
    }
    put(text, "--%s\r\nContent-Description: the message\r\nContent-Type: %s\r\n", dsn->boundary, type);
    if (high != 0) {
        put(text, "Content-Transfer-Encoding: 8bit\r\n");
    }
    put(text, "\r\n");
}

static const char *body_text(const demit_dsn_t *dsn, bool international, apr_pool_t *pool)
{
    const char *charset = international ? "utf-8" : "us-ascii";
    const char *encoding = international ? "Content-Transfer-Encoding: 8bit\r\n" : "";
    text_t text = text_begin(pool, international);
    put(&text, "--%s\r\nContent-Type: text/plain; charset=%s\r\n%s\r\n", dsn->boundary, charset, encoding);
    put_for_people(&text, dsn);
    put(&text, "\r\n--%s\r\nContent-Type: message/%sdelivery-status\r\n%s\r\n", dsn->boundary,
        international ? "global-" : "", encoding);
    put_message_fields(&text, dsn);
    for (uint32_t i = 0; i < dsn->recipient_count; i++) {
        put_recipient_fields(&text, dsn, &dsn->recipients[i]);
    }
    put(&text, "\r\n");
    if (dsn->what != DEMIT_DSN_RETURN_NOTHING) {
        put_returned_type(&text, dsn, international);
    }
    return text_end(&text);
}

static const char *header_text(const demit_dsn_t *dsn, bool international, bool is_8bit, apr_pool_t *pool)
{
    char date[DATE_SIZE], id[DEMIT_ID_TEXT_SIZE];
    text_t text = text_begin(pool, international);
    put(&text, "Date: %s\r\n", date_text(dsn->now_us, date));
    put(&text, "From: Mail Delivery System <MAILER-DAEMON@%s>\r\n", dsn->hostname);
    put_field(&text, "To", "", apr_pstrcat(pool, "<", dsn->original->sender, ">", NULL));
    put(&text, "Subject: %s\r\n", subject_of(dsn));
    put(&text, "Message-ID: <%s@%s>\r\n", demit_id_format(dsn->id, id), dsn->hostname);
    put(&text, "Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n");
    put(&text, "Content-Type: multipart/report; report-type=%sdelivery-status;\r\n    boundary=\"%s\"\r\n",
        international ? "global-" : "", dsn->boundary);
    if (is_8bit) {
        put(&text, "Content-Transfer-Encoding: 8bit\r\n");
    }
    put(&text, "\r\n");
    return text_end(&text);
}

/* Those flags of the original's bytes that the notification has too, because it holds them. */
static uint32_t returned_flags(const demit_dsn_t *dsn)
{
    uint32_t flags = dsn->original->flags;
    uint32_t form = flags & (DEMIT_MESSAGE_LEADING_DOT | DEMIT_MESSAGE_LONE_LF | DEMIT_MESSAGE_LONG_LINE);
    uint32_t high = 0;
    switch (dsn->what) {
    case DEMIT_DSN_RETURN_NOTHING:
        return 0;
    case DEMIT_DSN_RETURN_HEADER:
        high = flags & DEMIT_MESSAGE_HEADER_8BIT;
        break;
    case DEMIT_DSN_RETURN_FULL:
        high = flags & (DEMIT_MESSAGE_HEADER_8BIT | DEMIT_MESSAGE_BODY_8BIT);
        break;
    }
    return form | (high != 0 ? DEMIT_MESSAGE_BODY_8BIT : 0U); /* its header is in our body */
}

const char *demit_dsn_head(const demit_dsn_t *dsn, uint32_t *flags, apr_pool_t *pool)
{
    bool international = is_international(dsn);
    const char *body = body_text(dsn, international, pool);
    *flags = DEMIT_MESSAGE_BOUNCE | returned_flags(dsn);
    if (!is_ascii(body) || international) {
        *flags |= DEMIT_MESSAGE_BODY_8BIT;
    }
    if ((*flags & DEMIT_MESSAGE_BODY_8BIT) != 0) {
        *flags |= DEMIT_MESSAGE_8BITMIME;
    }
    const char *header = header_text(dsn, international, (*flags & DEMIT_MESSAGE_BODY_8BIT) != 0, pool);
    if (!is_ascii(header)) {
        *flags |= DEMIT_MESSAGE_HEADER_8BIT | DEMIT_MESSAGE_SMTPUTF8;
    }
    if (strstr(body, "\n.") != NULL) {
        *flags |= DEMIT_MESSAGE_LEADING_DOT;
    }
    return apr_pstrcat(pool, header, body, NULL);
}

const char *demit_dsn_tail(const demit_dsn_t *dsn, apr_pool_t *pool)
{
    /* The line end in front belongs to the boundary (RFC 2046 5.1.1): what is returned keeps its own end. */
    return apr_psprintf(pool, "\r\n--%s--\r\n", dsn->boundary);
}

size_t demit_dsn_header_size(const char *bytes, size_t size)
{
    size_t line = 0;
    while (line < size) {
        const char *end = memchr(bytes + line, '\n', size - line);
        if (end == NULL) {
            return line;
        }
        size_t next = (size_t)(end - bytes) + 1;
        if (next - line == 1 || (next - line == 2 && bytes[line] == '\r')) {
            return line;
        }
        line = next;
    }
    return line;
}

const char *demit_dsn_boundary(uint64_t id, apr_pool_t *pool)
{
    char text[DEMIT_ID_TEXT_SIZE];
    uint64_t random[2];
    /* Without randomness (an empty jail on an old kernel) the clock must do: an original that was written before it
     * ticked cannot hold it either. */
    if (apr_generate_random_bytes((unsigned char *)random, sizeof(random)) != APR_SUCCESS) {
        random[0] = (uint64_t)apr_time_now();
        random[1] = id * UINT64_C(0x9e3779b97f4a7c15);
    }
    return apr_psprintf(pool, "=_%s_%" APR_UINT64_T_HEX_FMT "%" APR_UINT64_T_HEX_FMT, demit_id_format(id, text),
                        random[0], random[1]);
}
