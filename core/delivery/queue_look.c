#include "core/delivery/queue_priv.h"

#include <string.h>

void demit_queue_counts(demit_queue_t *queue, demit_queue_counts_t *counts)
{
    *counts = queue->since_start;
    counts->messages = queue->index.count;
    counts->recipients_pending = queue->recipients_pending;
    counts->active = queue->active_legs;
    counts->deferred = queue->waiting_legs;
    counts->destinations = apr_hash_count(queue->destinations);
    counts->recovering = queue->recovering;
}

void demit_queue_each_domain(demit_queue_t *queue, void (*each)(void *baton, const demit_queue_domain_view_t *view),
                             void *baton)
{
    for (apr_hash_index_t *at = apr_hash_first(NULL, queue->destinations); at != NULL; at = apr_hash_next(at)) {
        void *value;
        apr_hash_this(at, NULL, NULL, &value);
        const demit_destination_t *destination = value;
        if (destination->legs == 0) {
            continue;
        }
        demit_queue_domain_view_t view = {.domain = destination->name,
                                          .messages = destination->legs,
                                          .active = destination->active,
                                          .deferred = destination->waiting,
                                          .last_error = destination->note != NULL ? destination->note->text : NULL};
        each(baton, &view);
    }
}

typedef struct look {
    demit_queue_t *queue;
    apr_pool_t *pool;
    void (*each)(void *baton, const demit_queue_message_view_t *view);
    void *baton;
} look_t;

static void show(const look_t *look, const demit_queued_t *message)
{
    demit_queue_message_view_t view = {.envelope = demit_queued_envelope(message, look->pool),
                                       .active = message->active > 0,
                                       .last_error = message->note != NULL ? message->note->text : NULL};
    look->each(look->baton, &view);
    apr_pool_clear(look->pool);
}

static bool has_domain(const demit_queue_t *queue, const demit_leg_t *leg, const char *domain)
{
    const demit_queued_t *message = leg->message;
    char found[DEMIT_DOMAIN_SIZE];
    for (uint32_t i = 0; i < message->recipient_count; i++) {
        if (message->recipients[i].leg != leg->number) {
            continue;
        }
        demit_domain_of(queue, demit_queued_address(message, &message->recipients[i]), found);
        if (strcmp(found, domain) == 0) {
            return true;
        }
    }
    return false;
}

/* A domain's own destination holds its messages only; a gateway's is looked through. */
static void show_destination(const look_t *look, const demit_destination_t *destination, const char *domain,
                             uint64_t limit)
{
    bool everything = strcmp(destination->name, domain) == 0;
    for (const demit_link_t *link = destination->by_age.next; link != &destination->by_age && limit > 0;
         link = link->next) {
        const demit_leg_t *leg = DEMIT_CONTAINER_OF(link, demit_leg_t, by_age);
        if (!everything && !has_domain(look->queue, leg, domain)) {
            continue;
        }
        show(look, leg->message);
        limit--;
    }
}

static const demit_destination_t *find_destination(demit_queue_t *queue, const char *domain)
{
    for (apr_hash_index_t *at = apr_hash_first(NULL, queue->destinations); at != NULL; at = apr_hash_next(at)) {
        void *value;
        apr_hash_this(at, NULL, NULL, &value);
        if (strcmp(((const demit_destination_t *)value)->name, domain) == 0) {
            return value;
        }
    }
    return NULL;
}

/* The destination that is called DOMAIN (a gateway's name is host:port), or the one that mail for DOMAIN goes to. */
static void show_domain(const look_t *look, const char *domain, uint64_t limit)
{
    demit_queue_t *queue = look->queue;
    char address[DEMIT_DOMAIN_SIZE + 1] = "@", lower[DEMIT_DOMAIN_SIZE];
    strncat(address, domain, DEMIT_DOMAIN_SIZE - 1);
    demit_domain_of(queue, address, lower);
    const demit_destination_t *destination = find_destination(queue, lower);
    if (destination == NULL) {
        demit_destination_t *made = demit_destination_for(queue, address);
        apr_pool_clear(queue->scratch);
        if (made == NULL) {
            return;
        }
        if (made->legs > 0) {
            show_destination(look, made, lower, limit);
        }
        demit_destination_reconsider(queue, made); /* gone again, if it was made just now */
        return;
    }
    show_destination(look, destination, lower, limit);
}

void demit_queue_each_message(demit_queue_t *queue, const char *domain, uint64_t limit,
                              void (*each)(void *baton, const demit_queue_message_view_t *view), void *baton)
{
    look_t look = {.queue = queue, .each = each, .baton = baton};
    if (apr_pool_create(&look.pool, queue->pool) != APR_SUCCESS) {
        return;
    }
    if (domain != NULL) {
        show_domain(&look, domain, limit);
    }
    for (const demit_link_t *link = queue->by_age.next; domain == NULL && link != &queue->by_age && limit > 0;
         link = link->next, limit--) {
        show(&look, DEMIT_CONTAINER_OF(link, demit_queued_t, by_age));
    }
    apr_pool_destroy(look.pool);
}

bool demit_queue_find_message(demit_queue_t *queue, uint64_t id,
                              void (*each)(void *baton, const demit_queue_message_view_t *view), void *baton)
{
    look_t look = {.queue = queue, .each = each, .baton = baton};
    const demit_queued_t *message = demit_queue_index_find(&queue->index, id);
    if (message == NULL || apr_pool_create(&look.pool, queue->pool) != APR_SUCCESS) {
        return false;
    }
    show(&look, message);
    apr_pool_destroy(look.pool);
    return true;
}
