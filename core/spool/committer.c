/*
 * The committer: takes everything that is ready, writes it as one batch, syncs once, and only then says so. Batches
 * form by themselves: what arrives while the disk is busy goes out together when it is free.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <apr_errno.h>

#include "demit/log.h"
#include "demit/os.h"

#include "core/spool/spool_priv.h"

enum {
    PATIENCE_US = 50 * 1000,      /* how long outcomes wait for company */
    PATIENCE_COUNT = 1024,        /* but not more of them than this */
    MARK_DELAY_US = 100 * 1000,   /* quiet for so long: a durable mark of its own */
    SPACE_CHECK_US = 1000 * 1000, /* how old an answer about free space may be */
    OPEN_RETRY_US = 250 * 1000,   /* how long to wait after no segment could be opened */
    BATCH_MAX = 8 * 1024 * 1024,  /* so that nobody waits for a batch that never ends */
    PARTS_PER_RECORD = 2
};

typedef struct batch {
    spool_request_t *first, **last;
    uint64_t offset, length;
    uint32_t count;
    size_t parts;
    unsigned char header[SPOOL_BATCH_HEADER_SIZE];
} batch_t;

void spool_submit(demit_spool_t *spool, spool_request_t *request)
{
    spool_request_t *head = atomic_load(&spool->incoming);
    bool urgent = !request->patient; /* read now: once pushed, the request may be gone */

    do {
        request->next = head;
    } while (!atomic_compare_exchange_weak(&spool->incoming, &head, request));
    spool_wake_up(&spool->wake, urgent);
}

void demit_spool_post(demit_spool_t *spool, demit_task_t *task)
{
    demit_errands_add(&spool->errands, task);
    spool_wake_up(&spool->wake, true);
}

/* ---- taking what is there ---- */

/* Moves the stack's requests to the end of the line, the oldest first. */
static void take_incoming(demit_spool_t *spool)
{
    spool_committer_t *committer = &spool->committer;
    spool_request_t *newest = atomic_exchange(&spool->incoming, NULL);
    spool_request_t *oldest = NULL, **end = NULL;

    while (newest != NULL) {
        spool_request_t *next = newest->next;

        if (oldest == NULL) {
            end = &newest->next;
        }
        newest->next = oldest;
        oldest = newest;
        if (newest->patient && committer->patience_ends_us == INT64_MAX) {
            committer->patience_ends_us = demit_os_monotonic_us() + PATIENCE_US;
        }
        committer->urgent = committer->urgent || !newest->patient;
        committer->waiting++;
        newest = next;
    }
    if (oldest != NULL) {
        *committer->last = oldest;
        committer->last = end;
    }
}

/* Takes the first request off the line. */
static spool_request_t *pop(spool_committer_t *committer)
{
    spool_request_t *request = committer->first;

    committer->first = request->next;
    committer->waiting--;
    if (committer->first == NULL) {
        committer->last = &committer->first;
        committer->urgent = false;
        committer->patience_ends_us = INT64_MAX;
    }
    request->next = NULL;
    return request;
}

/* When the committer must look around though nobody calls it. */
static int64_t next_chore_us(demit_spool_t *spool)
{
    const spool_committer_t *committer = &spool->committer;
    int64_t due = committer->patience_ends_us, maintenance;

    if (committer->mark_due_us != 0 && committer->mark_due_us < due) {
        due = committer->mark_due_us;
    }
    spool_lock(spool);
    maintenance = spool->maintenance_retry_us;
    spool_unlock(spool);
    return maintenance != 0 && maintenance < due ? maintenance : due;
}

static bool must_commit(demit_spool_t *spool)
{
    const spool_committer_t *committer = &spool->committer;

    if (committer->first == NULL) {
        return false;
    }
    return committer->urgent || committer->waiting >= PATIENCE_COUNT || atomic_load(&spool->stopping) ||
           demit_os_monotonic_us() >= committer->patience_ends_us;
}

/* Sleeps until there may be something to do. */
static void rest(demit_spool_t *spool)
{
    spool_committer_t *committer = &spool->committer;
    int64_t until_us = next_chore_us(spool);

    spool_wake_announce(&spool->wake, committer->first ? SPOOL_DOZING : SPOOL_ASLEEP);
    take_incoming(spool);
    if (!must_commit(spool) && !atomic_load(&spool->stopping) && !demit_errands_wait(&spool->errands)) {
        /* What just came may be patient too: its time counts from now. */
        if (committer->patience_ends_us < until_us) {
            until_us = committer->patience_ends_us;
        }
        spool_wake_wait(&spool->wake, until_us);
    }
    spool_wake_rise(&spool->wake);
}

/* ---- making a batch ---- */

static void finish(demit_spool_t *spool, spool_request_t *request, apr_status_t status)
{
    if (status != APR_SUCCESS) {
        atomic_fetch_add_explicit(&spool->commits_failed, 1, memory_order_relaxed);
    }
    request->complete(spool, request, status);
}

/* What may be written before less is free than the configuration wants. */
static uint64_t space_above_minimum(demit_spool_t *spool)
{
    uint64_t free_bytes;

    if (spool->files->free_bytes(spool->files, spool->directory, &free_bytes) != 0) {
        return UINT64_MAX;
    }
    return free_bytes > spool->minimum_free ? free_bytes - spool->minimum_free : 0;
}

/*
 * Whether WANTED bytes would leave less free than the configuration wants. The system is asked once a second; while
 * there is room, also when what it said is used up (a fast disk takes all of the minimum within that second, and
 * outcomes would find no place then), and for each SEGMENT_BEGINS, which bounds what spares can take meanwhile.
 */
static bool space_is_low(demit_spool_t *spool, uint64_t wanted, bool segment_begins)
{
    spool_committer_t *committer = &spool->committer;
    int64_t now_us = demit_os_monotonic_us();
    bool asked = committer->space_checked_us != 0 && now_us - committer->space_checked_us < SPACE_CHECK_US, low;

    if (spool->minimum_free == 0) {
        return false;
    }
    if (asked && (committer->space_low || (wanted <= committer->space_left && !segment_begins))) {
        return committer->space_low;
    }
    committer->space_checked_us = now_us;
    committer->space_left = space_above_minimum(spool);
    low = wanted > committer->space_left;
    if (low != committer->space_low) {
        demit_log(low ? DEMIT_LOG_ERROR : DEMIT_LOG_INFO, low ? "spool_space_low" : "spool_space_back",
                  "minimum_bytes=%llu", (unsigned long long)spool->minimum_free);
    }
    committer->space_low = low;
    return low;
}

static uint64_t padded(uint64_t length)
{
    return spool_round_up(length, SPOOL_BLOCK);
}

/* Whether a batch of LENGTH fits into the current segment; one block stays free for the mark that closes it. */
static bool fits(const demit_spool_t *spool, uint64_t length)
{
    const spool_committer_t *committer = &spool->committer;

    return committer->current != NULL &&
           committer->position + padded(length) + SPOOL_BLOCK <= committer->current->header.size;
}

static void write_mark(demit_spool_t *spool);

/* A segment that was made in a hurry is left as soon as better ones are ready. */
static bool better_one_is_ready(demit_spool_t *spool)
{
    bool ready;

    if (spool->committer.current->header.prepared) {
        return false;
    }
    spool_lock(spool);
    ready = spool->spare_count >= SPOOL_SPARES_WANTED;
    spool_unlock(spool);
    return ready;
}

/* Opens a segment in which a batch of LENGTH fits, if the current one is not it. */
static apr_status_t make_room(demit_spool_t *spool, uint64_t length, bool privileged)
{
    spool_committer_t *committer = &spool->committer;
    int64_t now_us;

    if (fits(spool, length) && !better_one_is_ready(spool)) {
        return APR_SUCCESS;
    }
    if (padded(length) + (uint64_t)2 * SPOOL_BLOCK > spool->segment_size) {
        return APR_FROM_OS_ERROR(EFBIG);
    }
    now_us = demit_os_monotonic_us();
    if (committer->open_error != APR_SUCCESS && now_us < committer->retry_us && !privileged) {
        return committer->open_error;
    }
    if (committer->current != NULL) {
        write_mark(spool);
        spool_segment_leave(spool, false);
    }
    committer->open_error = spool_segment_begin(spool, privileged);
    committer->retry_us = now_us + OPEN_RETRY_US;
    return committer->open_error;
}

/* Room for the request's parts, the header's and the padding's. */
static apr_status_t reserve_parts(spool_committer_t *committer, size_t parts)
{
    size_t wanted = parts + PARTS_PER_RECORD + 2;
    struct iovec *bigger;

    if (wanted <= committer->part_capacity) {
        return APR_SUCCESS;
    }
    bigger = realloc(committer->parts, wanted * 2 * sizeof *bigger);
    if (bigger == NULL) {
        return APR_ENOMEM;
    }
    committer->parts = bigger;
    committer->part_capacity = wanted * 2;
    return APR_SUCCESS;
}

/*
 * Whether REQUEST goes into this batch: APR_SUCCESS; APR_EAGAIN, into the next one; or it is refused.
 */
static apr_status_t admit(demit_spool_t *spool, batch_t *batch, spool_request_t *request)
{
    uint64_t size = spool_record_size(&request->header);
    uint64_t length = (batch->count > 0 ? batch->length : SPOOL_BATCH_HEADER_SIZE) + size;
    bool fits_in = fits(spool, length);
    apr_status_t status;

    if (batch->count > 0 && (!fits_in || length > BATCH_MAX)) {
        return APR_EAGAIN;
    }
    if (!request->privileged && space_is_low(spool, padded(length), !fits_in)) {
        return APR_FROM_OS_ERROR(ENOSPC);
    }
    status = reserve_parts(&spool->committer, batch->parts);
    if (status == APR_SUCCESS && batch->count == 0) {
        status = make_room(spool, length, request->privileged);
    }
    return status;
}

static void begin_batch(demit_spool_t *spool, batch_t *batch)
{
    batch->offset = spool->committer.position;
    batch->length = SPOOL_BATCH_HEADER_SIZE;
    batch->parts = 1; /* the header's, filled in at the end */
}

static void add_part(spool_committer_t *committer, batch_t *batch, void *bytes, size_t size)
{
    if (size > 0) {
        committer->parts[batch->parts++] = (struct iovec){bytes, size};
    }
}

/* Whether REQUEST can stand at the end of BATCH, where it learns what only its place can tell it. As admit(). */
static apr_status_t prepare(demit_spool_t *spool, batch_t *batch, spool_request_t *request)
{
    apr_status_t status = admit(spool, batch, request);

    if (status != APR_SUCCESS) {
        return status;
    }
    if (batch->count == 0) {
        begin_batch(spool, batch);
    }
    request->segment = spool->committer.current;
    request->offset = batch->offset + batch->length;
    request->header.sequence = spool->committer.next_sequence + batch->count;
    return request->prepare ? request->prepare(spool, request) : APR_SUCCESS;
}

/* Puts REQUEST into its place and seals it for that place. */
static void place(demit_spool_t *spool, batch_t *batch, spool_request_t *request)
{
    spool_committer_t *committer = &spool->committer;
    uint64_t size = spool_record_size(&request->header);
    size_t body_size = request->header.body_size, padding;

    spool_record_seal(&request->header, committer->current->header.epoch, request->offset, request->body_hash,
                      request->head);
    padding = (size_t)size - request->head_size - body_size;
    add_part(committer, batch, request->head, request->head_size + (request->body ? 0 : padding));
    if (request->body != NULL) {
        add_part(committer, batch, request->body, body_size + padding);
    }
    batch->length += size;
    batch->count++;
    *batch->last = request;
    batch->last = &request->next;
}

/*
 * Fills BATCH from the line. What is not to be written is finished here, but never past what is: its end may free what
 * stands in the batch, as that of a message frees its chunks. So it waits at the head of the line for the next batch.
 */
static void gather(demit_spool_t *spool, batch_t *batch)
{
    spool_committer_t *committer = &spool->committer;

    while (committer->first != NULL) {
        spool_request_t *request = committer->first;
        apr_status_t status = request->weightless ? request->outcome : prepare(spool, batch, request);
        bool is_written = status == APR_SUCCESS && !request->weightless;

        if (status == APR_EAGAIN || (!is_written && batch->count > 0)) {
            return;
        }
        (void)pop(committer);
        if (is_written) {
            place(spool, batch, request);
        } else {
            finish(spool, request, status);
        }
    }
}

/* ---- writing it ---- */

/* Writes what stands in BATCH, with its header and the padding to the next block. */
static apr_status_t write_batch(demit_spool_t *spool, batch_t *batch)
{
    spool_committer_t *committer = &spool->committer;
    spool_batch_header_t header = {
        .length = (uint32_t)batch->length,
        .record_count = batch->count,
        .first_sequence = committer->next_sequence,
        .durable = committer->durable,
    };
    int error;

    spool_batch_header_encode(&header, committer->current->header.epoch, batch->offset, batch->header);
    committer->parts[0] = (struct iovec){batch->header, sizeof batch->header};
    add_part(committer, batch, committer->zeros, (size_t)(padded(batch->length) - batch->length));
    error = spool->files->pwritev(spool->files, committer->fd, committer->parts, (int)batch->parts, batch->offset);
    if (error != 0) {
        return APR_FROM_OS_ERROR(error);
    }
    committer->position = batch->offset + padded(batch->length);
    committer->space_left -=
        padded(batch->length) < committer->space_left ? padded(batch->length) : committer->space_left;
    committer->marked = committer->durable;
    atomic_fetch_add_explicit(&spool->bytes_written, padded(batch->length), memory_order_relaxed);
    return APR_SUCCESS;
}

static apr_status_t sync_batch(demit_spool_t *spool)
{
    if (!spool->force_fsync) {
        return APR_SUCCESS;
    }
    atomic_fetch_add_explicit(&spool->syncs, 1, memory_order_relaxed);
    return APR_FROM_OS_ERROR(spool->files->datasync(spool->files, spool->committer.fd));
}

/*
 * After a failed write or sync nobody knows what of the segment's end is on the disk, and a second sync would lie
 * (the kernel forgets the error once it was told). So the segment is left at its last good record, and the next one's
 * header says so.
 */
static void abandon(demit_spool_t *spool, apr_status_t status)
{
    spool_committer_t *committer = &spool->committer;
    char text[DEMIT_LOG_VALUE_MAX];

    demit_log(DEMIT_LOG_ERROR, "spool_write_failed", "segment=%08x offset=%llu last_good=%llu reason=%s",
              (unsigned)committer->current->header.number, (unsigned long long)committer->position,
              (unsigned long long)committer->acknowledged, demit_log_status(text, sizeof text, status));
    committer->space_checked_us = 0;
    committer->mark_due_us = 0;
    spool_segment_leave(spool, true);
}

static void note_batch(demit_spool_t *spool, const batch_t *batch)
{
    spool_committer_t *committer = &spool->committer;

    committer->acknowledged = committer->next_sequence - 1;
    if (spool->force_fsync) {
        committer->durable = committer->acknowledged;
        committer->mark_due_us = demit_os_monotonic_us() + MARK_DELAY_US;
    }
    atomic_fetch_add_explicit(&spool->records, batch->count, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&spool->batches, 1, memory_order_relaxed) == 0) {
        spool_lock(spool);
        spool_maintain(spool); /* spares are made from the first mail on: a start is not to wait for the disk */
        spool_unlock(spool);
    }
}

static void commit(demit_spool_t *spool)
{
    spool_committer_t *committer = &spool->committer;
    batch_t batch = {.last = &batch.first};
    apr_status_t status;

    gather(spool, &batch);
    if (batch.count == 0) {
        return;
    }
    status = write_batch(spool, &batch);
    if (status == APR_SUCCESS) {
        status = sync_batch(spool);
    }
    committer->next_sequence += batch.count;
    if (status == APR_SUCCESS) {
        note_batch(spool, &batch);
    } else {
        abandon(spool, status);
    }
    while (batch.first != NULL) {
        spool_request_t *request = batch.first;

        batch.first = request->next;
        finish(spool, request, status);
    }
}

/*
 * An empty batch that says up to where the log is durable. Otherwise damage to the last batch before a pause could not
 * be told from a torn tail. It is not synced: it promises nothing itself.
 */
static void write_mark(demit_spool_t *spool)
{
    spool_committer_t *committer = &spool->committer;
    batch_t batch = {.last = &batch.first};
    apr_status_t status;

    committer->mark_due_us = 0;
    if (committer->current == NULL || committer->durable == committer->marked ||
        committer->position + SPOOL_BLOCK > committer->current->header.size ||
        reserve_parts(committer, 0) != APR_SUCCESS) {
        return;
    }
    begin_batch(spool, &batch);
    status = write_batch(spool, &batch);
    if (status != APR_SUCCESS) {
        abandon(spool, status);
    }
}

static void do_chores(demit_spool_t *spool)
{
    spool_committer_t *committer = &spool->committer;
    int64_t now_us = demit_os_monotonic_us();

    if (committer->mark_due_us != 0 && now_us >= committer->mark_due_us) {
        write_mark(spool);
    }
    spool_lock(spool);
    if (spool->maintenance_retry_us != 0 && now_us >= spool->maintenance_retry_us) {
        spool->maintenance_retry_us = 0;
        spool_maintain(spool);
    }
    spool_unlock(spool);
}

void demit_spool_progress(demit_spool_t *spool, demit_progress_t *progress)
{
    *progress = (demit_progress_t){
        .done = atomic_load_explicit(&spool->rounds, memory_order_relaxed),
        .waiting = atomic_load_explicit(&spool->committing, memory_order_relaxed) ||
                   atomic_load_explicit(&spool->incoming, memory_order_relaxed) != NULL,
    };
}

void *spool_committer_main(apr_thread_t *thread, void *baton)
{
    demit_spool_t *spool = baton;
    spool_committer_t *committer = &spool->committer;

    (void)thread;
    demit_os_name_thread("committer");
    for (;;) {
        atomic_fetch_add_explicit(&spool->rounds, 1, memory_order_relaxed);
        take_incoming(spool);
        demit_errands_run(&spool->errands);
        if (must_commit(spool)) {
            atomic_store_explicit(&spool->committing, true, memory_order_relaxed);
            commit(spool);
            atomic_store_explicit(&spool->committing, false, memory_order_relaxed);
            continue;
        }
        do_chores(spool);
        if (committer->first == NULL && atomic_load(&spool->stopping) && atomic_load(&spool->incoming) == NULL) {
            break;
        }
        rest(spool);
    }
    write_mark(spool);
    spool_segment_leave(spool, false);
    return NULL;
}
