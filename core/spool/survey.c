#include "core/spool/survey.h"
#include "core/spool/scan.h"

#include <stdlib.h>
#include <string.h>

#include <apr_errno.h>

/* Makes room for one more element of an array that grows; false: no memory. */
static bool make_room(void **array, uint32_t count, uint32_t *capacity, size_t element_size)
{
    uint32_t bigger = *capacity * 2 + 64;
    void *moved;

    if (count < *capacity) {
        return true;
    }
    moved = realloc(*array, bigger * element_size);
    if (moved == NULL) {
        return false;
    }
    *array = moved;
    *capacity = bigger;
    return true;
}

#define ROOM(array, count, capacity) make_room((void **)&(array), (count), &(capacity), sizeof *(array))

void spool_survey_init(spool_survey_t *survey, const demit_files_t *files, int directory,
                       spool_survey_segment_t *segments, uint32_t count)
{
    memset(survey, 0, sizeof *survey);
    survey->files = files;
    survey->directory = directory;
    survey->segments = segments;
    survey->segment_count = count;
}

void spool_survey_free(spool_survey_t *survey)
{
    for (uint32_t i = 0; i < survey->segment_count; i++) {
        free(survey->segments[i].chunks);
        free(survey->segments[i].elders);
    }
    if (survey->scan != NULL) {
        spool_scan_free(survey->scan);
    }
    free(survey->scan);
    free(survey->entries);
    free(survey->buckets);
    free(survey->states);
    free(survey->suspects);
    for (uint32_t i = 0; i < survey->partial_count; i++) {
        free(survey->partials[i].outcome);
    }
    free(survey->partials);
    free(survey->marks);
}

uint32_t spool_survey_find(const spool_survey_t *survey, uint32_t number)
{
    uint32_t low = 0, high = survey->segment_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (survey->segments[middle].header.number < number) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < survey->segment_count && survey->segments[low].header.number == number ? low : survey->segment_count;
}

/* ---- the table of messages ---- */

/*
 * Ids were handed out in order and records stand in that order, too, so neighbours are looked for one after the other
 * and find each other in the cache: no scrambling.
 */
static uint32_t *bucket_of(const spool_survey_t *survey, uint64_t id)
{
    return &survey->buckets[(uint32_t)(id ^ id >> 32) & (survey->bucket_count - 1)];
}

static bool rehash(spool_survey_t *survey)
{
    uint32_t count = survey->bucket_count ? survey->bucket_count * 2 : 1024;
    uint32_t *buckets = calloc(count, sizeof *buckets);

    if (buckets == NULL) {
        return false;
    }
    free(survey->buckets);
    survey->buckets = buckets;
    survey->bucket_count = count;
    for (uint32_t i = 0; i < survey->entry_count; i++) {
        uint32_t *bucket = bucket_of(survey, survey->entries[i].id);

        survey->entries[i].next = *bucket;
        *bucket = i + 1;
    }
    return true;
}

/* The entry of message ID, made if need be; NULL: no memory. */
static spool_survey_entry_t *entry_of(spool_survey_t *survey, uint64_t id)
{
    uint32_t *bucket;

    if (survey->entry_count >= survey->bucket_count && !rehash(survey)) {
        return NULL;
    }
    bucket = bucket_of(survey, id);
    for (uint32_t i = *bucket; i != 0; i = survey->entries[i - 1].next) {
        if (survey->entries[i - 1].id == id) {
            return &survey->entries[i - 1];
        }
    }
    if (!ROOM(survey->entries, survey->entry_count, survey->entry_capacity)) {
        return NULL;
    }
    survey->entries[survey->entry_count] = (spool_survey_entry_t){.id = id, .next = *bucket};
    *bucket = ++survey->entry_count;
    return &survey->entries[survey->entry_count - 1];
}

static bool note_elder(spool_survey_segment_t *segment, uint32_t number, bool firm)
{
    if (number == segment->header.number) {
        return true;
    }
    for (uint32_t i = segment->elder_count; i > 0; i--) {
        if (segment->elders[i - 1].number == number) {
            segment->elders[i - 1].firm |= firm;
            return true;
        }
    }
    if (!ROOM(segment->elders, segment->elder_count, segment->elder_capacity)) {
        return false;
    }
    segment->elders[segment->elder_count++] = (spool_elder_t){number, firm};
    return true;
}

/* ---- what is found ---- */

static bool take_outcome(spool_survey_t *survey, spool_survey_segment_t *segment, const unsigned char *bytes,
                         size_t size)
{
    spool_outcome_view_t view;
    spool_survey_entry_t *entry;
    uint32_t target;

    if (!spool_outcome_decode(&view, bytes, size)) {
        return true; /* its checksum was good, so we wrote it so: nothing that can be helped */
    }
    target = spool_survey_find(survey, view.segment);
    if (target < survey->segment_count && survey->segments[target].header.epoch == view.epoch &&
        !note_elder(segment, view.segment, false)) {
        return false;
    }
    entry = entry_of(survey, view.id);
    if (entry == NULL) {
        return false;
    }
    entry->final |= view.final;
    entry->delay_dsn_sent |= view.delay_dsn_sent;
    spool_retry_join(&entry->attempts, &entry->next_attempt_us, view.attempts, view.next_attempt_us);
    for (uint32_t i = 0; i < view.count && !entry->final; i++) {
        struct spool_survey_state *state;

        if (!ROOM(survey->states, survey->state_count, survey->state_capacity)) {
            return false;
        }
        state = &survey->states[survey->state_count++];
        spool_outcome_entry(&view, i, &state->recipient, &state->state);
        state->next = entry->states;
        entry->states = survey->state_count;
    }
    return true;
}

/*
 * Of two copies of a message the younger counts, and must not go before the older. One that is not WHOLE counts only if
 * there is no other.
 */
static bool take_message(spool_survey_t *survey, uint32_t index, const spool_record_header_t *record, uint64_t offset,
                         bool whole)
{
    spool_survey_entry_t *entry = entry_of(survey, record->id);
    spool_survey_segment_t *segment = &survey->segments[index], *other;
    bool younger, noted = true;

    if (entry == NULL) {
        return false;
    }
    segment->messages++;
    other = &survey->segments[entry->segment];
    younger = entry->sequence < record->sequence;
    if (entry->sequence != 0) {
        noted =
            younger ? note_elder(segment, other->header.number, true) : note_elder(other, segment->header.number, true);
    }
    if (entry->sequence == 0 || (younger && whole)) {
        entry->sequence = record->sequence;
        entry->segment = index;
        entry->block = (uint32_t)(offset / SPOOL_ALIGN);
    }
    return noted;
}

static bool take_chunk(spool_survey_segment_t *segment, const spool_found_t *found)
{
    if (!ROOM(segment->chunks, segment->chunks_found, segment->chunk_capacity)) {
        return false;
    }
    segment->chunks[segment->chunks_found++] =
        (struct chunk_place){found->offset, found->record.sequence, found->record.body_size};
    return true;
}

bool spool_survey_has_chunk(const spool_survey_segment_t *segment, const spool_chunk_ref_t *ref)
{
    uint32_t low = 0, high = segment->chunks_found;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (segment->chunks[middle].offset < ref->offset) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < segment->chunks_found && segment->chunks[low].offset == ref->offset &&
           segment->chunks[low].sequence == ref->sequence && segment->chunks[low].length == ref->length;
}

const spool_survey_segment_t *spool_survey_segment_of(const spool_survey_t *survey, const spool_chunk_ref_t *ref)
{
    uint32_t index = spool_survey_find(survey, ref->segment);

    return index < survey->segment_count && survey->segments[index].header.epoch == ref->epoch
               ? &survey->segments[index]
               : NULL;
}

static const unsigned char *refs_of(const spool_found_t *found)
{
    return found->meta + found->record.envelope_size;
}

static const unsigned char *outcome_of(const spool_found_t *found)
{
    return refs_of(found) + (size_t)found->record.chunk_count * SPOOL_CHUNK_REF_SIZE;
}

typedef enum chunks { CHUNKS_ALL, CHUNKS_GONE, CHUNKS_BROKEN } chunks_t;

/*
 * How the chunks of the record are. They stand before their message, so they have been seen. BROKEN: one is not good
 * whose segment is still there. GONE: all others are good, but a segment is gone, as it may be when the message is over
 * or stands elsewhere, too.
 */
static chunks_t look_at_chunks(const spool_survey_t *survey, const spool_found_t *found)
{
    chunks_t chunks = CHUNKS_ALL;

    for (uint32_t i = 0; i < found->record.chunk_count; i++) {
        const spool_survey_segment_t *segment;
        spool_chunk_ref_t ref;

        spool_chunk_ref_decode(&ref, refs_of(found) + (size_t)i * SPOOL_CHUNK_REF_SIZE);
        segment = spool_survey_segment_of(survey, &ref);
        if (segment == NULL) {
            chunks = CHUNKS_GONE;
        } else if (!spool_survey_has_chunk(segment, &ref)) {
            return CHUNKS_BROKEN;
        }
    }
    return chunks;
}

/* Keeps the record until all copies and marks are known: it counts last, or, if its batch was torn, not at all. */
static bool keep_partial(spool_survey_t *survey, uint32_t index, const spool_found_t *found, bool broken)
{
    spool_survey_partial_t *partial;

    if (!ROOM(survey->partials, survey->partial_count, survey->partial_capacity)) {
        return false;
    }
    partial = &survey->partials[survey->partial_count];
    *partial =
        (spool_survey_partial_t){.record = found->record, .segment = index, .offset = found->offset, .broken = broken};
    if (found->record.outcome_size > 0) {
        partial->outcome = malloc(found->record.outcome_size);
        if (partial->outcome == NULL) {
            return false;
        }
        memcpy(partial->outcome, outcome_of(found), found->record.outcome_size);
    }
    survey->partial_count++;
    return true;
}

static bool take_record(spool_survey_t *survey, uint32_t index, const spool_found_t *found)
{
    const chunks_t chunks = look_at_chunks(survey, found);
    bool taken = true;

    survey->records++;
    if (chunks != CHUNKS_ALL) {
        return keep_partial(survey, index, found, chunks == CHUNKS_BROKEN);
    }
    if (found->record.type == SPOOL_MESSAGE) {
        taken = take_message(survey, index, &found->record, found->offset, true);
    } else if (found->record.type == SPOOL_CHUNK) {
        taken = take_chunk(&survey->segments[index], found);
    }
    if (taken && found->record.outcome_size > 0) {
        taken = take_outcome(survey, &survey->segments[index], outcome_of(found), found->record.outcome_size);
    }
    return taken;
}

/* ---- marks and suspects ---- */

static bool raise_mark(spool_survey_t *survey, uint64_t durable)
{
    uint64_t generation = durable >> SPOOL_GENERATION_SHIFT;

    for (uint32_t i = survey->mark_count; i > 0; i--) {
        if (survey->marks[i - 1].generation == generation) {
            if (survey->marks[i - 1].mark < durable) {
                survey->marks[i - 1].mark = durable;
            }
            return true;
        }
    }
    if (!ROOM(survey->marks, survey->mark_count, survey->mark_capacity)) {
        return false;
    }
    survey->marks[survey->mark_count++] = (struct spool_survey_mark){generation, durable};
    return true;
}

static uint64_t mark_of(const spool_survey_t *survey, uint64_t sequence)
{
    for (uint32_t i = 0; i < survey->mark_count; i++) {
        if (survey->marks[i].generation == sequence >> SPOOL_GENERATION_SHIFT) {
            return survey->marks[i].mark;
        }
    }
    return 0;
}

static bool suspect(spool_survey_t *survey, const spool_damage_t *damage)
{
    if (!ROOM(survey->suspects, survey->suspect_count, survey->suspect_capacity)) {
        return false;
    }
    survey->suspects[survey->suspect_count++] = *damage;
    return true;
}

static void tell(spool_survey_t *survey, const spool_damage_t *damage)
{
    uint32_t index = spool_survey_find(survey, damage->segment);

    *(damage->torn ? &survey->torn : &survey->damaged) += damage->count;
    if (!damage->torn && index < survey->segment_count) {
        survey->segments[index].damaged = true;
    }
    if (survey->on_damage != NULL) {
        survey->on_damage(survey->baton, damage);
    }
}

void spool_survey_judge(spool_survey_t *survey, const spool_damage_t *damage)
{
    uint64_t mark = mark_of(survey, damage->first), last = damage->first + damage->count - 1;
    spool_damage_t part = *damage;

    if (damage->first <= mark) {
        part.count = (last < mark ? last : mark) - damage->first + 1;
        part.torn = false;
        tell(survey, &part);
    }
    if (last > mark) {
        part.first = damage->first > mark ? damage->first : mark + 1;
        part.count = last - part.first + 1;
        part.torn = true;
        tell(survey, &part);
    }
}

static spool_damage_t damage_of(const spool_survey_t *survey, const spool_survey_partial_t *partial)
{
    return (spool_damage_t){.what = "chunk",
                            .segment = survey->segments[partial->segment].header.number,
                            .offset = partial->offset,
                            .first = partial->record.sequence,
                            .count = 1,
                            .id = partial->record.id,
                            .torn = true};
}

/*
 * A message and its chunks are written as one, so above the mark a record without a chunk is as torn as the chunk: it
 * is no copy, or it would take the place of the one that was acknowledged, and what it says of another message was
 * never said. Below the mark the chunk was lost later: the word counts, and the record where there is no other copy. So
 * it is with one that is gone with its segment, which had been left, so synced, before anything went to the next one.
 */
static bool judge_partial(spool_survey_t *survey, const spool_survey_partial_t *partial)
{
    const spool_record_header_t *record = &partial->record;
    spool_survey_segment_t *segment = &survey->segments[partial->segment];

    if (partial->broken && record->sequence > mark_of(survey, record->sequence)) {
        const spool_damage_t damage = damage_of(survey, partial);

        tell(survey, &damage);
        return true;
    }
    return take_message(survey, partial->segment, record, partial->offset, false) &&
           (partial->outcome == NULL || take_outcome(survey, segment, partial->outcome, record->outcome_size));
}

/*
 * Now that all is known of every message: an older copy counts where a segment with chunks of the younger was lost. No
 * mail is, but the disk is not what it was. Of a message that is over, or whose youngest copy is whole, segments go
 * before their time is up, and nothing is wrong. (What is broken was told of where it stands.)
 */
static bool tell_of_gone_chunks(spool_survey_t *survey, const spool_survey_partial_t *partial)
{
    const spool_survey_entry_t *entry = partial->broken ? NULL : entry_of(survey, partial->record.id);

    if (entry != NULL && !entry->final && entry->sequence < partial->record.sequence) {
        const spool_damage_t damage = damage_of(survey, partial);

        spool_survey_judge(survey, &damage);
    }
    return partial->broken || entry != NULL;
}

/* ---- one segment ---- */

/* Sequences run without a gap: what is skipped is missing. */
static bool miss(spool_survey_t *survey, spool_survey_segment_t *segment, uint64_t next)
{
    spool_damage_t damage = {.what = "missing", .segment = segment->header.number, .offset = segment->end};

    if (next <= segment->expected || segment->expected == 0) {
        return true;
    }
    damage.first = segment->expected;
    damage.count = next - segment->expected;
    segment->expected = next;
    return suspect(survey, &damage);
}

static bool see_record(spool_survey_t *survey, uint32_t index, const spool_found_t *found)
{
    spool_survey_segment_t *segment = &survey->segments[index];
    const spool_record_header_t *record = &found->record;
    spool_damage_t damage = {.what = "corrupt",
                             .segment = segment->header.number,
                             .offset = found->offset,
                             .first = record->sequence,
                             .count = 1,
                             .id = record->id};
    bool fine;

    if (record->sequence > segment->void_after) {
        survey->void_records++;
        return true;
    }
    if (segment->expected == 0) { /* the header is lost: nobody knows what came before */
        segment->expected = record->sequence;
    }
    fine = miss(survey, segment, record->sequence);
    segment->expected = record->sequence + 1;
    segment->end = found->offset + spool_record_size(record);
    return fine && (found->good ? take_record(survey, index, found) : suspect(survey, &damage));
}

/*
 * A good batch header says which sequences were written here, should their records be unreadable: its own, and those
 * that were durable before it, which stand here or in an older segment. CLAIMED: the sequence after the last of them.
 */
static bool see_batch(spool_survey_t *survey, const spool_survey_segment_t *segment, const spool_batch_header_t *batch,
                      uint64_t *claimed)
{
    uint64_t next = batch->first_sequence + batch->record_count;

    if (batch->durable >= next) {
        next = batch->durable + 1;
    }
    if (next > *claimed && next - 1 <= segment->void_after) {
        *claimed = next;
    }
    return raise_mark(survey, batch->durable);
}

/* Every segment has its full length from its first day on. How much stood in what is gone, nobody knows. */
static void judge_length(spool_survey_t *survey, const spool_survey_segment_t *segment)
{
    spool_damage_t damage = {.what = "cut",
                             .segment = segment->header.number,
                             .offset = segment->file_size,
                             .first = segment->expected,
                             .count = 1};

    if (segment->readable && segment->file_size < segment->header.size) {
        tell(survey, &damage);
    }
}

static apr_status_t survey_segment(spool_survey_t *survey, uint32_t index)
{
    spool_survey_segment_t *segment = &survey->segments[index];
    spool_found_t found;
    spool_scan_event_t event;
    uint64_t claimed = 0;
    bool noted;
    int fd, error;

    if (spool_scan_is_unwanted(survey->scan)) {
        return survey->scan->status;
    }
    error = spool_segment_file_open(survey->files, survey->directory, segment->header.number, &fd);
    if (error != 0) {
        return APR_FROM_OS_ERROR(error);
    }
    noted = raise_mark(survey, segment->header.durable);
    segment->expected = segment->header.first_sequence;
    segment->end = SPOOL_BLOCK;
    spool_scan_begin(survey->scan, survey->files, fd, segment->header.epoch, segment->file_size);
    while (noted && (event = spool_scan_next(survey->scan, &found)) != SPOOL_SCAN_END) {
        noted = event == SPOOL_SCAN_BATCH ? see_batch(survey, segment, &found.batch, &claimed)
                                          : see_record(survey, index, &found);
    }
    (void)survey->files->close(survey->files, fd);
    if (noted && survey->scan->status != APR_SUCCESS) {
        return survey->scan->status; /* what was not looked at is not missing */
    }
    if (segment->last_wanted != 0 && segment->last_wanted + 1 > claimed) {
        claimed = segment->last_wanted + 1;
    }
    if (noted) {
        noted = miss(survey, segment, claimed);
    }
    judge_length(survey, segment);
    return noted ? APR_SUCCESS : APR_ENOMEM;
}

/* What a segment's successor says about it: how far it was good, and even its epoch if its own header is lost. */
static void read_successors(spool_survey_t *survey)
{
    for (uint32_t i = 0; i < survey->segment_count; i++) {
        survey->segments[i].void_after = UINT64_MAX;
    }
    for (uint32_t i = 0; i < survey->segment_count; i++) {
        const spool_segment_header_t *header = &survey->segments[i].header;
        uint32_t index = survey->segments[i].readable && header->previous_number != 0
                             ? spool_survey_find(survey, header->previous_number)
                             : survey->segment_count;
        spool_survey_segment_t *previous;

        if (index == survey->segment_count) {
            continue;
        }
        previous = &survey->segments[index];
        if (!previous->readable) {
            previous->header.epoch = header->previous_epoch;
            previous->header.first_sequence = 0;
        }
        if (previous->header.epoch != header->previous_epoch) {
            continue;
        }
        previous->last_wanted = header->previous_last;
        if (header->previous_abandoned) {
            previous->void_after = header->previous_last;
            (void)note_elder(&survey->segments[i], header->previous_number, true);
        }
    }
}

/*
 * A segment without a good header. With an epoch from its successor its records can still be found (and its first
 * sequence is then that of the first record); without one, nothing in it can be told from noise.
 */
static void judge_header(spool_survey_t *survey, spool_survey_segment_t *segment)
{
    spool_damage_t damage = {.what = "header", .segment = segment->header.number, .count = 1};

    tell(survey, &damage);
}

apr_status_t spool_survey_run(spool_survey_t *survey)
{
    apr_status_t status = APR_SUCCESS;

    survey->scan = calloc(1, sizeof *survey->scan);
    if (survey->scan == NULL) {
        return APR_ENOMEM;
    }
    survey->scan->unwanted = survey->unwanted;
    read_successors(survey);
    for (uint32_t i = 0; i < survey->segment_count && status == APR_SUCCESS; i++) {
        if (!survey->segments[i].readable) {
            judge_header(survey, &survey->segments[i]);
        }
        if (survey->segments[i].readable || survey->segments[i].header.epoch != 0) {
            status = survey_segment(survey, i);
        }
    }
    survey->unreadable_blocks = survey->scan->unreadable;
    for (uint32_t i = 0; i < survey->suspect_count && status == APR_SUCCESS; i++) {
        spool_survey_judge(survey, &survey->suspects[i]);
    }
    for (uint32_t i = 0; i < survey->partial_count && status == APR_SUCCESS; i++) {
        status = judge_partial(survey, &survey->partials[i]) ? APR_SUCCESS : APR_ENOMEM;
    }
    for (uint32_t i = 0; i < survey->partial_count && status == APR_SUCCESS; i++) {
        status = tell_of_gone_chunks(survey, &survey->partials[i]) ? APR_SUCCESS : APR_ENOMEM;
    }
    return status;
}
