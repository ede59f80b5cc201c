#include "fakes.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>

#include "demit/log.h"

/* ---- spool ------------------------------------------------------------------------------------------------------ */

fake_spool_t fake_spool;

struct demit_spool_writer {
    char *bytes;
    size_t size;
    void (*on_room)(void *baton);
    void *baton;
};

struct demit_spool_reader {
    const fake_message_t *message;
};

typedef struct held {
    demit_spool_done_fn *on_done;
    void *baton;
} held_t;

static held_t held_outcomes[FAKE_MAX];
static unsigned held_outcome_count;

void fake_spool_reset(apr_pool_t *pool)
{
    for (uint32_t i = 0; i < fake_spool.message_count; i++)
        free(fake_spool.messages[i].bytes);
    memset(&fake_spool, 0, sizeof(fake_spool));
    fake_spool.pool = pool;
    fake_spool.next_id = 1000;
    held_outcome_count = 0;
}

static const char *copied(const char *text)
{
    return text != NULL ? apr_pstrdup(fake_spool.pool, text) : NULL;
}

static demit_spool_location_t store(const demit_envelope_t *envelope, const char *bytes, size_t size)
{
    uint32_t at = fake_spool.message_count++;
    if (at >= FAKE_MAX)
        abort();
    fake_message_t *message = &fake_spool.messages[at];
    message->envelope = *envelope;
    message->envelope.sender = copied(envelope->sender);
    message->envelope.envid = copied(envelope->envid);
    message->envelope.recipients =
        apr_palloc(fake_spool.pool, envelope->recipient_count * sizeof(*envelope->recipients));
    for (uint32_t i = 0; i < envelope->recipient_count; i++) {
        message->envelope.recipients[i] = envelope->recipients[i];
        message->envelope.recipients[i].address = copied(envelope->recipients[i].address);
        message->envelope.recipients[i].original = copied(envelope->recipients[i].original);
        message->envelope.recipients[i].accepted = copied(envelope->recipients[i].accepted);
    }
    message->bytes = malloc(size + 1);
    memcpy(message->bytes, bytes, size);
    message->bytes[size] = '\0';
    message->size = size;
    message->gone = false;
    return (demit_spool_location_t){.segment = 1, .block = at};
}

demit_spool_location_t fake_spool_put(const demit_envelope_t *envelope, const char *bytes)
{
    return store(envelope, bytes, strlen(bytes));
}

const fake_message_t *fake_spool_last(void)
{
    return &fake_spool.messages[fake_spool.message_count - 1];
}

uint64_t demit_spool_next_id(demit_spool_t *spool)
{
    (void)spool;
    return ++fake_spool.next_id;
}

apr_status_t demit_spool_begin(demit_spool_writer_t **writer, demit_spool_t *spool, void (*on_room)(void *baton),
                               void *baton)
{
    (void)spool;
    *writer = calloc(1, sizeof(**writer));
    (*writer)->on_room = on_room;
    (*writer)->baton = baton;
    return APR_SUCCESS;
}

apr_status_t demit_spool_append(demit_spool_writer_t *writer, const void *bytes, size_t size)
{
    if (fake_spool.busy_appends > 0) {
        fake_spool.busy_appends--;
        writer->on_room(writer->baton);
        return APR_EAGAIN;
    }
    writer->bytes = realloc(writer->bytes, writer->size + size + 1);
    memcpy(writer->bytes + writer->size, bytes, size);
    writer->size += size;
    return APR_SUCCESS;
}

void demit_spool_discard(demit_spool_writer_t *writer)
{
    free(writer->bytes);
    free(writer);
}

static void keep_outcome(const demit_spool_outcome_t *outcome, bool with_commit)
{
    if (fake_spool.is_forgetful)
        return;
    if (fake_spool.outcome_count >= FAKE_MAX)
        abort();
    fake_outcome_t *kept = &fake_spool.outcomes[fake_spool.outcome_count++];
    *kept = (fake_outcome_t){.id = outcome->id,
                             .final = outcome->final,
                             .delay_dsn_sent = outcome->delay_dsn_sent,
                             .with_commit = with_commit,
                             .attempts = outcome->attempts,
                             .count = outcome->count,
                             .next_attempt_us = outcome->next_attempt_us};
    fake_message_t *message = &fake_spool.messages[outcome->location.block];
    if (message->envelope.id != outcome->id || message->gone)
        abort(); /* an outcome for what is not there, or is over */
    for (uint32_t i = 0; i < outcome->count; i++) {
        if (i < 64) {
            kept->recipients[i] = outcome->recipients[i];
            kept->states[i] = outcome->states[i];
        }
        message->envelope.recipients[outcome->recipients[i]].state = outcome->states[i];
    }
    message->envelope.attempts = outcome->attempts;
    message->envelope.next_attempt_us = outcome->next_attempt_us;
    message->envelope.delay_dsn_sent = outcome->delay_dsn_sent;
    message->gone = outcome->final;
}

void demit_spool_commit(demit_spool_writer_t *writer, demit_envelope_t *envelope, const demit_spool_outcome_t *reports,
                        demit_spool_done_fn *on_done, void *baton)
{
    demit_spool_location_t location = {0, 0};
    envelope->size_bytes = writer->size;
    if (fake_spool.commit_status == APR_SUCCESS) {
        location = store(envelope, writer->bytes, writer->size);
        if (reports != NULL)
            keep_outcome(reports, true);
    }
    demit_spool_discard(writer);
    on_done(baton, fake_spool.commit_status, location);
}

void demit_spool_record_outcome(demit_spool_t *spool, const demit_spool_outcome_t *outcome,
                                demit_spool_done_fn *on_done, void *baton)
{
    (void)spool;
    if (fake_spool.outcome_status == APR_SUCCESS)
        keep_outcome(outcome, false);
    if (fake_spool.hold_outcomes)
        held_outcomes[held_outcome_count++] = (held_t){on_done, baton};
    else
        on_done(baton, fake_spool.outcome_status, outcome->location);
}

void fake_spool_release(void)
{
    unsigned count = held_outcome_count;
    held_outcome_count = 0;
    for (unsigned i = 0; i < count; i++)
        held_outcomes[i].on_done(held_outcomes[i].baton, APR_SUCCESS, (demit_spool_location_t){0, 0});
}

apr_status_t demit_spool_reader_open(demit_spool_reader_t **reader, demit_envelope_t **envelope, demit_spool_t *spool,
                                     demit_spool_location_t location, apr_pool_t *pool)
{
    (void)spool;
    (void)envelope;
    if (fake_spool.open_status != APR_SUCCESS)
        return fake_spool.open_status;
    if (fake_spool.messages[location.block].gone)
        abort(); /* its space is free */
    *reader = apr_palloc(pool, sizeof(**reader));
    (*reader)->message = &fake_spool.messages[location.block];
    return APR_SUCCESS;
}

apr_status_t demit_spool_reader_read(demit_spool_reader_t *reader, uint64_t offset, void *bytes, size_t *size)
{
    uint64_t left = reader->message->size - offset;
    if (*size > left)
        *size = (size_t)left;
    memcpy(bytes, reader->message->bytes + offset, *size);
    return APR_SUCCESS;
}

uint64_t demit_spool_reader_size(const demit_spool_reader_t *reader)
{
    return reader->message->size;
}

apr_status_t demit_spool_reader_verify(demit_spool_reader_t *reader)
{
    (void)reader;
    return fake_spool.verify_status;
}

void demit_spool_reader_close(demit_spool_reader_t *reader)
{
    (void)reader;
}

void demit_spool_end_recovery(demit_spool_t *spool)
{
    (void)spool;
    fake_spool.recovery_is_ended = true;
}

apr_status_t demit_spool_recover(demit_spool_t *spool, demit_spool_recovery_t *result,
                                 void (*each)(void *baton, const demit_envelope_t *envelope,
                                              demit_spool_location_t location),
                                 void *baton, apr_pool_t *pool)
{
    (void)spool;
    (void)pool;
    if (fake_spool.recovery_is_ended)
        return APR_EINTR;
    for (uint32_t i = 0; i < fake_spool.message_count; i++)
        if (!fake_spool.messages[i].gone) {
            each(baton, &fake_spool.messages[i].envelope, (demit_spool_location_t){1, i});
            result->messages++;
        }
    return APR_SUCCESS;
}

void demit_spool_set_mover(demit_spool_t *spool, const demit_spool_mover_t *mover)
{
    (void)spool;
    fake_spool.mover = *mover;
}

void demit_spool_move(demit_spool_t *spool, void *ticket, demit_envelope_t *envelope)
{
    (void)spool;
    uint32_t from = *(uint32_t *)ticket;
    if (fake_spool.moves_fail)
        return;
    fake_message_t *old = &fake_spool.messages[from];
    demit_spool_location_t to = store(envelope, old->bytes, old->size);
    old->gone = true;
    fake_spool.moves++;
    fake_spool.mover.moved(fake_spool.mover.baton, envelope->id, (demit_spool_location_t){1, from}, to);
}

void demit_spool_move_skip(demit_spool_t *spool, void *ticket)
{
    (void)spool;
    (void)ticket;
    fake_spool.skips++;
}

/* ---- workers ---------------------------------------------------------------------------------------------------- */

static demit_task_t *submitted[FAKE_MAX];
static unsigned submitted_count;

void demit_workers_submit(demit_workers_t *workers, demit_task_t *task)
{
    (void)workers;
    submitted[submitted_count++] = task;
}

void fake_workers_run(void)
{
    for (unsigned i = 0; i < submitted_count; i++)
        submitted[i]->run(submitted[i]);
    submitted_count = 0;
}

unsigned fake_workers_waiting(void)
{
    return submitted_count;
}

/* ---- log -------------------------------------------------------------------------------------------------------- */

static char log_lines[FAKE_MAX][1024];
static unsigned log_count;

void demit_log(demit_log_level_t level, const char *event, const char *format, ...)
{
    va_list arguments;
    (void)level;
    char *line = log_lines[log_count++ % FAKE_MAX];
    int used = snprintf(line, 1024, "%s ", event);
    va_start(arguments, format);
    vsnprintf(line + used, 1024 - (size_t)used, format, arguments);
    va_end(arguments);
}

const char *demit_log_quote(char *buffer, size_t buffer_size, const char *text)
{
    snprintf(buffer, buffer_size, "%s", text != NULL ? text : "-");
    return buffer;
}

const char *demit_log_status(char *buffer, size_t buffer_size, apr_status_t status)
{
    return apr_strerror(status, buffer, buffer_size);
}

unsigned fake_log_count(const char *event)
{
    unsigned count = 0;
    size_t size = strlen(event);
    for (unsigned i = 0; i < log_count && i < FAKE_MAX; i++)
        if (strncmp(log_lines[i], event, size) == 0 && log_lines[i][size] == ' ')
            count++;
    return count;
}

bool fake_log_has(const char *event, const char *text)
{
    size_t size = strlen(event);
    for (unsigned i = 0; i < log_count && i < FAKE_MAX; i++)
        if (strncmp(log_lines[i], event, size) == 0 && log_lines[i][size] == ' ' && strstr(log_lines[i], text) != NULL)
            return true;
    return false;
}

void fake_log_reset(void)
{
    log_count = 0;
}

/* ---- settings: as they say; those that name no domain: local.example is local, the others are any ---------------- */

static fixture_t *current;

const demit_domain_settings_t *demit_settings_domain(const demit_settings_t *settings, const char *domain)
{
    for (int i = 0; settings->domains != NULL && i < settings->domains->nelts; i++) {
        const demit_domain_settings_t *one = &APR_ARRAY_IDX(settings->domains, i, demit_domain_settings_t);
        if (strcmp(one->name, domain) == 0)
            return one;
    }
    if (settings->domains != NULL)
        return settings->any_domain;
    return strcmp(domain, "local.example") == 0 ? &current->local : &current->any;
}

const demit_domain_settings_t *demit_settings_scope(const demit_settings_t *settings, const char *name)
{
    const demit_domain_settings_t *found = demit_settings_domain(settings, name);
    return *name != '\0' && found == settings->any_domain ? NULL : found;
}

/* ---- fixture ---------------------------------------------------------------------------------------------------- */

static int64_t monotonic(void *baton)
{
    return ((fixture_t *)baton)->monotonic_us;
}

static int64_t wall(void *baton)
{
    return ((fixture_t *)baton)->wall_us;
}

static void start(demit_transport_t *transport, demit_delivery_t **deliveries, uint32_t count)
{
    fixture_t *fixture = DEMIT_CONTAINER_OF(transport, fixture_t, transport);
    fixture->starts++;
    fixture->last_batch = count;
    fixture->given += count;
    for (uint32_t i = 0; i < count; i++)
        fixture->held[fixture->held_count++] = deliveries[i];
    if (fixture->held_count > fixture->most_held)
        fixture->most_held = fixture->held_count;
}

static void stop(demit_transport_t *transport, void (*stopped)(void *baton), void *baton)
{
    (void)transport;
    stopped(baton);
}

static demit_domain_settings_t defaults(apr_pool_t *pool)
{
    return (demit_domain_settings_t){.delivery_method = DEMIT_DELIVER_ESMTP,
                                     .recipient_delimiter = "",
                                     .aliases = apr_array_make(pool, 1, sizeof(demit_alias_t)),
                                     .prohibited_hosts = apr_array_make(pool, 1, sizeof(void *)),
                                     .remote_smtp_port = 25,
                                     .retry_interval_us = INT64_C(1200000000),
                                     .max_retry_interval_us = INT64_C(43200000000),
                                     .message_expiration_us = INT64_C(604800000000),
                                     .max_retries = -1,
                                     .generate_bounces = true,
                                     .max_outbound_connections = 32,
                                     .host_failure_retry_us = INT64_C(120000000)};
}

fixture_t *fixture_make(void)
{
    apr_pool_t *pool;
    if (apr_pool_create(&pool, NULL) != APR_SUCCESS)
        abort();
    fixture_t *fixture = apr_pcalloc(pool, sizeof(*fixture));
    fixture->pool = pool;
    fixture->any = defaults(pool);
    fixture->local = defaults(pool);
    fixture->local.delivery_method = DEMIT_DELIVER_MAILDIR;
    fixture->settings.hostname = "mx.demit.example";
    fixture->settings.server_max_outbound_connections = 20000;
    fixture->settings.any_domain = &fixture->any;
    fixture->monotonic_us = INT64_C(5000000000);
    fixture->wall_us = INT64_C(1790000000000000);
    fixture->transport = (demit_transport_t){.name = "fake", .start = start, .stop = stop};
    fake_spool_reset(pool);
    fake_log_reset();
    submitted_count = 0;
    current = fixture;
    demit_queue_clock_t clock = {monotonic, wall, fixture};
    demit_queue_options_t options = {.settings = &fixture->settings};
    if (demit_queue_create_with_clock(&fixture->queue, &options, &clock, pool) != APR_SUCCESS)
        abort();
    for (unsigned method = 0; method < DEMIT_METHOD_COUNT; method++)
        demit_queue_set_transport(fixture->queue, (demit_delivery_method_t)method, &fixture->transport);
    demit_queue_set_mover(fixture->queue);
    return fixture;
}

void fixture_free(fixture_t *fixture)
{
    apr_pool_destroy(fixture->pool);
}

void fixture_turn(fixture_t *fixture)
{
    for (unsigned i = 0; i < 100000; i++) {
        int64_t next = demit_queue_turn(fixture->queue);
        bool idle = fake_workers_waiting() == 0;
        fake_workers_run();
        if (next > fixture->monotonic_us && idle && atomic_load(&fixture->queue->mailbox) == NULL)
            return;
    }
    abort(); /* it never rests */
}

void fixture_pass(fixture_t *fixture, int64_t us)
{
    fixture->monotonic_us += us;
    fixture->wall_us += us;
    fixture_turn(fixture);
}

uint64_t fixture_send_envelope(fixture_t *fixture, demit_envelope_t *envelope, const char *bytes)
{
    envelope->id = demit_spool_next_id(NULL);
    if (envelope->arrived_us == 0)
        envelope->arrived_us = fixture->wall_us;
    envelope->size_bytes = strlen(bytes);
    demit_queue_accept(fixture->queue, envelope, fake_spool_put(envelope, bytes));
    fixture_turn(fixture);
    return envelope->id;
}

uint64_t fixture_send(fixture_t *fixture, const char *sender, const char *const *recipients, uint32_t count)
{
    demit_recipient_t *made = apr_pcalloc(fixture->pool, count * sizeof(*made));
    for (uint32_t i = 0; i < count; i++)
        made[i].address = recipients[i];
    demit_envelope_t envelope = {.sender = sender, .recipients = made, .recipient_count = count};
    return fixture_send_envelope(fixture, &envelope, "Subject: test\r\n\r\nbody\r\n");
}

uint64_t fixture_send_one(fixture_t *fixture, const char *recipient)
{
    return fixture_send(fixture, "sender@from.example", &recipient, 1);
}

void fixture_report(fixture_t *fixture, uint32_t i, demit_result_t result, const char *status, const char *diagnostic)
{
    demit_delivery_t *delivery = fixture->held[i];
    fixture->held[i] = fixture->held[--fixture->held_count];
    demit_delivery_set_all(delivery, result, status, diagnostic, true);
    demit_queue_report(fixture->queue, delivery);
    fixture_turn(fixture);
}

demit_queue_counts_t fixture_counts(fixture_t *fixture)
{
    demit_queue_counts_t counts;
    demit_queue_counts(fixture->queue, &counts);
    return counts;
}
