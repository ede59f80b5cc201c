/*
 * Messages that are known one by one. There may be a million of them, and the committer looks here for every outcome,
 * so the table never stands still to be made anew: it grows by one bucket for each message that comes (linear hashing),
 * and a walk through those that have chunks may pause at any of them.
 */
#include <stdlib.h>
#include <string.h>

#include "core/spool/spool_priv.h"

spool_tracked_t *spool_tracked_make(uint64_t id, demit_spool_location_t location, uint32_t chunk_count)
{
    spool_tracked_t *tracked =
        calloc(1, chunk_count > 0 ? sizeof(spool_owner_t) + chunk_count * sizeof(uint32_t) : sizeof(spool_tracked_t));

    if (tracked == NULL) {
        return NULL;
    }
    tracked->id = id;
    tracked->segment = location.segment;
    tracked->chunk_count = chunk_count;
    if (chunk_count > 0) {
        spool_owner_of(tracked)->block = location.block;
    }
    return tracked;
}

/* ---- the table ---- */

/* Ids are handed out in order: no better hash than themselves. */
static uint32_t bucket_of(const spool_tracked_table_t *table, uint64_t id)
{
    uint32_t mask = UINT32_MAX >> __builtin_clz(table->bucket_count), bucket = (uint32_t)(id ^ id >> 32) & mask;

    return bucket < table->bucket_count ? bucket : bucket & mask >> 1;
}

/* One bucket more, with what belongs there of the one that it is split from. Without memory chains just get longer. */
static void split(spool_tracked_table_t *table)
{
    spool_tracked_t **link;
    uint32_t added = table->bucket_count;

    if (added == table->capacity) {
        spool_tracked_t **buckets = realloc(table->buckets, (size_t)added * 2 * sizeof(spool_tracked_t *));

        if (buckets == NULL) {
            return;
        }
        table->buckets = buckets;
        table->capacity = added * 2;
    }
    table->buckets[added] = NULL;
    table->bucket_count++;
    link = &table->buckets[added & (UINT32_MAX >> __builtin_clz(added)) >> 1];
    while (*link != NULL) {
        spool_tracked_t *tracked = *link;

        if (bucket_of(table, tracked->id) != added) {
            link = &tracked->next;
            continue;
        }
        *link = tracked->next;
        tracked->next = table->buckets[added];
        table->buckets[added] = tracked;
    }
}

static spool_tracked_t **link_of(spool_tracked_table_t *table, uint64_t id)
{
    spool_tracked_t **link = &table->buckets[bucket_of(table, id)];

    while (*link != NULL && (*link)->id != id) {
        link = &(*link)->next;
    }
    return link;
}

spool_tracked_t *spool_tracked_find(demit_spool_t *spool, uint64_t id)
{
    return spool->tracked.count > 0 ? *link_of(&spool->tracked, id) : NULL;
}

apr_status_t spool_tracked_prepare(demit_spool_t *spool)
{
    spool_tracked_table_t *table = &spool->tracked;

    table->buckets = calloc(SPOOL_TRACKED_FIRST_BUCKETS, sizeof *table->buckets);
    table->capacity = table->bucket_count = table->buckets != NULL ? SPOOL_TRACKED_FIRST_BUCKETS : 0;
    return table->buckets != NULL ? APR_SUCCESS : APR_ENOMEM;
}

void spool_tracked_add(demit_spool_t *spool, spool_tracked_t *tracked)
{
    spool_tracked_table_t *table = &spool->tracked;
    spool_tracked_t **link;

    if (table->count >= table->bucket_count) {
        split(table);
    }
    link = &table->buckets[bucket_of(table, tracked->id)];
    tracked->next = *link;
    *link = tracked;
    table->count++;
    if (tracked->chunk_count > 0) {
        spool_owner_t *owner = spool_owner_of(tracked);

        owner->older = table->youngest;
        owner->younger = NULL;
        *(owner->older != NULL ? &owner->older->younger : &table->oldest) = owner;
        table->youngest = owner;
    }
}

static void unlist(spool_tracked_table_t *table, spool_owner_t *owner)
{
    if (table->cursor == owner) {
        table->cursor = owner->younger;
    }
    *(owner->older != NULL ? &owner->older->younger : &table->oldest) = owner->younger;
    *(owner->younger != NULL ? &owner->younger->older : &table->youngest) = owner->older;
}

/* Takes the message ID out of the table. NULL: it is not there. */
static spool_tracked_t *take(spool_tracked_table_t *table, uint64_t id)
{
    spool_tracked_t **link = table->count > 0 ? link_of(table, id) : NULL;
    spool_tracked_t *tracked = link != NULL ? *link : NULL;

    if (tracked == NULL) {
        return NULL;
    }
    *link = tracked->next;
    table->count--;
    if (tracked->chunk_count > 0) {
        unlist(table, spool_owner_of(tracked));
    }
    return tracked;
}

void spool_tracked_forget(demit_spool_t *spool)
{
    spool_tracked_table_t *table = &spool->tracked;

    for (uint32_t i = 0; i < table->bucket_count; i++) {
        while (table->buckets[i] != NULL) {
            spool_tracked_t *next = table->buckets[i]->next;

            free(table->buckets[i]);
            table->buckets[i] = next;
        }
    }
    free(table->buckets);
    memset(table, 0, sizeof *table);
}

/* ---- what it is for ---- */

void spool_message_over(demit_spool_t *spool, uint64_t id, demit_spool_location_t location)
{
    spool_tracked_t *tracked = take(&spool->tracked, id);

    spool_segment_drop(spool, tracked != NULL ? tracked->segment : location.segment);
    for (uint32_t i = 0; tracked != NULL && i < tracked->chunk_count; i++) {
        spool_segment_drop(spool, spool_owner_of(tracked)->chunk_segments[i]);
    }
    free(tracked);
}

void spool_owners_rewind(demit_spool_t *spool)
{
    spool->tracked.cursor = spool->tracked.oldest;
}

static bool has_chunk_in(const spool_owner_t *owner, uint32_t segment)
{
    for (uint32_t i = 0; i < owner->tracked.chunk_count; i++) {
        if (owner->chunk_segments[i] == segment) {
            return true;
        }
    }
    return false;
}

bool spool_owners_next(demit_spool_t *spool, uint32_t segment, uint64_t *id, demit_spool_location_t *location)
{
    spool_tracked_table_t *table = &spool->tracked;

    *id = 0;
    for (uint32_t looks = 0; looks < SPOOL_OWNERS_PER_LOOK && table->cursor != NULL && *id == 0; looks++) {
        const spool_owner_t *owner = table->cursor;

        table->cursor = owner->younger;
        if (owner->tracked.segment != segment && has_chunk_in(owner, segment)) {
            *id = owner->tracked.id;
            *location = (demit_spool_location_t){owner->tracked.segment, owner->block};
        }
    }
    return *id != 0 || table->cursor != NULL;
}
