#include "core/delivery/throttle.h"

#include <string.h>

enum { SLOTS = DEMIT_THROTTLE_PARTS + 1 };

void demit_throttle_init(demit_throttle_t *throttle, uint32_t messages, uint32_t seconds, int64_t now_us)
{
    memset(throttle, 0, sizeof(*throttle));
    throttle->limit = messages;
    throttle->part_us = ((int64_t)seconds * 1000000 + DEMIT_THROTTLE_PARTS - 1) / DEMIT_THROTTLE_PARTS;
    throttle->part = now_us / throttle->part_us;
}

uint32_t demit_throttle_allowance(demit_throttle_t *throttle, int64_t now_us)
{
    int64_t part = now_us / throttle->part_us;
    if (part - throttle->part >= SLOTS) {
        memset(throttle->sent, 0, sizeof(throttle->sent));
        throttle->total = 0;
        throttle->part = part;
    }
    while (throttle->part < part) {
        uint32_t *oldest = &throttle->sent[++throttle->part % SLOTS];
        throttle->total -= *oldest;
        *oldest = 0;
    }
    return throttle->limit - throttle->total;
}

void demit_throttle_use(demit_throttle_t *throttle, uint32_t count)
{
    throttle->sent[throttle->part % SLOTS] += count;
    throttle->total += count;
}

int64_t demit_throttle_next_us(const demit_throttle_t *throttle)
{
    for (int64_t age = DEMIT_THROTTLE_PARTS; age >= 0; age--) {
        int64_t part = throttle->part - age;
        if (part >= 0 && throttle->sent[part % SLOTS] > 0) {
            return (part + SLOTS) * throttle->part_us;
        }
    }
    return throttle->part * throttle->part_us;
}
