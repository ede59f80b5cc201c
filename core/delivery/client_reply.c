#include "core/delivery/client_reply.h"

#include <string.h>

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static void begin(demit_reply_t *reply)
{
    reply->code = 0;
    reply->status[0] = '\0';
    reply->text[0] = '\0';
    reply->text_size = 0;
    reply->total_bytes = 0;
    reply->lines = 0;
    reply->whole = false;
}

/* How long the number of one to three digits at TEXT is; 0: there is none. */
static size_t number_size(const char *text, size_t size)
{
    size_t n = 0;
    while (n < size && n < 4 && is_digit(text[n])) {
        n++;
    }
    return n <= 3 ? n : 0;
}

/* RFC 3463 section 2: class "." subject "." detail, then a space or the end; the class must agree with the code. */
static void take_status(demit_reply_t *reply, const char *text, size_t size)
{
    if (size < 5 || text[1] != '.' || text[0] - '0' != demit_reply_class(reply)) {
        return;
    }
    size_t at = 2;
    size_t subject = number_size(text + at, size - at);
    at += subject;
    if (subject == 0 || at >= size || text[at] != '.') {
        return;
    }
    at++;
    size_t detail = number_size(text + at, size - at);
    at += detail;
    if (detail == 0 || (at < size && text[at] != ' ')) {
        return;
    }
    memcpy(reply->status, text, at);
    reply->status[at] = '\0';
}

static void take_text(demit_reply_t *reply, const char *text, size_t size)
{
    if (reply->lines > 1 && reply->text_size + 1 < sizeof(reply->text)) {
        reply->text[reply->text_size++] = '\n';
    }
    for (size_t i = 0; i < size && reply->text_size + 1 < sizeof(reply->text); i++) {
        unsigned char c = (unsigned char)text[i];
        /* 8-bit text is RFC 6531's; whoever logs or reports it escapes what is not UTF-8. */
        reply->text[reply->text_size++] = c < 0x20 || c == 0x7f ? ' ' : text[i];
    }
    reply->text[reply->text_size] = '\0';
}

/* One line without its end. False: it is not a reply's. */
static bool take_line(demit_reply_t *reply, const char *line, size_t size)
{
    if (size < 3 || line[0] < '2' || line[0] > '5' || !is_digit(line[1]) || !is_digit(line[2])) {
        return false;
    }
    if (size > 3 && line[3] != ' ' && line[3] != '-') {
        return false;
    }
    int code = (line[0] - '0') * 100 + (line[1] - '0') * 10 + (line[2] - '0');
    if (reply->lines > 0 && code != reply->code) {
        return false; /* RFC 5321 4.2.1: all lines carry the same code */
    }
    reply->code = code;
    reply->lines++;
    const char *text = line + (size > 3 ? 4 : 3);
    size_t text_size = size > 3 ? size - 4 : 0;
    if (reply->lines == 1) {
        take_status(reply, text, text_size);
    }
    take_text(reply, text, text_size);
    reply->whole = size == 3 || line[3] == ' ';
    return true;
}

demit_reply_progress_t demit_reply_read(demit_reply_t *reply, const char *bytes, size_t size, size_t *consumed)
{
    *consumed = 0;
    if (reply->whole) {
        begin(reply);
    }
    while (*consumed < size) {
        const char *line = bytes + *consumed;
        size_t left = size - *consumed;
        const char *end = memchr(line, '\n', left < DEMIT_REPLY_LINE_MAX ? left : DEMIT_REPLY_LINE_MAX);
        if (end == NULL) {
            return left < DEMIT_REPLY_LINE_MAX ? DEMIT_REPLY_MORE : DEMIT_REPLY_JUNK;
        }
        size_t line_size = (size_t)(end - line);
        *consumed += line_size + 1;
        reply->total_bytes += line_size + 1;
        if (line_size > 0 && line[line_size - 1] == '\r') {
            line_size--;
        }
        if (reply->total_bytes > DEMIT_REPLY_SIZE_MAX || !take_line(reply, line, line_size)) {
            return DEMIT_REPLY_JUNK;
        }
        if (reply->whole) {
            return DEMIT_REPLY_WHOLE;
        }
    }
    return DEMIT_REPLY_MORE;
}

int demit_reply_class(const demit_reply_t *reply)
{
    return reply->code / 100;
}

const char *demit_reply_line(const demit_reply_t *reply, char *buffer, size_t size)
{
    size_t used = 0;
    buffer[used++] = (char)('0' + reply->code / 100 % 10);
    buffer[used++] = (char)('0' + reply->code / 10 % 10);
    buffer[used++] = (char)('0' + reply->code % 10);
    if (reply->text_size > 0) {
        buffer[used++] = ' ';
    }
    for (size_t i = 0; i < reply->text_size && used + 1 < size; i++) {
        buffer[used++] = reply->text[i] == '\n' ? ' ' : reply->text[i];
    }
    buffer[used] = '\0';
    return buffer;
}
