/* <time.h>(0p) */
#ifndef DECLARED_TIME_H
#define DECLARED_TIME_H

#include <sys/types.h>

/* clock_gettime(3p) */
struct timespec {
    time_t tv_sec;
    long tv_nsec;
};
#define CLOCK_MONOTONIC 3
int clock_gettime(clockid_t clock, struct timespec *now);

/* tzset(3p) */
void tzset(void);

#endif
