/* What the parts of the scale benchmark share: a spool and a queue in this process, and ways to fill them. */
#ifndef DEMIT_BENCH_SCALE_H
#define DEMIT_BENCH_SCALE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <apr_pools.h>
#include <apr_thread_cond.h>
#include <apr_thread_mutex.h>

#include "demit/delivery.h"
#include "demit/spool.h"

enum { SEGMENT_BYTES = 64 * 1024 * 1024 }; /* as the daemon has them */

/*
 * A spool in DIRECTORY and, if wanted, a queue on it. Mail for flow.test is delivered the moment it is tried; mail for
 * anybody else is taken and never given back, so that it stays in the queue like that of a host that hangs.
 */
typedef struct site {
    apr_pool_t *pool;
    const char *directory;
    bool sync;
    uint64_t segment_size_bytes;
    demit_settings_t settings;
    demit_domain_settings_t any;
    demit_workers_t *workers;
    demit_spool_t *spool;
    demit_queue_t *queue; /* NULL: none */
    demit_transport_t transport;

    apr_thread_mutex_t *mutex;
    apr_thread_cond_t *changed;
    uint32_t under_way; /* messages handed to the committer */
    uint64_t failed;
    _Atomic uint64_t flowed, held; /* deliveries */
    uint64_t sent;                 /* letters */
    int64_t longest_commit_us;
} site_t;

/* Exits with a message if anything fails. */
void site_open(site_t *site, bool with_queue);
void site_close(site_t *site);
/* Ends the process without a word to its rooms: a million messages are not worth taking apart one by one. */
void site_abandon(void) __attribute__((noreturn));
/* Hands COUNT messages with a body of SIZE bytes to the committer, for userNNNNNNN@DOMAIN, at most 2,000 at a time. */
void site_send(site_t *site, const char *domain, uint64_t count, size_t size);
/* Waits until the committer has everything. */
void site_settle(site_t *site);
/* What the queue counts, asked in its own thread. */
demit_queue_counts_t site_counts(site_t *site);
void site_wait_for(site_t *site, uint64_t messages);

double wall_s(void);
double processor_s(void); /* of this process, all threads */
double median(double *values, int count);
uint64_t pss_bytes(void);
/* Bytes of the addresses of one message of site_send() to DOMAIN, their ends included. */
size_t address_bytes(const char *domain);
void die(const char *what, apr_status_t status) __attribute__((noreturn));

int run_fill(int argc, char **argv);
int run_recover(int argc, char **argv);
int run_steady(int argc, char **argv);
int run_compact(int argc, char **argv);

#endif
