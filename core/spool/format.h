/*
 * What stands in a segment, byte for byte: docs/spool-format.md is the text, this is the code. Nothing here does I/O.
 *
 * Every checksum but the segment header's is seeded with the segment's random epoch and the offset at which the bytes
 * stand, so bytes of an earlier use of the segment, or bytes that a sender put into a mail, are never taken for ours.
 */
#ifndef DEMIT_SPOOL_FORMAT_H
#define DEMIT_SPOOL_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "demit/spool.h"

enum {
    SPOOL_BLOCK = 4096, /* batches start on a multiple of it */
    SPOOL_ALIGN = 8,    /* records start on a multiple of it */
    SPOOL_SEGMENT_HEADER_SIZE = 128,
    SPOOL_SEGMENT_HEADER_COPY = 2048, /* where the header stands a second time in its block */
    SPOOL_BATCH_HEADER_SIZE = 64,
    SPOOL_RECORD_HEADER_SIZE = 72,
    SPOOL_CHUNK_REF_SIZE = 32,
    SPOOL_OUTCOME_HEAD_SIZE = 40,
    SPOOL_OUTCOME_ENTRY_SIZE = 8,
    SPOOL_SEGMENT_MIN = 64 * 1024,
    SPOOL_GENERATION_SHIFT = 40 /* sequences and ids: generation of the start above, counter below */
};

static inline uint64_t spool_round_up(uint64_t value, uint64_t unit)
{
    return (value + unit - 1) / unit * unit;
}

/* ---- segment header --------------------------------------------------------------------------------------------- */

typedef struct spool_segment_header {
    uint32_t number;
    uint64_t epoch;
    uint64_t first_sequence;  /* of the first record that was to be written here */
    uint64_t durable;         /* highest sequence known durable when this was written; 0: none of this run */
    uint64_t size;            /* of the segment */
    uint32_t previous_number; /* the segment that this one continues; 0: the first of a run */
    bool prepared;            /* the file had been written in full before */
    bool previous_abandoned;  /* a write or sync failed there: what follows previous_last is void */
    uint64_t previous_epoch;
    uint64_t previous_last; /* last good sequence of it */
    int64_t created_us;
} spool_segment_header_t;

/* Fills the whole first block. */
void spool_segment_header_encode(const spool_segment_header_t *header, unsigned char block[SPOOL_BLOCK]);
/* From either copy. False: neither is one. */
bool spool_segment_header_decode(spool_segment_header_t *header, const unsigned char block[SPOOL_BLOCK]);

/* ---- batch header ----------------------------------------------------------------------------------------------- */

typedef struct spool_batch_header {
    uint32_t length; /* header and records, without the padding to the next block */
    uint32_t record_count;
    uint64_t first_sequence;
    uint64_t durable; /* every record of this run up to here was durable before this batch was written */
} spool_batch_header_t;

void spool_batch_header_encode(const spool_batch_header_t *header, uint64_t epoch, uint64_t offset,
                               unsigned char out[SPOOL_BATCH_HEADER_SIZE]);
bool spool_batch_header_decode(spool_batch_header_t *header, uint64_t epoch, uint64_t offset,
                               const unsigned char in[SPOOL_BATCH_HEADER_SIZE]);

/* ---- record: header, envelope, chunk references, outcome, body, padding to 8 ------------------------------------- */

typedef enum spool_record_type { SPOOL_MESSAGE = 1, SPOOL_CHUNK = 2, SPOOL_OUTCOME = 3 } spool_record_type_t;

typedef struct spool_record_header {
    spool_record_type_t type;
    uint32_t envelope_size; /* bytes of envelope */
    uint32_t chunk_count;   /* of references to chunk records */
    uint32_t outcome_size;  /* bytes of outcome */
    uint32_t body_size;     /* bytes of body in this record */
    uint64_t sequence;
    uint64_t id; /* of the message; 0 in a chunk, which is written before its message has one */
    uint64_t meta_sum;
    uint64_t body_sum;
} spool_record_header_t;

/* Bytes between header and body, and of the whole record with its padding. */
uint64_t spool_record_meta_size(const spool_record_header_t *header);
uint64_t spool_record_size(const spool_record_header_t *header);

/*
 * Writes the header in front of the meta bytes, which must stand behind it already, with all sums. BODY_HASH is
 * spool_body_hash() of the body.
 */
void spool_record_seal(spool_record_header_t *header, uint64_t epoch, uint64_t offset, uint64_t body_hash,
                       unsigned char *head);
/* Reads a header. False: none, of this epoch, at this offset. Its lengths may then be trusted. */
bool spool_record_header_decode(spool_record_header_t *header, uint64_t epoch, uint64_t offset,
                                const unsigned char in[SPOOL_RECORD_HEADER_SIZE]);
bool spool_record_meta_is_good(const spool_record_header_t *header, uint64_t epoch, uint64_t offset,
                               const unsigned char *meta);
bool spool_record_body_is_good(const spool_record_header_t *header, uint64_t epoch, uint64_t offset,
                               uint64_t body_hash);
/* The unseeded hash, which any thread can compute before it is known where the body will stand. */
uint64_t spool_body_hash(const void *body, size_t size);

/* ---- parts of the meta bytes ------------------------------------------------------------------------------------- */

typedef struct spool_chunk_ref {
    uint32_t segment, length; /* length of its body */
    uint64_t epoch, offset;   /* of the record */
    uint64_t sequence;
} spool_chunk_ref_t;

void spool_chunk_ref_encode(const spool_chunk_ref_t *ref, unsigned char out[SPOOL_CHUNK_REF_SIZE]);
void spool_chunk_ref_decode(spool_chunk_ref_t *ref, const unsigned char in[SPOOL_CHUNK_REF_SIZE]);

/* An outcome as it stands in a segment: everything of demit_spool_outcome_t, the location by segment and epoch. */
typedef struct spool_outcome_view {
    uint64_t id;
    uint32_t segment; /* where the message stood */
    uint64_t epoch;
    bool final, delay_dsn_sent;
    uint32_t attempts;
    int64_t next_attempt_us;
    uint32_t count;
    const unsigned char *entries;
} spool_outcome_view_t;

size_t spool_outcome_encoded_size(const demit_spool_outcome_t *outcome);
/* The epoch is left 0: the committer, who knows the segments, sets the target. */
void spool_outcome_encode(const demit_spool_outcome_t *outcome, unsigned char *out);
void spool_outcome_set_target(unsigned char *encoded, uint32_t segment, uint64_t epoch);
bool spool_outcome_decode(spool_outcome_view_t *view, const unsigned char *bytes, size_t size);
/* The I-th recipient's index and state. */
void spool_outcome_entry(const spool_outcome_view_t *view, uint32_t i, uint32_t *recipient,
                         demit_recipient_state_t *state);

/*
 * The join of two retry states: more attempts win, then the later time. Outcomes commute, so recovery may meet them in
 * any order and as often as they were copied.
 */
static inline void spool_retry_join(uint32_t *attempts, int64_t *next_attempt_us, uint32_t other_attempts,
                                    int64_t other_next_us)
{
    if (other_attempts > *attempts || (other_attempts == *attempts && other_next_us > *next_attempt_us)) {
        *attempts = other_attempts;
        *next_attempt_us = other_next_us;
    }
}

#endif
