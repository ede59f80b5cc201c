/* The living messages of a survey, read a second time with all that was found about them. */
#include "core/spool/scan.h"
#include "core/spool/survey.h"

#include <apr_errno.h>

static bool all_chunks_are_there(const spool_survey_t *survey, const spool_survey_message_t *message)
{
    for (uint32_t i = 0; i < message->chunk_count; i++) {
        const spool_survey_segment_t *segment;
        spool_chunk_ref_t ref;

        spool_chunk_ref_decode(&ref, message->chunk_refs + (size_t)i * SPOOL_CHUNK_REF_SIZE);
        segment = spool_survey_segment_of(survey, &ref);
        if (segment == NULL || !spool_survey_has_chunk(segment, &ref)) {
            return false;
        }
    }
    return true;
}

/* Joins what outcomes say into the envelope that stands in the record. */
static void join(const spool_survey_t *survey, const spool_survey_entry_t *entry, demit_envelope_t *envelope)
{
    envelope->delay_dsn_sent |= entry->delay_dsn_sent;
    spool_retry_join(&envelope->attempts, &envelope->next_attempt_us, entry->attempts, entry->next_attempt_us);
    for (uint32_t i = entry->states; i != 0; i = survey->states[i - 1].next) {
        const struct spool_survey_state *state = &survey->states[i - 1];

        if (state->recipient < envelope->recipient_count &&
            state->state > envelope->recipients[state->recipient].state) {
            envelope->recipients[state->recipient].state = state->state;
        }
    }
}

/* Reads the message of ENTRY from the segment that is being scanned. NULL: fine; else what is wrong. */
static const char *read_message(spool_survey_t *survey, const spool_survey_entry_t *entry,
                                spool_survey_message_t *message, apr_pool_t *pool)
{
    uint64_t offset = (uint64_t)entry->block * SPOOL_ALIGN;
    spool_found_t found;

    if (!spool_scan_record_at(survey->scan, offset, &found) || !found.good) {
        return "corrupt"; /* it was good a moment ago: the disk is dying */
    }
    if (demit_envelope_decode(&message->envelope, found.meta, found.record.envelope_size, pool) != APR_SUCCESS) {
        return "envelope";
    }
    message->segment = entry->segment;
    message->location = spool_location(survey->segments[entry->segment].header.number, offset);
    message->chunk_refs = found.meta + found.record.envelope_size;
    message->chunk_count = found.record.chunk_count;
    if (!all_chunks_are_there(survey, message)) {
        return "chunk";
    }
    join(survey, entry, message->envelope);
    return NULL;
}

static void tell_lost(spool_survey_t *survey, const spool_survey_entry_t *entry, const char *what)
{
    spool_damage_t damage = {.what = what,
                             .segment = survey->segments[entry->segment].header.number,
                             .offset = (uint64_t)entry->block * SPOOL_ALIGN,
                             .first = entry->sequence,
                             .count = 1,
                             .id = entry->id};

    spool_survey_judge(survey, &damage);
}

apr_status_t spool_survey_each(spool_survey_t *survey,
                               apr_status_t (*each)(void *baton, const spool_survey_message_t *message), void *baton,
                               apr_pool_t *pool)
{
    uint32_t open = UINT32_MAX; /* index of the segment whose file is FD */
    apr_status_t status = APR_SUCCESS;
    int fd = -1;

    for (uint32_t i = 0; i < survey->entry_count && status == APR_SUCCESS; i++) {
        const spool_survey_entry_t *entry = &survey->entries[i];
        spool_survey_message_t message;
        const char *wrong;

        if (entry->sequence == 0 || entry->final) {
            continue;
        }
        if (entry->segment != open) {
            const spool_survey_segment_t *segment = &survey->segments[entry->segment];

            if (open != UINT32_MAX) {
                (void)survey->files->close(survey->files, fd);
            }
            open = UINT32_MAX;
            status = APR_FROM_OS_ERROR(
                spool_segment_file_open(survey->files, survey->directory, segment->header.number, &fd));
            if (status != APR_SUCCESS) {
                break;
            }
            open = entry->segment;
            spool_scan_begin(survey->scan, survey->files, fd, segment->header.epoch, segment->file_size);
        }
        wrong = spool_scan_is_unwanted(survey->scan) ? "unwanted" : read_message(survey, entry, &message, pool);
        if (survey->scan->status != APR_SUCCESS) {
            status = survey->scan->status;
        } else if (wrong != NULL) {
            tell_lost(survey, entry, wrong);
        } else {
            status = each(baton, &message);
        }
        apr_pool_clear(pool);
    }
    if (open != UINT32_MAX) {
        (void)survey->files->close(survey->files, fd);
    }
    return status;
}
