#include "core/delivery/schedule.h"

static const int64_t second_us = 1000000;
static const int64_t delay_notice_us = INT64_C(4) * 3600 * 1000000;

int64_t demit_schedule_interval_us(const demit_domain_settings_t *settings, uint32_t attempts)
{
    int64_t limit = settings->max_retry_interval_us > second_us ? settings->max_retry_interval_us : second_us;
    int64_t interval = settings->retry_interval_us > second_us ? settings->retry_interval_us : second_us;
    for (uint32_t doubled = 1; doubled < attempts && interval < limit; doubled++) {
        interval = interval > limit / 2 ? limit : interval * 2;
    }
    return interval < limit ? interval : limit;
}

int64_t demit_schedule_pause_us(const demit_domain_settings_t *settings, uint32_t attempts, int64_t age_us)
{
    int64_t interval = demit_schedule_interval_us(settings, attempts);
    int64_t left = settings->message_expiration_us - age_us;
    if (left < second_us) {
        left = second_us;
    }
    return interval < left ? interval : left;
}

bool demit_schedule_is_over(const demit_domain_settings_t *settings, uint32_t attempts, int64_t age_us)
{
    if (settings->max_retries >= 0 && attempts > (uint32_t)settings->max_retries) {
        return true;
    }
    return age_us >= settings->message_expiration_us;
}

bool demit_schedule_is_delayed(const demit_domain_settings_t *settings, int64_t age_us)
{
    int64_t quarter = settings->message_expiration_us / 4;
    return age_us >= (quarter < delay_notice_us ? quarter : delay_notice_us);
}
