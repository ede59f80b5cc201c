/*
 * One message on its way in. Its bytes are held in one buffer up to the threshold; when more come, the full buffer
 * goes to the committer as a chunk and the next one is filled meanwhile.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <apr_errno.h>

#include "core/spool/compact.h"

/* One full buffer. Freed with its writer; its bytes as soon as they are written. */
typedef struct chunk {
    spool_request_t request;
    struct chunk *next;
    demit_spool_writer_t *writer;
    unsigned char *bytes;
    size_t capacity;
    bool stored; /* committer only */
    unsigned char head[SPOOL_RECORD_HEADER_SIZE + SPOOL_ALIGN];
} chunk_t;

/* writer->state: chunks under way, in units of CHUNK_UNIT, and two flags. */
enum { WANTS_ROOM = 1, DISCARDED = 2, CHUNK_UNIT = 4 };

enum { FIRST_CAPACITY = 4096 };

struct demit_spool_writer {
    demit_spool_t *spool;
    void (*on_room)(void *baton);
    void *room_baton;
    atomic_uint state;
    atomic_int failure; /* apr_status_t of a chunk that could not be stored */

    unsigned char *buffer; /* with SPOOL_ALIGN bytes behind its capacity, for the padding */
    size_t used, capacity;
    uint64_t written;
    chunk_t *first_chunk, **last_chunk;
    uint32_t chunk_count;

    /* From commit on. */
    spool_request_t message; /* or, after a discard, the request to let go of the chunks */
    demit_spool_done_fn *on_done;
    void *done_baton;
    spool_tracked_t *tracked; /* for the table, if the message has chunks or is moved */
    spool_ticket_t *ticket;   /* it is a move */
};

static apr_status_t writer_create(demit_spool_writer_t **result, demit_spool_t *spool, void (*on_room)(void *baton),
                                  void *baton)
{
    demit_spool_writer_t *writer = calloc(1, sizeof *writer);

    *result = writer;
    if (writer == NULL) {
        return APR_ENOMEM;
    }
    writer->spool = spool;
    writer->on_room = on_room;
    writer->room_baton = baton;
    writer->last_chunk = &writer->first_chunk;
    atomic_init(&writer->state, 0);
    atomic_init(&writer->failure, APR_SUCCESS);
    return APR_SUCCESS;
}

apr_status_t demit_spool_begin(demit_spool_writer_t **writer, demit_spool_t *spool, void (*on_room)(void *baton),
                               void *baton)
{
    return writer_create(writer, spool, on_room, baton);
}

apr_status_t spool_writer_begin_move(demit_spool_writer_t **writer, spool_ticket_t *ticket,
                                     void (*on_room)(void *baton), void *baton)
{
    apr_status_t status = writer_create(writer, ticket->spool, on_room, baton);

    if (status == APR_SUCCESS) {
        (*writer)->ticket = ticket;
    }
    return status;
}

uint64_t demit_spool_written(const demit_spool_writer_t *writer)
{
    return writer->written;
}

/* ---- letting go ---- */

static void free_bytes(demit_spool_t *spool, unsigned char **bytes, size_t capacity)
{
    if (*bytes != NULL) {
        atomic_fetch_sub_explicit(&spool->buffered, capacity, memory_order_relaxed);
    }
    free(*bytes);
    *bytes = NULL;
}

static void writer_free(demit_spool_writer_t *writer)
{
    while (writer->first_chunk != NULL) {
        chunk_t *chunk = writer->first_chunk;

        writer->first_chunk = chunk->next;
        free_bytes(writer->spool, &chunk->bytes, chunk->capacity);
        free(chunk);
    }
    free_bytes(writer->spool, &writer->buffer, writer->capacity);
    free(writer->message.head);
    free(writer->tracked);
    free(writer);
}

/* The chunks that were stored are needed by nobody. Committer, locked. */
static void drop_chunks(demit_spool_writer_t *writer)
{
    for (chunk_t *chunk = writer->first_chunk; chunk != NULL; chunk = chunk->next) {
        if (chunk->stored) {
            spool_segment_drop(writer->spool, chunk->request.segment->header.number);
        }
    }
}

static void writer_release(demit_spool_writer_t *writer)
{
    demit_spool_t *spool = writer->spool;

    spool_lock(spool);
    drop_chunks(writer);
    spool_unlock(spool);
    writer_free(writer);
}

static void release_complete(demit_spool_t *spool, spool_request_t *request, apr_status_t status)
{
    (void)spool;
    (void)status;
    writer_release(DEMIT_CONTAINER_OF(request, demit_spool_writer_t, message));
}

void demit_spool_discard(demit_spool_writer_t *writer)
{
    demit_spool_t *spool = writer->spool;
    unsigned state;

    (void)apr_thread_mutex_lock(spool->room_lock);
    state = atomic_fetch_or(&writer->state, DISCARDED);
    (void)apr_thread_mutex_unlock(spool->room_lock);
    if (state >= CHUNK_UNIT) {
        return; /* the last chunk's completion lets go */
    }
    if (writer->first_chunk == NULL) {
        writer_free(writer);
        return;
    }
    writer->message.weightless = true;
    writer->message.complete = release_complete;
    spool_submit(spool, &writer->message);
}

/* ---- chunks ---- */

static void chunk_complete(demit_spool_t *spool, spool_request_t *request, apr_status_t status)
{
    chunk_t *chunk = DEMIT_CONTAINER_OF(request, chunk_t, request);
    demit_spool_writer_t *writer = chunk->writer;
    bool discarded = false;

    free_bytes(spool, &chunk->bytes, chunk->capacity);
    if (status == APR_SUCCESS) {
        chunk->stored = true;
        spool_lock(spool);
        request->segment->living++;
        request->segment->total++;
        spool_unlock(spool);
    } else {
        atomic_store(&writer->failure, status);
    }
    (void)apr_thread_mutex_lock(spool->room_lock);
    if (atomic_fetch_sub(&writer->state, CHUNK_UNIT) < 2 * CHUNK_UNIT) {
        unsigned flags = atomic_fetch_and(&writer->state, ~(unsigned)WANTS_ROOM);

        discarded = (flags & DISCARDED) != 0;
        if (!discarded && (flags & WANTS_ROOM) != 0) {
            writer->on_room(writer->room_baton);
        }
    }
    (void)apr_thread_mutex_unlock(spool->room_lock);
    if (discarded) {
        writer_release(writer);
    }
}

/*
 * Sends the full buffer off.
 * -Wanalyzer-malloc-leak in send_chunk(): gcc 12 forgets that the chunk stands at the end of WRITER's list, which
 * writer_free() walks. -Wanalyzer-malloc-leak in demit_spool_append(): the same, seen from the caller.
 */
static apr_status_t send_chunk(demit_spool_writer_t *writer)
{
    chunk_t *chunk = calloc(1, sizeof *chunk);

    if (chunk == NULL) {
        return APR_ENOMEM;
    }
    chunk->writer = writer;
    chunk->bytes = writer->buffer;
    chunk->capacity = writer->capacity;
    memset(chunk->bytes + writer->used, 0, SPOOL_ALIGN);
    chunk->request.complete = chunk_complete;
    chunk->request.privileged = writer->ticket != NULL;
    chunk->request.head = chunk->head;
    chunk->request.head_size = SPOOL_RECORD_HEADER_SIZE;
    chunk->request.body = chunk->bytes;
    chunk->request.body_hash = spool_body_hash(chunk->bytes, writer->used);
    chunk->request.header.type = SPOOL_CHUNK;
    chunk->request.header.body_size = (uint32_t)writer->used;

    writer->buffer = NULL;
    writer->used = writer->capacity = 0;
    *writer->last_chunk = chunk;
    writer->last_chunk = &chunk->next;
    writer->chunk_count++;
    atomic_fetch_add(&writer->state, CHUNK_UNIT);
    spool_submit(writer->spool, &chunk->request);
    return APR_SUCCESS;
}

/* Room for SIZE bytes in the buffer, at most up to the threshold. */
static apr_status_t grow(demit_spool_writer_t *writer, size_t size)
{
    size_t threshold = writer->spool->threshold;
    size_t wanted = writer->used + size, capacity = writer->capacity;
    unsigned char *bigger;

    if (wanted <= capacity) {
        return APR_SUCCESS;
    }
    /* Who has sent one full buffer will fill the next one too. */
    if (capacity == 0) {
        capacity = writer->chunk_count > 0 ? threshold : FIRST_CAPACITY;
    }
    while (capacity < wanted) {
        capacity *= 2;
    }
    if (capacity > threshold) {
        capacity = threshold;
    }
    bigger = realloc(writer->buffer, capacity + SPOOL_ALIGN);
    if (bigger == NULL) {
        return APR_ENOMEM;
    }
    atomic_fetch_add_explicit(&writer->spool->buffered, capacity - writer->capacity, memory_order_relaxed);
    writer->buffer = bigger;
    writer->capacity = capacity;
    return APR_SUCCESS;
}

/* Whether a chunk is under way; then on_room will be called when it is not any more. */
static bool must_wait(demit_spool_writer_t *writer)
{
    unsigned state = atomic_load(&writer->state);

    while (state >= CHUNK_UNIT) {
        if (atomic_compare_exchange_weak(&writer->state, &state, state | WANTS_ROOM)) {
            return true;
        }
    }
    return false;
}

apr_status_t demit_spool_append(demit_spool_writer_t *writer, const void *bytes, size_t size)
{
    size_t threshold = writer->spool->threshold;
    const unsigned char *from = bytes;
    apr_status_t status = atomic_load(&writer->failure);

    if (status != APR_SUCCESS) {
        return status;
    }
    if (size > threshold - writer->used && must_wait(writer)) {
        return APR_EAGAIN;
    }
    writer->written += size;
    while (size > 0) {
        size_t part = threshold - writer->used;

        if (part == 0) {
            status = send_chunk(writer);
            part = threshold;
        }
        part = part < size ? part : size;
        if (status == APR_SUCCESS) {
            status = grow(writer, part);
        }
        if (status != APR_SUCCESS) {
            atomic_store(&writer->failure, status); /* some of the bytes are in: there is no way back */
            return status;
        }
        memcpy(writer->buffer + writer->used, from, part);
        writer->used += part;
        from += part;
        size -= part;
    }
    return APR_SUCCESS;
}

/* ---- the message ---- */

static unsigned char *chunk_refs(const spool_request_t *request)
{
    return request->head + SPOOL_RECORD_HEADER_SIZE + request->header.envelope_size;
}

static unsigned char *embedded_outcome(const spool_request_t *request)
{
    return chunk_refs(request) + (size_t)request->header.chunk_count * SPOOL_CHUNK_REF_SIZE;
}

/* Writes where the chunks stand: known only now, as they may be in this very batch. */
static apr_status_t message_prepare(demit_spool_t *spool, spool_request_t *request)
{
    demit_spool_writer_t *writer = DEMIT_CONTAINER_OF(request, demit_spool_writer_t, message);
    unsigned char *out = chunk_refs(request);
    apr_status_t status = atomic_load(&writer->failure);
    bool stale = false;

    if (writer->ticket != NULL) {
        spool_lock(spool);
        stale = writer->ticket->stale;
        spool_unlock(spool);
    }
    if (status != APR_SUCCESS || stale) {
        return stale ? APR_EGENERAL : status;
    }
    for (chunk_t *chunk = writer->first_chunk; chunk != NULL; chunk = chunk->next) {
        const spool_segment_header_t *segment = &chunk->request.segment->header;
        spool_chunk_ref_t ref = {segment->number, chunk->request.header.body_size, segment->epoch,
                                 chunk->request.offset, chunk->request.header.sequence};

        spool_chunk_ref_encode(&ref, out);
        out += SPOOL_CHUNK_REF_SIZE;
    }
    if (request->header.outcome_size > 0) {
        spool_outcome_aim(spool, embedded_outcome(request), request->header.outcome_size);
    }
    return APR_SUCCESS;
}

/* Fills in the entry of the table. */
static spool_tracked_t *take_tracked(demit_spool_writer_t *writer, demit_spool_location_t location)
{
    spool_tracked_t *tracked = writer->tracked;
    uint32_t i = 0;

    writer->tracked = NULL;
    tracked->segment = location.segment;
    for (chunk_t *chunk = writer->first_chunk; chunk != NULL; chunk = chunk->next) {
        spool_owner_of(tracked)->chunk_segments[i++] = chunk->request.segment->header.number;
    }
    if (tracked->chunk_count > 0) {
        spool_owner_of(tracked)->block = location.block;
    }
    return tracked;
}

/* The message is durable: what is alive now, and what no longer. Locked. */
static void message_stored(demit_spool_writer_t *writer, demit_spool_location_t location)
{
    demit_spool_t *spool = writer->spool;
    const spool_request_t *request = &writer->message;
    const spool_ticket_t *ticket = writer->ticket;

    request->segment->living++;
    request->segment->total++;
    if (ticket != NULL) {
        spool_tracked_t *old = spool_tracked_find(spool, ticket->id);

        /* The younger copy must not go before the older one, or the older would be the message again. */
        spool_segment_follows(request->segment, old ? old->segment : ticket->from.segment, true);
        spool_message_over(spool, ticket->id, ticket->from);
    }
    if (writer->tracked != NULL) {
        spool_tracked_add(spool, take_tracked(writer, location));
    }
    if (request->header.outcome_size > 0) {
        spool_outcome_apply(spool, embedded_outcome(request), request->header.outcome_size, request->segment);
    }
}

static void message_complete(demit_spool_t *spool, spool_request_t *request, apr_status_t status)
{
    demit_spool_writer_t *writer = DEMIT_CONTAINER_OF(request, demit_spool_writer_t, message);
    demit_spool_location_t location = {0, 0};

    spool_lock(spool);
    if (status == APR_SUCCESS) {
        location = spool_location(request->segment->header.number, request->offset);
        message_stored(writer, location);
    } else {
        drop_chunks(writer);
    }
    spool_unlock(spool);
    writer->on_done(writer->done_baton, status, location);
    writer_free(writer);
}

/* Builds the record but for its place. */
static apr_status_t build_message(demit_spool_writer_t *writer, const demit_envelope_t *envelope,
                                  const demit_spool_outcome_t *reports)
{
    spool_request_t *request = &writer->message;
    spool_record_header_t *header = &request->header;
    size_t envelope_size = demit_envelope_encoded_size(envelope);
    size_t outcome_size = reports ? spool_outcome_encoded_size(reports) : 0;

    if (envelope_size > UINT32_MAX || outcome_size > UINT32_MAX) {
        return APR_FROM_OS_ERROR(EFBIG);
    }
    header->type = SPOOL_MESSAGE;
    header->id = envelope->id;
    header->envelope_size = (uint32_t)envelope_size;
    header->chunk_count = writer->chunk_count;
    header->outcome_size = (uint32_t)outcome_size;
    header->body_size = (uint32_t)writer->used;
    request->head_size = SPOOL_RECORD_HEADER_SIZE + (size_t)spool_record_meta_size(header);
    request->head = calloc(1, request->head_size + SPOOL_ALIGN);
    if (request->head == NULL) {
        return APR_ENOMEM;
    }
    demit_envelope_encode(envelope, request->head + SPOOL_RECORD_HEADER_SIZE);
    if (reports != NULL) {
        spool_outcome_encode(reports, embedded_outcome(request));
    }
    if (writer->used > 0) {
        memset(writer->buffer + writer->used, 0, SPOOL_ALIGN);
        request->body = writer->buffer;
    }
    request->body_hash = spool_body_hash(writer->buffer ? (const void *)writer->buffer : "", writer->used);
    if (writer->chunk_count > 0 || writer->ticket != NULL) {
        writer->tracked = spool_tracked_make(envelope->id, (demit_spool_location_t){0, 0}, writer->chunk_count);
        if (writer->tracked == NULL) {
            return APR_ENOMEM;
        }
    }
    return APR_SUCCESS;
}

void demit_spool_commit(demit_spool_writer_t *writer, demit_envelope_t *envelope, const demit_spool_outcome_t *reports,
                        demit_spool_done_fn *on_done, void *baton)
{
    apr_status_t status;

    writer->on_done = on_done;
    writer->done_baton = baton;
    writer->message.complete = message_complete;
    writer->message.prepare = message_prepare;
    writer->message.privileged = writer->ticket != NULL;
    envelope->size_bytes = writer->written;
    status = build_message(writer, envelope, reports);
    if (status != APR_SUCCESS) { /* the committer tells, as ever */
        writer->message.weightless = true;
        writer->message.outcome = status;
    }
    spool_submit(writer->spool, &writer->message);
}
