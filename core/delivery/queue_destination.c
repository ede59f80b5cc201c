#include "core/delivery/queue_priv.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>

enum {
    EXPIRED_PER_STEP = 64,      /* messages given up in one go for a destination that cannot be reached */
    DELIVERIES_IN_PLENTY = 4096 /* under way: from here on connections get one message at a time, to bound memory */
};

static const int64_t longest_move_us = INT64_C(60) * 1000000;

/* ---- finding, making, freeing ----------------------------------------------------------------------------------- */

void demit_domain_of(const demit_queue_t *queue, const char *address, char buffer[DEMIT_DOMAIN_SIZE])
{
    const char *at = strrchr(address, '@');
    const char *domain = at != NULL ? at + 1 : queue->settings->hostname;
    if (demit_domain_to_ascii(buffer, domain, strlen(domain)) == NULL) {
        return;
    }
    /* A spool may hold what the grammar would not take today, and an operator may ask for anything. */
    size_t size = 0;
    for (; size < DEMIT_DOMAIN_SIZE - 1 && domain[size] != '\0'; size++) {
        char c = domain[size];
        buffer[size] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    }
    buffer[size] = '\0';
}

static unsigned gateway_port(const demit_domain_settings_t *settings)
{
    return settings->gateway_port != 0 ? settings->gateway_port : settings->remote_smtp_port;
}

static char *gateway_name(const demit_domain_settings_t *settings, apr_pool_t *pool)
{
    if (settings->gateway_is_path) {
        return apr_pstrdup(pool, settings->gateway_host);
    }
    const unsigned port = gateway_port(settings);
    if (strchr(settings->gateway_host, ':') != NULL) {
        return apr_psprintf(pool, "[%s]:%u", settings->gateway_host, port);
    }
    return apr_psprintf(pool, "%s:%u", settings->gateway_host, port);
}

/*
 * What makes two recipients one destination: the domain; or, where a Gateway is set, the scope that names it and the
 * gateway, because then all their domains go to one host and share its connections. A reload that changes neither finds
 * the destination again, and what is known of the host. The NULs keep the kinds apart.
 */
static size_t make_key(char key[DEMIT_DESTINATION_KEY_MAX], const char *domain, const demit_domain_settings_t *settings)
{
    int size;
    if (settings->gateway_host == NULL || settings->delivery_method == DEMIT_DELIVER_MAILDIR) {
        size = snprintf(key, DEMIT_DESTINATION_KEY_MAX, "%s", domain);
    } else {
        const char *scope = settings->name != NULL ? settings->name : "";
        size = snprintf(key, DEMIT_DESTINATION_KEY_MAX, "%c%s%c%s%c%u", '\0', scope, '\0', settings->gateway_host, '\0',
                        gateway_port(settings));
    }
    return size < DEMIT_DESTINATION_KEY_MAX ? (size_t)size : DEMIT_DESTINATION_KEY_MAX - 1;
}

static bool has_throttle(const demit_domain_settings_t *settings)
{
    return settings->throttle_messages > 0 && settings->throttle_seconds > 0;
}

static demit_throttle_t *make_throttle(const demit_queue_t *queue, const demit_domain_settings_t *settings)
{
    demit_throttle_t *throttle = malloc(sizeof(*throttle));
    if (throttle != NULL) {
        demit_throttle_init(throttle, settings->throttle_messages, settings->throttle_seconds, queue->now_us);
    }
    return throttle;
}

static demit_destination_t *make_destination(demit_queue_t *queue, const char *domain, const char *key, size_t key_size,
                                             const demit_domain_settings_t *settings)
{
    bool is_gateway = key_size > 0 && key[0] == '\0';
    const char *name = is_gateway ? gateway_name(settings, queue->scratch) : domain;
    const size_t name_size = strlen(name) + 1;
    demit_destination_t *made = calloc(1, sizeof(*made) + key_size + name_size);
    if (made == NULL) {
        return NULL;
    }
    made->key_size = key_size;
    memcpy(made->key, key, key_size);
    memcpy(made->key + key_size, name, name_size);
    made->name = made->key + key_size;
    made->settings = settings;
    made->server_settings = demit_settings_hold(queue->settings);
    made->transport = queue->transports[settings->delivery_method];
    made->is_maildir = settings->delivery_method == DEMIT_DELIVER_MAILDIR;
    made->is_gateway = is_gateway;
    demit_list_init(&made->line);
    demit_list_init(&made->by_age);
    made->last_recovered = &made->by_age;
    if (has_throttle(settings) && (made->throttle = make_throttle(queue, settings)) == NULL) {
        demit_settings_release(made->server_settings);
        free(made);
        return NULL;
    }
    apr_hash_set(queue->destinations, made->key, (apr_ssize_t)key_size, made);
    return made;
}

demit_destination_t *demit_destination_for(demit_queue_t *queue, const char *address)
{
    char domain[DEMIT_DOMAIN_SIZE], key[DEMIT_DESTINATION_KEY_MAX];
    demit_domain_of(queue, address, domain);
    const demit_domain_settings_t *settings = demit_settings_domain(queue->settings, domain);
    size_t key_size = make_key(key, domain, settings);
    demit_destination_t *found = apr_hash_get(queue->destinations, key, (apr_ssize_t)key_size);
    return found != NULL ? found : make_destination(queue, domain, key, key_size, settings);
}

bool demit_destination_is_for(const demit_queue_t *queue, const demit_destination_t *destination, const char *address)
{
    char domain[DEMIT_DOMAIN_SIZE], key[DEMIT_DESTINATION_KEY_MAX];
    demit_domain_of(queue, address, domain);
    const size_t key_size = make_key(key, domain, demit_settings_domain(queue->settings, domain));
    return !destination->abandoned && key_size == destination->key_size && memcmp(key, destination->key, key_size) == 0;
}

void demit_destination_free(demit_queue_t *queue, demit_destination_t *destination)
{
    if (destination->abandoned) {
        demit_list_remove(&destination->leaving);
    } else {
        apr_hash_set(queue->destinations, destination->key, (apr_ssize_t)destination->key_size, NULL);
    }
    demit_note_release(destination->note);
    demit_settings_release(destination->server_settings);
    free(destination->throttle);
    free(destination);
}

/* ---- other settings --------------------------------------------------------------------------------------------- */

/* The limits may have changed; what was sent lately counts by the new ones only if they are as they were. */
static void adopt_throttle(demit_queue_t *queue, demit_destination_t *destination,
                           const demit_domain_settings_t *settings)
{
    const demit_domain_settings_t *older = destination->settings;
    if (settings->throttle_messages == older->throttle_messages &&
        settings->throttle_seconds == older->throttle_seconds) {
        return;
    }
    free(destination->throttle);
    destination->throttle = NULL;
    if (has_throttle(settings)) {
        destination->throttle = make_throttle(queue, settings);
    }
    if (destination->resting && !destination->failing) { /* the old throttle's rest */
        demit_wheel_remove(&destination->node);
        destination->resting = false;
    }
}

bool demit_destination_adopt(demit_queue_t *queue, demit_destination_t *destination)
{
    char key[DEMIT_DESTINATION_KEY_MAX];
    const char *name = destination->is_gateway ? destination->key + 1 : destination->name;
    const demit_domain_settings_t *settings = destination->is_gateway ? demit_settings_scope(queue->settings, name)
                                                                      : demit_settings_domain(queue->settings, name);
    if (settings == NULL || (settings->delivery_method == DEMIT_DELIVER_MAILDIR) != destination->is_maildir) {
        return false;
    }
    size_t key_size = make_key(key, name, settings);
    if (key_size != destination->key_size || memcmp(key, destination->key, key_size) != 0) {
        return false;
    }
    adopt_throttle(queue, destination, settings);
    const demit_settings_t *older = destination->server_settings;
    destination->server_settings = demit_settings_hold(queue->settings);
    destination->settings = settings;
    destination->transport = queue->transports[settings->delivery_method];
    demit_settings_release(older);
    return true;
}

void demit_destination_abandon(demit_queue_t *queue, demit_destination_t *destination)
{
    apr_hash_set(queue->destinations, destination->key, (apr_ssize_t)destination->key_size, NULL);
    destination->abandoned = true;
    demit_list_append(&queue->abandoned, &destination->leaving);
}

/* ---- may it start something? ------------------------------------------------------------------------------------ */

static uint32_t connections_allowed(const demit_destination_t *destination)
{
    if (destination->failing) {
        return 1;
    }
    if (destination->is_maildir) {
        return DEMIT_MAILDIR_BATCHES;
    }
    uint32_t allowed = destination->settings->max_outbound_connections;
    return allowed > 0 ? allowed : 1;
}

static bool has_work(const demit_destination_t *destination)
{
    if (destination->expiring) {
        return true;
    }
    return !destination->resting && destination->ready > 0 && destination->batches < connections_allowed(destination);
}

/* A throttle with something in its window is worth remembering when all messages are gone. */
static bool is_forgettable(demit_queue_t *queue, demit_destination_t *destination)
{
    if (destination->legs > 0 || destination->batches > 0 || destination->resting || destination->in_runnable) {
        return false;
    }
    if (destination->throttle == NULL) {
        return true;
    }
    return demit_throttle_allowance(destination->throttle, queue->now_us) == destination->throttle->limit;
}

void demit_destination_reconsider(demit_queue_t *queue, demit_destination_t *destination)
{
    if (has_work(destination)) {
        if (!destination->in_runnable) {
            destination->in_runnable = true;
            demit_list_append(destination->is_maildir ? &queue->runnable_local : &queue->runnable_remote,
                              &destination->runnable);
        }
    } else if (is_forgettable(queue, destination)) {
        demit_destination_free(queue, destination);
    } else if (destination->legs == 0 && destination->batches == 0 && !destination->resting &&
               !destination->in_runnable) {
        /* Only the throttle's memory is left: it fades, and then the destination goes. */
        demit_destination_rest(queue, destination, demit_throttle_next_us(destination->throttle));
    }
}

void demit_destination_rest(demit_queue_t *queue, demit_destination_t *destination, int64_t until_us)
{
    if (destination->resting) {
        if (destination->node.due_us >= until_us) {
            return;
        }
        demit_wheel_remove(&destination->node);
    }
    destination->resting = true;
    demit_wheel_add(&queue->rests, &destination->node, until_us);
}

void demit_queue_wake_destinations(demit_queue_t *queue)
{
    demit_link_t due;
    demit_list_init(&due);
    demit_wheel_advance(&queue->rests, queue->now_us, &due);
    for (demit_link_t *link; (link = demit_list_shift(&due)) != NULL;) {
        demit_destination_t *destination = DEMIT_CONTAINER_OF(link, demit_destination_t, node.link);
        destination->resting = false;
        demit_destination_reconsider(queue, destination);
    }
}

/* ---- states of a leg -------------------------------------------------------------------------------------------- */

static void leave_state(demit_queue_t *queue, demit_leg_t *leg)
{
    demit_destination_t *destination = leg->destination;
    switch (leg->state) {
    case DEMIT_LEG_OVER:
        destination->legs++;
        if (leg->message->recovered || leg->moved) {
            demit_list_insert_after(destination->last_recovered, &leg->by_age);
            destination->last_recovered = &leg->by_age;
        } else {
            demit_list_append(&destination->by_age, &leg->by_age);
        }
        break;
    case DEMIT_LEG_READY:
        demit_list_remove(&leg->node.link);
        destination->ready--;
        break;
    case DEMIT_LEG_BLOCKED:
        demit_wheel_remove(&leg->node);
        break;
    case DEMIT_LEG_ACTIVE:
        destination->active--;
        queue->active_legs--;
        leg->message->active--;
        break;
    case DEMIT_LEG_WAITING:
        demit_wheel_remove(&leg->node);
        destination->waiting--;
        queue->waiting_legs--;
        break;
    }
}

static void enter_state(demit_queue_t *queue, demit_leg_t *leg, demit_leg_state_t state, int64_t due_us)
{
    demit_destination_t *destination = leg->destination;
    leg->state = state;
    switch (state) {
    case DEMIT_LEG_OVER:
        destination->legs--;
        if (destination->last_recovered == &leg->by_age) {
            destination->last_recovered = leg->by_age.prev;
        }
        demit_list_remove(&leg->by_age);
        break;
    case DEMIT_LEG_READY:
        demit_list_append(&destination->line, &leg->node.link);
        destination->ready++;
        break;
    case DEMIT_LEG_BLOCKED:
        demit_wheel_add(&queue->retries, &leg->node, queue->now_us + longest_move_us);
        break;
    case DEMIT_LEG_ACTIVE:
        destination->active++;
        queue->active_legs++;
        leg->message->active++;
        break;
    case DEMIT_LEG_WAITING:
        demit_wheel_add(&queue->retries, &leg->node, due_us);
        destination->waiting++;
        queue->waiting_legs++;
        break;
    }
}

void demit_leg_set_state(demit_queue_t *queue, demit_leg_t *leg, demit_leg_state_t state, int64_t due_us)
{
    if (state == DEMIT_LEG_READY && leg->message->moving) {
        state = DEMIT_LEG_BLOCKED;
    }
    leave_state(queue, leg);
    enter_state(queue, leg, state, due_us);
    if (state != DEMIT_LEG_ACTIVE) {
        demit_destination_reconsider(queue, leg->destination);
    }
}

/* ---- deliveries ------------------------------------------------------------------------------------------------- */

/* Takes up to a transaction's worth of LEG's idle recipients into DELIVERY. */
static void take_recipients(demit_delivery_t *delivery, demit_leg_t *leg)
{
    demit_queued_t *message = leg->message;
    uint32_t most = leg->pending < DEMIT_TRANSACTION_RECIPIENTS ? leg->pending : DEMIT_TRANSACTION_RECIPIENTS;
    delivery->recipients = apr_pcalloc(delivery->pool, most * sizeof(*delivery->recipients));
    for (uint32_t i = 0; i < message->recipient_count && delivery->recipient_count < most; i++) {
        demit_queued_recipient_t *recipient = &message->recipients[i];
        if (recipient->leg != leg->number || recipient->busy || recipient->state != DEMIT_RECIPIENT_PENDING) {
            continue;
        }
        recipient->busy = true;
        demit_delivery_recipient_t *taken = &delivery->recipients[delivery->recipient_count++];
        taken->recipient = &delivery->envelope->recipients[i];
        taken->index = i;
    }
}

demit_delivery_t *demit_delivery_make(demit_queue_t *queue, demit_leg_t *leg, demit_batch_t *batch)
{
    apr_pool_t *pool;
    if (apr_pool_create(&pool, queue->deliveries) != APR_SUCCESS) {
        return NULL;
    }
    apr_pool_tag(pool, "delivery");
    demit_delivery_t *delivery = apr_pcalloc(pool, sizeof(*delivery));
    demit_ticket_t *ticket = apr_pcalloc(pool, sizeof(*ticket));
    ticket->queue = queue;
    ticket->leg = leg;
    ticket->batch = batch;
    delivery->pool = pool;
    delivery->queue_private = ticket;
    delivery->envelope = demit_queued_envelope(leg->message, pool);
    delivery->location = leg->message->location;
    delivery->settings = leg->destination->settings;
    delivery->server_settings = leg->destination->server_settings;
    demit_settings_hold_in(delivery->server_settings, pool);
    take_recipients(delivery, leg);
    char domain[DEMIT_DOMAIN_SIZE];
    demit_domain_of(queue, delivery->recipients[0].recipient->address, domain);
    delivery->domain = apr_pstrdup(pool, domain);
    leg->under_way++;
    queue->deliveries_under_way++;
    if (batch != NULL) {
        batch->outstanding++;
    }
    return delivery;
}

/* Makes the deliveries of LEG, which is ready. Returns how many; 0: no memory, LEG waits a little. */
static uint32_t activate_leg(demit_queue_t *queue, demit_leg_t *leg, demit_batch_t *batch,
                             apr_array_header_t *deliveries)
{
    uint32_t wanted = (leg->pending + DEMIT_TRANSACTION_RECIPIENTS - 1) / DEMIT_TRANSACTION_RECIPIENTS, made = 0;
    demit_leg_set_state(queue, leg, DEMIT_LEG_ACTIVE, 0);
    for (; made < wanted; made++) {
        demit_delivery_t *delivery = demit_delivery_make(queue, leg, batch);
        if (delivery == NULL) {
            break;
        }
        APR_ARRAY_PUSH(deliveries, demit_delivery_t *) = delivery;
    }
    if (made == 0) {
        demit_leg_set_state(queue, leg, DEMIT_LEG_WAITING, queue->now_us + 1000000);
    }
    return made;
}

/* How many messages the next connection to DESTINATION gets: what is ready, spread over what is allowed. */
static uint64_t batch_size(const demit_queue_t *queue, const demit_destination_t *destination, uint32_t allowance)
{
    if (destination->failing || allowance == 1) {
        return 1;
    }
    uint64_t free_connections = connections_allowed(destination) - destination->batches;
    uint64_t size = (destination->ready + free_connections - 1) / free_connections;
    uint64_t most = destination->is_maildir ? DEMIT_BATCH_MAX_MAILDIR : DEMIT_BATCH_MAX;
    if (queue->deliveries_under_way >= DELIVERIES_IN_PLENTY) {
        most = 1;
    }
    if (most > allowance) {
        most = allowance;
    }
    return size < most ? size : most;
}

static void hand_over(demit_queue_t *queue, demit_destination_t *destination, const apr_array_header_t *deliveries)
{
    destination->batches++;
    if (!destination->is_maildir) {
        queue->connections++;
    }
    demit_delivery_t **array = (demit_delivery_t **)(void *)deliveries->elts;
    if (destination->transport != NULL) {
        destination->transport->start(destination->transport, array, (uint32_t)deliveries->nelts);
        return;
    }
    for (int i = 0; i < deliveries->nelts; i++) {
        demit_delivery_set_all(array[i], DEMIT_RESULT_DEFERRED, "4.3.5", "this delivery method is not available",
                               false);
        demit_queue_report(queue, array[i]);
    }
}

/* Starts one connection's worth of deliveries to DESTINATION. */
static void start_batch(demit_queue_t *queue, demit_destination_t *destination)
{
    uint32_t allowance = UINT32_MAX;
    if (destination->throttle != NULL) {
        allowance = demit_throttle_allowance(destination->throttle, queue->now_us);
    }
    if (allowance == 0) {
        demit_destination_rest(queue, destination, demit_throttle_next_us(destination->throttle));
        return;
    }
    demit_batch_t *batch = calloc(1, sizeof(*batch));
    if (batch == NULL) {
        demit_destination_rest(queue, destination, queue->now_us + 1000000);
        return;
    }
    batch->destination = destination;
    demit_list_append(&queue->batches, &batch->link);
    apr_array_header_t *deliveries = apr_array_make(queue->scratch, DEMIT_BATCH_MAX, sizeof(demit_delivery_t *));
    uint32_t messages = 0;
    for (uint64_t wanted = batch_size(queue, destination, allowance); wanted > 0; wanted--) {
        demit_leg_t *leg = DEMIT_CONTAINER_OF(destination->line.next, demit_leg_t, node.link);
        if (activate_leg(queue, leg, batch, deliveries) == 0) {
            break;
        }
        messages++;
    }
    if (destination->throttle != NULL) {
        demit_throttle_use(destination->throttle, messages);
    }
    if (messages > 0) {
        hand_over(queue, destination, deliveries);
    } else {
        demit_list_remove(&batch->link);
        free(batch);
    }
    apr_pool_clear(queue->scratch);
}

/*
 * Gives up the oldest messages for a DESTINATION that cannot be reached, if they have expired in its line: only a few
 * are ever tried while it is down, and the others must not wait for ever.
 */
static void expire_oldest(demit_queue_t *queue, demit_destination_t *destination)
{
    apr_array_header_t *deliveries = apr_array_make(queue->scratch, EXPIRED_PER_STEP, sizeof(demit_delivery_t *));
    demit_link_t *link = destination->by_age.next;
    /* Those already under way do not count: they are bounded, and settled in the next turn only. */
    while (link != &destination->by_age && deliveries->nelts < EXPIRED_PER_STEP) {
        demit_leg_t *leg = DEMIT_CONTAINER_OF(link, demit_leg_t, by_age);
        link = link->next;
        if (demit_queue_age_us(queue, leg->message) < destination->settings->message_expiration_us) {
            break;
        }
        if (leg->state == DEMIT_LEG_READY && activate_leg(queue, leg, NULL, deliveries) == 0) {
            break;
        }
    }
    destination->expiring = deliveries->nelts >= EXPIRED_PER_STEP;
    const char *text = destination->note != NULL ? destination->note->text : "the host cannot be reached";
    for (int i = 0; i < deliveries->nelts; i++) {
        demit_delivery_t *delivery = APR_ARRAY_IDX(deliveries, i, demit_delivery_t *);
        demit_delivery_set_all(delivery, DEMIT_RESULT_DEFERRED, "4.4.1", text, false);
        demit_queue_report(queue, delivery);
    }
    apr_pool_clear(queue->scratch);
}

static void run_line(demit_queue_t *queue, demit_link_t *runnable, uint32_t most_connections)
{
    uint32_t most_deliveries = DELIVERIES_IN_PLENTY + most_connections;
    while (!demit_list_is_empty(runnable) && queue->deliveries_under_way < most_deliveries) {
        demit_destination_t *destination = DEMIT_CONTAINER_OF(runnable->next, demit_destination_t, runnable);
        if (!destination->is_maildir && queue->connections >= most_connections && !destination->expiring) {
            return;
        }
        (void)demit_list_shift(runnable);
        destination->in_runnable = false;
        if (destination->expiring) {
            expire_oldest(queue, destination);
        } else if (has_work(destination)) {
            start_batch(queue, destination);
        }
        demit_destination_reconsider(queue, destination); /* to the end of the line: everyone gets his turn */
    }
}

void demit_queue_start_deliveries(demit_queue_t *queue)
{
    const uint32_t limit = atomic_load_explicit(&queue->most_connections, memory_order_relaxed);
    const uint32_t configured = queue->settings->server_max_outbound_connections;
    const uint32_t most = configured < limit ? configured : limit;
    run_line(queue, &queue->runnable_local, most);
    run_line(queue, &queue->runnable_remote, most > 0 ? most : 1);
}
