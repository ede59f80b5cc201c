/*
 * steady DIRECTORY [COUNT]: what a message costs from its acceptance to its last outcome, with 1,000 in the queue and
 * with COUNT, and what each that waits takes of memory. The two queues stand side by side and take turns, so that a
 * busy machine is busy for both.
 */
#include "scale.h"

#include <stdio.h>
#include <stdlib.h>

#include <apr_file_io.h>
#include <apr_strings.h>

enum { SMALL = 1000, ROUNDS = 15, PER_ROUND = 20000, BODY = 1024 };

/* Processor seconds per message, of COUNT that go through. */
static double flow(site_t *site, uint64_t count)
{
    const uint64_t resting = site_counts(site).messages;
    const double begin = processor_s();

    site_send(site, "flow.test", count, BODY);
    site_settle(site);
    site_wait_for(site, resting);
    return (processor_s() - begin) / (double)count;
}

static void open_below(site_t *site, const char *directory, const char *name)
{
    apr_pool_t *pool;

    if (apr_pool_create(&pool, NULL) != APR_SUCCESS) {
        die("memory", APR_ENOMEM);
    }
    site->directory = apr_pstrcat(pool, directory, "/", name, NULL);
    site->segment_size_bytes = SEGMENT_BYTES;
    const apr_status_t status = apr_dir_make_recursive(site->directory, APR_FPROT_OS_DEFAULT, pool);
    if (status != APR_SUCCESS) {
        die(site->directory, status);
    }
    site_open(site, true);
    site_send(site, "busy.test", SMALL, BODY);
    site_settle(site);
    site_wait_for(site, SMALL);
    (void)flow(site, PER_ROUND);
}

/* Fills SITE up to COUNT messages and says what each takes. */
static void fill_up(site_t *site, uint64_t count)
{
    const uint64_t before = pss_bytes();
    site_send(site, "busy.test", count - SMALL, BODY);
    site_settle(site);
    site_wait_for(site, count);
    printf("memory messages=%llu bytes_each=%.0f addresses_each=%zu\n", (unsigned long long)count,
           (double)(pss_bytes() - before) / (double)(count - SMALL) - (double)address_bytes("busy.test"),
           address_bytes("busy.test"));
}

int run_steady(int argc, char **argv)
{
    static site_t small, large;
    const uint64_t count = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
    double of_small[ROUNDS], of_large[ROUNDS], ratios[ROUNDS];

    open_below(&small, argv[0], "small");
    open_below(&large, argv[0], "large");
    fill_up(&large, count > SMALL ? count : SMALL + 1);
    for (int i = 0; i < ROUNDS; i++) {
        of_small[i] = flow(&small, PER_ROUND);
        of_large[i] = flow(&large, PER_ROUND);
        ratios[i] = of_large[i] / of_small[i];
    }
    printf("steady small_us=%.2f large_us=%.2f ratio=%.3f\n", median(of_small, ROUNDS) * 1e6,
           median(of_large, ROUNDS) * 1e6, median(ratios, ROUNDS));
    site_abandon();
}
