#include "core/spool/wake.h"

#include <time.h>

#include "demit/os.h"

int spool_wake_init(spool_wake_t *wake)
{
    pthread_condattr_t attributes;
    int error;

    wake->called = false;
    atomic_init(&wake->asleep, SPOOL_AWAKE);
    error = pthread_condattr_init(&attributes);
    if (error != 0) {
        return error;
    }
    error = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    if (error == 0) {
        error = pthread_mutex_init(&wake->mutex, NULL);
    }
    if (error == 0) {
        error = pthread_cond_init(&wake->cond, &attributes);
        if (error != 0) {
            (void)pthread_mutex_destroy(&wake->mutex);
        }
    }
    (void)pthread_condattr_destroy(&attributes);
    return error;
}

void spool_wake_destroy(spool_wake_t *wake)
{
    (void)pthread_cond_destroy(&wake->cond);
    (void)pthread_mutex_destroy(&wake->mutex);
}

void spool_wake_up(spool_wake_t *wake, bool urgent)
{
    int asleep = atomic_load(&wake->asleep);

    if (asleep == SPOOL_AWAKE || (asleep == SPOOL_DOZING && !urgent)) {
        return;
    }
    (void)pthread_mutex_lock(&wake->mutex);
    wake->called = true;
    (void)pthread_cond_signal(&wake->cond);
    (void)pthread_mutex_unlock(&wake->mutex);
}

void spool_wake_announce(spool_wake_t *wake, spool_sleep_t sleep)
{
    atomic_store(&wake->asleep, sleep);
}

void spool_wake_wait(spool_wake_t *wake, int64_t until_us)
{
    struct timespec until;
    int error = 0;

    (void)pthread_mutex_lock(&wake->mutex);
    if (until_us == INT64_MAX) {
        while (!wake->called) {
            (void)pthread_cond_wait(&wake->cond, &wake->mutex);
        }
    } else {
        int64_t left_us = until_us - demit_os_monotonic_us();

        /* The two clocks need not be the same one; only the distance is. */
        (void)clock_gettime(CLOCK_MONOTONIC, &until);
        left_us = left_us < 0 ? 0 : left_us;
        until.tv_sec += (time_t)(left_us / 1000000);
        until.tv_nsec += (long)(left_us % 1000000) * 1000;
        if (until.tv_nsec >= 1000000000) {
            until.tv_sec++;
            until.tv_nsec -= 1000000000;
        }
        while (!wake->called && error == 0) {
            error = pthread_cond_timedwait(&wake->cond, &wake->mutex, &until);
        }
    }
    wake->called = false;
    (void)pthread_mutex_unlock(&wake->mutex);
}

void spool_wake_rise(spool_wake_t *wake)
{
    atomic_store(&wake->asleep, SPOOL_AWAKE);
}
