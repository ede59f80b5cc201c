/* The SMTP and LMTP transport: from the queue's thread to lanes, one on each loop. */
#include "core/delivery/smtp_lane.h"

#include <string.h>

#include <apr_allocator.h>
#include <apr_atomic.h>
#include <apr_hash.h>
#include <apr_strings.h>

enum {
    IDLE_MAX = 512,               /* connections that one lane keeps idle: it looks through them */
    KEPT_FREE_BYTES = 1024 * 1024 /* what a lane's allocator keeps of what was freed */
};

typedef struct smtp_transport {
    demit_transport_t transport; /* first */
    demit_queue_t *queue;
    demit_smtp_lane_t *lanes;
    uint32_t lane_count;
    volatile apr_uint32_t running; /* lanes that have not stopped */
    void (*stopped)(void *baton);
    void *stopped_baton;
} smtp_transport_t;

/* ---- idle connections: on the loop ------------------------------------------------------------------------------- */

static void unlist(demit_smtp_lane_t *lane, demit_client_session_t *session)
{
    demit_client_link_t *link = demit_client_session_link(session);
    if (link->back == NULL) {
        return;
    }
    *link->back = link->next;
    if (link->next != NULL) {
        demit_client_session_link(link->next)->back = link->back;
    }
    memset(link, 0, sizeof(*link));
    lane->idle_count--;
}

static void on_ready(void *baton, demit_client_session_t *session)
{
    (void)baton; /* what is idle, or leaving, was ready before */
    (void)session;
}

static void on_lost(void *baton, demit_client_session_t *session, const demit_client_loss_t *loss)
{
    demit_smtp_lane_t *lane = baton;
    (void)loss;
    unlist(lane, session);
    lane->sessions--;
    demit_smtp_lane_check(lane);
}

static const demit_client_owner_t lane_owner = {on_ready, on_ready, on_lost};

demit_client_session_t *demit_smtp_lane_take(demit_smtp_lane_t *lane, const char *key)
{
    demit_client_session_t *session = lane->idle;
    while (session != NULL &&
           (!demit_client_session_is_ready(session) || strcmp(demit_client_session_key(session), key) != 0)) {
        session = demit_client_session_link(session)->next;
    }
    if (session != NULL) {
        unlist(lane, session);
    }
    return session;
}

void demit_smtp_lane_give(demit_smtp_lane_t *lane, demit_client_session_t *session, int64_t idle_us)
{
    demit_client_link_t *link = demit_client_session_link(session);
    demit_client_session_own(session, &lane_owner, lane);
    if (idle_us <= 0 || lane->stopping || lane->idle_count >= lane->idle_max) {
        demit_client_session_quit(session);
        return;
    }
    link->next = lane->idle;
    link->back = &lane->idle;
    if (link->next != NULL) {
        demit_client_session_link(link->next)->back = &link->next;
    }
    lane->idle = session;
    lane->idle_count++;
    demit_client_session_rest(session, idle_us);
}

/* ---- the end: on the loop ---------------------------------------------------------------------------------------- */

void demit_smtp_lane_check(demit_smtp_lane_t *lane)
{
    bool quiet = lane->batches == NULL && lane->sessions == 0 && lane->context.open_bodies == 0;
    if (!lane->stopping || lane->stopped || !quiet) {
        return;
    }
    lane->stopped = true;
    lane->on_stopped(lane);
}

static void stop_lane(demit_task_t *task)
{
    demit_smtp_lane_t *lane = DEMIT_CONTAINER_OF(task, demit_smtp_lane_t, stop_task);
    lane->stopping = true;
    for (demit_client_session_t *session = lane->idle; session != NULL;
         session = demit_client_session_link(session)->next) {
        if (demit_client_session_is_ready(session)) {
            demit_client_session_quit(session);
        }
    }
    for (demit_smtp_batch_t *batch = lane->batches; batch != NULL; batch = demit_smtp_batch_next(batch)) {
        demit_smtp_batch_hurry(batch);
    }
    demit_smtp_lane_check(lane);
}

static void on_lane_stopped(demit_smtp_lane_t *lane)
{
    smtp_transport_t *transport = lane->baton;
    if (apr_atomic_dec32(&transport->running) == 0) {
        transport->stopped(transport->stopped_baton);
    }
}

static void on_report(demit_client_context_t *context, demit_delivery_t *delivery)
{
    demit_smtp_lane_t *lane = (demit_smtp_lane_t *)context;
    demit_queue_report(lane->queue, delivery);
}

static void on_quiet(demit_client_context_t *context)
{
    demit_smtp_lane_check((demit_smtp_lane_t *)context);
}

/* ---- what the queue calls ---------------------------------------------------------------------------------------- */

/* Deliveries of one destination meet on one loop, where its idle connections are. */
static demit_smtp_lane_t *lane_for(smtp_transport_t *transport, const char *key)
{
    apr_ssize_t size = APR_HASH_KEY_STRING;
    return &transport->lanes[apr_hashfunc_default(key, &size) % transport->lane_count];
}

static void start(demit_transport_t *base, demit_delivery_t **deliveries, uint32_t count)
{
    smtp_transport_t *transport = (smtp_transport_t *)base;
    demit_smtp_batch_t *batch = demit_smtp_batch_create(deliveries, count);
    if (batch == NULL) {
        for (uint32_t i = 0; i < count; i++) {
            demit_delivery_set_all(deliveries[i], DEMIT_RESULT_DEFERRED, "4.3.0", "out of memory", false);
            demit_queue_report(transport->queue, deliveries[i]);
        }
        return;
    }
    demit_smtp_lane_t *lane = lane_for(transport, demit_smtp_batch_key(batch));
    demit_loop_post(lane->context.loop, demit_smtp_batch_assign(batch, lane));
}

static void stop(demit_transport_t *base, void (*stopped)(void *baton), void *baton)
{
    smtp_transport_t *transport = (smtp_transport_t *)base;
    transport->stopped = stopped;
    transport->stopped_baton = baton;
    for (uint32_t i = 0; i < transport->lane_count; i++) {
        demit_loop_post(transport->lanes[i].context.loop, &transport->lanes[i].stop_task);
    }
}

static apr_status_t make_lane(demit_smtp_lane_t *lane, smtp_transport_t *transport,
                              const demit_transport_options_t *options, demit_loop_t *loop, apr_pool_t *pool)
{
    apr_allocator_t *allocator = NULL;
    apr_status_t status = apr_allocator_create(&allocator);
    if (status != APR_SUCCESS) {
        return status;
    }
    apr_allocator_max_free_set(allocator, KEPT_FREE_BYTES);
    status = apr_pool_create_ex(&lane->context.pool, pool, NULL, allocator);
    if (status != APR_SUCCESS) {
        apr_allocator_destroy(allocator);
        return status;
    }
    apr_allocator_owner_set(allocator, lane->context.pool);
    apr_pool_tag(lane->context.pool, "smtp lane");
    lane->context.loop = loop;
    lane->context.workers = options->workers;
    lane->context.spool = options->spool;
    lane->context.report = on_report;
    lane->context.quiet = on_quiet;
    lane->queue = options->queue;
    lane->idle_max = options->idle_connections / options->loop_count;
    lane->idle_max = lane->idle_max < IDLE_MAX ? lane->idle_max : IDLE_MAX;
    lane->resolver = options->resolver;
    lane->stop_task.run = stop_lane;
    lane->on_stopped = on_lane_stopped;
    lane->baton = transport;
    return APR_SUCCESS;
}

apr_status_t demit_transport_smtp_create(demit_transport_t **transport, const demit_transport_options_t *options,
                                         apr_pool_t *pool)
{
    smtp_transport_t *made = apr_pcalloc(pool, sizeof(*made));
    made->transport = (demit_transport_t){.name = "smtp", .start = start, .stop = stop};
    made->queue = options->queue;
    made->lane_count = options->loop_count;
    made->running = options->loop_count;
    made->lanes = apr_pcalloc(pool, options->loop_count * sizeof(*made->lanes));
    for (uint32_t i = 0; i < options->loop_count; i++) {
        apr_status_t status = make_lane(&made->lanes[i], made, options, options->loops[i], pool);
        if (status != APR_SUCCESS) {
            return status;
        }
    }
    *transport = &made->transport;
    return APR_SUCCESS;
}
