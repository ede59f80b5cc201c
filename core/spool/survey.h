/*
 * What a spool holds: goes through all segments of earlier runs, tells damage from torn tails, and joins what it finds
 * of each message. Recovery and the offline check are both made of this.
 */
#ifndef DEMIT_SPOOL_SURVEY_H
#define DEMIT_SPOOL_SURVEY_H

#include "core/spool/scan.h"
#include "core/spool/spool_priv.h"

/* Something that is not what was written. COUNT records from sequence FIRST on, near OFFSET of SEGMENT. */
typedef struct spool_damage {
    const char *what; /* "missing", "corrupt", "header", "cut", "chunk", "envelope" */
    uint32_t segment;
    uint64_t offset, first, count;
    uint64_t id; /* of the message, 0: not known */
    bool torn;   /* above the durable mark: it was never acknowledged */
} spool_damage_t;

typedef struct spool_survey_segment {
    spool_segment_header_t header;
    bool readable; /* its header is known */
    bool damaged;
    uint64_t file_size;
    uint64_t void_after;  /* records above this sequence are void */
    uint64_t last_wanted; /* the next segment says that records up to here were good; 0: it does not say */
    uint64_t expected;    /* the sequence after the last one that was found */
    uint64_t end;         /* offset behind the last thing that was found */
    uint32_t messages, chunks_found;
    struct chunk_place {
        uint64_t offset, sequence;
        uint32_t length;
    } * chunks; /* good ones, by offset */
    uint32_t chunk_capacity;
    spool_elder_t *elders;
    uint32_t elder_count, elder_capacity;
} spool_survey_segment_t;

/* A message record that is good itself, and of whose chunks one is not where it was written. */
typedef struct spool_survey_partial {
    spool_record_header_t record;
    uint32_t segment; /* index */
    uint64_t offset;
    bool broken;            /* the chunk's segment is there, and it is not in it; else it is gone with its segment */
    unsigned char *outcome; /* malloc()ed copy of what it says about another message; NULL: nothing */
} spool_survey_partial_t;

/* One message, joined from all that was found about it. */
typedef struct spool_survey_entry {
    uint64_t id, sequence; /* of the record that counts; 0: only outcomes were found */
    int64_t next_attempt_us;
    uint32_t segment, block; /* index of the segment, location in it */
    uint32_t attempts;
    uint32_t states; /* index of the last noted recipient state + 1 */
    uint32_t next;   /* in its bucket: index + 1 */
    bool final, delay_dsn_sent;
} spool_survey_entry_t;

typedef struct spool_survey {
    const demit_files_t *files;
    int directory;
    const atomic_bool *unwanted; /* set at any time: what runs ends with APR_EINTR; NULL: it never is */
    void (*on_damage)(void *baton, const spool_damage_t *damage);
    void *baton;

    spool_survey_segment_t *segments; /* by number */
    uint32_t segment_count;

    spool_survey_entry_t *entries;
    uint32_t entry_count, entry_capacity;
    uint32_t *buckets; /* index of an entry + 1 */
    uint32_t bucket_count;
    struct spool_survey_state {
        uint32_t next, recipient;
        demit_recipient_state_t state;
    } * states;
    uint32_t state_count, state_capacity;

    /* Until the marks are known. */
    spool_damage_t *suspects;
    uint32_t suspect_count, suspect_capacity;
    spool_survey_partial_t *partials;
    uint32_t partial_count, partial_capacity;
    struct spool_survey_mark {
        uint64_t generation, mark;
    } * marks;
    uint32_t mark_count, mark_capacity;

    spool_scan_t *scan;
    uint64_t records, torn, damaged, void_records, unreadable_blocks;
} spool_survey_t;

/* SEGMENTS (COUNT, by number, with header, readable and file_size set) stay the caller's. */
void spool_survey_init(spool_survey_t *survey, const demit_files_t *files, int directory,
                       spool_survey_segment_t *segments, uint32_t count);
/* Goes through all segments and reports what is not as it should be. Not to be gone on with after an error. */
apr_status_t spool_survey_run(spool_survey_t *survey);

/* One living message; the envelope is as it now stands, and lives in the pool given to spool_survey_each(). */
typedef struct spool_survey_message {
    demit_envelope_t *envelope;
    demit_spool_location_t location;
    uint32_t segment; /* index */
    const unsigned char *chunk_refs;
    uint32_t chunk_count;
} spool_survey_message_t;
/* Calls EACH for every living message; POOL is cleared after each. */
apr_status_t spool_survey_each(spool_survey_t *survey,
                               apr_status_t (*each)(void *baton, const spool_survey_message_t *message), void *baton,
                               apr_pool_t *pool);
void spool_survey_free(spool_survey_t *survey);
/* The index of segment NUMBER, or the count: there is none. */
uint32_t spool_survey_find(const spool_survey_t *survey, uint32_t number);

/* ---- what the two files of the survey share ---- */

/* The segment that the chunk of REF was written to; NULL: it is gone, which it may be when the message is over. */
const spool_survey_segment_t *spool_survey_segment_of(const spool_survey_t *survey, const spool_chunk_ref_t *ref);
/* Whether the chunk of REF is among those of SEGMENT, whose epoch is the right one. */
bool spool_survey_has_chunk(const spool_survey_segment_t *segment, const spool_chunk_ref_t *ref);
/* When the marks are known: tells what of DAMAGE was acknowledged, and what is above the mark. */
void spool_survey_judge(spool_survey_t *survey, const spool_damage_t *damage);

#endif
