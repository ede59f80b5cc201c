#include "core/delivery/queued.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <apr_errno.h>

enum { NOTE_MAX = 255, FIRST_BUCKETS = 1024 };

/* ---- packing ---------------------------------------------------------------------------------------------------- */

static size_t text_size(const char *text)
{
    return text != NULL ? strlen(text) + 1 : 0;
}

/* Appends TEXT to the block, which was made large enough. Returns whether there was one. */
static bool put_text(demit_queued_t *message, size_t *end, const char *text)
{
    if (text == NULL) {
        return false;
    }
    size_t size = strlen(text) + 1;
    memcpy((char *)message + *end, text, size);
    *end += size;
    return true;
}

/* Right behind the recipients: the block's own size is rounded up, and a million times some bytes are some megabytes.
 */
static size_t texts_begin(uint32_t recipient_count)
{
    return offsetof(demit_queued_t, recipients) + recipient_count * sizeof(demit_queued_recipient_t);
}

static size_t packed_size(const demit_envelope_t *envelope)
{
    size_t size = texts_begin(envelope->recipient_count);
    size += text_size(envelope->sender) + text_size(envelope->envid);
    for (uint32_t i = 0; i < envelope->recipient_count; i++) {
        const demit_recipient_t *recipient = &envelope->recipients[i];
        size += text_size(recipient->address) + text_size(recipient->original) + text_size(recipient->accepted);
    }
    return size;
}

static void pack_recipients(demit_queued_t *message, size_t *end, const demit_envelope_t *envelope)
{
    for (uint32_t i = 0; i < envelope->recipient_count; i++) {
        const demit_recipient_t *from = &envelope->recipients[i];
        demit_queued_recipient_t *to = &message->recipients[i];
        to->texts = (uint32_t)*end;
        to->notify = from->notify;
        to->state = (uint8_t)from->state;
        (void)put_text(message, end, from->address);
        to->has_original = put_text(message, end, from->original);
        to->has_accepted = put_text(message, end, from->accepted);
        if (from->state == DEMIT_RECIPIENT_PENDING) {
            message->pending++;
        }
    }
}

demit_queued_t *demit_queued_pack(const demit_envelope_t *envelope, demit_spool_location_t location)
{
    size_t size = packed_size(envelope);
    if (size > UINT32_MAX) {
        return NULL;
    }
    demit_queued_t *message = calloc(1, size > sizeof(*message) ? size : sizeof(*message));
    if (message == NULL) {
        return NULL;
    }
    message->id = envelope->id;
    message->arrived_us = envelope->arrived_us;
    message->next_attempt_us = envelope->next_attempt_us;
    message->size_bytes = envelope->size_bytes;
    message->location = location;
    message->flags = envelope->flags;
    message->ret = (uint8_t)envelope->ret;
    message->attempts = envelope->attempts;
    message->delay_dsn_sent = envelope->delay_dsn_sent;
    message->recipient_count = envelope->recipient_count;
    message->legs = &message->first_leg;

    size_t end = texts_begin(envelope->recipient_count);
    (void)put_text(message, &end, envelope->sender);
    message->has_envid = put_text(message, &end, envelope->envid);
    pack_recipients(message, &end, envelope);
    return message;
}

demit_leg_t *demit_queued_spare_leg(demit_queued_t *message)
{
    demit_leg_t *leg = message->legs;
    for (;; leg = leg->next) {
        if (leg->state == DEMIT_LEG_OVER && leg->pending == 0 && leg->under_way == 0) {
            return leg;
        }
        if (leg->next == NULL) {
            break;
        }
    }
    demit_leg_t *added = calloc(1, sizeof(*added));
    if (added != NULL) {
        added->message = message;
        added->number = leg->number + 1;
        added->added = true;
        leg->next = added;
    }
    return added;
}

void demit_queued_free(demit_queued_t *message)
{
    /* The first leg is the message's own, in it or at the head of LEGS. */
    for (demit_leg_t *leg = message->legs->next, *next; leg != NULL; leg = next) {
        next = leg->next;
        if (leg->added) {
            free(leg);
        }
    }
    demit_note_release(message->note);
    if (message->legs != &message->first_leg) {
        free(message->legs);
    }
    free(message);
}

const char *demit_queued_address(const demit_queued_t *message, const demit_queued_recipient_t *recipient)
{
    return (const char *)message + recipient->texts;
}

/* The text behind TEXT. */
static const char *text_after(const char *text)
{
    return text + strlen(text) + 1;
}

demit_envelope_t *demit_queued_envelope(const demit_queued_t *message, apr_pool_t *pool)
{
    demit_envelope_t *envelope = apr_pcalloc(pool, sizeof(*envelope));
    envelope->id = message->id;
    envelope->arrived_us = message->arrived_us;
    envelope->size_bytes = message->size_bytes;
    envelope->flags = message->flags;
    envelope->ret = (demit_ret_t)message->ret;
    envelope->sender = (const char *)message + texts_begin(message->recipient_count);
    envelope->envid = message->has_envid ? text_after(envelope->sender) : NULL;
    envelope->attempts = message->attempts;
    envelope->next_attempt_us = message->next_attempt_us;
    envelope->delay_dsn_sent = message->delay_dsn_sent;
    envelope->recipient_count = message->recipient_count;
    envelope->recipients = apr_pcalloc(pool, message->recipient_count * sizeof(demit_recipient_t));
    for (uint32_t i = 0; i < message->recipient_count; i++) {
        const demit_queued_recipient_t *from = &message->recipients[i];
        demit_recipient_t *to = &envelope->recipients[i];
        const char *text = demit_queued_address(message, from);
        to->address = text;
        if (from->has_original) {
            text = text_after(text);
            to->original = text;
        }
        if (from->has_accepted) {
            to->accepted = text_after(text);
        }
        to->notify = from->notify;
        to->state = (demit_recipient_state_t)from->state;
    }
    return envelope;
}

/* ---- notes ------------------------------------------------------------------------------------------------------ */

demit_note_t *demit_note_make(demit_note_t *recent, const char *text)
{
    size_t size = strlen(text);
    if (size > NOTE_MAX) {
        size = NOTE_MAX;
    }
    if (recent != NULL && strncmp(recent->text, text, size) == 0 && recent->text[size] == '\0') {
        recent->references++;
        return recent;
    }
    demit_note_t *note = malloc(sizeof(*note) + size + 1);
    if (note == NULL) {
        return NULL; /* a note is a convenience */
    }
    note->references = 1;
    memcpy(note->text, text, size);
    note->text[size] = '\0';
    return note;
}

void demit_note_release(demit_note_t *note)
{
    if (note != NULL && --note->references == 0) {
        free(note);
    }
}

/* ---- index ------------------------------------------------------------------------------------------------------ */

/* The spool counts its ids up, so neighbours in time are neighbours here, and share cache lines: no scrambling. */
static uint64_t spread(uint64_t id)
{
    return id ^ id >> 32;
}

apr_status_t demit_queue_index_init(demit_queue_index_t *index)
{
    index->buckets = calloc(FIRST_BUCKETS, sizeof(demit_queued_t *));
    index->mask = FIRST_BUCKETS - 1;
    index->count = 0;
    return index->buckets != NULL ? APR_SUCCESS : APR_ENOMEM;
}

void demit_queue_index_destroy(demit_queue_index_t *index)
{
    free(index->buckets);
    index->buckets = NULL;
}

/* Without memory the chains just grow longer. */
static void grow(demit_queue_index_t *index)
{
    size_t size = (index->mask + 1) * 2;
    demit_queued_t **buckets = calloc(size, sizeof(demit_queued_t *));
    if (buckets == NULL) {
        return;
    }
    for (size_t i = 0; i <= index->mask; i++) {
        for (demit_queued_t *message = index->buckets[i], *next; message != NULL; message = next) {
            next = message->next_in_bucket;
            demit_queued_t **bucket = &buckets[spread(message->id) & (size - 1)];
            message->next_in_bucket = *bucket;
            *bucket = message;
        }
    }
    free(index->buckets);
    index->buckets = buckets;
    index->mask = size - 1;
}

void demit_queue_index_add(demit_queue_index_t *index, demit_queued_t *message)
{
    if (index->count > index->mask) {
        grow(index);
    }
    demit_queued_t **bucket = &index->buckets[spread(message->id) & index->mask];
    message->next_in_bucket = *bucket;
    *bucket = message;
    index->count++;
}

void demit_queue_index_remove(demit_queue_index_t *index, demit_queued_t *message)
{
    demit_queued_t **at = &index->buckets[spread(message->id) & index->mask];
    while (*at != message) {
        at = &(*at)->next_in_bucket;
    }
    *at = message->next_in_bucket;
    index->count--;
}

demit_queued_t *demit_queue_index_find(const demit_queue_index_t *index, uint64_t id)
{
    demit_queued_t *message = index->buckets[spread(id) & index->mask];
    while (message != NULL && message->id != id) {
        message = message->next_in_bucket;
    }
    return message;
}
