/* The queue on the real rooms: spool, workers, threads, clocks, Maildirs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <dirent.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>

#include <apr_general.h>
#include <apr_strings.h>
#include <apr_thread_proc.h>
#include <apr_time.h>

#include "core/delivery/queue_priv.h"
#include "demit/log.h"

enum { WRITERS = 4, MESSAGES_EACH = 50, PATIENCE_MS = 120000 };

typedef struct site {
    apr_pool_t *pool;
    char directory[64];
    demit_settings_t settings;
    demit_domain_settings_t local, any;
    demit_workers_t *workers;
    demit_spool_t *spool;
    demit_queue_t *queue;
    demit_transport_t black_hole; /* takes deliveries and says nothing */
    _Atomic unsigned swallowed, committed;
} site_t;

static site_t site;

static void swallow(demit_transport_t *transport, demit_delivery_t **deliveries, uint32_t count)
{
    (void)transport;
    (void)deliveries;
    atomic_fetch_add(&site.swallowed, count);
}

static void stop_at_once(demit_transport_t *transport, void (*stopped)(void *baton), void *baton)
{
    (void)transport;
    stopped(baton);
}

static void fill_settings(void)
{
    site.local = (demit_domain_settings_t){.name = "local.example",
                                           .delivery_method = DEMIT_DELIVER_MAILDIR,
                                           .maildir = apr_pstrcat(site.pool, site.directory, "/mail/%d/%u", NULL),
                                           .maildir_create = true,
                                           .recipient_delimiter = "",
                                           .retry_interval_us = 1000000,
                                           .max_retry_interval_us = 1000000,
                                           .message_expiration_us = 60000000,
                                           .max_retries = -1,
                                           .generate_bounces = true,
                                           .max_outbound_connections = 4};
    site.any = site.local;
    site.any.name = NULL;
    site.any.delivery_method = DEMIT_DELIVER_ESMTP;
    apr_array_header_t *domains = apr_array_make(site.pool, 1, sizeof(demit_domain_settings_t));
    APR_ARRAY_PUSH(domains, demit_domain_settings_t) = site.local;
    site.settings.hostname = "mx.demit.example";
    site.settings.server_max_outbound_connections = 100;
    site.settings.domains = domains;
    site.settings.any_domain = &site.any;
}

static void open_site(void)
{
    assert_int_equal(apr_pool_create(&site.pool, NULL), APR_SUCCESS);
    fill_settings();
    assert_int_equal(demit_workers_create(&site.workers, 4, site.pool), APR_SUCCESS);
    demit_spool_options_t spool = {.directory = apr_pstrcat(site.pool, site.directory, "/spool", NULL),
                                   .file_mode = 0640,
                                   .segment_size_bytes = 4 * 1024 * 1024,
                                   .large_message_threshold_bytes = 131072,
                                   .force_fsync = false,
                                   .workers = site.workers};
    assert_int_equal(demit_spool_open(&site.spool, &spool, site.pool), APR_SUCCESS);
    demit_queue_options_t queue = {.spool = site.spool, .workers = site.workers, .settings = &site.settings};
    assert_int_equal(demit_queue_create(&site.queue, &queue, site.pool), APR_SUCCESS);
    demit_transport_options_t options = {.queue = site.queue, .spool = site.spool, .workers = site.workers};
    demit_transport_t *maildir;
    assert_int_equal(demit_transport_maildir_create(&maildir, &options, site.pool), APR_SUCCESS);
    site.black_hole = (demit_transport_t){.name = "hole", .start = swallow, .stop = stop_at_once};
    demit_queue_set_transport(site.queue, DEMIT_DELIVER_MAILDIR, maildir);
    demit_queue_set_transport(site.queue, DEMIT_DELIVER_ESMTP, &site.black_hole);
    assert_int_equal(demit_queue_start(site.queue), APR_SUCCESS);
}

static void close_site(int64_t grace_us)
{
    demit_queue_stop(site.queue, grace_us);
    demit_spool_close(site.spool); /* while the workers run: they finish the spool's own maintenance */
    demit_workers_stop(site.workers);
    apr_pool_destroy(site.pool);
}

static int make(void **state)
{
    (void)state;
    memset(&site, 0, sizeof(site));
    strcpy(site.directory, "/tmp/demit-queue-XXXXXX");
    assert_non_null(mkdtemp(site.directory));
    char path[128];
    snprintf(path, sizeof(path), "%s/spool", site.directory);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof(path), "%s/mail", site.directory);
    assert_int_equal(mkdir(path, 0700), 0);
    open_site();
    return 0;
}

static int end(void **state)
{
    (void)state;
    char command[128];
    close_site(atomic_load(&site.swallowed) > 0 ? 0 : 10000000);
    snprintf(command, sizeof(command), "rm -rf '%s'", site.directory);
    return system(command);
}

/* ---- accepting --------------------------------------------------------------------------------------------------- */

typedef struct letter {
    demit_envelope_t envelope;
    demit_recipient_t recipients[2];
    char to[32];
} letter_t;

static void on_committed(void *baton, apr_status_t status, demit_spool_location_t location)
{
    letter_t *letter = baton;
    if (status == APR_SUCCESS) {
        demit_queue_accept(site.queue, &letter->envelope, location);
        atomic_fetch_add(&site.committed, 1);
    }
    free(letter);
}

static void write_letter(const char *sender, const char *to, const char *second)
{
    static const char bytes[] = "Subject: whole\r\n\r\nline\r\n";
    letter_t *letter = calloc(1, sizeof(*letter));
    snprintf(letter->to, sizeof(letter->to), "%s", to);
    letter->recipients[0].address = letter->to;
    letter->recipients[1].address = second;
    letter->envelope.id = demit_spool_next_id(site.spool);
    letter->envelope.arrived_us = apr_time_now();
    letter->envelope.sender = sender;
    letter->envelope.recipients = letter->recipients;
    letter->envelope.recipient_count = second != NULL ? 2 : 1;
    demit_spool_writer_t *writer;
    if (demit_spool_begin(&writer, site.spool, NULL, NULL) != APR_SUCCESS ||
        demit_spool_append(writer, bytes, sizeof(bytes) - 1) != APR_SUCCESS)
        abort();
    demit_spool_commit(writer, &letter->envelope, NULL, on_committed, letter);
}

static void *APR_THREAD_FUNC write_many(apr_thread_t *thread, void *baton)
{
    unsigned writer = *(unsigned *)baton;
    (void)thread;
    for (unsigned i = 0; i < MESSAGES_EACH; i++) {
        char to[32];
        snprintf(to, sizeof(to), "user%u@local.example", (writer + i) % 7);
        write_letter("sender@local.example", to, NULL);
    }
    return NULL;
}

/* ---- looking ----------------------------------------------------------------------------------------------------- */

static unsigned messages_of(unsigned user)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/mail/local.example/user%u/new", site.directory, user);
    DIR *dir = opendir(path);
    unsigned count = 0;
    for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;)
        count += entry->d_name[0] != '.';
    if (dir != NULL)
        closedir(dir);
    return count;
}

static unsigned messages_of_all(void)
{
    unsigned count = 0;
    for (unsigned user = 0; user < 7; user++)
        count += messages_of(user);
    return count;
}

typedef struct look {
    demit_task_t task;
    demit_queue_counts_t counts;
    _Atomic bool done;
} look_t;

static void take_counts(demit_task_t *task)
{
    look_t *look = DEMIT_CONTAINER_OF(task, look_t, task);
    demit_queue_counts(site.queue, &look->counts);
    atomic_store(&look->done, true);
}

static demit_queue_counts_t counts_now(void)
{
    look_t look = {.task.run = take_counts};
    atomic_init(&look.done, false);
    demit_queue_post(site.queue, &look.task);
    while (!atomic_load(&look.done))
        apr_sleep(1000);
    return look.counts;
}

static demit_queue_counts_t wait_for(uint64_t messages)
{
    demit_queue_counts_t counts = counts_now();
    for (unsigned tries = 0; tries < PATIENCE_MS && (counts.messages != messages || counts.recovering); tries++) {
        apr_sleep(1000);
        counts = counts_now();
    }
    return counts;
}

/* ---- tests ------------------------------------------------------------------------------------------------------- */

static void everything_arrives_once(void **state)
{
    (void)state;
    apr_thread_t *threads[WRITERS];
    unsigned numbers[WRITERS];
    for (unsigned i = 0; i < WRITERS; i++) {
        numbers[i] = i;
        assert_int_equal(apr_thread_create(&threads[i], NULL, write_many, &numbers[i], site.pool), APR_SUCCESS);
    }
    for (unsigned i = 0; i < WRITERS; i++) {
        apr_status_t status;
        apr_thread_join(&status, threads[i]);
    }
    while (atomic_load(&site.committed) < WRITERS * MESSAGES_EACH)
        apr_sleep(1000);
    demit_queue_counts_t counts = wait_for(0);
    assert_int_equal(counts.messages, 0);
    assert_int_equal(counts.received, WRITERS * MESSAGES_EACH);
    assert_int_equal(counts.delivered, WRITERS * MESSAGES_EACH);
    assert_int_equal(messages_of_all(), WRITERS * MESSAGES_EACH);
    /* Nothing comes back. */
    close_site(10000000);
    open_site();
    assert_int_equal(wait_for(0).messages, 0);
    assert_int_equal(messages_of_all(), WRITERS * MESSAGES_EACH);
}

static void what_is_pending_survives(void **state)
{
    (void)state;
    write_letter("sender@local.example", "user1@local.example", "far@away.example");
    while (atomic_load(&site.swallowed) < 1 || messages_of(1) < 1)
        apr_sleep(1000);
    for (unsigned i = 0; i < PATIENCE_MS && counts_now().recipients_pending != 1; i++)
        apr_sleep(1000);
    assert_int_equal(counts_now().recipients_pending, 1);
    close_site(0); /* the far delivery is still under way */
    open_site();
    assert_int_equal(wait_for(1).messages, 1);
    while (atomic_load(&site.swallowed) < 2)
        apr_sleep(1000);
    assert_int_equal(messages_of(1), 1); /* not again */
}

static void a_failure_comes_back_as_mail(void **state)
{
    (void)state;
    /* Two recipients that no directory may be named after. */
    write_letter("user5@local.example", ".hidden@local.example", ".other@local.example");
    while (messages_of(5) < 1)
        apr_sleep(1000);
    demit_queue_counts_t counts = wait_for(0);
    assert_int_equal(counts.messages, 0);
    assert_int_equal(counts.bounced, 1);
    assert_int_equal(counts.failed, 2);
    close_site(10000000);
    open_site();
    assert_int_equal(wait_for(0).messages, 0);
    assert_int_equal(messages_of(5), 1);
}

int main(void)
{
    apr_initialize();
    demit_log_set_level(DEMIT_LOG_WARNING);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(everything_arrives_once, make, end),
        cmocka_unit_test_setup_teardown(what_is_pending_survives, make, end),
        cmocka_unit_test_setup_teardown(a_failure_comes_back_as_mail, make, end),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    apr_terminate();
    return failed;
}
