/*
 * Outbound_Throttle_Messages: at most N messages within any S seconds, wherever one lays the S seconds. The past is
 * kept in sixteenths of the window, so the memory does not grow with N; the price is that at full rate the window is
 * one sixteenth longer than asked for, never shorter.
 */
#ifndef DEMIT_DELIVERY_THROTTLE_H
#define DEMIT_DELIVERY_THROTTLE_H

#include <stdint.h>

enum { DEMIT_THROTTLE_PARTS = 16 };

typedef struct demit_throttle {
    uint32_t limit;
    int64_t part_us;                         /* length of a part */
    int64_t part;                            /* number of the newest part, since the clock's zero */
    uint32_t total;                          /* sum of sent[] */
    uint32_t sent[DEMIT_THROTTLE_PARTS + 1]; /* of part P in sent[P % 17] */
} demit_throttle_t;

void demit_throttle_init(demit_throttle_t *throttle, uint32_t messages, uint32_t seconds, int64_t now_us);
/* How many may go now. */
uint32_t demit_throttle_allowance(demit_throttle_t *throttle, int64_t now_us);
/* COUNT go now; no more than the allowance. */
void demit_throttle_use(demit_throttle_t *throttle, uint32_t count);
/* When the allowance, now 0, grows. */
int64_t demit_throttle_next_us(const demit_throttle_t *throttle);

#endif
