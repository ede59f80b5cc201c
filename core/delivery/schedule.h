/* When a message is tried again, and when it is given up. Pure: numbers in, numbers out. */
#ifndef DEMIT_DELIVERY_SCHEDULE_H
#define DEMIT_DELIVERY_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

#include "demit/settings.h"

/* The pause after the ATTEMPTS-th failed attempt: Retry_Interval, doubled up to Max_Retry_Interval. */
int64_t demit_schedule_interval_us(const demit_domain_settings_t *settings, uint32_t attempts);

/*
 * The pause for a message of AGE_US: as above, but not beyond its expiration, so that a sender hears of a message given
 * up when it expires and not half a day later.
 */
int64_t demit_schedule_pause_us(const demit_domain_settings_t *settings, uint32_t attempts, int64_t age_us);

/* Whether a message of AGE_US, deferred ATTEMPTS times, is given up (Message_Expiration, Max_Retries). */
bool demit_schedule_is_over(const demit_domain_settings_t *settings, uint32_t attempts, int64_t age_us);

/*
 * Whether a message of AGE_US has waited long enough for its sender to be told: four hours, or a quarter of its life
 * where that is shorter.
 */
bool demit_schedule_is_delayed(const demit_domain_settings_t *settings, int64_t age_us);

#endif
