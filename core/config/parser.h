/*
 * Tokens → tree. One parser for each file: what an included file says is put where the include stands. Main thread.
 */
#ifndef DEMIT_CORE_CONFIG_PARSER_H
#define DEMIT_CORE_CONFIG_PARSER_H

#include <apr_pools.h>

#include "core/config/findings.h"
#include "core/config/lexer.h"
#include "core/config/tree.h"

/* Scopes within scopes within …, includes counted. */
enum { DEMIT_CONFIG_SCOPE_DEPTH_MAX = 16 };

/* Called for `include "PATH"`: reads PATH into SCOPE before it returns. WHERE is the path's place. */
typedef void demit_config_include_fn(void *baton, demit_config_node_t *scope, const char *path,
                                     const demit_source_t *where);

typedef struct demit_config_parser demit_config_parser_t;

/* The node of an empty configuration, to be given to the parser of the first file. */
demit_config_node_t *demit_config_root_create(apr_pool_t *pool);

/* Parses into SCOPE, an open scope. Nodes live in POOL, and so does the parser. */
demit_config_parser_t *demit_config_parser_create(demit_config_node_t *scope, demit_config_include_fn *include,
                                                  void *baton, demit_config_findings_t *findings, apr_pool_t *pool);

/* Takes the next token; the lexer's sink, with the parser as BATON. */
void demit_config_parser_token(void *parser, const demit_config_token_t *token);

#endif
