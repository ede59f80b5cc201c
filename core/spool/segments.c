/*
 * What is alive where. A segment can be recycled when nothing in it is needed: no message, no chunk of one, no reader,
 * and no word about an older segment that is still there. Such words (an outcome, a younger copy, "your end is void")
 * always point to an older segment, so there are no circles: the oldest goes first.
 */
#include <stdlib.h>
#include <string.h>

#include "demit/log.h"

#include "core/spool/spool_priv.h"

void spool_lock(demit_spool_t *spool)
{
    (void)apr_thread_mutex_lock(spool->lock);
}

void spool_unlock(demit_spool_t *spool)
{
    (void)apr_thread_mutex_unlock(spool->lock);
}

/* Index of the first segment whose number is not below NUMBER. */
static uint32_t lower_bound(const demit_spool_t *spool, uint32_t number)
{
    uint32_t low = 0, high = spool->segment_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (spool->segments[middle]->header.number < number) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

spool_segment_t *spool_segment_find(demit_spool_t *spool, uint32_t number)
{
    uint32_t i = lower_bound(spool, number);

    return i < spool->segment_count && spool->segments[i]->header.number == number ? spool->segments[i] : NULL;
}

apr_status_t spool_segment_add(demit_spool_t *spool, spool_segment_t *segment)
{
    uint32_t at = lower_bound(spool, segment->header.number);

    if (spool->segment_count == spool->segment_capacity) {
        uint32_t capacity = spool->segment_capacity * 2 + 16;
        spool_segment_t **segments = realloc(spool->segments, capacity * sizeof *segments);

        if (segments == NULL) {
            return APR_ENOMEM;
        }
        spool->segments = segments;
        spool->segment_capacity = capacity;
    }
    memmove(spool->segments + at + 1, spool->segments + at, (spool->segment_count - at) * sizeof *spool->segments);
    spool->segments[at] = segment;
    spool->segment_count++;
    return APR_SUCCESS;
}

void spool_segment_remove(demit_spool_t *spool, spool_segment_t *segment)
{
    uint32_t at = lower_bound(spool, segment->header.number);

    spool->segment_count--;
    memmove(spool->segments + at, spool->segments + at + 1, (spool->segment_count - at) * sizeof *spool->segments);
    free(segment->elders);
    free(segment);
}

void spool_segment_follows(spool_segment_t *segment, uint32_t elder, bool firm)
{
    if (elder == segment->header.number) {
        return;
    }
    for (uint32_t i = segment->elder_count; i > 0; i--) { /* the last one noted is the likeliest */
        if (segment->elders[i - 1].number == elder) {
            segment->elders[i - 1].firm |= firm;
            return;
        }
    }
    if (segment->elder_count == segment->elder_capacity) {
        uint32_t capacity = segment->elder_capacity * 2 + 8;
        spool_elder_t *elders = realloc(segment->elders, capacity * sizeof *elders);

        if (elders == NULL) {
            segment->stuck = true;
            return;
        }
        segment->elders = elders;
        segment->elder_capacity = capacity;
    }
    segment->elders[segment->elder_count++] = (spool_elder_t){elder, firm};
}

bool spool_segment_waits_for_elder(demit_spool_t *spool, const spool_segment_t *segment, bool firm_only)
{
    for (uint32_t i = 0; i < segment->elder_count; i++) {
        if ((segment->elders[i].firm || !firm_only) && spool_segment_find(spool, segment->elders[i].number) != NULL) {
            return true;
        }
    }
    return false;
}

bool spool_segment_is_recyclable(demit_spool_t *spool, const spool_segment_t *segment)
{
    /* The youngest stays though it is empty: its header alone says which generation of ids and sequences was the last.
     */
    return segment->header.number < spool->newest && !segment->current && !segment->unknown && !segment->stuck &&
           !segment->compacting && segment->living == 0 && segment->pins == 0 &&
           !spool_segment_waits_for_elder(spool, segment, false);
}

void spool_segment_drop(demit_spool_t *spool, uint32_t number)
{
    spool_segment_t *segment = spool_segment_find(spool, number);
    bool was_sparse;

    if (segment == NULL || segment->living == 0) {
        /* A message that was over twice. Better keep too much than recycle what is needed. */
        demit_log(DEMIT_LOG_ERROR, "spool_count", "segment=%08x problem=below_zero", (unsigned)number);
        return;
    }
    was_sparse = spool_segment_is_sparse(segment);
    segment->living--;
    if (segment->living == 0 || (!was_sparse && spool_segment_is_sparse(segment))) {
        spool_maintain(spool);
    }
}
