/*
 * How the committer sleeps. Waking it costs nothing while it is awake. A condition variable of POSIX and not APR's,
 * whose timed wait follows the wall clock: set the clock back an hour, and 50 ms become an hour.
 */
#ifndef DEMIT_SPOOL_WAKE_H
#define DEMIT_SPOOL_WAKE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* What would wake the sleeper. */
typedef enum spool_sleep {
    SPOOL_AWAKE,
    SPOOL_DOZING, /* wakes for what is urgent, by itself for what is patient */
    SPOOL_ASLEEP
} spool_sleep_t;

typedef struct spool_wake {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    bool called;       /* under the mutex */
    atomic_int asleep; /* spool_sleep_t */
} spool_wake_t;

/* An errno. */
int spool_wake_init(spool_wake_t *wake) __attribute__((warn_unused_result));
void spool_wake_destroy(spool_wake_t *wake);
/* Wakes the sleeper unless it is awake, or dozing and the matter is not URGENT. Any thread. */
void spool_wake_up(spool_wake_t *wake, bool urgent);
/*
 * To sleep: announce it, look once more whether there is work, then wait (or not), in this order; else what is handed
 * over in between is slept over. UNTIL_US: of demit_os_monotonic_us(), INT64_MAX: for ever.
 */
void spool_wake_announce(spool_wake_t *wake, spool_sleep_t sleep);
void spool_wake_wait(spool_wake_t *wake, int64_t until_us);
void spool_wake_rise(spool_wake_t *wake);

#endif
