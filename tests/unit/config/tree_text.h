/* A tree as text, for comparison: what the parser saw, with places, and what it complained about. */
#ifndef DEMIT_TESTS_UNIT_CONFIG_TREE_TEXT_H
#define DEMIT_TESTS_UNIT_CONFIG_TREE_TEXT_H

#include <stddef.h>

#include <apr_pools.h>

/* Where a text is cut before it is given to the lexer. */
typedef size_t next_piece_fn(void *baton, size_t left); /* size of the next piece, 1 to LEFT */

/* Lexes and parses TEXT in pieces. An include stands in the tree as one line. */
const char *tree_text(const char *text, size_t size, next_piece_fn *next, void *baton, apr_pool_t *pool);

#endif
