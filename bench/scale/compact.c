/*
 * compact DIRECTORY [COUNT]: fills a spool, ends nine messages in ten of every segment, and sends on while the rest is
 * moved together: the longest time that a message waits for its commit meanwhile, and, in the same run, without.
 */
#include "scale.h"

#include <stdio.h>
#include <stdlib.h>

#include <apr_time.h>

enum { BODY = 1024, KEEP_ONE_IN = 10, AT_A_TIME = 10, PAUSE_US = 5000, ENDS_UNDER_WAY = 100000, PATIENCE_S = 120 };

typedef struct known {
    uint64_t id;
    demit_spool_location_t location;
} known_t;

static site_t site;
static known_t *known;
static uint64_t known_count;
static _Atomic uint64_t ended, moved_count;

static bool is_kept(uint64_t id)
{
    return id % KEEP_ONE_IN == 0;
}

static void note(void *baton, const demit_envelope_t *envelope, demit_spool_location_t location)
{
    (void)baton;
    known[known_count++] = (known_t){envelope->id, location};
}

static void on_ended(void *baton, apr_status_t status, demit_spool_location_t location)
{
    (void)baton;
    (void)status;
    (void)location;
    atomic_fetch_add(&ended, 1);
}

/* ---- the mover, in place of a queue ------------------------------------------------------------------------------ */

static void move(void *baton, uint64_t id, demit_spool_location_t location, void *ticket)
{
    demit_recipient_t recipient = {.address = "user0000000@busy.test"};
    demit_envelope_t envelope = {
        .id = id, .sender = "sender@from.example", .recipients = &recipient, .recipient_count = 1, .arrived_us = 1};

    (void)baton;
    (void)location;
    if (is_kept(id)) {
        demit_spool_move(site.spool, ticket, &envelope);
    } else {
        demit_spool_move_skip(site.spool, ticket);
    }
}

static void on_moved(void *baton, uint64_t id, demit_spool_location_t from, demit_spool_location_t to)
{
    (void)baton;
    (void)id;
    atomic_fetch_add(&moved_count, from.segment != to.segment);
}

/* ---- stages ------------------------------------------------------------------------------------------------------ */

static void fill(const char *directory, uint64_t count)
{
    site = (site_t){.directory = directory, .segment_size_bytes = SEGMENT_BYTES};
    site_open(&site, false);
    site_send(&site, "busy.test", count, BODY);
    site_settle(&site);
    site_close(&site);
}

static void reopen(const char *directory)
{
    demit_spool_recovery_t found;
    apr_pool_t *pool;

    site = (site_t){.directory = directory, .segment_size_bytes = SEGMENT_BYTES, .sync = true};
    site_open(&site, false);
    if (apr_pool_create(&pool, site.pool) != APR_SUCCESS ||
        demit_spool_recover(site.spool, &found, note, NULL, pool) != APR_SUCCESS) {
        die("recovery", APR_EGENERAL);
    }
}

static void end_most(void)
{
    uint64_t ends = 0;

    for (uint64_t i = 0; i < known_count; i++) {
        const demit_spool_outcome_t outcome = {.id = known[i].id, .location = known[i].location, .final = true};

        if (is_kept(known[i].id)) {
            continue;
        }
        demit_spool_record_outcome(site.spool, &outcome, on_ended, NULL);
        ends++;
        while (ends - atomic_load(&ended) >= ENDS_UNDER_WAY) {
            apr_sleep(PAUSE_US);
        }
    }
    while (atomic_load(&ended) < ends) {
        apr_sleep(PAUSE_US);
    }
}

/* Sends a little at a time until the time is over or COUNT messages have moved. The longest commit, in ms. */
static double trickle(double seconds, uint64_t count)
{
    const double until = wall_s() + seconds;

    site.longest_commit_us = 0;
    while (wall_s() < until && atomic_load(&moved_count) < count) {
        site_send(&site, "new.test", AT_A_TIME, BODY);
        apr_sleep(PAUSE_US);
    }
    site_settle(&site);
    return (double)site.longest_commit_us / 1000;
}

int run_compact(int argc, char **argv)
{
    const uint64_t count = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
    const demit_spool_mover_t mover = {.move = move, .moved = on_moved};

    known = calloc(count + 1, sizeof(*known));
    if (known == NULL) {
        die("memory", APR_ENOMEM);
    }
    fill(argv[0], count);
    reopen(argv[0]);
    const double quiet = trickle(10, UINT64_MAX);
    demit_spool_set_mover(site.spool, &mover);
    end_most();
    const double begin = wall_s();
    const double busy = trickle(PATIENCE_S, known_count / KEEP_ONE_IN);
    printf("compact moved=%llu s=%.1f longest_ms=%.0f longest_without_ms=%.0f\n",
           (unsigned long long)atomic_load(&moved_count), wall_s() - begin, busy, quiet);
    site_abandon();
}
