/*
 * The configuration's words: bytes in, however they are cut, tokens out. A push lexer, so that a file need not be in
 * memory and that a test can cut the text anywhere. Main thread.
 */
#ifndef DEMIT_CORE_CONFIG_LEXER_H
#define DEMIT_CORE_CONFIG_LEXER_H

#include <stdbool.h>
#include <stddef.h>

#include <apr_pools.h>

#include "core/config/findings.h"
#include "demit/settings.h"

typedef enum demit_config_token_kind {
    DEMIT_CONFIG_TOKEN_WORD,   /* bare */
    DEMIT_CONFIG_TOKEN_STRING, /* quoted; the quotes and escapes are gone */
    DEMIT_CONFIG_TOKEN_EQUALS,
    DEMIT_CONFIG_TOKEN_OPEN_SCOPE,       /* { */
    DEMIT_CONFIG_TOKEN_CLOSE_SCOPE,      /* } */
    DEMIT_CONFIG_TOKEN_OPEN_LIST,        /* ( */
    DEMIT_CONFIG_TOKEN_CLOSE_LIST,       /* ) */
    DEMIT_CONFIG_TOKEN_OPEN_DICTIONARY,  /* [ */
    DEMIT_CONFIG_TOKEN_CLOSE_DICTIONARY, /* ] */
    DEMIT_CONFIG_TOKEN_END
} demit_config_token_kind_t;

typedef struct demit_config_token {
    demit_config_token_kind_t kind;
    const char *text; /* NUL-terminated, valid during the call; "=" and the like for the others, "" at the end */
    size_t size;
    demit_source_t source; /* of its first character */
} demit_config_token_t;

typedef void demit_config_token_fn(void *baton, const demit_config_token_t *token);

/* A longer word or string is an error. */
enum { DEMIT_CONFIG_TOKEN_MAX = 65535 };

typedef struct demit_config_lexer demit_config_lexer_t;

/* FILE names the text in sources and is kept, not copied. SINK gets every token, in order. */
demit_config_lexer_t *demit_config_lexer_create(const char *file, demit_config_token_fn *sink, void *baton,
                                                demit_config_findings_t *findings, apr_pool_t *pool);

/*
 * Gives the next SIZE bytes. False when the rest of the text is of no use (a NUL byte: not a text file; said in the
 * findings); finish is still to be called.
 */
bool demit_config_lexer_feed(demit_config_lexer_t *lexer, const char *data, size_t size);

/* The text ends here: what is open is complained about, and the token END is given. Once. */
void demit_config_lexer_finish(demit_config_lexer_t *lexer);

#endif
