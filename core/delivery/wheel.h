/*
 * A hierarchical timing wheel: a million retries wait here, and each costs the same whether it is alone or not.
 * (A heap would pay twenty cache misses for every retry of a queue of a million.) Times are those of the monotonic
 * clock; a node never comes out early and at most one tick (16 ms) late.
 */
#ifndef DEMIT_DELIVERY_WHEEL_H
#define DEMIT_DELIVERY_WHEEL_H

#include <stdint.h>

#include "core/delivery/list.h"

typedef struct demit_wheel_node {
    demit_link_t link; /* first, so that a node in a list is its link */
    int64_t due_us;
} demit_wheel_node_t;

enum { DEMIT_WHEEL_LEVELS = 4, DEMIT_WHEEL_SLOTS = 64 };

typedef struct demit_wheel {
    uint64_t tick;                       /* everything due up to it has come out */
    uint64_t filled[DEMIT_WHEEL_LEVELS]; /* one bit for each slot that is not empty */
    demit_link_t slots[DEMIT_WHEEL_LEVELS][DEMIT_WHEEL_SLOTS];
} demit_wheel_t;

void demit_wheel_init(demit_wheel_t *wheel, int64_t now_us);
void demit_wheel_add(demit_wheel_t *wheel, demit_wheel_node_t *node, int64_t due_us);
/* Also takes out a node that demit_wheel_advance() has put into a list. */
void demit_wheel_remove(demit_wheel_node_t *node);
/* Appends to DUE every node that is due at NOW_US, earlier ones first. */
void demit_wheel_advance(demit_wheel_t *wheel, int64_t now_us, demit_link_t *due);
/* When to advance next; INT64_MAX when nothing waits. May be earlier than the first due time, never later. */
int64_t demit_wheel_next_us(const demit_wheel_t *wheel);

#endif
