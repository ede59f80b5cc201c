/*
 * Emptying a segment that is mostly gone, so that its space can be used again. Every message record in it is shown to
 * the mover; what is alive is written once more, with its present state, by a worker; outcomes that are still needed
 * are carried on as they are. When all of that is durable the segment holds nothing, and is recycled like any other.
 *
 * A crash at any point leaves two copies of a message at worst: same id, and recovery takes the younger. The younger
 * copy's segment waits for the older's to go (see segments.c), so an end that was noted for one is noted for both.
 */
#include <stdlib.h>
#include <string.h>

#include <apr_errno.h>

#include "demit/log.h"
#include "demit/os.h"

#include "core/spool/compact.h"
#include "core/spool/scan.h"

enum {
    SPARSE_PART = 4,             /* worth it when less than one in so many records is alive */
    WORDS_ONLY_SEGMENTS = 4,     /* or when so many segments hold nothing but outcomes */
    UNDER_WAY_MAX = 64,          /* moves and carried outcomes at a time */
    AGAIN_US = 10 * 1000 * 1000, /* what was busy is tried again after so long */
    COPY_BYTES = 64 * 1024
};

struct spool_compaction {
    demit_spool_t *spool;
    spool_segment_t *segment;
    spool_scan_t scan;
    int fd;
    bool scanned;       /* all records in it were looked at, */
    bool owners_asked;  /* and all messages elsewhere that have chunks here */
    uint32_t under_way; /* with spool->lock: plus one while the scan runs */
    bool failed;        /* with spool->lock: an outcome could not be carried */
    demit_task_t task;
};

static void step(demit_task_t *task);
static void copy_some(demit_task_t *task);

/* ---- which segment ---- */

bool spool_segment_is_sparse(const spool_segment_t *segment)
{
    return !segment->current && !segment->unknown && segment->living > 0 &&
           (uint64_t)segment->living * SPARSE_PART < segment->total;
}

/* Nothing in it is alive, and all that keeps it are outcomes of messages in older segments. */
static bool holds_words_only(demit_spool_t *spool, const spool_segment_t *segment)
{
    return !segment->current && !segment->unknown && segment->living == 0 && !segment->stuck &&
           spool_segment_waits_for_elder(spool, segment, false) && !spool_segment_waits_for_elder(spool, segment, true);
}

/* The oldest segment that is worth it: others may wait for it. Locked. */
static spool_segment_t *choose(demit_spool_t *spool)
{
    int64_t now_us = demit_os_monotonic_us(), later_us = 0;
    spool_segment_t *words = NULL;
    uint32_t words_count = 0;

    for (uint32_t i = 0; i < spool->segment_count; i++) {
        spool_segment_t *segment = spool->segments[i];
        bool words_only = holds_words_only(spool, segment);

        if (segment->retired || !(words_only || spool_segment_is_sparse(segment))) {
            continue;
        }
        if (segment->compact_after_us > now_us) {
            later_us = later_us == 0 || segment->compact_after_us < later_us ? segment->compact_after_us : later_us;
            continue;
        }
        if (!words_only) {
            return segment;
        }
        words = words ? words : segment;
        words_count++;
    }
    if (words_count < WORDS_ONLY_SEGMENTS) {
        if (later_us != 0 && spool->maintenance_retry_us == 0) {
            spool->maintenance_retry_us = later_us;
        }
        return NULL;
    }
    return words;
}

static void compaction_free(spool_compaction_t *compaction)
{
    spool_scan_free(&compaction->scan);
    free(compaction);
}

/* Chooses a segment and claims it. NULL: none, or no memory. */
static spool_compaction_t *claim(demit_spool_t *spool)
{
    spool_compaction_t *compaction = calloc(1, sizeof *compaction);
    spool_segment_t *segment;

    if (compaction == NULL) {
        return NULL;
    }
    compaction->spool = spool;
    spool_lock(spool);
    segment =
        spool->recovered && spool->has_mover && spool->compaction == NULL && !spool->closing ? choose(spool) : NULL;
    if (segment != NULL) {
        spool_owners_rewind(spool);
        segment->compacting = true;
        compaction->segment = segment;
        spool->compaction = compaction;
    }
    spool_unlock(spool);
    if (compaction->segment == NULL) {
        compaction_free(compaction);
        return NULL;
    }
    return compaction;
}

/* The segment is let go: emptied, or to be tried again later. */
static void finish(spool_compaction_t *compaction)
{
    demit_spool_t *spool = compaction->spool;
    spool_segment_t *segment = compaction->segment;

    (void)spool->files->close(spool->files, compaction->fd);
    spool_lock(spool);
    segment->compacting = false;
    segment->compact_after_us = demit_os_monotonic_us() + AGAIN_US;
    if (!compaction->failed) { /* every outcome in it stands elsewhere too */
        uint32_t kept = 0;

        for (uint32_t i = 0; i < segment->elder_count; i++) {
            if (segment->elders[i].firm) {
                segment->elders[kept++] = segment->elders[i];
            }
        }
        segment->elder_count = kept;
    }
    demit_log(DEMIT_LOG_INFO, "spool_compacted", "segment=%08x records=%u alive=%u", (unsigned)segment->header.number,
              (unsigned)segment->total, (unsigned)segment->living);
    spool->compaction = NULL;
    spool_maintain(spool);
    (void)apr_thread_cond_broadcast(spool->maintenance_idle);
    spool_unlock(spool);
    compaction_free(compaction);
}

void spool_compact(demit_spool_t *spool)
{
    spool_compaction_t *compaction = claim(spool);
    int error;

    if (compaction == NULL) {
        return;
    }
    error =
        spool_segment_file_open(spool->files, spool->directory, compaction->segment->header.number, &compaction->fd);
    if (error != 0) {
        spool_lock(spool);
        compaction->segment->compacting = false;
        compaction->segment->compact_after_us = demit_os_monotonic_us() + AGAIN_US;
        spool->compaction = NULL;
        spool_unlock(spool);
        compaction_free(compaction);
        return;
    }
    spool_scan_begin(&compaction->scan, spool->files, compaction->fd, compaction->segment->header.epoch,
                     compaction->segment->header.size);
    compaction->task.run = step;
    demit_workers_submit(spool->workers, &compaction->task);
}

/* ---- going through it ---- */

/*
 * One thing less is under way: the only way down of the count, so that who waits for the end of it all looks again
 * whatever it was. Returns whether it was the last; if not, the end may free COMPACTION as soon as the lock is let go.
 * Locked.
 */
static bool count_down(spool_compaction_t *compaction)
{
    demit_spool_t *spool = compaction->spool;

    if (spool->closing) {
        (void)apr_thread_cond_broadcast(spool->maintenance_idle);
    }
    return --compaction->under_way == 0;
}

/* Something that was handed out is done; when it was the last, the scan goes on. */
static void done_one(demit_spool_t *spool, bool failed)
{
    spool_compaction_t *compaction;
    bool last;

    spool_lock(spool);
    compaction = spool->compaction;
    compaction->failed |= failed;
    last = count_down(compaction);
    spool_unlock(spool);
    if (last) {
        demit_workers_submit(spool->workers, &compaction->task);
    }
}

static void carried(void *baton, apr_status_t status, demit_spool_location_t location)
{
    (void)location;
    done_one(baton, status != APR_SUCCESS);
}

/* Writes an outcome once more if the segment that it is about is still there, and is not the one to be emptied. */
static void carry(spool_compaction_t *compaction, const unsigned char *bytes, size_t size)
{
    demit_spool_t *spool = compaction->spool;
    spool_outcome_view_t view;
    const spool_segment_t *target;
    bool needed;

    if (!spool_outcome_decode(&view, bytes, size)) {
        return;
    }
    spool_lock(spool);
    target = spool_segment_find(spool, view.segment);
    needed = target != NULL && target->header.epoch == view.epoch && target != compaction->segment;
    if (needed) {
        compaction->under_way++;
    }
    spool_unlock(spool);
    if (needed && spool_outcome_carry(spool, bytes, size, carried, spool) != APR_SUCCESS) {
        carried(spool, APR_ENOMEM, (demit_spool_location_t){0, 0});
    }
}

/* Asks the mover about a message. */
static void ask(spool_compaction_t *compaction, uint64_t id, demit_spool_location_t location)
{
    demit_spool_t *spool = compaction->spool;
    spool_ticket_t *ticket = calloc(1, sizeof *ticket);

    if (ticket == NULL) {
        return; /* it stays, and is asked about another time */
    }
    ticket->spool = spool;
    ticket->id = id;
    ticket->from = location;
    ticket->copy.run = copy_some;
    spool_lock(spool);
    ticket->next = spool->tickets;
    spool->tickets = ticket;
    compaction->under_way++;
    spool_unlock(spool);
    spool->mover.move(spool->mover.baton, id, location, ticket);
}

static void show(spool_compaction_t *compaction, const spool_found_t *found)
{
    const spool_record_header_t *record = &found->record;
    const unsigned char *outcome =
        found->meta + record->envelope_size + (size_t)record->chunk_count * SPOOL_CHUNK_REF_SIZE;

    if (record->outcome_size > 0) {
        carry(compaction, outcome, record->outcome_size);
    }
    if (record->type == SPOOL_MESSAGE) {
        ask(compaction, record->id, spool_location(compaction->segment->header.number, found->offset));
    }
}

/* Whether more may be begun: not too much is under way, the scan itself not counted, and nobody waits for the end. */
static bool may_go_on(spool_compaction_t *compaction)
{
    bool may;

    spool_lock(compaction->spool);
    may = compaction->under_way <= UNDER_WAY_MAX && !compaction->spool->closing;
    spool_unlock(compaction->spool);
    return may;
}

/* Asks about the next message that has chunks in the segment, if one is near. */
static void ask_owner(spool_compaction_t *compaction)
{
    demit_spool_t *spool = compaction->spool;
    demit_spool_location_t location;
    uint64_t id;

    spool_lock(spool);
    compaction->owners_asked = !spool_owners_next(spool, compaction->segment->header.number, &id, &location);
    spool_unlock(spool);
    if (id != 0) {
        ask(compaction, id, location);
    }
}

static void show_some(spool_compaction_t *compaction)
{
    spool_found_t found;
    spool_scan_event_t event;

    while (!compaction->scanned && may_go_on(compaction)) {
        event = spool_scan_next(&compaction->scan, &found);
        if (event == SPOOL_SCAN_END) {
            compaction->scanned = true;
        } else if (event == SPOOL_SCAN_RECORD && found.good) {
            show(compaction, &found);
        }
    }
    while (compaction->scanned && !compaction->owners_asked && may_go_on(compaction)) {
        ask_owner(compaction);
    }
}

static void step(demit_task_t *task)
{
    spool_compaction_t *compaction = DEMIT_CONTAINER_OF(task, spool_compaction_t, task);
    demit_spool_t *spool = compaction->spool;
    bool ended, idle;

    spool_lock(spool);
    ended = spool->closing || (compaction->scanned && compaction->owners_asked);
    compaction->failed |= spool->closing || compaction->scan.status != APR_SUCCESS;
    compaction->under_way++; /* the scan's own, so that nothing that is done meanwhile begins a second one */
    spool_unlock(spool);
    if (ended) {
        finish(compaction);
        return;
    }
    show_some(compaction);
    spool_lock(spool);
    idle = count_down(compaction);
    spool_unlock(spool);
    if (idle) {
        demit_workers_submit(spool->workers, &compaction->task);
    }
}

/* ---- moving one message ---- */

static void ticket_free(spool_ticket_t *ticket)
{
    if (ticket->pool != NULL) {
        apr_pool_destroy(ticket->pool);
    }
    free(ticket);
}

static void ticket_done(spool_ticket_t *ticket)
{
    demit_spool_t *spool = ticket->spool;
    spool_ticket_t **link = &spool->tickets;

    spool_lock(spool);
    while (*link != ticket) {
        link = &(*link)->next;
    }
    *link = ticket->next;
    spool_unlock(spool);
    ticket_free(ticket);
    done_one(spool, false);
}

void demit_spool_move_skip(demit_spool_t *spool, void *ticket)
{
    (void)spool;
    ticket_done(ticket);
}

/* Keeps a copy of ENVELOPE in a pool of the ticket's own. */
static apr_status_t keep_envelope(spool_ticket_t *ticket, const demit_envelope_t *envelope)
{
    size_t size = demit_envelope_encoded_size(envelope);
    unsigned char *bytes;
    apr_status_t status = apr_pool_create(&ticket->pool, NULL);

    if (status != APR_SUCCESS) {
        return status;
    }
    apr_pool_tag(ticket->pool, "spool move");
    bytes = apr_palloc(ticket->pool, size);
    demit_envelope_encode(envelope, bytes);
    return demit_envelope_decode(&ticket->envelope, bytes, size, ticket->pool);
}

void demit_spool_move(demit_spool_t *spool, void *opaque, demit_envelope_t *envelope)
{
    spool_ticket_t *ticket = opaque;

    spool_lock(spool);
    ticket->answered = true;
    spool_unlock(spool);
    ticket->kept = keep_envelope(ticket, envelope);
    demit_workers_submit(spool->workers, &ticket->copy); /* also to say that it failed: not in the mover's own thread */
}

static void log_not_moved(const spool_ticket_t *ticket, apr_status_t status)
{
    char text[DEMIT_LOG_VALUE_MAX], id[DEMIT_ID_TEXT_SIZE];

    demit_log(DEMIT_LOG_WARNING, "spool_not_moved", "id=%s segment=%08x reason=%s", demit_id_format(ticket->id, id),
              (unsigned)ticket->from.segment, demit_log_status(text, sizeof text, status));
}

/* The end of every move that the mover agreed to, good or bad: it leaves the message alone until it hears this. */
static void moved(void *baton, apr_status_t status, demit_spool_location_t to)
{
    spool_ticket_t *ticket = baton;
    const demit_spool_mover_t *mover = &ticket->spool->mover;

    if (status != APR_SUCCESS) {
        log_not_moved(ticket, status);
        to = ticket->from;
    }
    mover->moved(mover->baton, ticket->id, ticket->from, to);
    ticket_done(ticket);
}

static void room(void *baton)
{
    spool_ticket_t *ticket = baton;

    demit_workers_submit(ticket->spool->workers, &ticket->copy);
}

/* Opens the message where it stands. A body that the disk has spoilt stays there: a copy would hide the damage. */
static apr_status_t begin_copy(spool_ticket_t *ticket)
{
    apr_status_t status = ticket->kept;

    if (status != APR_SUCCESS) {
        return status;
    }
    ticket->buffer = apr_palloc(ticket->pool, COPY_BYTES);
    status = demit_spool_reader_open(&ticket->reader, NULL, ticket->spool, ticket->from, ticket->pool);
    if (status == APR_SUCCESS) {
        status = demit_spool_reader_verify(ticket->reader);
    }
    if (status == APR_SUCCESS) {
        status = spool_writer_begin_move(&ticket->writer, ticket, room, ticket);
    }
    return status;
}

/* Copies until all is there (APR_SUCCESS) or the writer must wait (APR_EAGAIN: room() goes on). */
static apr_status_t copy_body(spool_ticket_t *ticket)
{
    apr_status_t status = APR_SUCCESS;

    for (;;) {
        if (ticket->held == 0) {
            ticket->held = COPY_BYTES;
            status = demit_spool_reader_read(ticket->reader, ticket->position, ticket->buffer, &ticket->held);
            if (status != APR_SUCCESS || ticket->held == 0) {
                return status;
            }
        }
        status = demit_spool_append(ticket->writer, ticket->buffer, ticket->held);
        if (status != APR_SUCCESS) {
            return status;
        }
        ticket->position += ticket->held;
        ticket->held = 0;
    }
}

static void copy_some(demit_task_t *task)
{
    spool_ticket_t *ticket = DEMIT_CONTAINER_OF(task, spool_ticket_t, copy);
    apr_status_t status = ticket->writer == NULL ? begin_copy(ticket) : APR_SUCCESS;

    if (status == APR_SUCCESS) {
        status = copy_body(ticket);
    }
    if (APR_STATUS_IS_EAGAIN(status)) {
        return;
    }
    if (ticket->reader != NULL) {
        demit_spool_reader_close(ticket->reader);
    }
    if (status == APR_SUCCESS) {
        demit_spool_commit(ticket->writer, ticket->envelope, NULL, moved, ticket);
        return;
    }
    if (ticket->writer != NULL) {
        demit_spool_discard(ticket->writer);
    }
    moved(ticket, status, ticket->from);
}

/* ---- the end ---- */

/* Whether all that is under way are questions that the mover has not answered. Locked. */
static bool only_questions_are_left(const demit_spool_t *spool)
{
    uint32_t unanswered = 0;

    for (const spool_ticket_t *ticket = spool->tickets; ticket != NULL; ticket = ticket->next) {
        if (ticket->answered) {
            return false;
        }
        unanswered++;
    }
    return unanswered > 0 && spool->compaction->under_way == unanswered;
}

void spool_compaction_end(demit_spool_t *spool)
{
    spool_lock(spool);
    while (spool->compaction != NULL && !only_questions_are_left(spool)) {
        (void)apr_thread_cond_wait(spool->maintenance_idle, spool->lock);
    }
    if (spool->compaction != NULL) { /* the mover has gone home: nobody will ever answer */
        (void)spool->files->close(spool->files, spool->compaction->fd);
        compaction_free(spool->compaction);
        spool->compaction = NULL;
    }
    while (spool->tickets != NULL) {
        spool_ticket_t *next = spool->tickets->next;

        ticket_free(spool->tickets);
        spool->tickets = next;
    }
    spool_unlock(spool);
}
