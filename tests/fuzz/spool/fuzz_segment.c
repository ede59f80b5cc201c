/*
 * Any bytes as the batches of a segment. Nobody can guess sums, so the target makes them right first: each magic that
 * stands on a multiple of eight is given a good header sum, and good sums behind it where they fit. What is left to the
 * fuzzer is everything that is inside. The survey must end, stay inside its memory and lose count of nothing.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <apr_general.h>

#define XXH_NO_STREAM
#include <xxhash.h>

#include "core/spool/bytes.h"
#include "core/spool/survey.h"

enum { EPOCH = 12345, SEGMENT = 32 * 1024 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned char segment_bytes[SEGMENT];

static int mem_open(const demit_files_t *files, int dir, const char *name, int flags, mode_t mode, int *fd)
{
    (void)files, (void)dir, (void)name, (void)flags, (void)mode;
    *fd = 1;
    return 0;
}

static int mem_close(const demit_files_t *files, int fd)
{
    (void)files, (void)fd;
    return 0;
}

static int mem_pread(const demit_files_t *files, int fd, void *bytes, size_t size, uint64_t offset, size_t *done)
{
    (void)files, (void)fd;
    if (offset > SEGMENT)
        return EINVAL;
    *done = size < SEGMENT - offset ? size : (size_t)(SEGMENT - offset);
    memcpy(bytes, segment_bytes + offset, *done);
    return 0;
}

static uint64_t sum(const unsigned char *bytes, size_t size, size_t offset)
{
    return XXH3_64bits_withSeed(bytes, size, EPOCH + offset);
}

static void mend_record(size_t offset)
{
    unsigned char *head = segment_bytes + offset;
    spool_record_header_t header = {.envelope_size = get_u32(head + 20),
                                    .chunk_count = get_u32(head + 24),
                                    .outcome_size = get_u32(head + 28),
                                    .body_size = get_u32(head + 32)};

    if (spool_record_size(&header) <= SEGMENT - offset) {
        size_t meta_size = (size_t)spool_record_meta_size(&header);
        unsigned char hash[8];

        put_u64(head + 56, sum(head + SPOOL_RECORD_HEADER_SIZE, meta_size, offset));
        put_u64(hash, spool_body_hash(head + SPOOL_RECORD_HEADER_SIZE + meta_size, header.body_size));
        put_u64(head + 64, sum(hash, sizeof hash, offset));
    }
    put_u64(head + 8, sum(head + 16, SPOOL_RECORD_HEADER_SIZE - 16, offset));
}

/* From the end on, so that a record inside a record is mended before the one around it. */
static void mend(void)
{
    for (size_t offset = SEGMENT - 80; offset >= SPOOL_BLOCK; offset -= 8) {
        unsigned char *at = segment_bytes + offset;

        if (memcmp(at, "DMTREC01", 8) == 0)
            mend_record(offset);
        else if (memcmp(at, "DMTBAT01", 8) == 0)
            put_u64(at + 8, sum(at + 16, SPOOL_BATCH_HEADER_SIZE - 16, offset));
    }
}

static apr_status_t count_message(void *baton, const spool_survey_message_t *message)
{
    uint64_t *count = baton;

    if (message->envelope->recipient_count > SEGMENT)
        abort();
    ++*count;
    return APR_SUCCESS;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const demit_files_t files = {.open = mem_open, .close = mem_close, .pread = mem_pread};
    spool_survey_segment_t segment = {.header = {.number = 1, .epoch = EPOCH, .first_sequence = 1, .size = SEGMENT},
                                      .readable = true,
                                      .file_size = SEGMENT};
    spool_survey_t survey;
    uint64_t count = 0;
    apr_pool_t *pool;

    if (apr_initialize() != APR_SUCCESS || apr_pool_create(&pool, NULL) != APR_SUCCESS)
        abort();
    memset(segment_bytes, 0, sizeof segment_bytes);
    memcpy(segment_bytes + SPOOL_BLOCK, data, size < SEGMENT - SPOOL_BLOCK ? size : SEGMENT - SPOOL_BLOCK);
    mend();
    spool_survey_init(&survey, &files, 0, &segment, 1);
    if (spool_survey_run(&survey) != APR_SUCCESS ||
        spool_survey_each(&survey, count_message, &count, pool) != APR_SUCCESS)
        abort();
    if (count > survey.records)
        abort();
    spool_survey_free(&survey);
    apr_pool_destroy(pool);
    return 0;
}
