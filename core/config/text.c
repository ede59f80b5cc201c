#include "core/config/text.h"

#include <apr_strings.h>

/* A growing text: an array of characters. */
typedef struct writer {
    apr_array_header_t *text;
    unsigned depth; /* of scopes */
} writer_t;

static void put(const writer_t *writer, const char *text)
{
    for (; *text != '\0'; text++) {
        APR_ARRAY_PUSH(writer->text, char) = *text;
    }
}

static void put_indent(const writer_t *writer)
{
    for (unsigned i = 0; i < writer->depth; i++) {
        put(writer, "  ");
    }
}

static void put_quoted(const writer_t *writer, const char *text)
{
    APR_ARRAY_PUSH(writer->text, char) = '"';
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\') {
            APR_ARRAY_PUSH(writer->text, char) = '\\';
        }
        APR_ARRAY_PUSH(writer->text, char) = *text;
    }
    APR_ARRAY_PUSH(writer->text, char) = '"';
}

static void put_value(const writer_t *writer, const demit_config_value_t *value)
{
    const bool is_list = value->kind == DEMIT_CONFIG_VALUE_LIST;
    switch (value->kind) {
    case DEMIT_CONFIG_VALUE_WORD:
        put(writer, value->text);
        break;
    case DEMIT_CONFIG_VALUE_QUOTED:
        put_quoted(writer, value->text);
        break;
    case DEMIT_CONFIG_VALUE_LIST:
    case DEMIT_CONFIG_VALUE_DICTIONARY:
        put(writer, is_list ? "(" : "[");
        for (int i = 0; i < value->items->nelts; i++) {
            const demit_config_value_t *item = APR_ARRAY_IDX(value->items, i, const demit_config_value_t *);
            put(writer, " ");
            if (item->key != NULL) {
                put_quoted(writer, item->key);
                put(writer, " = ");
            }
            put_value(writer, item);
        }
        put(writer, is_list ? " )" : " ]");
        break;
    }
}

static void put_node(writer_t *writer, const demit_config_node_t *node);

static void put_children(writer_t *writer, const demit_config_node_t *scope)
{
    for (int i = 0; i < scope->children->nelts; i++) {
        put_node(writer, APR_ARRAY_IDX(scope->children, i, const demit_config_node_t *));
    }
}

static void put_scope(writer_t *writer, const demit_config_node_t *scope)
{
    if (scope->title != NULL) {
        put(writer, " ");
        put_quoted(writer, scope->title);
    }
    put(writer, " {\n");
    writer->depth++;
    put_children(writer, scope);
    writer->depth--;
    put_indent(writer);
    put(writer, "}\n");
}

static void put_node(writer_t *writer, const demit_config_node_t *node)
{
    put_indent(writer);
    put(writer, node->name);
    if (node->is_scope) {
        put_scope(writer, node);
    } else if (node->value != NULL) { /* what is wrong has none */
        put(writer, " = ");
        put_value(writer, node->value);
        put(writer, "\n");
    }
}

const char *demit_config_text(const demit_config_node_t *node, apr_pool_t *result_pool, apr_pool_t *scratch_pool)
{
    writer_t writer = {.text = apr_array_make(scratch_pool, 64, sizeof(char))};
    if (node->parent == NULL && node->is_scope) {
        put_children(&writer, node);
    } else {
        put_node(&writer, node);
    }
    return apr_pstrmemdup(result_pool, writer.text->elts, (apr_size_t)writer.text->nelts);
}
