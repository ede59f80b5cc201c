/*
 * A configuration as it was written: options and scopes in their order, included files in their place. Nothing here
 * knows a name. Lives in the pool of the reading.
 */
#ifndef DEMIT_CORE_CONFIG_TREE_H
#define DEMIT_CORE_CONFIG_TREE_H

#include <stdbool.h>
#include <stdint.h>

#include <apr_pools.h>
#include <apr_tables.h>

#include "demit/settings.h"

typedef enum demit_config_value_kind {
    DEMIT_CONFIG_VALUE_WORD,
    DEMIT_CONFIG_VALUE_QUOTED,
    DEMIT_CONFIG_VALUE_LIST,
    DEMIT_CONFIG_VALUE_DICTIONARY
} demit_config_value_kind_t;

typedef struct demit_config_value {
    demit_config_value_kind_t kind;
    const char *text;          /* of a word or quoted string, else NULL */
    apr_array_header_t *items; /* of a list or dictionary: demit_config_value_t *, else NULL */
    const char *key;           /* of an item of a dictionary, else NULL */
    demit_source_t source, key_source;
} demit_config_value_t;

/* What the checker made of a value, in the shape that its option's type uses. */
typedef struct demit_config_datum {
    int64_t number; /* also booleans, choices, times in microseconds */
    int64_t second; /* of types that are two numbers */
    const char *text;
    const apr_array_header_t *array;
} demit_config_datum_t;

struct demit_config_option; /* table.h */
struct demit_config_scope;

typedef struct demit_config_node demit_config_node_t;
struct demit_config_node {
    demit_config_node_t *parent; /* NULL: the root, which is the global scope */
    const char *name;            /* as written; "" for the root */
    demit_source_t source;
    bool is_scope;
    bool unclosed; /* a scope whose '}' is missing: what follows may have landed in it by mistake */
    /* An option's. */
    demit_config_value_t *value;
    /* A scope's. */
    const char *title; /* NULL: none */
    demit_source_t title_source;
    apr_array_header_t *children; /* demit_config_node_t * */
    /* Filled in by the checker; NULL where the node is wrong. */
    const struct demit_config_option *option;
    const struct demit_config_scope *scope;
    demit_config_datum_t datum;
};

#endif
