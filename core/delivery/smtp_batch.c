/*
 * A batch: deliveries for one destination, tried in order on one connection where that makes sense. It finds the route,
 * walks the hops until one takes mail, feeds it, and comes back to the hops when a connection is lost.
 */
#include "core/delivery/smtp_lane.h"

#include <string.h>

#include <apr_strings.h>

#include "demit/log.h"
#include "demit/os.h"

#include "core/delivery/resolver_priv.h"
#include "core/delivery/route.h"

enum {
    ATTEMPTS_MAX = 6, /* addresses that are tried for one connection */
    LOSSES_MAX = 3    /* connections that may break while the batch is at work */
};

struct demit_smtp_batch {
    demit_task_t task;
    apr_pool_t *pool;
    demit_smtp_lane_t *lane;
    demit_smtp_batch_t *link, **back; /* in the lane's list */
    demit_delivery_t **deliveries;
    uint32_t count, next; /* NEXT: the first that is not over */
    bool busy;            /* NEXT is with the session */
    const demit_domain_settings_t *settings;
    const demit_settings_t
        *server_settings; /* POOL holds them: the deliveries, which do, too, are reported one by one */
    const char *domain, *key;

    bool routed;
    demit_lookup_t lookup;
    apr_pool_t *lookup_pool;
    demit_route_t route;
    uint32_t hop; /* the next to be tried */
    uint32_t attempts, losses;
    demit_client_session_t *session;

    /* Why no hop took mail: the first temporary reason, else the last permanent one. */
    demit_client_loss_t why;
    const demit_hop_t *why_hop;
};

static void go_on(demit_smtp_batch_t *batch);
static void try_hop(demit_smtp_batch_t *batch);

/* ---- the end ----------------------------------------------------------------------------------------------------- */

static void finish(demit_smtp_batch_t *batch)
{
    demit_smtp_lane_t *lane = batch->lane;
    *batch->back = batch->link;
    if (batch->link != NULL) {
        batch->link->back = batch->back;
    }
    apr_pool_destroy(batch->lookup_pool);
    apr_pool_destroy(batch->pool);
    demit_smtp_lane_check(lane);
}

/* Gives back what was not tried. Deliveries without a result count as deferred. */
static void give_back(demit_smtp_batch_t *batch)
{
    while (batch->next < batch->count) {
        demit_queue_report(batch->lane->queue, batch->deliveries[batch->next++]);
    }
    finish(batch);
}

/* The same result for all that is left. CONNECTION_FAILED as in demit_delivery_t. */
static void give_up(demit_smtp_batch_t *batch, const demit_client_loss_t *why, const demit_hop_t *hop,
                    bool connection_failed)
{
    for (uint32_t i = batch->next; i < batch->count; i++) {
        demit_delivery_t *delivery = batch->deliveries[i];
        demit_delivery_set_all(delivery, why->result, why->status, why->diagnostic, why->is_smtp);
        delivery->connection_failed = connection_failed;
        if (hop != NULL) {
            delivery->remote_host = apr_pstrdup(delivery->pool, hop->host);
            delivery->remote_ip = hop->ip == NULL ? NULL : apr_pstrdup(delivery->pool, hop->ip);
        }
    }
    give_back(batch);
}

/* ---- at work ----------------------------------------------------------------------------------------------------- */

static void feed(demit_smtp_batch_t *batch)
{
    uint32_t limit = batch->settings->max_deliveries_per_connection;
    demit_client_session_t *session = batch->session;
    while (batch->next < batch->count && !batch->lane->stopping) {
        if (limit != 0 && demit_client_session_deliveries(session) >= limit) {
            break;
        }
        batch->busy = true;
        if (demit_client_session_deliver(session, batch->deliveries[batch->next])) {
            return;
        }
        batch->busy = false;
        batch->next++;
    }
    bool worn_out = limit != 0 && demit_client_session_deliveries(session) >= limit;
    batch->session = NULL;
    demit_smtp_lane_give(batch->lane, session, worn_out ? 0 : batch->settings->idle_timeout_us);
    go_on(batch);
}

static void on_ready(void *baton, demit_client_session_t *session)
{
    demit_smtp_batch_t *batch = baton;
    (void)session;
    feed(batch);
}

static void on_finished(void *baton, demit_client_session_t *session)
{
    demit_smtp_batch_t *batch = baton;
    (void)session;
    batch->busy = false;
    batch->next++;
    feed(batch);
}

/* RFC 5321 5.1: we are in the list ourselves; our own preference and what is worse is out of bounds. */
static void cut_at_ourselves(demit_smtp_batch_t *batch, demit_client_loss_t *why)
{
    batch->route.hop_count = batch->hop;
    if (batch->settings->gateway_host != NULL) { /* ours to mend, not the sender's */
        why->result = DEMIT_RESULT_DEFERRED;
        why->status = "4.4.6";
    }
}

static void note_refusal(demit_smtp_batch_t *batch, const demit_client_loss_t *loss)
{
    demit_client_loss_t why = *loss;
    if (loss->ourselves) {
        cut_at_ourselves(batch, &why);
    }
    if (batch->why.status != NULL && (batch->why.result == DEMIT_RESULT_DEFERRED || loss->ourselves)) {
        return;
    }
    why.status = apr_pstrdup(batch->pool, why.status);
    why.diagnostic = apr_pstrdup(batch->pool, why.diagnostic);
    batch->why = why;
    batch->why_hop = &batch->route.hops[batch->hop - 1];
}

static void on_lost(void *baton, demit_client_session_t *session, const demit_client_loss_t *loss)
{
    demit_smtp_batch_t *batch = baton;
    bool was_busy = batch->busy;
    (void)session;
    batch->lane->sessions--;
    batch->session = NULL;
    batch->busy = false;
    if (!loss->greeted) {
        note_refusal(batch, loss);
        try_hop(batch);
        return;
    }
    if (was_busy && !loss->untouched) {
        batch->next++;
        batch->losses++;
    }
    if (batch->losses >= LOSSES_MAX) {
        give_up(batch, loss, NULL, false);
    } else {
        go_on(batch);
    }
}

static const demit_client_owner_t batch_owner = {on_ready, on_finished, on_lost};

/* ---- the way there ----------------------------------------------------------------------------------------------- */

static void try_hop(demit_smtp_batch_t *batch)
{
    static const demit_client_loss_t full = {
        .result = DEMIT_RESULT_DEFERRED, .status = "4.3.2", .diagnostic = "no connection left on this host"};
    demit_smtp_lane_t *lane = batch->lane;
    if (lane->stopping) {
        give_back(batch);
        return;
    }
    if (batch->hop == batch->route.hop_count || batch->attempts == ATTEMPTS_MAX) {
        give_up(batch, &batch->why, batch->why_hop, true);
        return;
    }
    const demit_hop_t *hop = &batch->route.hops[batch->hop++];
    batch->attempts++;
    const demit_client_target_t target = {
        .hop = hop, .settings = batch->settings, .server_settings = batch->server_settings, .key = batch->key};
    if (demit_client_session_open(&batch->session, &lane->context, &target) != APR_SUCCESS) {
        batch->session = NULL;
        give_up(batch, &full, NULL, false);
        return;
    }
    lane->sessions++;
    demit_client_session_own(batch->session, &batch_owner, batch);
}

static void walk_hops(demit_smtp_batch_t *batch)
{
    if (batch->route.hop_count == 0) {
        const demit_client_loss_t why = {
            .result = batch->route.result, .status = batch->route.status, .diagnostic = batch->route.text};
        give_up(batch, &why, NULL, batch->route.result == DEMIT_RESULT_DEFERRED);
        return;
    }
    batch->hop = 0;
    batch->attempts = 0;
    memset(&batch->why, 0, sizeof(batch->why));
    try_hop(batch);
}

static demit_route_request_t request_of(const demit_smtp_batch_t *batch)
{
    const demit_settings_t *settings = batch->server_settings;
    return (demit_route_request_t){.domain = batch->domain,
                                   .settings = batch->settings,
                                   .hostname = settings->hostname,
                                   .ehlo_hostname = settings->ehlo_hostname};
}

static void on_answer(demit_task_t *task)
{
    demit_lookup_t *lookup = DEMIT_CONTAINER_OF(task, demit_lookup_t, task);
    demit_smtp_batch_t *batch = DEMIT_CONTAINER_OF(lookup, demit_smtp_batch_t, lookup);
    const demit_route_request_t request = request_of(batch);
    demit_route_compose(&batch->route, &request, &lookup->answer, (uint64_t)demit_os_monotonic_us(), batch->pool);
    batch->routed = true;
    if (batch->lane->stopping) {
        give_back(batch);
    } else {
        walk_hops(batch);
    }
}

static void find_route(demit_smtp_batch_t *batch)
{
    const demit_route_request_t request = request_of(batch);
    const char *name = NULL;
    if (demit_route_direct(&batch->route, &request, &name, batch->pool)) {
        batch->routed = true;
        walk_hops(batch);
        return;
    }
    batch->lookup = (demit_lookup_t){.task = {.run = on_answer},
                                     .loop = batch->lane->context.loop,
                                     .pool = batch->lookup_pool,
                                     .name = apr_pstrdup(batch->lookup_pool, name),
                                     .address_suffices = batch->settings->gateway_host != NULL};
    demit_resolver_lookup(batch->lane->resolver, &batch->lookup);
}

/* Without a session: gets one for what is left. */
static void go_on(demit_smtp_batch_t *batch)
{
    if (batch->next == batch->count || batch->lane->stopping) {
        give_back(batch);
        return;
    }
    batch->session = demit_smtp_lane_take(batch->lane, batch->key);
    if (batch->session != NULL) {
        demit_client_session_own(batch->session, &batch_owner, batch);
        feed(batch);
    } else if (batch->routed) {
        walk_hops(batch);
    } else {
        find_route(batch);
    }
}

/* ---- what the lane calls ----------------------------------------------------------------------------------------- */

demit_smtp_batch_t *demit_smtp_batch_create(demit_delivery_t **deliveries, uint32_t count)
{
    apr_pool_t *pool = NULL;
    apr_pool_t *lookup_pool = NULL;
    /* Both are used by more than one thread, if not at one time: children of APR's own, whose allocator has a lock. */
    if (apr_pool_create(&pool, NULL) != APR_SUCCESS) {
        return NULL;
    }
    if (apr_pool_create(&lookup_pool, NULL) != APR_SUCCESS) {
        apr_pool_destroy(pool);
        return NULL;
    }
    apr_pool_tag(pool, "smtp batch");
    apr_pool_tag(lookup_pool, "smtp lookup");
    demit_smtp_batch_t *batch = apr_pcalloc(pool, sizeof(*batch));
    batch->pool = pool;
    batch->lookup_pool = lookup_pool;
    batch->deliveries = apr_pmemdup(pool, deliveries, count * sizeof(*deliveries));
    batch->count = count;
    batch->settings = deliveries[0]->settings;
    batch->server_settings = deliveries[0]->server_settings;
    demit_settings_hold_in(batch->server_settings, pool);
    batch->domain = apr_pstrdup(pool, deliveries[0]->domain);
    batch->key = demit_route_key(batch->domain, batch->settings, pool);
    return batch;
}

const char *demit_smtp_batch_key(const demit_smtp_batch_t *batch)
{
    return batch->key;
}

demit_task_t *demit_smtp_batch_assign(demit_smtp_batch_t *batch, demit_smtp_lane_t *lane)
{
    batch->lane = lane;
    batch->task.run = demit_smtp_batch_begin;
    return &batch->task;
}

void demit_smtp_batch_begin(demit_task_t *task)
{
    demit_smtp_batch_t *batch = DEMIT_CONTAINER_OF(task, demit_smtp_batch_t, task);
    demit_smtp_lane_t *lane = batch->lane;
    batch->link = lane->batches;
    batch->back = &lane->batches;
    if (batch->link != NULL) {
        batch->link->back = &batch->link;
    }
    lane->batches = batch;
    go_on(batch);
}

void demit_smtp_batch_hurry(demit_smtp_batch_t *batch)
{
    if (batch->session != NULL && !batch->busy) {
        demit_client_session_abandon(batch->session); /* connecting, or greeting */
    }
}

demit_smtp_batch_t *demit_smtp_batch_next(const demit_smtp_batch_t *batch)
{
    return batch->link;
}
