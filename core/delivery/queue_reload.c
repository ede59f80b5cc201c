/*
 * Other settings while the queue runs. A destination that is the same by them, too, is kept with all that is known of
 * its host; the legs of any other look for their destinations anew. What is under way ends as it began: then its leg
 * looks, too.
 */
#include "core/delivery/queue_priv.h"

#include <string.h>

/* ---- legs ------------------------------------------------------------------------------------------------------- */

/* One recipient, on its way to a leg that leads to PLACE. */
typedef struct move {
    demit_queued_recipient_t *recipient;
    demit_destination_t *place;
    demit_leg_t *leg;
} move_t;

/* Where the pending recipients of LEG are to go. Returns how many there are. NULL in a place: no memory. */
static uint32_t find_places(demit_queue_t *queue, const demit_leg_t *leg, move_t *moves)
{
    demit_queued_t *message = leg->message;
    uint32_t count = 0;
    for (uint32_t i = 0; i < message->recipient_count; i++) {
        demit_queued_recipient_t *recipient = &message->recipients[i];
        if (recipient->leg == leg->number && recipient->state == DEMIT_RECIPIENT_PENDING) {
            const char *address = demit_queued_address(message, recipient);
            moves[count++] = (move_t){.recipient = recipient, .place = demit_destination_for(queue, address)};
        }
    }
    return count;
}

/* The leg of one of the first COUNT moves that leads to PLACE, or NULL. */
static demit_leg_t *leg_to(const move_t *moves, uint32_t count, const demit_destination_t *place)
{
    for (uint32_t i = 0; i < count; i++) {
        if (moves[i].place == place) {
            return moves[i].leg;
        }
    }
    return NULL;
}

/* Gives every place a leg, LEG itself to the first. False: no memory, and nothing has changed. */
static bool find_legs(demit_leg_t *leg, move_t *moves, uint32_t count)
{
    demit_queued_t *message = leg->message;
    for (uint32_t i = 0; i < count; i++) {
        if (moves[i].place == NULL) {
            return false;
        }
        if (i == 0) {
            moves[i].leg = leg;
            continue;
        }
        moves[i].leg = leg_to(moves, i, moves[i].place);
        if (moves[i].leg != NULL) {
            continue;
        }
        moves[i].leg = demit_queued_spare_leg(message);
        if (moves[i].leg == NULL) {
            return false;
        }
        moves[i].leg->under_way = 1; /* taken: it is not to be found a second time */
    }
    return true;
}

/* Lets go of legs that were taken, and of destinations that were made, for COUNT moves that do not take place. */
static void give_up_moves(demit_queue_t *queue, const demit_leg_t *leg, const move_t *moves, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        bool is_first = moves[i].place != NULL && moves[i].place != leg->destination;
        for (uint32_t j = 0; j < i && is_first; j++) {
            is_first = moves[j].place != moves[i].place;
        }
        if (moves[i].leg != NULL && moves[i].leg != leg) {
            moves[i].leg->under_way = 0;
        }
        if (is_first) { /* it may go: once */
            demit_destination_reconsider(queue, moves[i].place);
        }
    }
}

static void begin_leg(demit_queue_t *queue, demit_leg_t *leg, demit_destination_t *place, int64_t due_us)
{
    leg->destination = place;
    leg->moved = true;
    demit_leg_set_state(queue, leg, due_us > queue->now_us ? DEMIT_LEG_WAITING : DEMIT_LEG_READY, due_us);
}

/* Takes LEG out of its destination, which may go with it, and lets what it consisted of set out. */
static void set_out(demit_queue_t *queue, demit_leg_t *leg, const move_t *moves, uint32_t count, int64_t due_us)
{
    demit_destination_t *before = leg->destination;
    before->legs++; /* a part of LEG may come back to it */
    demit_leg_set_state(queue, leg, DEMIT_LEG_OVER, 0);
    leg->pending = 0;
    for (uint32_t i = 0; i < count; i++) {
        moves[i].leg->attempts = leg->attempts;
        moves[i].leg->delay_told = leg->delay_told;
        moves[i].leg->pending++;
        moves[i].recipient->leg = moves[i].leg->number;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (moves[i].leg != leg) {
            moves[i].leg->under_way = 0;
        }
        if (moves[i].leg->state == DEMIT_LEG_OVER) {
            begin_leg(queue, moves[i].leg, moves[i].place, due_us);
        }
    }
    before->legs--;
    demit_destination_reconsider(queue, before);
}

/* Whether LEG is where it belongs, as a whole. */
static bool is_at_home(const demit_queue_t *queue, const demit_leg_t *leg)
{
    const demit_queued_t *message = leg->message;
    for (uint32_t i = 0; i < message->recipient_count; i++) {
        const demit_queued_recipient_t *recipient = &message->recipients[i];
        if (recipient->leg == leg->number && recipient->state == DEMIT_RECIPIENT_PENDING &&
            !demit_destination_is_for(queue, leg->destination, demit_queued_address(message, recipient))) {
            return false;
        }
    }
    return true;
}

/* Moves LEG, which is not where it belongs. False: there is no memory to do it, and nothing has changed. */
static bool move_leg(demit_queue_t *queue, demit_leg_t *leg, int64_t due_us)
{
    apr_pool_t *pool;
    if (apr_pool_create(&pool, queue->pool) != APR_SUCCESS) {
        return false;
    }
    move_t *moves = apr_pcalloc(pool, leg->message->recipient_count * sizeof(*moves));
    const uint32_t count = find_places(queue, leg, moves);
    const bool moves_on = find_legs(leg, moves, count);
    if (moves_on) {
        set_out(queue, leg, moves, count, due_us);
    } else {
        give_up_moves(queue, leg, moves, count);
    }
    apr_pool_destroy(pool);
    return moves_on;
}

void demit_leg_find_way(demit_queue_t *queue, demit_leg_t *leg, int64_t due_us)
{
    leg->astray = false;
    if (!is_at_home(queue, leg) && move_leg(queue, leg, due_us)) {
        return;
    }
    if (leg->state == DEMIT_LEG_ACTIVE) {
        demit_leg_set_state(queue, leg, DEMIT_LEG_WAITING, due_us);
    }
}

/* ---- destinations ----------------------------------------------------------------------------------------------- */

/* Has every leg of DESTINATION look where it belongs. DESTINATION may be gone afterwards. */
static void send_legs(demit_queue_t *queue, demit_destination_t *destination)
{
    demit_link_t *link = destination->by_age.next;
    for (uint64_t left = destination->legs; left > 0; left--) {
        demit_leg_t *leg = DEMIT_CONTAINER_OF(link, demit_leg_t, by_age);
        link = link->next;
        if (leg->state == DEMIT_LEG_ACTIVE) {
            leg->astray = true;
        } else {
            demit_leg_find_way(queue, leg, leg->state == DEMIT_LEG_WAITING ? leg->node.due_us : queue->now_us);
        }
    }
}

static bool same_way(const demit_domain_settings_t *left, const demit_domain_settings_t *right)
{
    if ((left->name == NULL) != (right->name == NULL) || (left->name != NULL && strcmp(left->name, right->name) != 0) ||
        (left->gateway_host == NULL) != (right->gateway_host == NULL) ||
        (left->delivery_method == DEMIT_DELIVER_MAILDIR) != (right->delivery_method == DEMIT_DELIVER_MAILDIR)) {
        return false;
    }
    return left->gateway_host == NULL ||
           (strcmp(left->gateway_host, right->gateway_host) == 0 && left->gateway_port == right->gateway_port &&
            left->remote_smtp_port == right->remote_smtp_port);
}

/* Whether every domain is reached as before: then no leg is astray, and a million of them need not be asked. */
static bool same_ways(const demit_settings_t *older, const demit_settings_t *newer)
{
    const apr_array_header_t *before = older->domains, *now = newer->domains;
    if (before == NULL || now == NULL || before->nelts != now->nelts ||
        !same_way(older->any_domain, newer->any_domain) || strcmp(older->hostname, newer->hostname) != 0) {
        return false;
    }
    for (int i = 0; i < now->nelts; i++) {
        if (!same_way(&APR_ARRAY_IDX(before, i, demit_domain_settings_t),
                      &APR_ARRAY_IDX(now, i, demit_domain_settings_t))) {
            return false;
        }
    }
    return true;
}

/* Destinations are made while legs move, so those that there are now are listed first. */
static void reconsider_all(demit_queue_t *queue, const demit_settings_t *older, apr_pool_t *pool)
{
    const bool is_same = same_ways(older, queue->settings);
    const unsigned count = apr_hash_count(queue->destinations);
    demit_destination_t **all = apr_palloc(pool, count * sizeof(demit_destination_t *) + 1);
    unsigned listed = 0;
    for (apr_hash_index_t *at = apr_hash_first(pool, queue->destinations); at != NULL; at = apr_hash_next(at)) {
        void *destination;
        apr_hash_this(at, NULL, NULL, &destination);
        all[listed++] = destination;
    }
    for (unsigned i = 0; i < listed; i++) {
        if (!demit_destination_adopt(queue, all[i])) {
            demit_destination_abandon(queue, all[i]);
        }
    }
    for (unsigned i = 0; i < listed; i++) {
        demit_destination_t *destination = all[i];
        const bool may_be_gone = destination->legs == 0;
        /* A domain's own destination that was adopted holds that domain's mail as before; a gateway's may not. */
        const bool looks = destination->abandoned || (destination->is_gateway && !is_same);
        if (!destination->abandoned) {
            demit_destination_reconsider(queue, destination); /* limits may be others */
        }
        if (looks && !may_be_gone) {
            send_legs(queue, destination);
        }
    }
}

/* ---- the settings ----------------------------------------------------------------------------------------------- */

/* Lives in the pool of the settings that it brings. */
typedef struct change {
    demit_task_t task;
    demit_queue_t *queue;
    const demit_settings_t *settings;
} change_t;

static void on_change(demit_task_t *task)
{
    change_t *change = DEMIT_CONTAINER_OF(task, change_t, task);
    demit_queue_t *queue = change->queue;
    const demit_settings_t *older = queue->settings;
    apr_pool_t *pool;
    queue->settings = change->settings; /* with the hold that came along */
    if (apr_pool_create(&pool, queue->pool) == APR_SUCCESS) {
        reconsider_all(queue, older, pool);
        apr_pool_destroy(pool);
    }
    demit_settings_release(older);
}

bool demit_queue_discard_settings(demit_task_t *task)
{
    if (task->run != on_change) {
        return false;
    }
    demit_settings_release(DEMIT_CONTAINER_OF(task, change_t, task)->settings);
    return true;
}

void demit_queue_use_settings(demit_queue_t *queue, const demit_settings_t *settings)
{
    change_t *change = apr_palloc(demit_settings_pool(settings), sizeof(*change));
    *change = (change_t){.task.run = on_change, .queue = queue, .settings = demit_settings_hold(settings)};
    demit_queue_post(queue, &change->task);
}
