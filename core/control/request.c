#include "core/control/request.h"

#include <string.h>

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* A byte that has no business in a command; bytes above 0x7f may be a domain in UTF-8. */
static bool is_forbidden(char c)
{
    return ((unsigned char)c < 0x20 && c != '\t') || c == 0x7f;
}

/* Cuts LINE into words in place. False when there are more than fit. */
static bool split(console_request_t *request)
{
    char *at = request->line;

    for (;;) {
        while (is_blank(*at)) {
            *at++ = '\0';
        }
        if (*at == '\0') {
            return true;
        }
        if (request->word_count == CONSOLE_WORDS_MAX) {
            return false;
        }
        request->words[request->word_count++] = at;
        while (*at != '\0' && !is_blank(*at)) {
            at++;
        }
    }
}

/* Takes the first word, which says how to answer, away from the command's. */
static bool take_format(console_request_t *request)
{
    if (request->word_count == 0) {
        return false;
    }
    request->json = strcmp(request->words[0], "json") == 0;
    if (!request->json && strcmp(request->words[0], "text") != 0) {
        return false;
    }
    request->word_count--;
    memmove(request->words, request->words + 1, request->word_count * sizeof(request->words[0]));
    return true;
}

console_parse_t console_request_parse(console_request_t *request, const char *bytes, size_t size, const char **wrong)
{
    const size_t looked_at = size < CONSOLE_LINE_MAX ? size : CONSOLE_LINE_MAX;
    const char *end = memchr(bytes, '\n', looked_at);
    const size_t length = end == NULL ? looked_at : (size_t)(end - bytes);

    request->json = length >= 5 && memcmp(bytes, "json ", 5) == 0;
    request->word_count = 0;
    if (end == NULL && length < CONSOLE_LINE_MAX) {
        return CONSOLE_PARSE_PARTIAL;
    }
    if (end == NULL) {
        *wrong = "The request is longer than 1024 bytes.";
        return CONSOLE_PARSE_BAD;
    }
    for (size_t i = 0; i < length; i++) {
        if (is_forbidden(bytes[i])) {
            *wrong = "The request holds a control character.";
            return CONSOLE_PARSE_BAD;
        }
    }
    memcpy(request->line, bytes, length);
    request->line[length] = '\0';
    if (!split(request)) {
        *wrong = "The request has more than 16 words.";
        return CONSOLE_PARSE_BAD;
    }
    if (!take_format(request)) {
        *wrong = "The request must begin with \"text\" or \"json\".";
        return CONSOLE_PARSE_BAD;
    }
    if (request->word_count == 0) {
        *wrong = "The request names no command; \"help\" lists them.";
        return CONSOLE_PARSE_BAD;
    }
    return CONSOLE_PARSE_DONE;
}
