#include "core/config/parser.h"

#include <assert.h>
#include <string.h>

#include <apr_cstr.h>
#include <apr_strings.h>

typedef enum parser_state {
    STATEMENT, /* between options and scopes */
    NAMED,     /* a name was read */
    TITLED,    /* a name and what may be a title */
    VALUE,     /* name = */
    LIST,
    DICTIONARY,
    DICTIONARY_EQUALS,
    DICTIONARY_VALUE,
    INCLUDE,
    SKIP /* after an error, until a statement seems to begin */
} parser_state_t;

/* A word or string that was read and may turn out to be this or that. */
typedef struct piece {
    const char *text;
    demit_source_t source;
} piece_t;

struct demit_config_parser {
    demit_config_include_fn *include;
    void *baton;
    demit_config_findings_t *findings;
    apr_pool_t *pool;
    demit_config_node_t *base;  /* where the file begins: no '}' of this file closes it */
    demit_config_node_t *scope; /* the innermost open one */
    parser_state_t state;
    piece_t name, title, key;
    bool title_quoted;
    demit_config_value_t *collection; /* the open list or dictionary */
    demit_config_node_t *last;        /* the option that ended just now, or NULL */
    unsigned last_line;               /* where it ended */
    unsigned skip_line, skip_depth;
};

typedef void token_handler_t(demit_config_parser_t *parser, const demit_config_token_t *token);

demit_config_node_t *demit_config_root_create(apr_pool_t *pool)
{
    demit_config_node_t *root = apr_pcalloc(pool, sizeof(*root));
    root->name = "";
    root->is_scope = true;
    root->children = apr_array_make(pool, 16, sizeof(demit_config_node_t *));
    return root;
}

demit_config_parser_t *demit_config_parser_create(demit_config_node_t *scope, demit_config_include_fn *include,
                                                  void *baton, demit_config_findings_t *findings, apr_pool_t *pool)
{
    demit_config_parser_t *parser = apr_pcalloc(pool, sizeof(*parser));
    parser->include = include;
    parser->baton = baton;
    parser->findings = findings;
    parser->pool = pool;
    parser->base = parser->scope = scope;
    parser->state = STATEMENT;
    return parser;
}

static bool is_text(const demit_config_token_t *token)
{
    return token->kind == DEMIT_CONFIG_TOKEN_WORD || token->kind == DEMIT_CONFIG_TOKEN_STRING;
}

static piece_t piece_of(const demit_config_parser_t *parser, const demit_config_token_t *token)
{
    return (piece_t){.text = apr_pstrmemdup(parser->pool, token->text, token->size), .source = token->source};
}

/* TOKEN as a message names it. */
static const char *shown(const demit_config_parser_t *parser, const demit_config_token_t *token)
{
    if (token->kind == DEMIT_CONFIG_TOKEN_END) {
        return "the end of the file";
    }
    return is_text(token) ? demit_config_quote(token->text, parser->pool)
                          : apr_psprintf(parser->pool, "'%s'", token->text);
}

static const char *cut(const demit_config_parser_t *parser, const char *text)
{
    return demit_config_cut(text, parser->pool);
}

static const char *quoted(const demit_config_parser_t *parser, const char *text)
{
    return demit_config_quote(text, parser->pool);
}

/* ---- building --------------------------------------------------------------------------------------------------- */

static demit_config_node_t *add_node(demit_config_parser_t *parser, const piece_t *name)
{
    assert(parser->scope != NULL); /* only the root has no parent, and it is the base of its file: never closed */
    demit_config_node_t *node = apr_pcalloc(parser->pool, sizeof(*node));
    node->parent = parser->scope;
    node->name = name->text;
    node->source = name->source;
    APR_ARRAY_PUSH(parser->scope->children, demit_config_node_t *) = node;
    return node;
}

static demit_config_value_t *make_value(demit_config_parser_t *parser, const demit_config_token_t *token)
{
    demit_config_value_t *value = apr_pcalloc(parser->pool, sizeof(*value));
    value->source = token->source;
    if (token->kind == DEMIT_CONFIG_TOKEN_OPEN_LIST || token->kind == DEMIT_CONFIG_TOKEN_OPEN_DICTIONARY) {
        value->kind =
            token->kind == DEMIT_CONFIG_TOKEN_OPEN_LIST ? DEMIT_CONFIG_VALUE_LIST : DEMIT_CONFIG_VALUE_DICTIONARY;
        value->items = apr_array_make(parser->pool, 4, sizeof(demit_config_value_t *));
        return value;
    }
    value->kind = token->kind == DEMIT_CONFIG_TOKEN_WORD ? DEMIT_CONFIG_VALUE_WORD : DEMIT_CONFIG_VALUE_QUOTED;
    value->text = apr_pstrmemdup(parser->pool, token->text, token->size);
    return value;
}

/* Other languages end or separate values by ';' and ','; here they would silently become part of a bare word. */
static void refuse_separator(demit_config_parser_t *parser, demit_config_value_t *value)
{
    size_t size = value->kind == DEMIT_CONFIG_VALUE_WORD ? strlen(value->text) : 0;
    if (size == 0 || (value->text[size - 1] != ';' && value->text[size - 1] != ',')) {
        return;
    }
    demit_config_error(parser->findings, &value->source, "values are not ended or separated by '%c'; remove it",
                       value->text[size - 1]);
    value->text = apr_pstrmemdup(parser->pool, value->text, size - 1);
}

static void finish_option(demit_config_parser_t *parser, demit_config_value_t *value, unsigned line)
{
    demit_config_node_t *node = add_node(parser, &parser->name);
    node->value = value;
    parser->last = node;
    parser->last_line = line;
    parser->state = STATEMENT;
}

static void open_scope(demit_config_parser_t *parser, const piece_t *title)
{
    unsigned depth = 0;
    for (const demit_config_node_t *outer = parser->scope; outer != NULL; outer = outer->parent) {
        depth++;
    }
    if (depth > DEMIT_CONFIG_SCOPE_DEPTH_MAX) {
        demit_config_error(parser->findings, &parser->name.source, "scopes are nested deeper than %d",
                           DEMIT_CONFIG_SCOPE_DEPTH_MAX);
        parser->skip_depth = 1;
        parser->state = SKIP;
        return;
    }
    demit_config_node_t *node = add_node(parser, &parser->name);
    node->is_scope = true;
    node->children = apr_array_make(parser->pool, 8, sizeof(demit_config_node_t *));
    if (title != NULL) {
        node->title = title->text;
        node->title_source = title->source;
    }
    parser->scope = node;
    parser->last = NULL;
    parser->state = STATEMENT;
}

/* ---- after an error --------------------------------------------------------------------------------------------- */

/*
 * Line ends carry no meaning in the language, but people write one statement on a line: after an error the text is
 * passed over until a word stands first on a line again, or the scope ends. A scope that opens meanwhile is passed over
 * whole, so that what it holds is not checked in the wrong place.
 */
static void on_skip(demit_config_parser_t *parser, const demit_config_token_t *token)
{
    bool first_on_line = token->source.line > parser->skip_line;
    parser->skip_line = token->source.line;
    switch (token->kind) {
    case DEMIT_CONFIG_TOKEN_OPEN_SCOPE:
        parser->skip_depth++;
        return;
    case DEMIT_CONFIG_TOKEN_CLOSE_SCOPE:
        if (parser->skip_depth > 0) {
            if (--parser->skip_depth == 0) {
                parser->state = STATEMENT;
            }
            return;
        }
        break;
    case DEMIT_CONFIG_TOKEN_WORD:
        if (parser->skip_depth > 0 || !first_on_line) {
            return;
        }
        break;
    case DEMIT_CONFIG_TOKEN_END:
        break;
    case DEMIT_CONFIG_TOKEN_STRING:
    case DEMIT_CONFIG_TOKEN_EQUALS:
    case DEMIT_CONFIG_TOKEN_OPEN_LIST:
    case DEMIT_CONFIG_TOKEN_CLOSE_LIST:
    case DEMIT_CONFIG_TOKEN_OPEN_DICTIONARY:
    case DEMIT_CONFIG_TOKEN_CLOSE_DICTIONARY:
        return;
    }
    parser->skip_depth = 0;
    parser->state = STATEMENT;
    demit_config_parser_token(parser, token);
}

/* Passes over the rest of the statement that began to be wrong at LINE, TOKEN being the next to look at. */
static void skip(demit_config_parser_t *parser, unsigned line, const demit_config_token_t *token)
{
    parser->last = NULL;
    parser->skip_line = line;
    parser->skip_depth = 0;
    parser->state = SKIP;
    on_skip(parser, token);
}

/* ---- statements ------------------------------------------------------------------------------------------------- */

/* Whether a statement's NAME stands right behind the value of an option: most likely a value that was not quoted. */
static bool continues_last(const demit_config_parser_t *parser, const demit_source_t *name)
{
    return parser->last != NULL && parser->last_line == name->line;
}

static void second_value(demit_config_parser_t *parser, const piece_t *piece)
{
    demit_config_error(parser->findings, &piece->source,
                       "%s follows the value of %s; quote a value that holds spaces, put several into a list ( … )",
                       quoted(parser, piece->text), quoted(parser, parser->last->name));
}

static void end_of_file(demit_config_parser_t *parser)
{
    for (; parser->scope != parser->base; parser->scope = parser->scope->parent) {
        parser->scope->unclosed = true;
        demit_config_error(parser->findings, &parser->scope->source,
                           "the scope %s that opens here is never closed; a '}' is missing",
                           quoted(parser, parser->scope->name));
    }
}

static void close_scope(demit_config_parser_t *parser, const demit_config_token_t *token)
{
    parser->last = NULL;
    if (parser->scope != parser->base) {
        parser->scope = parser->scope->parent;
    } else {
        demit_config_error(parser->findings, &token->source,
                           "this '}' closes nothing; no scope of this file is open here");
    }
}

/*
 * '=' where a statement should begin. After `name = ⏎ other = value` it shows that the first name has no value and that
 * what was taken for it is the next name.
 */
static void stray_equals(demit_config_parser_t *parser, const demit_config_token_t *token)
{
    demit_config_node_t *last = parser->last;
    if (last == NULL || last->value->kind != DEMIT_CONFIG_VALUE_WORD || last->value->source.line == last->source.line) {
        demit_config_error(parser->findings, &token->source, "'=' without a name before it");
        skip(parser, token->source.line, token);
        return;
    }
    demit_config_error(parser->findings, &last->source, "%s has no value; write %s = value", quoted(parser, last->name),
                       cut(parser, last->name));
    (void)apr_array_pop(parser->scope->children);
    parser->name = (piece_t){.text = last->value->text, .source = last->value->source};
    parser->last = NULL;
    parser->state = VALUE;
}

static void on_statement(demit_config_parser_t *parser, const demit_config_token_t *token)
{
    switch (token->kind) {
    case DEMIT_CONFIG_TOKEN_WORD:
        parser->name = piece_of(parser, token);
        parser->state = apr_cstr_casecmp(token->text, "include") == 0 ? INCLUDE : NAMED;
        return;
    case DEMIT_CONFIG_TOKEN_STRING: {
        piece_t piece = piece_of(parser, token);
        if (continues_last(parser, &token->source)) {
            second_value(parser, &piece);
        } else {
            demit_config_error(parser->findings, &token->source,
                               "%s is quoted where a name should be; names are not quoted", shown(parser, token));
        }
        break;
    }
    case DEMIT_CONFIG_TOKEN_EQUALS:
        stray_equals(parser, token);
        return;
    case DEMIT_CONFIG_TOKEN_CLOSE_SCOPE:
        close_scope(parser, token);
        return;
    case DEMIT_CONFIG_TOKEN_END:
        end_of_file(parser);
        return;
    case DEMIT_CONFIG_TOKEN_OPEN_SCOPE:
    case DEMIT_CONFIG_TOKEN_OPEN_LIST:
    case DEMIT_CONFIG_TOKEN_CLOSE_LIST:
    case DEMIT_CONFIG_TOKEN_OPEN_DICTIONARY:
    case DEMIT_CONFIG_TOKEN_CLOSE_DICTIONARY:
        demit_config_error(parser->findings, &token->source, "%s where the name of an option or of a scope should be",
                           shown(parser, token));
        break;
    }
    skip(parser, token->source.line, token);
}

/* A name with neither '=' nor '{' behind it. */
static void stands_alone(demit_config_parser_t *parser)
{
    const piece_t *name = &parser->name;
    if (continues_last(parser, &name->source)) {
        second_value(parser, name);
    } else {
        demit_config_error(parser->findings, &name->source,
                           "%s stands alone; write %s = value for an option, %s { … } for a scope",
                           quoted(parser, name->text), cut(parser, name->text), cut(parser, name->text));
    }
}

static void on_named(demit_config_parser_t *parser, const demit_config_token_t *token)
{
    const piece_t *name = &parser->name;
    if (token->kind == DEMIT_CONFIG_TOKEN_EQUALS) {
        parser->state = VALUE;
    } else if (token->kind == DEMIT_CONFIG_TOKEN_OPEN_SCOPE) {
        open_scope(parser, NULL);
    } else if (is_text(token)) {
        parser->title = piece_of(parser, token);
        parser->title_quoted = token->kind == DEMIT_CONFIG_TOKEN_STRING;
        parser->state = TITLED;
    } else {
        if (token->kind == DEMIT_CONFIG_TOKEN_OPEN_DICTIONARY) {
            demit_config_error(
                parser->findings, &token->source,
                "'[' begins a dictionary, which needs a '=' before it; an address in brackets is quoted: "
                "%s \"[::1]:25\" { … }",
                cut(parser, name->text));
        } else {
            stands_alone(parser);
        }
        skip(parser, name->source.line, token);
    }
}

static void on_titled(demit_config_parser_t *parser, const demit_config_token_t *token)
{
    const piece_t *name = &parser->name;
    if (token->kind == DEMIT_CONFIG_TOKEN_OPEN_SCOPE) {
        open_scope(parser, &parser->title);
        return;
    }
    if (parser->title.source.line > name->source.line && !parser->title_quoted) {
        /* The word on the next line is no title, but the next name. */
        stands_alone(parser);
        parser->name = parser->title;
        parser->last = NULL;
        parser->state = NAMED;
        on_named(parser, token);
        return;
    }
    if (continues_last(parser, &name->source)) {
        second_value(parser, name);
    } else {
        demit_config_error(parser->findings, &parser->title.source,
                           "%s follows %s; a '=' is missing between them for an option, a '{' behind them for a scope",
                           quoted(parser, parser->title.text), quoted(parser, name->text));
    }
    skip(parser, name->source.line, token);
}

static void on_include(demit_config_parser_t *parser, const demit_config_token_t *token)
{
    if (!is_text(token)) {
        demit_config_error(parser->findings, &parser->name.source, "include without a path; write include \"path\"");
        skip(parser, parser->name.source.line, token);
        return;
    }
    piece_t path = piece_of(parser, token);
    parser->last = NULL;
    parser->state = STATEMENT;
    parser->include(parser->baton, parser->scope, path.text, &path.source);
}

/* ---- values ----------------------------------------------------------------------------------------------------- */

static void on_value(demit_config_parser_t *parser, const demit_config_token_t *token)
{
    if (is_text(token)) {
        demit_config_value_t *value = make_value(parser, token);
        refuse_separator(parser, value);
        finish_option(parser, value, token->source.line);
    } else if (token->kind == DEMIT_CONFIG_TOKEN_OPEN_LIST) {
        parser->collection = make_value(parser, token);
        parser->state = LIST;
    } else if (token->kind == DEMIT_CONFIG_TOKEN_OPEN_DICTIONARY) {
        parser->collection = make_value(parser, token);
        parser->state = DICTIONARY;
    } else if (token->kind == DEMIT_CONFIG_TOKEN_OPEN_SCOPE) {
        demit_config_error(parser->findings, &parser->name.source, "a scope is written without '='; write %s { … }",
                           cut(parser, parser->name.text));
        open_scope(parser, NULL);
    } else {
        demit_config_error(parser->findings, &parser->name.source, "%s has no value; write %s = value",
                           quoted(parser, parser->name.text), cut(parser, parser->name.text));
        skip(parser, token->source.line, token);
    }
}

/* TOKEN cannot stand in a list or dictionary: complain where it opens, because that is where its end was forgotten. */
static void broken_collection(demit_config_parser_t *parser, const demit_config_token_t *token)
{
    bool is_list = parser->collection->kind == DEMIT_CONFIG_VALUE_LIST;
    const char *what = is_list ? "list" : "dictionary";
    if (token->kind == DEMIT_CONFIG_TOKEN_OPEN_LIST || token->kind == DEMIT_CONFIG_TOKEN_OPEN_DICTIONARY) {
        demit_config_error(parser->findings, &token->source, "%s within a %s; they do not nest", shown(parser, token),
                           what);
    } else {
        demit_config_error(parser->findings, &parser->collection->source,
                           "the %s that opens here is not closed before %s on line %u; write the closing '%s'", what,
                           shown(parser, token), token->source.line, is_list ? ")" : "]");
    }
    skip(parser, token->source.line, token);
}

static void on_list(demit_config_parser_t *parser, const demit_config_token_t *token)
{
    if (is_text(token)) {
        demit_config_value_t *item = make_value(parser, token);
        refuse_separator(parser, item);
        if (item->kind == DEMIT_CONFIG_VALUE_QUOTED || *item->text != '\0') {
            APR_ARRAY_PUSH(parser->collection->items, demit_config_value_t *) = item;
        }
    } else if (token->kind == DEMIT_CONFIG_TOKEN_CLOSE_LIST) {
        finish_option(parser, parser->collection, token->source.line);
    } else {
        broken_collection(parser, token);
    }
}

static void on_dictionary(demit_config_parser_t *parser, const demit_config_token_t *token)
{
    if (is_text(token)) {
        parser->key = piece_of(parser, token);
        parser->state = DICTIONARY_EQUALS;
    } else if (token->kind == DEMIT_CONFIG_TOKEN_CLOSE_DICTIONARY) {
        finish_option(parser, parser->collection, token->source.line);
    } else {
        broken_collection(parser, token);
    }
}

static void dictionary_item_incomplete(demit_config_parser_t *parser, const demit_config_token_t *token)
{
    demit_config_error(parser->findings, &parser->key.source, "%s has no value; a dictionary is [ name = value … ]",
                       quoted(parser, parser->key.text));
    if (token->kind == DEMIT_CONFIG_TOKEN_CLOSE_DICTIONARY || is_text(token)) {
        parser->state = DICTIONARY;
        on_dictionary(parser, token);
    } else {
        skip(parser, token->source.line, token);
    }
}

static void on_dictionary_equals(demit_config_parser_t *parser, const demit_config_token_t *token)
{
    if (token->kind == DEMIT_CONFIG_TOKEN_EQUALS) {
        parser->state = DICTIONARY_VALUE;
    } else {
        dictionary_item_incomplete(parser, token);
    }
}

static void on_dictionary_value(demit_config_parser_t *parser, const demit_config_token_t *token)
{
    if (!is_text(token)) {
        dictionary_item_incomplete(parser, token);
        return;
    }
    demit_config_value_t *item = make_value(parser, token);
    refuse_separator(parser, item);
    item->key = parser->key.text;
    item->key_source = parser->key.source;
    APR_ARRAY_PUSH(parser->collection->items, demit_config_value_t *) = item;
    parser->state = DICTIONARY;
}

void demit_config_parser_token(void *baton, const demit_config_token_t *token)
{
    static token_handler_t *const handlers[] = {
        [STATEMENT] = on_statement,
        [NAMED] = on_named,
        [TITLED] = on_titled,
        [VALUE] = on_value,
        [LIST] = on_list,
        [DICTIONARY] = on_dictionary,
        [DICTIONARY_EQUALS] = on_dictionary_equals,
        [DICTIONARY_VALUE] = on_dictionary_value,
        [INCLUDE] = on_include,
        [SKIP] = on_skip,
    };
    demit_config_parser_t *parser = baton;
    handlers[parser->state](parser, token);
}
