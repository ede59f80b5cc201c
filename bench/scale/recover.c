/*
 * recover DIRECTORY: how fast a start finds what the spool holds, once the system has it in memory. One thread does it,
 * so its processor time is what it would take on a machine that has nothing else to do.
 */
#include "scale.h"

#include <stdio.h>
#include <time.h>

enum { ROUNDS = 5 };

static double thread_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

typedef struct took {
    uint64_t messages;
    double wall_s, thread_s;
} took_t;

static void count(void *baton, const demit_envelope_t *envelope, demit_spool_location_t location)
{
    (void)location;
    *(uint64_t *)baton += envelope->recipient_count;
}

static took_t recover_once(const char *directory)
{
    site_t site = {.directory = directory, .segment_size_bytes = SEGMENT_BYTES};
    demit_spool_recovery_t found;
    uint64_t recipients = 0;
    apr_pool_t *pool;

    site_open(&site, false);
    if (apr_pool_create(&pool, site.pool) != APR_SUCCESS) {
        die("memory", APR_ENOMEM);
    }
    const double wall = wall_s(), thread = thread_s();
    const apr_status_t status = demit_spool_recover(site.spool, &found, count, &recipients, pool);
    const took_t took = {.messages = found.messages, .wall_s = wall_s() - wall, .thread_s = thread_s() - thread};
    if (status != APR_SUCCESS) {
        die("recovery", status);
    }
    site_close(&site);
    return took;
}

int run_recover(int argc, char **argv)
{
    took_t took = recover_once(argv[0]); /* brings it into the cache */
    double wall[ROUNDS], thread[ROUNDS];

    (void)argc;
    for (int i = 0; i < ROUNDS; i++) {
        took = recover_once(argv[0]);
        wall[i] = took.wall_s;
        thread[i] = took.thread_s;
    }
    printf("recover messages=%llu per_s=%.0f per_thread_s=%.0f\n", (unsigned long long)took.messages,
           (double)took.messages / median(wall, ROUNDS), (double)took.messages / median(thread, ROUNDS));
    return 0;
}
