#include <stdlib.h>
#include <string.h>

#include <apr_errno.h>

#include "core/spool/compact.h"

typedef struct outcome_request {
    spool_request_t request;
    demit_spool_done_fn *on_done;
    void *baton;
    bool carried; /* a copy of what stands in a segment that is emptied: it has had its effect */
    unsigned char head[];
} outcome_request_t;

/* ---- in the committer ---- */

static spool_ticket_t *ticket_of(demit_spool_t *spool, uint64_t id)
{
    spool_ticket_t *ticket = spool->tickets;

    while (ticket != NULL && ticket->id != id) {
        ticket = ticket->next;
    }
    return ticket;
}

void spool_outcome_aim(demit_spool_t *spool, unsigned char *encoded, size_t size)
{
    spool_outcome_view_t view;
    spool_tracked_t *tracked;
    spool_segment_t *segment;
    spool_ticket_t *ticket;

    if (!spool_outcome_decode(&view, encoded, size)) {
        return;
    }
    spool_lock(spool);
    ticket = ticket_of(spool, view.id);
    if (ticket != NULL) {
        ticket->stale = true;
    }
    tracked = spool_tracked_find(spool, view.id);
    segment = spool_segment_find(spool, tracked ? tracked->segment : view.segment);
    if (segment != NULL) {
        spool_outcome_set_target(encoded, segment->header.number, segment->header.epoch);
    }
    spool_unlock(spool);
}

void spool_outcome_apply(demit_spool_t *spool, const unsigned char *encoded, size_t size, spool_segment_t *segment)
{
    spool_outcome_view_t view;

    if (!spool_outcome_decode(&view, encoded, size) || view.epoch == 0) {
        return; /* about a message in a segment that is gone: no effect, and nothing to wait for */
    }
    spool_segment_follows(segment, view.segment, false);
    if (view.final) {
        spool_message_over(spool, view.id, (demit_spool_location_t){view.segment, 0});
    }
}

static apr_status_t outcome_prepare(demit_spool_t *spool, spool_request_t *request)
{
    spool_outcome_aim(spool, request->head + SPOOL_RECORD_HEADER_SIZE, request->header.outcome_size);
    return APR_SUCCESS;
}

static void outcome_complete(demit_spool_t *spool, spool_request_t *request, apr_status_t status)
{
    outcome_request_t *outcome = DEMIT_CONTAINER_OF(request, outcome_request_t, request);
    const unsigned char *encoded = request->head + SPOOL_RECORD_HEADER_SIZE;
    spool_outcome_view_t view;

    if (status == APR_SUCCESS) {
        spool_lock(spool);
        if (!outcome->carried) {
            spool_outcome_apply(spool, encoded, request->header.outcome_size, request->segment);
        } else if (spool_outcome_decode(&view, encoded, request->header.outcome_size)) {
            spool_segment_follows(request->segment, view.segment, false);
        }
        spool_unlock(spool);
    }
    if (outcome->on_done != NULL) {
        outcome->on_done(outcome->baton, status, (demit_spool_location_t){0, 0});
    }
    free(outcome);
}

/* ---- in any thread ---- */

static outcome_request_t *outcome_create(size_t size, demit_spool_done_fn *on_done, void *baton)
{
    outcome_request_t *outcome = calloc(1, sizeof *outcome + SPOOL_RECORD_HEADER_SIZE + size + SPOOL_ALIGN);

    if (outcome == NULL) {
        return NULL;
    }
    outcome->on_done = on_done;
    outcome->baton = baton;
    outcome->request.complete = outcome_complete;
    outcome->request.patient = true;
    outcome->request.privileged = true;
    outcome->request.head = outcome->head;
    outcome->request.head_size = SPOOL_RECORD_HEADER_SIZE + size;
    outcome->request.body_hash = spool_body_hash("", 0);
    outcome->request.header.type = SPOOL_OUTCOME;
    outcome->request.header.outcome_size = (uint32_t)size;
    return outcome;
}

void demit_spool_record_outcome(demit_spool_t *spool, const demit_spool_outcome_t *outcome,
                                demit_spool_done_fn *on_done, void *baton)
{
    outcome_request_t *request = outcome_create(spool_outcome_encoded_size(outcome), on_done, baton);

    if (request == NULL) {
        if (on_done != NULL) {
            on_done(baton, APR_ENOMEM, outcome->location);
        }
        return;
    }
    request->request.header.id = outcome->id;
    request->request.prepare = outcome_prepare;
    spool_outcome_encode(outcome, request->head + SPOOL_RECORD_HEADER_SIZE);
    spool_submit(spool, &request->request);
}

apr_status_t spool_outcome_carry(demit_spool_t *spool, const unsigned char *encoded, size_t size,
                                 demit_spool_done_fn *on_done, void *baton)
{
    outcome_request_t *request = outcome_create(size, on_done, baton);
    spool_outcome_view_t view;

    if (request == NULL) {
        return APR_ENOMEM;
    }
    memcpy(request->head + SPOOL_RECORD_HEADER_SIZE, encoded, size);
    if (spool_outcome_decode(&view, encoded, size)) {
        request->request.header.id = view.id;
    }
    request->carried = true;
    spool_submit(spool, &request->request);
    return APR_SUCCESS;
}
