#include "scale.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <apr_strings.h>
#include <apr_time.h>

#include "demit/log.h"
#include "demit/os.h"

enum { UNDER_WAY_MAX = 2000, TEXT_MAX = 1024 * 1024 };

static const char sender[] = "sender@from.example";

void die(const char *what, apr_status_t status)
{
    char text[256];

    fprintf(stderr, "scale: %s: %s\n", what, apr_strerror(status, text, sizeof(text)));
    exit(1);
}

static double clock_s(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

double wall_s(void)
{
    return clock_s(CLOCK_MONOTONIC);
}

double processor_s(void)
{
    return clock_s(CLOCK_PROCESS_CPUTIME_ID);
}

static int by_size(const void *left, const void *right)
{
    const double a = *(const double *)left, b = *(const double *)right;

    return a < b ? -1 : a > b;
}

double median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof(*values), by_size);
    return values[count / 2];
}

uint64_t pss_bytes(void)
{
    FILE *file = fopen("/proc/self/smaps_rollup", "r");
    unsigned long long kib = 0;
    char line[256];

    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        if (sscanf(line, "Pss: %llu kB", &kib) == 1) {
            break;
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return kib * 1024;
}

size_t address_bytes(const char *domain)
{
    return sizeof(sender) + strlen("user0000000@") + strlen(domain) + 1;
}

/* ---- the transport ---------------------------------------------------------------------------------------------- */

static void take(demit_transport_t *transport, demit_delivery_t **deliveries, uint32_t count)
{
    site_t *site = DEMIT_CONTAINER_OF(transport, site_t, transport);

    if (strcmp(deliveries[0]->domain, "flow.test") != 0) {
        atomic_fetch_add(&site->held, count);
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        demit_delivery_set_all(deliveries[i], DEMIT_RESULT_DELIVERED, "2.0.0", "ok", true);
        demit_queue_report(site->queue, deliveries[i]);
    }
    atomic_fetch_add(&site->flowed, count);
}

static void stop_at_once(demit_transport_t *transport, void (*stopped)(void *baton), void *baton)
{
    (void)transport;
    stopped(baton);
}

/* ---- opening and closing ---------------------------------------------------------------------------------------- */

static void fill_settings(site_t *site)
{
    site->any = (demit_domain_settings_t){.delivery_method = DEMIT_DELIVER_ESMTP,
                                          .recipient_delimiter = "",
                                          .retry_interval_us = INT64_C(3600000000),
                                          .max_retry_interval_us = INT64_C(3600000000),
                                          .message_expiration_us = INT64_C(864000000000),
                                          .max_retries = -1,
                                          .generate_bounces = true,
                                          .max_outbound_connections = 4};
    site->settings.hostname = "mx.bench.test";
    site->settings.server_max_outbound_connections = 100;
    site->settings.domains = apr_array_make(site->pool, 0, sizeof(demit_domain_settings_t));
    site->settings.any_domain = &site->any;
}

static void open_queue(site_t *site)
{
    const demit_queue_options_t options = {.spool = site->spool, .workers = site->workers, .settings = &site->settings};
    apr_status_t status = demit_queue_create(&site->queue, &options, site->pool);

    site->transport = (demit_transport_t){.name = "bench", .start = take, .stop = stop_at_once};
    if (status == APR_SUCCESS) {
        demit_queue_set_transport(site->queue, DEMIT_DELIVER_ESMTP, &site->transport);
        status = demit_queue_start(site->queue);
    }
    if (status != APR_SUCCESS) {
        die("the queue", status);
    }
}

void site_open(site_t *site, bool with_queue)
{
    apr_status_t status = apr_pool_create(&site->pool, NULL);

    if (status == APR_SUCCESS) {
        status = apr_thread_mutex_create(&site->mutex, APR_THREAD_MUTEX_DEFAULT, site->pool);
    }
    if (status == APR_SUCCESS) {
        status = apr_thread_cond_create(&site->changed, site->pool);
    }
    if (status == APR_SUCCESS) {
        status = demit_workers_create(&site->workers, 4, site->pool);
    }
    fill_settings(site);
    const demit_spool_options_t options = {.directory = site->directory,
                                           .file_mode = 0640,
                                           .segment_size_bytes = site->segment_size_bytes,
                                           .large_message_threshold_bytes = 131072,
                                           .force_fsync = site->sync,
                                           .workers = site->workers};
    if (status == APR_SUCCESS) {
        status = demit_spool_open(&site->spool, &options, site->pool);
    }
    if (status != APR_SUCCESS) {
        die(site->directory, status);
    }
    if (with_queue) {
        open_queue(site);
    }
}

void site_close(site_t *site)
{
    if (site->queue != NULL) {
        demit_queue_stop(site->queue, 0);
    }
    demit_spool_close(site->spool);
    demit_workers_stop(site->workers);
    apr_pool_destroy(site->pool);
    site->queue = NULL;
}

void site_abandon(void)
{
    (void)fflush(stdout);
    _Exit(0);
}

/* ---- sending ---------------------------------------------------------------------------------------------------- */

typedef struct letter {
    site_t *site;
    demit_envelope_t envelope;
    demit_recipient_t recipient;
    int64_t began_us;
    char to[64];
} letter_t;

/* Committer's thread. */
static void on_stored(void *baton, apr_status_t status, demit_spool_location_t location)
{
    letter_t *letter = baton;
    site_t *site = letter->site;
    const int64_t took_us = demit_os_monotonic_us() - letter->began_us;

    if (status == APR_SUCCESS && site->queue != NULL) {
        demit_queue_accept(site->queue, &letter->envelope, location);
    }
    free(letter);
    apr_thread_mutex_lock(site->mutex);
    site->failed += status != APR_SUCCESS;
    if (took_us > site->longest_commit_us) {
        site->longest_commit_us = took_us;
    }
    if (--site->under_way == UNDER_WAY_MAX / 2 || site->under_way == 0) {
        apr_thread_cond_signal(site->changed);
    }
    apr_thread_mutex_unlock(site->mutex);
}

static const char *text(void)
{
    static char made[TEXT_MAX];

    if (made[0] == '\0') {
        size_t used = (size_t)snprintf(made, sizeof(made), "Subject: scale\r\n\r\n");
        for (; used < sizeof(made); used++) {
            made[used] = used % 72 == 70 ? '\r' : used % 72 == 71 ? '\n' : 'x';
        }
    }
    return made;
}

static void send_one(site_t *site, const char *domain, size_t size)
{
    letter_t *letter = calloc(1, sizeof(*letter));
    demit_spool_writer_t *writer;
    apr_status_t status = letter == NULL ? APR_ENOMEM : demit_spool_begin(&writer, site->spool, NULL, NULL);

    if (status == APR_SUCCESS) {
        status = demit_spool_append(writer, text(), size);
    }
    if (status != APR_SUCCESS) {
        die("a message", status);
    }
    snprintf(letter->to, sizeof(letter->to), "user%07u@%s", (unsigned)(site->sent++ % 10000000), domain);
    letter->site = site;
    letter->recipient.address = letter->to;
    letter->envelope = (demit_envelope_t){.id = demit_spool_next_id(site->spool),
                                          .arrived_us = apr_time_now(),
                                          .sender = sender,
                                          .recipients = &letter->recipient,
                                          .recipient_count = 1};
    letter->began_us = demit_os_monotonic_us();
    demit_spool_commit(writer, &letter->envelope, NULL, on_stored, letter);
}

void site_send(site_t *site, const char *domain, uint64_t count, size_t size)
{
    while (count > 0) {
        uint64_t room;

        apr_thread_mutex_lock(site->mutex);
        while (site->under_way > UNDER_WAY_MAX / 2) {
            apr_thread_cond_wait(site->changed, site->mutex);
        }
        room = UNDER_WAY_MAX - site->under_way;
        room = room < count ? room : count;
        site->under_way += (uint32_t)room;
        apr_thread_mutex_unlock(site->mutex);
        for (count -= room; room > 0; room--) {
            send_one(site, domain, size);
        }
    }
}

void site_settle(site_t *site)
{
    apr_thread_mutex_lock(site->mutex);
    while (site->under_way > 0) {
        apr_thread_cond_wait(site->changed, site->mutex);
    }
    apr_thread_mutex_unlock(site->mutex);
    if (site->failed > 0) {
        die("messages were not stored", APR_EGENERAL);
    }
}

/* ---- looking ---------------------------------------------------------------------------------------------------- */

typedef struct look {
    demit_task_t task;
    site_t *site;
    demit_queue_counts_t counts;
    _Atomic bool done;
} look_t;

static void take_counts(demit_task_t *task)
{
    look_t *look = DEMIT_CONTAINER_OF(task, look_t, task);

    demit_queue_counts(look->site->queue, &look->counts);
    atomic_store(&look->done, true);
}

demit_queue_counts_t site_counts(site_t *site)
{
    look_t look = {.task.run = take_counts, .site = site};

    atomic_init(&look.done, false);
    demit_queue_post(site->queue, &look.task);
    while (!atomic_load(&look.done)) {
        apr_sleep(200);
    }
    return look.counts;
}

void site_wait_for(site_t *site, uint64_t messages)
{
    demit_queue_counts_t counts;

    do {
        counts = site_counts(site);
    } while (counts.recovering || counts.messages != messages);
}
