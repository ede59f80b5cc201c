#include "tree_text.h"

#include <string.h>

#include <apr_strings.h>

#include "core/config/findings.h"
#include "core/config/lexer.h"
#include "core/config/parser.h"

typedef struct text {
    apr_pool_t *pool;
    apr_array_header_t *parts; /* const char * */
} text_t;

static void add(text_t *text, const char *part)
{
    APR_ARRAY_PUSH(text->parts, const char *) = part;
}

static void add_place(text_t *text, const demit_source_t *source)
{
    add(text, apr_psprintf(text->pool, "@%u:%u ", source->line, source->column));
}

static void add_value(text_t *text, const demit_config_value_t *value)
{
    add_place(text, &value->source);
    if (value->key != NULL)
        add(text, apr_pstrcat(text->pool, value->key, ":", NULL));
    if (value->text != NULL)
        add(text,
            apr_pstrcat(text->pool, value->kind == DEMIT_CONFIG_VALUE_QUOTED ? "q<" : "w<", value->text, ">", NULL));
    for (int i = 0; value->items != NULL && i < value->items->nelts; i++)
        add_value(text, APR_ARRAY_IDX(value->items, i, const demit_config_value_t *));
}

static void add_node(text_t *text, const demit_config_node_t *node)
{
    add_place(text, &node->source);
    add(text, node->name);
    if (node->value != NULL)
        add_value(text, node->value);
    add(text, node->is_scope ? " {\n" : "\n");
    if (node->title != NULL) {
        add_place(text, &node->title_source);
        add(text, apr_pstrcat(text->pool, "title<", node->title, ">\n", NULL));
    }
    for (int i = 0; node->is_scope && i < node->children->nelts; i++)
        add_node(text, APR_ARRAY_IDX(node->children, i, const demit_config_node_t *));
    if (node->is_scope)
        add(text, node->unclosed ? "unclosed\n" : "}\n");
}

static void on_include(void *baton, demit_config_node_t *scope, const char *path, const demit_source_t *where)
{
    text_t *text = baton;
    add(text, apr_pstrcat(text->pool, "include<", path, "> in ", scope->name, " ", NULL));
    add_place(text, where);
    add(text, "\n");
}

const char *tree_text(const char *data, size_t size, next_piece_fn *next, void *baton, apr_pool_t *pool)
{
    text_t text = {.pool = pool, .parts = apr_array_make(pool, 64, sizeof(const char *))};
    demit_config_findings_t *findings = demit_config_findings_create(pool);
    demit_config_node_t *root = demit_config_root_create(pool);
    demit_config_parser_t *parser = demit_config_parser_create(root, on_include, &text, findings, pool);
    demit_config_lexer_t *lexer = demit_config_lexer_create("f", demit_config_parser_token, parser, findings, pool);
    for (size_t at = 0; at < size;) {
        size_t piece = next(baton, size - at);
        if (!demit_config_lexer_feed(lexer, data + at, piece))
            break;
        at += piece;
    }
    demit_config_lexer_finish(lexer);
    add_node(&text, root);
    demit_config_report_t report;
    demit_config_findings_report(findings, &report, pool);
    for (int i = 0; i < report.errors->nelts; i++)
        add(&text, apr_pstrcat(pool, APR_ARRAY_IDX(report.errors, i, const char *), "\n", NULL));
    return apr_array_pstrcat(pool, text.parts, '\0');
}
