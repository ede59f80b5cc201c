#include "core/delivery/wheel.h"

enum { TICK_SHIFT = 14, LEVEL_SHIFT = 6, SLOT_MASK = DEMIT_WHEEL_SLOTS - 1 };
#define WHEEL_SPAN (UINT64_C(1) << (DEMIT_WHEEL_LEVELS * LEVEL_SHIFT)) /* ticks that the wheel covers: 76 hours */

static uint64_t tick_of(int64_t time_us)
{
    return time_us <= 0 ? 0 : (uint64_t)time_us >> TICK_SHIFT;
}

/* Rounded up: never early. */
static uint64_t tick_at_or_after(int64_t time_us)
{
    return time_us <= 0 ? 0 : ((uint64_t)time_us + (1U << TICK_SHIFT) - 1) >> TICK_SHIFT;
}

void demit_wheel_init(demit_wheel_t *wheel, int64_t now_us)
{
    wheel->tick = tick_of(now_us);
    for (unsigned level = 0; level < DEMIT_WHEEL_LEVELS; level++) {
        wheel->filled[level] = 0;
        for (unsigned slot = 0; slot < DEMIT_WHEEL_SLOTS; slot++) {
            demit_list_init(&wheel->slots[level][slot]);
        }
    }
}

/* Puts NODE, due at TICK > wheel->tick, into the coarsest level that still tells it from now. */
static void place(demit_wheel_t *wheel, demit_wheel_node_t *node, uint64_t tick)
{
    uint64_t delta = tick - wheel->tick;
    if (delta >= WHEEL_SPAN) { /* comes round before its time and is placed again */
        delta = WHEEL_SPAN - 1;
        tick = wheel->tick + delta;
    }
    unsigned level = 0;
    while (delta >> ((level + 1) * LEVEL_SHIFT) != 0) {
        level++;
    }
    unsigned slot = (unsigned)(tick >> (level * LEVEL_SHIFT)) & SLOT_MASK;
    demit_list_append(&wheel->slots[level][slot], &node->link);
    wheel->filled[level] |= UINT64_C(1) << slot;
}

void demit_wheel_add(demit_wheel_t *wheel, demit_wheel_node_t *node, int64_t due_us)
{
    uint64_t tick = tick_at_or_after(due_us);
    node->due_us = due_us;
    place(wheel, node, tick > wheel->tick ? tick : wheel->tick + 1);
}

void demit_wheel_remove(demit_wheel_node_t *node)
{
    /* The bit of a slot that became empty stays set until the wheel comes by: that costs one look, once. */
    demit_list_remove(&node->link);
}

/* Ticks until the next slot of LEVEL that may hold something begins; UINT64_MAX when none does. */
static uint64_t next_tick_of_level(const demit_wheel_t *wheel, unsigned level)
{
    uint64_t filled = wheel->filled[level];
    if (filled == 0) {
        return UINT64_MAX;
    }
    uint64_t now = wheel->tick >> (level * LEVEL_SHIFT);
    unsigned first = (unsigned)(now + 1) & SLOT_MASK; /* slots FIRST … FIRST + 63 lie 1 … 64 steps ahead */
    uint64_t rotated = first == 0 ? filled : (filled >> first | filled << (DEMIT_WHEEL_SLOTS - first));
    unsigned steps = 1 + (unsigned)__builtin_ctzll(rotated);
    return (now + steps) << (level * LEVEL_SHIFT);
}

static uint64_t next_tick(const demit_wheel_t *wheel)
{
    uint64_t next = UINT64_MAX;
    for (unsigned level = 0; level < DEMIT_WHEEL_LEVELS; level++) {
        uint64_t tick = next_tick_of_level(wheel, level);
        if (tick < next) {
            next = tick;
        }
    }
    return next;
}

/* The wheel stands at the beginning of SLOT of LEVEL: its nodes are due, or go down to a finer level. */
static void empty_slot(demit_wheel_t *wheel, unsigned level, demit_link_t *due)
{
    unsigned slot = (unsigned)(wheel->tick >> (level * LEVEL_SHIFT)) & SLOT_MASK;
    if ((wheel->filled[level] & UINT64_C(1) << slot) == 0) {
        return;
    }
    wheel->filled[level] &= ~(UINT64_C(1) << slot);
    demit_link_t nodes, *head = &wheel->slots[level][slot];
    if (demit_list_is_empty(head)) {
        return;
    }
    /* Taken away as a whole: a node may be placed into this very slot again, one turn later. */
    nodes = *head;
    nodes.next->prev = nodes.prev->next = &nodes;
    demit_list_init(head);
    for (demit_link_t *link; (link = demit_list_shift(&nodes)) != NULL;) {
        demit_wheel_node_t *node = (demit_wheel_node_t *)(void *)link;
        uint64_t tick = tick_at_or_after(node->due_us);
        if (tick <= wheel->tick) {
            demit_list_append(due, link);
        } else {
            place(wheel, node, tick);
        }
    }
}

void demit_wheel_advance(demit_wheel_t *wheel, int64_t now_us, demit_link_t *due)
{
    uint64_t now = tick_of(now_us), tick;
    while ((tick = next_tick(wheel)) <= now) {
        wheel->tick = tick;
        for (unsigned level = DEMIT_WHEEL_LEVELS; level-- > 0;) {
            if ((tick & ((UINT64_C(1) << (level * LEVEL_SHIFT)) - 1)) == 0) {
                empty_slot(wheel, level, due);
            }
        }
    }
    if (now > wheel->tick) {
        wheel->tick = now;
    }
}

int64_t demit_wheel_next_us(const demit_wheel_t *wheel)
{
    uint64_t tick = next_tick(wheel);
    return tick == UINT64_MAX ? INT64_MAX : (int64_t)(tick << TICK_SHIFT);
}
