#include "core/config/lexer.h"

#include <stdint.h>
#include <string.h>

#include <apr_strings.h>

typedef enum lexer_state {
    BLANK,
    BLANK_SLASH, /* a '/' where a word may begin: a comment, or a path that was not quoted */
    WORD,
    WORD_SLASH, /* a '/' within a word: 10.0.0.0/8, unless a comment begins */
    LINE_COMMENT,
    BLOCK_COMMENT,
    BLOCK_COMMENT_STAR,
    DOUBLE_QUOTED,
    DOUBLE_QUOTED_ESCAPE,
    SINGLE_QUOTED
} lexer_state_t;

struct demit_config_lexer {
    demit_config_token_fn *sink;
    void *baton;
    demit_config_findings_t *findings;
    apr_pool_t *pool;
    lexer_state_t state;
    demit_source_t here;  /* of the next character */
    demit_source_t start; /* of the open word, string or comment */
    char *text;           /* what the open word or string holds */
    size_t size, capacity;
    bool too_long; /* said so already */
    bool dead;
    unsigned bad_line; /* the last line whose bytes were complained about: once is enough */
    /* The UTF-8 character that is not complete yet. */
    char bytes[4];
    unsigned have, need;
    bool any; /* a character was read: a byte order mark is one only at the very start */
};

demit_config_lexer_t *demit_config_lexer_create(const char *file, demit_config_token_fn *sink, void *baton,
                                                demit_config_findings_t *findings, apr_pool_t *pool)
{
    demit_config_lexer_t *lexer = apr_pcalloc(pool, sizeof(*lexer));
    lexer->sink = sink;
    lexer->baton = baton;
    lexer->findings = findings;
    lexer->pool = pool;
    lexer->here = (demit_source_t){.file = file, .line = 1, .column = 1};
    lexer->capacity = 128;
    lexer->text = apr_palloc(pool, lexer->capacity);
    return lexer;
}

static void begin(demit_config_lexer_t *lexer, lexer_state_t state)
{
    lexer->state = state;
    lexer->start = lexer->here;
    lexer->size = 0;
    lexer->too_long = false;
}

static void append(demit_config_lexer_t *lexer, const char *bytes, size_t size)
{
    if (lexer->size + size > DEMIT_CONFIG_TOKEN_MAX) {
        if (!lexer->too_long) {
            demit_config_error(lexer->findings, &lexer->start,
                               "a word or string of more than %d bytes; shorten it, or look for a missing quote",
                               DEMIT_CONFIG_TOKEN_MAX);
        }
        lexer->too_long = true;
        return;
    }
    if (lexer->size + size >= lexer->capacity) { /* >=: room for the NUL */
        char *larger = apr_palloc(lexer->pool, lexer->capacity * 2 + size);
        memcpy(larger, lexer->text, lexer->size);
        lexer->text = larger;
        lexer->capacity = lexer->capacity * 2 + size;
    }
    memcpy(lexer->text + lexer->size, bytes, size);
    lexer->size += size;
}

/* Gives the open word or string to the sink. */
static void emit(demit_config_lexer_t *lexer, demit_config_token_kind_t kind)
{
    lexer->text[lexer->size] = '\0';
    lexer->state = BLANK;
    lexer->sink(lexer->baton, &(demit_config_token_t){
                                  .kind = kind, .text = lexer->text, .size = lexer->size, .source = lexer->start});
}

static void emit_mark(demit_config_lexer_t *lexer, demit_config_token_kind_t kind, const char *text)
{
    lexer->sink(lexer->baton,
                &(demit_config_token_t){.kind = kind, .text = text, .size = strlen(text), .source = lexer->here});
}

/* A character that belongs to no word. False when it is one that begins or continues a bare word. */
static bool punctuation(demit_config_lexer_t *lexer, char c)
{
    switch (c) {
    case ' ':
    case '\t':
    case '\r':
    case '\n':
        return true;
    case '#':
        begin(lexer, LINE_COMMENT);
        return true;
    case '"':
        begin(lexer, DOUBLE_QUOTED);
        return true;
    case '\'':
        begin(lexer, SINGLE_QUOTED);
        return true;
    case '=':
        emit_mark(lexer, DEMIT_CONFIG_TOKEN_EQUALS, "=");
        return true;
    case '{':
        emit_mark(lexer, DEMIT_CONFIG_TOKEN_OPEN_SCOPE, "{");
        return true;
    case '}':
        emit_mark(lexer, DEMIT_CONFIG_TOKEN_CLOSE_SCOPE, "}");
        return true;
    case '(':
        emit_mark(lexer, DEMIT_CONFIG_TOKEN_OPEN_LIST, "(");
        return true;
    case ')':
        emit_mark(lexer, DEMIT_CONFIG_TOKEN_CLOSE_LIST, ")");
        return true;
    case '[':
        emit_mark(lexer, DEMIT_CONFIG_TOKEN_OPEN_DICTIONARY, "[");
        return true;
    case ']':
        emit_mark(lexer, DEMIT_CONFIG_TOKEN_CLOSE_DICTIONARY, "]");
        return true;
    default:
        return false;
    }
}

static bool ends_word(char c)
{
    return c != '\0' && strchr(" \t\r\n#\"'={}()[]", c) != NULL;
}

static void step_outside(demit_config_lexer_t *lexer, const char *bytes, size_t size)
{
    if (*bytes == '/') {
        begin(lexer, BLANK_SLASH);
    } else if (!punctuation(lexer, *bytes)) {
        begin(lexer, WORD);
        append(lexer, bytes, size);
    }
}

static void step_word(demit_config_lexer_t *lexer, const char *bytes, size_t size)
{
    if (*bytes == '/') {
        lexer->state = WORD_SLASH;
    } else if (ends_word(*bytes)) {
        emit(lexer, DEMIT_CONFIG_TOKEN_WORD);
        (void)punctuation(lexer, *bytes);
    } else {
        lexer->state = WORD;
        append(lexer, bytes, size);
    }
}

/* The character after a '/' outside of quotes. */
static void step_slash(demit_config_lexer_t *lexer, const char *bytes, size_t size)
{
    if (*bytes == '*') {
        if (lexer->state == WORD_SLASH) {
            emit(lexer, DEMIT_CONFIG_TOKEN_WORD);
        }
        begin(lexer, BLOCK_COMMENT);
        lexer->start.column--; /* the '/' was the character before, on this line */
        return;
    }
    append(lexer, "/", 1);
    lexer->state = WORD;
    step_word(lexer, bytes, size);
}

static void unterminated_quote(demit_config_lexer_t *lexer, char quote)
{
    demit_config_error(lexer->findings, &lexer->start,
                       "the quote that opens here is not closed on its line; write the closing %c", quote);
    emit(lexer, DEMIT_CONFIG_TOKEN_STRING);
}

static void step_quoted(demit_config_lexer_t *lexer, char quote, const char *bytes, size_t size)
{
    if (*bytes == quote) {
        emit(lexer, DEMIT_CONFIG_TOKEN_STRING);
    } else if (*bytes == '\n') {
        unterminated_quote(lexer, quote);
    } else if (*bytes == '\\' && quote == '"') {
        lexer->state = DOUBLE_QUOTED_ESCAPE;
    } else {
        append(lexer, bytes, size);
    }
}

static void step_escape(demit_config_lexer_t *lexer, const char *bytes, size_t size)
{
    lexer->state = DOUBLE_QUOTED;
    if (*bytes == '\n') {
        unterminated_quote(lexer, '"');
        return;
    }
    if (strchr("\\\"'", *bytes) == NULL) {
        demit_source_t backslash = lexer->here;
        backslash.column--;
        demit_config_error(lexer->findings, &backslash,
                           "\\%.*s is no escape; between double quotes write \\\\ for a backslash and \\\" for a quote",
                           (int)size, bytes);
    }
    append(lexer, bytes, size);
}

/* One character, of SIZE bytes. */
static void step(demit_config_lexer_t *lexer, const char *bytes, size_t size)
{
    switch (lexer->state) {
    case BLANK:
        step_outside(lexer, bytes, size);
        break;
    case WORD:
        step_word(lexer, bytes, size);
        break;
    case BLANK_SLASH:
    case WORD_SLASH:
        step_slash(lexer, bytes, size);
        break;
    case LINE_COMMENT:
        if (*bytes == '\n') {
            lexer->state = BLANK;
        }
        break;
    case BLOCK_COMMENT:
        if (*bytes == '*') {
            lexer->state = BLOCK_COMMENT_STAR;
        }
        break;
    case BLOCK_COMMENT_STAR:
        if (*bytes == '/') {
            lexer->state = BLANK;
        } else if (*bytes != '*') {
            lexer->state = BLOCK_COMMENT;
        }
        break;
    case DOUBLE_QUOTED:
        step_quoted(lexer, '"', bytes, size);
        break;
    case DOUBLE_QUOTED_ESCAPE:
        step_escape(lexer, bytes, size);
        break;
    case SINGLE_QUOTED:
        step_quoted(lexer, '\'', bytes, size);
        break;
    }
    lexer->any = true;
    if (*bytes == '\n') {
        lexer->here.line++;
        lexer->here.column = 1;
    } else {
        lexer->here.column++;
    }
}

/* Stands for a byte that is not text, so that the rest of the line is still read. */
static void bad_byte(demit_config_lexer_t *lexer, unsigned char byte, const char *what)
{
    if (lexer->bad_line != lexer->here.line) {
        demit_config_error(lexer->findings, &lexer->here, "the byte 0x%02x %s", byte, what);
    }
    lexer->bad_line = lexer->here.line;
    step(lexer, "\xef\xbf\xbd", 3);
}

static void character(demit_config_lexer_t *lexer, const char *bytes, size_t size)
{
    unsigned char first = (unsigned char)*bytes;
    if ((first < 0x20 && first != '\t' && first != '\n' && first != '\r') || first == 0x7f) {
        bad_byte(lexer, first, "is a control character; remove it");
    } else if (size == 3 && !lexer->any && memcmp(bytes, "\xef\xbb\xbf", 3) == 0) {
        lexer->any = true; /* a byte order mark, as some editors write it */
    } else {
        step(lexer, bytes, size);
    }
}

/* How many bytes a character has that begins with BYTE; 0: none does (RFC 3629 4). */
static unsigned character_size(unsigned char byte)
{
    if (byte < 0x80) {
        return 1;
    }
    if (byte >= 0xc2 && byte <= 0xdf) {
        return 2;
    }
    if (byte >= 0xe0 && byte <= 0xef) {
        return 3;
    }
    return byte >= 0xf0 && byte <= 0xf4 ? 4 : 0;
}

/* Whether BYTE may be the next of the open character: overlong forms and surrogates show in the second (RFC 3629 4). */
static bool may_continue(const demit_config_lexer_t *lexer, unsigned char byte)
{
    unsigned char low = 0x80, high = 0xbf;
    if (lexer->have == 1) {
        switch ((unsigned char)lexer->bytes[0]) {
        case 0xe0:
            low = 0xa0;
            break;
        case 0xed:
            high = 0x9f;
            break;
        case 0xf0:
            low = 0x90;
            break;
        case 0xf4:
            high = 0x8f;
            break;
        default:
            break;
        }
    }
    return byte >= low && byte <= high;
}

static const char not_utf8[] = "is not UTF-8; save the file as UTF-8";

/* The character that is open will never be complete. */
static void abandon(demit_config_lexer_t *lexer)
{
    lexer->have = 0;
    bad_byte(lexer, (unsigned char)lexer->bytes[0], not_utf8);
}

static void byte_in(demit_config_lexer_t *lexer, char c)
{
    unsigned char byte = (unsigned char)c;
    if (lexer->have > 0) {
        if (may_continue(lexer, byte)) {
            lexer->bytes[lexer->have++] = c;
            if (lexer->have == lexer->need) {
                lexer->have = 0;
                character(lexer, lexer->bytes, lexer->need);
            }
            return;
        }
        abandon(lexer);
    }
    lexer->need = character_size(byte);
    if (lexer->need == 0) {
        bad_byte(lexer, byte, not_utf8);
    } else if (lexer->need == 1) {
        character(lexer, &c, 1);
    } else {
        lexer->bytes[0] = c;
        lexer->have = 1;
    }
}

bool demit_config_lexer_feed(demit_config_lexer_t *lexer, const char *data, size_t size)
{
    for (size_t i = 0; i < size && !lexer->dead; i++) {
        if (data[i] == '\0') {
            if (lexer->have > 0) {
                abandon(lexer);
            }
            demit_config_error(lexer->findings, &lexer->here,
                               "a NUL byte: this is not a text file; the rest of it was not read");
            lexer->dead = true;
            lexer->state = BLANK; /* what is open need not be complained about, too */
        } else {
            byte_in(lexer, data[i]);
        }
    }
    return !lexer->dead;
}

void demit_config_lexer_finish(demit_config_lexer_t *lexer)
{
    if (lexer->have > 0) {
        abandon(lexer);
    }
    switch (lexer->state) {
    case BLANK:
    case LINE_COMMENT:
        break;
    case BLANK_SLASH:
    case WORD_SLASH:
        append(lexer, "/", 1);
        emit(lexer, DEMIT_CONFIG_TOKEN_WORD);
        break;
    case WORD:
        emit(lexer, DEMIT_CONFIG_TOKEN_WORD);
        break;
    case BLOCK_COMMENT:
    case BLOCK_COMMENT_STAR:
        demit_config_error(lexer->findings, &lexer->start,
                           "the comment that opens here is never closed; write the closing */");
        break;
    case DOUBLE_QUOTED:
    case DOUBLE_QUOTED_ESCAPE:
        unterminated_quote(lexer, '"');
        break;
    case SINGLE_QUOTED:
        unterminated_quote(lexer, '\'');
        break;
    }
    lexer->state = BLANK;
    emit_mark(lexer, DEMIT_CONFIG_TOKEN_END, "");
}
