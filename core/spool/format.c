#include "core/spool/format.h"

#include <string.h>

#define XXH_NO_STREAM
#include <xxhash.h>

#include "core/spool/bytes.h"

/* Letter by letter: a string would have a ninth byte, its end. */
static const unsigned char segment_magic[8] = {'D', 'M', 'T', 'S', 'E', 'G', '0', '1'};
static const unsigned char batch_magic[8] = {'D', 'M', 'T', 'B', 'A', 'T', '0', '1'};
static const unsigned char record_magic[8] = {'D', 'M', 'T', 'R', 'E', 'C', '0', '1'};

enum { FORMAT_VERSION = 1 };
enum { SEGMENT_PREVIOUS_ABANDONED = 1, SEGMENT_PREPARED = 2 };
enum { OUTCOME_FINAL = 1, OUTCOME_DELAY_DSN_SENT = 2, OUTCOME_FLAGS = 3 };

/* The seed that ties bytes to one use of one segment and to one place in it. */
static uint64_t seeded(const void *bytes, size_t size, uint64_t epoch, uint64_t offset)
{
    return XXH3_64bits_withSeed(bytes, size, epoch + offset);
}

/* ---- segment header ---- */

void spool_segment_header_encode(const spool_segment_header_t *header, unsigned char block[SPOOL_BLOCK])
{
    unsigned char *out = block;

    memset(block, 0, SPOOL_BLOCK);
    memcpy(out, segment_magic, sizeof segment_magic);
    put_u32(out + 16, FORMAT_VERSION);
    put_u32(out + 20, header->number);
    put_u64(out + 24, header->epoch);
    put_u64(out + 32, header->first_sequence);
    put_u64(out + 40, header->durable);
    put_u64(out + 48, header->size);
    put_u32(out + 56, header->previous_number);
    put_u32(out + 60, (header->previous_abandoned ? SEGMENT_PREVIOUS_ABANDONED : 0u) |
                          (header->prepared ? SEGMENT_PREPARED : 0u));
    put_u64(out + 64, header->previous_epoch);
    put_u64(out + 72, header->previous_last);
    put_u64(out + 80, (uint64_t)header->created_us);
    put_u64(out + 8, XXH3_64bits(out + 16, SPOOL_SEGMENT_HEADER_SIZE - 16));
    memcpy(block + SPOOL_SEGMENT_HEADER_COPY, block, SPOOL_SEGMENT_HEADER_SIZE);
}

static bool segment_header_decode_one(spool_segment_header_t *header, const unsigned char *in)
{
    if (memcmp(in, segment_magic, sizeof segment_magic) != 0 || get_u32(in + 16) != FORMAT_VERSION ||
        get_u64(in + 8) != XXH3_64bits(in + 16, SPOOL_SEGMENT_HEADER_SIZE - 16)) {
        return false;
    }
    header->number = get_u32(in + 20);
    header->epoch = get_u64(in + 24);
    header->first_sequence = get_u64(in + 32);
    header->durable = get_u64(in + 40);
    header->size = get_u64(in + 48);
    header->previous_number = get_u32(in + 56);
    header->previous_abandoned = (get_u32(in + 60) & SEGMENT_PREVIOUS_ABANDONED) != 0;
    header->prepared = (get_u32(in + 60) & SEGMENT_PREPARED) != 0;
    header->previous_epoch = get_u64(in + 64);
    header->previous_last = get_u64(in + 72);
    header->created_us = (int64_t)get_u64(in + 80);
    return true;
}

bool spool_segment_header_decode(spool_segment_header_t *header, const unsigned char block[SPOOL_BLOCK])
{
    return segment_header_decode_one(header, block) ||
           segment_header_decode_one(header, block + SPOOL_SEGMENT_HEADER_COPY);
}

/* ---- batch header ---- */

void spool_batch_header_encode(const spool_batch_header_t *header, uint64_t epoch, uint64_t offset,
                               unsigned char out[SPOOL_BATCH_HEADER_SIZE])
{
    memset(out, 0, SPOOL_BATCH_HEADER_SIZE);
    memcpy(out, batch_magic, sizeof batch_magic);
    put_u32(out + 16, header->length);
    put_u32(out + 20, header->record_count);
    put_u64(out + 24, header->first_sequence);
    put_u64(out + 32, header->durable);
    put_u64(out + 8, seeded(out + 16, SPOOL_BATCH_HEADER_SIZE - 16, epoch, offset));
}

bool spool_batch_header_decode(spool_batch_header_t *header, uint64_t epoch, uint64_t offset,
                               const unsigned char in[SPOOL_BATCH_HEADER_SIZE])
{
    if (memcmp(in, batch_magic, sizeof batch_magic) != 0 ||
        get_u64(in + 8) != seeded(in + 16, SPOOL_BATCH_HEADER_SIZE - 16, epoch, offset)) {
        return false;
    }
    header->length = get_u32(in + 16);
    header->record_count = get_u32(in + 20);
    header->first_sequence = get_u64(in + 24);
    header->durable = get_u64(in + 32);
    return header->length >= SPOOL_BATCH_HEADER_SIZE;
}

/* ---- record ---- */

uint64_t spool_record_meta_size(const spool_record_header_t *header)
{
    return (uint64_t)header->envelope_size + (uint64_t)header->chunk_count * SPOOL_CHUNK_REF_SIZE +
           header->outcome_size;
}

uint64_t spool_record_size(const spool_record_header_t *header)
{
    return spool_round_up(SPOOL_RECORD_HEADER_SIZE + spool_record_meta_size(header) + header->body_size, SPOOL_ALIGN);
}

uint64_t spool_body_hash(const void *body, size_t size)
{
    return XXH3_64bits(body, size);
}

/* Seeding the hash of the body, not the body: whoever fills the buffer hashes it, before its place is known. */
static uint64_t body_sum(uint64_t body_hash, uint64_t epoch, uint64_t offset)
{
    unsigned char bytes[8];

    put_u64(bytes, body_hash);
    return seeded(bytes, sizeof bytes, epoch, offset);
}

void spool_record_seal(spool_record_header_t *header, uint64_t epoch, uint64_t offset, uint64_t body_hash,
                       unsigned char *head)
{
    header->meta_sum = seeded(head + SPOOL_RECORD_HEADER_SIZE, (size_t)spool_record_meta_size(header), epoch, offset);
    header->body_sum = body_sum(body_hash, epoch, offset);
    memcpy(head, record_magic, sizeof record_magic);
    put_u32(head + 16, header->type);
    put_u32(head + 20, header->envelope_size);
    put_u32(head + 24, header->chunk_count);
    put_u32(head + 28, header->outcome_size);
    put_u32(head + 32, header->body_size);
    put_u32(head + 36, 0);
    put_u64(head + 40, header->sequence);
    put_u64(head + 48, header->id);
    put_u64(head + 56, header->meta_sum);
    put_u64(head + 64, header->body_sum);
    put_u64(head + 8, seeded(head + 16, SPOOL_RECORD_HEADER_SIZE - 16, epoch, offset));
}

bool spool_record_header_decode(spool_record_header_t *header, uint64_t epoch, uint64_t offset,
                                const unsigned char in[SPOOL_RECORD_HEADER_SIZE])
{
    uint32_t type;

    if (memcmp(in, record_magic, sizeof record_magic) != 0 ||
        get_u64(in + 8) != seeded(in + 16, SPOOL_RECORD_HEADER_SIZE - 16, epoch, offset)) {
        return false;
    }
    type = get_u32(in + 16);
    if (type != SPOOL_MESSAGE && type != SPOOL_CHUNK && type != SPOOL_OUTCOME) {
        return false;
    }
    header->type = (spool_record_type_t)type;
    header->envelope_size = get_u32(in + 20);
    header->chunk_count = get_u32(in + 24);
    header->outcome_size = get_u32(in + 28);
    header->body_size = get_u32(in + 32);
    header->sequence = get_u64(in + 40);
    header->id = get_u64(in + 48);
    header->meta_sum = get_u64(in + 56);
    header->body_sum = get_u64(in + 64);
    return true;
}

bool spool_record_meta_is_good(const spool_record_header_t *header, uint64_t epoch, uint64_t offset,
                               const unsigned char *meta)
{
    return header->meta_sum == seeded(meta, (size_t)spool_record_meta_size(header), epoch, offset);
}

bool spool_record_body_is_good(const spool_record_header_t *header, uint64_t epoch, uint64_t offset, uint64_t body_hash)
{
    return header->body_sum == body_sum(body_hash, epoch, offset);
}

/* ---- meta ---- */

void spool_chunk_ref_encode(const spool_chunk_ref_t *ref, unsigned char out[SPOOL_CHUNK_REF_SIZE])
{
    put_u32(out, ref->segment);
    put_u32(out + 4, ref->length);
    put_u64(out + 8, ref->epoch);
    put_u64(out + 16, ref->offset);
    put_u64(out + 24, ref->sequence);
}

void spool_chunk_ref_decode(spool_chunk_ref_t *ref, const unsigned char in[SPOOL_CHUNK_REF_SIZE])
{
    ref->segment = get_u32(in);
    ref->length = get_u32(in + 4);
    ref->epoch = get_u64(in + 8);
    ref->offset = get_u64(in + 16);
    ref->sequence = get_u64(in + 24);
}

size_t spool_outcome_encoded_size(const demit_spool_outcome_t *outcome)
{
    return SPOOL_OUTCOME_HEAD_SIZE + (size_t)outcome->count * SPOOL_OUTCOME_ENTRY_SIZE;
}

void spool_outcome_encode(const demit_spool_outcome_t *outcome, unsigned char *out)
{
    uint32_t flags = (outcome->final ? OUTCOME_FINAL : 0u) | (outcome->delay_dsn_sent ? OUTCOME_DELAY_DSN_SENT : 0u);

    put_u32(out, flags);
    put_u32(out + 4, outcome->location.segment);
    put_u64(out + 8, 0);
    put_u64(out + 16, outcome->id);
    put_u64(out + 24, (uint64_t)outcome->next_attempt_us);
    put_u32(out + 32, outcome->attempts);
    put_u32(out + 36, outcome->count);
    for (uint32_t i = 0; i < outcome->count; i++) {
        put_u32(out + SPOOL_OUTCOME_HEAD_SIZE + (size_t)i * 8, outcome->recipients[i]);
        put_u32(out + SPOOL_OUTCOME_HEAD_SIZE + (size_t)i * 8 + 4, outcome->states[i]);
    }
}

void spool_outcome_set_target(unsigned char *encoded, uint32_t segment, uint64_t epoch)
{
    put_u32(encoded + 4, segment);
    put_u64(encoded + 8, epoch);
}

bool spool_outcome_decode(spool_outcome_view_t *view, const unsigned char *bytes, size_t size)
{
    uint32_t flags;

    if (size < SPOOL_OUTCOME_HEAD_SIZE) {
        return false;
    }
    flags = get_u32(bytes);
    view->final = (flags & OUTCOME_FINAL) != 0;
    view->delay_dsn_sent = (flags & OUTCOME_DELAY_DSN_SENT) != 0;
    view->segment = get_u32(bytes + 4);
    view->epoch = get_u64(bytes + 8);
    view->id = get_u64(bytes + 16);
    view->next_attempt_us = (int64_t)get_u64(bytes + 24);
    view->attempts = get_u32(bytes + 32);
    view->count = get_u32(bytes + 36);
    view->entries = bytes + SPOOL_OUTCOME_HEAD_SIZE;
    return (flags & ~(uint32_t)OUTCOME_FLAGS) == 0 &&
           (size - SPOOL_OUTCOME_HEAD_SIZE) / SPOOL_OUTCOME_ENTRY_SIZE == view->count &&
           (size - SPOOL_OUTCOME_HEAD_SIZE) % SPOOL_OUTCOME_ENTRY_SIZE == 0;
}

void spool_outcome_entry(const spool_outcome_view_t *view, uint32_t i, uint32_t *recipient,
                         demit_recipient_state_t *state)
{
    const unsigned char *entry = view->entries + (size_t)i * SPOOL_OUTCOME_ENTRY_SIZE;
    uint32_t value = get_u32(entry + 4);

    *recipient = get_u32(entry);
    *state = value == DEMIT_RECIPIENT_FAILED      ? DEMIT_RECIPIENT_FAILED
             : value == DEMIT_RECIPIENT_DELIVERED ? DEMIT_RECIPIENT_DELIVERED
                                                  : DEMIT_RECIPIENT_PENDING;
}
