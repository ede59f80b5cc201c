/* Finding what earlier runs left. New mail is accepted meanwhile: it goes to other segments, with higher sequences. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include <apr_errno.h>

#include "demit/log.h"
#include "demit/os.h"

#include "core/spool/survey.h"

typedef struct recovery {
    demit_spool_t *spool;
    spool_survey_t survey;
    demit_spool_recovery_t *result;
    void (*each)(void *baton, const demit_envelope_t *envelope, demit_spool_location_t location);
    void *baton;
} recovery_t;

/* Lists the segments of earlier runs. */
static apr_status_t list_segments(demit_spool_t *spool, spool_survey_segment_t **result, uint32_t *count)
{
    spool_survey_segment_t *segments;

    *count = 0;
    spool_lock(spool);
    segments = calloc(spool->segment_count + 1, sizeof *segments);
    for (uint32_t i = 0; i < spool->segment_count && segments != NULL; i++) {
        if (spool->segments[i]->unknown) {
            segments[*count].header = spool->segments[i]->header;
            segments[(*count)++].readable = !spool->segments[i]->damaged;
        }
    }
    spool_unlock(spool);
    *result = segments;
    if (segments == NULL) {
        return APR_ENOMEM;
    }
    for (uint32_t i = 0; i < *count; i++) {
        char name[SPOOL_NAME_SIZE];
        struct stat status;
        int error;

        spool_file_name(name, segments[i].header.number, SPOOL_FILE_SEGMENT);
        error = spool->files->stat(spool->files, spool->directory, name, &status);
        if (error != 0) {
            return APR_FROM_OS_ERROR(error);
        }
        segments[i].file_size = (uint64_t)status.st_size;
    }
    return APR_SUCCESS;
}

/*
 * A daemon that was killed may have written its last batch and not synced it, and one with Force_Fsync = false has
 * synced nothing, though its marks read as if it had: recovery reads that from the kernel's memory like anything else,
 * and a power cut can still take it. Before an older copy of what it holds may go, it must be on the disk. What is
 * there already costs no more than the call.
 */
static int sync_segments(demit_spool_t *spool, const spool_survey_segment_t *segments, uint32_t count)
{
    const demit_files_t *files = spool->files;
    int error = 0;

    for (uint32_t i = 0; i < count && error == 0; i++) {
        char name[SPOOL_NAME_SIZE];
        int fd;

        if (atomic_load_explicit(&spool->recovery_unwanted, memory_order_relaxed)) {
            return EINTR;
        }
        spool_file_name(name, segments[i].header.number, SPOOL_FILE_SEGMENT);
        error = files->open(files, spool->directory, name, O_RDWR, 0, &fd);
        if (error == 0) {
            error = files->datasync(files, fd);
            (void)files->close(files, fd);
        }
    }
    return error;
}

static void log_damage(void *baton, const spool_damage_t *damage)
{
    char id[DEMIT_ID_TEXT_SIZE] = "-";

    (void)baton;
    if (damage->id != 0) {
        (void)demit_id_format(damage->id, id);
    }
    demit_log(damage->torn ? DEMIT_LOG_WARNING : DEMIT_LOG_ERROR, damage->torn ? "spool_torn" : "spool_damage",
              "segment=%08x offset=%llu sequence=%llu records=%llu what=%s id=%s", (unsigned)damage->segment,
              (unsigned long long)damage->offset, (unsigned long long)damage->first, (unsigned long long)damage->count,
              damage->what, id);
}

/* What the survey found about the segments goes into the table; what is alive in them is counted message by message. */
static void take_segments(demit_spool_t *spool, const spool_survey_t *survey)
{
    spool_lock(spool);
    for (uint32_t i = 0; i < survey->segment_count; i++) {
        const spool_survey_segment_t *found = &survey->segments[i];
        spool_segment_t *segment = spool_segment_find(spool, found->header.number);

        segment->header = found->header;
        segment->total = found->messages + found->chunks_found;
        segment->damaged |= found->damaged;
        for (uint32_t j = 0; j < found->elder_count; j++) {
            spool_segment_follows(segment, found->elders[j].number, found->elders[j].firm);
        }
    }
    spool_unlock(spool);
}

static spool_tracked_t *track(const spool_survey_message_t *message)
{
    spool_tracked_t *tracked = spool_tracked_make(message->envelope->id, message->location, message->chunk_count);

    for (uint32_t i = 0; tracked != NULL && i < message->chunk_count; i++) {
        spool_chunk_ref_t ref;

        spool_chunk_ref_decode(&ref, message->chunk_refs + (size_t)i * SPOOL_CHUNK_REF_SIZE);
        spool_owner_of(tracked)->chunk_segments[i] = ref.segment;
    }
    return tracked;
}

/* One living message: counted before its owner hears of it, who may have done with it in no time. */
static apr_status_t take_message(void *baton, const spool_survey_message_t *message)
{
    recovery_t *recovery = baton;
    demit_spool_t *spool = recovery->spool;
    spool_tracked_t *tracked = NULL;

    if (message->chunk_count > 0) {
        tracked = track(message);
        if (tracked == NULL) {
            return APR_ENOMEM;
        }
    }
    spool_lock(spool);
    spool_segment_find(spool, message->location.segment)->living++;
    for (uint32_t i = 0; i < message->chunk_count; i++) {
        spool_segment_find(spool, spool_owner_of(tracked)->chunk_segments[i])->living++;
    }
    if (tracked != NULL) {
        spool_tracked_add(spool, tracked);
    }
    spool_unlock(spool);
    recovery->result->messages++;
    recovery->each(recovery->baton, message->envelope, message->location);
    return APR_SUCCESS;
}

/*
 * From now on what is not alive in the old segments may go, if all that was found is on the disk. APR_EINTR: nobody
 * wanted to wait for that.
 */
static apr_status_t finish(demit_spool_t *spool, const spool_survey_t *survey)
{
    int error = spool->force_fsync ? sync_segments(spool, survey->segments, survey->segment_count) : 0;

    if (error == EINTR) {
        return APR_EINTR;
    }
    if (error != 0) {
        char text[DEMIT_LOG_VALUE_MAX];

        demit_log(DEMIT_LOG_ERROR, "spool_not_synced", "reason=%s note=\"nothing is recycled until the next start\"",
                  demit_log_status(text, sizeof text, APR_FROM_OS_ERROR(error)));
    }
    spool_lock(spool);
    for (uint32_t i = 0; i < survey->segment_count; i++) {
        spool_segment_find(spool, survey->segments[i].header.number)->unknown = false;
    }
    spool->recovered = error == 0;
    spool_maintain(spool);
    spool_unlock(spool);
    return APR_SUCCESS;
}

static void fill_result(demit_spool_recovery_t *result, const spool_survey_t *survey, int64_t began_us)
{
    result->records = survey->records;
    result->segments = survey->segment_count;
    result->torn_records = survey->torn;
    result->damaged_records = survey->damaged;
    result->elapsed_us = demit_os_monotonic_us() - began_us;
    demit_log(survey->damaged > 0 ? DEMIT_LOG_ERROR : DEMIT_LOG_INFO, "spool_recovered",
              "messages=%llu records=%llu segments=%llu torn=%llu damaged=%llu unreadable_blocks=%llu ms=%lld",
              (unsigned long long)result->messages, (unsigned long long)result->records,
              (unsigned long long)result->segments, (unsigned long long)result->torn_records,
              (unsigned long long)result->damaged_records, (unsigned long long)survey->unreadable_blocks,
              (long long)(result->elapsed_us / 1000));
}

void demit_spool_end_recovery(demit_spool_t *spool)
{
    atomic_store_explicit(&spool->recovery_unwanted, true, memory_order_relaxed);
}

apr_status_t demit_spool_recover(demit_spool_t *spool, demit_spool_recovery_t *result,
                                 void (*each)(void *baton, const demit_envelope_t *envelope,
                                              demit_spool_location_t location),
                                 void *baton, apr_pool_t *pool)
{
    recovery_t recovery = {.spool = spool, .result = result, .each = each, .baton = baton};
    int64_t began_us = demit_os_monotonic_us();
    spool_survey_segment_t *segments;
    uint32_t count;
    apr_status_t status;

    memset(result, 0, sizeof *result);
    status = list_segments(spool, &segments, &count);
    spool_survey_init(&recovery.survey, spool->files, spool->directory, segments, status == APR_SUCCESS ? count : 0);
    recovery.survey.on_damage = log_damage;
    recovery.survey.unwanted = &spool->recovery_unwanted;
    if (status == APR_SUCCESS) {
        status = spool_survey_run(&recovery.survey);
    }
    if (status == APR_SUCCESS) {
        take_segments(spool, &recovery.survey);
        status = spool_survey_each(&recovery.survey, take_message, &recovery, pool);
    }
    if (status == APR_SUCCESS) {
        take_segments(spool, &recovery.survey); /* what turned out damaged on the second look */
        status = finish(spool, &recovery.survey);
    }
    if (status == APR_SUCCESS) {
        fill_result(result, &recovery.survey, began_us);
    }
    spool_survey_free(&recovery.survey);
    free(segments);
    return status;
}
