/* Any bytes as a request of the console: however they are split, the outcome is the same, and words are words. */
#include "core/control/request.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

/* Parses an exact copy of the first SIZE bytes, so that a sanitizer sees a look beyond them. */
static console_parse_t parse(console_request_t *request, const uint8_t *data, size_t size, const char **wrong)
{
    char *copy = malloc(size > 0 ? size : 1);

    require(copy != NULL);
    if (size > 0) {
        memcpy(copy, data, size);
    }
    *wrong = NULL;
    const console_parse_t result = console_request_parse(request, copy, size, wrong);
    free(copy);
    require((result == CONSOLE_PARSE_BAD) == (*wrong != NULL));
    return result;
}

static void check_words(const console_request_t *request)
{
    require(request->word_count >= 1 && request->word_count <= CONSOLE_WORDS_MAX);
    for (size_t i = 0; i < request->word_count; i++) {
        const char *word = request->words[i];
        require(word >= request->line && word < request->line + CONSOLE_LINE_MAX && word[0] != '\0');
        for (; *word != '\0'; word++) {
            require((unsigned char)*word > 0x20 && *word != 0x7f);
        }
    }
}

static bool is_same(const console_request_t *a, const console_request_t *b)
{
    if (a->json != b->json || a->word_count != b->word_count) {
        return false;
    }
    for (size_t i = 0; i < a->word_count; i++) {
        if (strcmp(a->words[i], b->words[i]) != 0) {
            return false;
        }
    }
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    console_request_t whole, part;
    const char *wrong, *part_wrong;
    const console_parse_t result = parse(&whole, data, size, &wrong);

    if (result == CONSOLE_PARSE_DONE) {
        check_words(&whole);
    }
    require(result != CONSOLE_PARSE_PARTIAL || size < CONSOLE_LINE_MAX);
    for (size_t first = 0; first < size && first <= CONSOLE_LINE_MAX; first++) {
        const console_parse_t part_result = parse(&part, data, first, &part_wrong);
        if (part_result == CONSOLE_PARSE_PARTIAL) {
            continue;
        }
        /* Decided: what comes behind changes nothing. The reasons are constants. */
        require(part_result == result && part_wrong == wrong);
        require(result != CONSOLE_PARSE_DONE || is_same(&whole, &part));
    }
    return 0;
}
