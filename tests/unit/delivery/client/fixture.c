#include "fixture.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "demit/log.h"

enum { MESSAGES_MAX = 4096 };

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    fake_message_t messages[MESSAGES_MAX];
    uint32_t message_count;
    uint32_t started, reported, stopped;
} bench = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
static atomic_int open_readers;

/* ---- the spool that is not there --------------------------------------------------------------------------------- */

struct demit_spool_reader {
    const fake_message_t *message;
};

apr_status_t demit_spool_reader_open(demit_spool_reader_t **reader, demit_envelope_t **envelope, demit_spool_t *spool,
                                     demit_spool_location_t location, apr_pool_t *pool)
{
    (void)envelope;
    (void)spool;
    pthread_mutex_lock(&bench.lock);
    bool known = location.segment < bench.message_count;
    pthread_mutex_unlock(&bench.lock);
    if (!known)
        return APR_ENOENT;
    *reader = apr_palloc(pool, sizeof(**reader));
    (*reader)->message = &bench.messages[location.segment];
    atomic_fetch_add(&open_readers, 1);
    return APR_SUCCESS;
}

apr_status_t demit_spool_reader_read(demit_spool_reader_t *reader, uint64_t offset, void *bytes, size_t *size)
{
    const fake_message_t *message = reader->message;
    if (message->fails_at != 0 && offset >= message->fails_at)
        return APR_EGENERAL;
    size_t left = message->size - (size_t)offset;
    if (*size > left)
        *size = left;
    if (message->most_at_once != 0 && *size > message->most_at_once)
        *size = message->most_at_once;
    if (message->fails_at != 0 && offset + *size > message->fails_at)
        *size = (size_t)(message->fails_at - offset);
    memcpy(bytes, message->bytes + offset, *size);
    return APR_SUCCESS;
}

uint64_t demit_spool_reader_size(const demit_spool_reader_t *reader)
{
    return reader->message->size;
}

apr_status_t demit_spool_reader_verify(demit_spool_reader_t *reader)
{
    return reader->message->damaged ? APR_EINVAL : APR_SUCCESS;
}

void demit_spool_reader_close(demit_spool_reader_t *reader)
{
    (void)reader;
    atomic_fetch_sub(&open_readers, 1);
}

uint32_t fake_message_add(const fake_message_t *message)
{
    pthread_mutex_lock(&bench.lock);
    assert_true(bench.message_count < MESSAGES_MAX);
    bench.messages[bench.message_count] = *message;
    uint32_t index = bench.message_count++;
    pthread_mutex_unlock(&bench.lock);
    return index;
}

/* ---- the queue that is not there --------------------------------------------------------------------------------- */

void demit_queue_report(demit_queue_t *queue, demit_delivery_t *delivery)
{
    (void)queue;
    pthread_mutex_lock(&bench.lock);
    uint32_t *reports = delivery->queue_private;
    (*reports)++;
    bench.reported++;
    pthread_cond_broadcast(&bench.changed);
    pthread_mutex_unlock(&bench.lock);
}

static void on_stopped(void *baton)
{
    (void)baton;
    pthread_mutex_lock(&bench.lock);
    bench.stopped++;
    pthread_cond_broadcast(&bench.changed);
    pthread_mutex_unlock(&bench.lock);
}

static void wait_for(const uint32_t *counter, uint32_t wanted)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_S;
    int error = 0;
    pthread_mutex_lock(&bench.lock);
    while (*counter < wanted && error == 0)
        error = pthread_cond_timedwait(&bench.changed, &bench.lock, &until);
    uint32_t seen = *counter;
    pthread_mutex_unlock(&bench.lock);
    assert_int_equal(seen, wanted);
}

/* ---- the bench --------------------------------------------------------------------------------------------------- */

void fixture_init(fixture_t *fixture)
{
    memset(fixture, 0, sizeof(*fixture));
    assert_int_equal(apr_pool_create(&fixture->pool, NULL), APR_SUCCESS);
    fixture->settings.hostname = "demit.test";
    fixture->settings.ehlo_hostname = "demit.test";
    fixture->settings.nameservers = apr_array_make(fixture->pool, 2, sizeof(const char *));
    fixture->settings.listeners = apr_array_make(fixture->pool, 2, sizeof(demit_listen_settings_t));
    demit_domain_settings_t *domain = &fixture->domain;
    domain->delivery_method = DEMIT_DELIVER_ESMTP;
    domain->gateway_host = "127.0.0.1";
    domain->remote_smtp_port = 25;
    domain->idle_timeout_us = 0;
    domain->connect_timeout_us = domain->ehlo_timeout_us = domain->mailfrom_timeout_us = domain->rcptto_timeout_us =
        domain->body_timeout_us = PATIENCE_S * 1000 * 1000;
    domain->prohibited_hosts = apr_array_make(fixture->pool, 2, sizeof(apr_ipsubnet_t *));
}

void fixture_start(fixture_t *fixture)
{
    bench.started = bench.reported = bench.stopped = 0;
    assert_int_equal(demit_loop_create(&fixture->loop, "test", 1000, fixture->pool), APR_SUCCESS);
    assert_int_equal(demit_workers_create(&fixture->workers, 2, fixture->pool), APR_SUCCESS);
    if (fixture->settings.nameservers->nelts > 0) {
        assert_int_equal(demit_resolver_create(&fixture->resolver, &fixture->settings, fixture->pool), APR_SUCCESS);
        assert_int_equal(demit_resolver_start(fixture->resolver), APR_SUCCESS);
    }
    const demit_transport_options_t options = {.workers = fixture->workers,
                                               .loops = &fixture->loop,
                                               .loop_count = 1,
                                               .resolver = fixture->resolver,
                                               .idle_connections = 64};
    assert_int_equal(demit_transport_smtp_create(&fixture->transport, &options, fixture->pool), APR_SUCCESS);
    assert_int_equal(demit_loop_start(fixture->loop), APR_SUCCESS);
}

void fixture_begin_stop(fixture_t *fixture)
{
    fixture->transport->stop(fixture->transport, on_stopped, NULL);
}

void fixture_end_stop(fixture_t *fixture)
{
    wait_for(&bench.stopped, 1);
    if (fixture->resolver != NULL)
        demit_resolver_stop(fixture->resolver);
    demit_loop_stop(fixture->loop);
    demit_loop_join(fixture->loop);
    demit_workers_stop(fixture->workers);
    assert_int_equal(demit_loop_connections(fixture->loop), 0);
    assert_int_equal(atomic_load(&open_readers), 0);
    assert_int_equal(bench.reported, bench.started);
    assert_int_equal(bench.stopped, 1);
    apr_pool_destroy(fixture->pool);
    bench.message_count = 0;
}

void fixture_stop(fixture_t *fixture)
{
    fixture_begin_stop(fixture);
    fixture_end_stop(fixture);
}

demit_delivery_t *delivery_make(fixture_t *fixture, uint32_t index, const char *domain, const char *const *recipients,
                                uint32_t count)
{
    apr_pool_t *pool = NULL;
    assert_int_equal(apr_pool_create(&pool, NULL), APR_SUCCESS);
    demit_envelope_t *envelope = apr_pcalloc(pool, sizeof(*envelope));
    envelope->id = index + 1;
    envelope->size_bytes = bench.messages[index].size;
    envelope->flags = bench.messages[index].flags;
    envelope->sender = "sender@example.org";
    envelope->recipients = apr_pcalloc(pool, count * sizeof(*envelope->recipients));
    envelope->recipient_count = count;
    demit_delivery_t *delivery = apr_pcalloc(pool, sizeof(*delivery));
    delivery->pool = pool;
    delivery->envelope = envelope;
    delivery->location.segment = index;
    delivery->settings = &fixture->domain;
    delivery->server_settings = &fixture->settings;
    delivery->domain = domain;
    delivery->recipients = apr_pcalloc(pool, count * sizeof(*delivery->recipients));
    delivery->recipient_count = count;
    delivery->queue_private = apr_pcalloc(pool, sizeof(uint32_t));
    for (uint32_t i = 0; i < count; i++) {
        envelope->recipients[i].address = apr_pstrdup(pool, recipients[i]);
        delivery->recipients[i].recipient = &envelope->recipients[i];
        delivery->recipients[i].index = i;
    }
    return delivery;
}

demit_envelope_t *delivery_envelope(demit_delivery_t *delivery)
{
    union {
        const demit_envelope_t *given;
        demit_envelope_t *mine;
    } envelope = {.given = delivery->envelope}; /* it was made above */
    return envelope.mine;
}

demit_recipient_t *delivery_recipient(demit_delivery_t *delivery, uint32_t index)
{
    return &delivery_envelope(delivery)->recipients[index];
}

void delivery_free(demit_delivery_t *delivery)
{
    const uint32_t *reports = delivery->queue_private;
    assert_int_equal(*reports, 1); /* exactly once */
    apr_pool_destroy(delivery->pool);
}

void deliver_start(fixture_t *fixture, demit_delivery_t **deliveries, uint32_t count)
{
    bench.started += count;
    fixture->transport->start(fixture->transport, deliveries, count);
}

void deliver_wait(uint32_t count)
{
    wait_for(&bench.reported, count);
}

void deliver_all(fixture_t *fixture, demit_delivery_t **deliveries, uint32_t count)
{
    deliver_start(fixture, deliveries, count);
    deliver_wait(bench.started);
}

demit_delivery_t *deliver_text(fixture_t *fixture, const char *text, uint32_t flags)
{
    static const char *const recipients[] = {"user@example.com"};
    const fake_message_t message = {.bytes = text, .size = strlen(text), .flags = flags};
    demit_delivery_t *delivery = delivery_make(fixture, fake_message_add(&message), "example.com", recipients, 1);
    deliver_all(fixture, &delivery, 1);
    return delivery;
}
