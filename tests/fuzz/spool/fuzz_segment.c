/*
 * Any bytes as the batches of up to three segments. Nobody can guess sums, so the target makes them right first: each
 * magic that stands on a multiple of eight is given a good header sum, and good sums behind it where they fit. What is
 * left to the fuzzer is everything that is inside. The survey must end, stay inside its memory and lose count of
 * nothing.
 *
 * What stands behind the text "DMTNEXT1" is another segment, which continues the one before: five bytes say how, the
 * batches follow.
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

enum { EPOCH = 12345, SEGMENT = 32 * 1024, SEGMENTS_MAX = 3, NEXT_SIZE = 5 };
enum { UNREADABLE = 1, ABANDONED = 2, FORGETS_EPOCH = 4, FIRST_OF_A_RUN = 8, CUT = 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned char segment_bytes[SEGMENTS_MAX][SEGMENT];

/* The file of segment N is the descriptor N. */
static int mem_open(const demit_files_t *files, int dir, const char *name, int flags, mode_t mode, int *fd)
{
    (void)files, (void)dir, (void)flags, (void)mode;
    *fd = (int)strtol(name, NULL, 16);
    return *fd >= 1 && *fd <= SEGMENTS_MAX ? 0 : ENOENT;
}

static int mem_close(const demit_files_t *files, int fd)
{
    (void)files, (void)fd;
    return 0;
}

static int mem_pread(const demit_files_t *files, int fd, void *bytes, size_t size, uint64_t offset, size_t *done)
{
    (void)files;
    if (offset > SEGMENT)
        return EINVAL;
    *done = size < SEGMENT - offset ? size : (size_t)(SEGMENT - offset);
    memcpy(bytes, segment_bytes[fd - 1] + offset, *done);
    return 0;
}

/* Of something at OFFSET of segment INDEX, whose epoch is EPOCH + INDEX. */
static uint64_t sum(const unsigned char *bytes, size_t size, unsigned index, size_t offset)
{
    return XXH3_64bits_withSeed(bytes, size, EPOCH + index + offset);
}

static void mend_record(unsigned index, size_t offset)
{
    unsigned char *head = segment_bytes[index] + offset;
    spool_record_header_t header = {.envelope_size = get_u32(head + 20),
                                    .chunk_count = get_u32(head + 24),
                                    .outcome_size = get_u32(head + 28),
                                    .body_size = get_u32(head + 32)};

    if (spool_record_size(&header) <= SEGMENT - offset) {
        size_t meta_size = (size_t)spool_record_meta_size(&header);
        unsigned char hash[8];

        put_u64(head + 56, sum(head + SPOOL_RECORD_HEADER_SIZE, meta_size, index, offset));
        put_u64(hash, spool_body_hash(head + SPOOL_RECORD_HEADER_SIZE + meta_size, header.body_size));
        put_u64(head + 64, sum(hash, sizeof hash, index, offset));
    }
    put_u64(head + 8, sum(head + 16, SPOOL_RECORD_HEADER_SIZE - 16, index, offset));
}

/* From the end on, so that a record inside a record is mended before the one around it. */
static void mend(unsigned index)
{
    for (size_t offset = SEGMENT - 80; offset >= SPOOL_BLOCK; offset -= 8) {
        unsigned char *at = segment_bytes[index] + offset;

        if (memcmp(at, "DMTREC01", 8) == 0)
            mend_record(index, offset);
        else if (memcmp(at, "DMTBAT01", 8) == 0)
            put_u64(at + 8, sum(at + 16, SPOOL_BATCH_HEADER_SIZE - 16, index, offset));
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

/* The segment INDEX with the SIZE bytes at DATA as its batches. HOW: the bytes in front of them; NULL: it is the first.
 */
static spool_survey_segment_t make_segment(unsigned index, const uint8_t *how, const uint8_t *data, size_t size)
{
    unsigned char *bytes = segment_bytes[index];
    spool_survey_segment_t made = {
        .header = {.number = index + 1, .epoch = EPOCH + index, .first_sequence = 1, .size = SEGMENT},
        .readable = true,
        .file_size = SEGMENT};
    memset(bytes, 0, SEGMENT);
    memcpy(bytes + SPOOL_BLOCK, data, size < SEGMENT - SPOOL_BLOCK ? size : SEGMENT - SPOOL_BLOCK);
    mend(index);
    if (how != NULL) {
        made.readable = (how[0] & UNREADABLE) == 0;
        made.header.epoch = made.readable ? made.header.epoch : 0;
        made.header.previous_number = (how[0] & FIRST_OF_A_RUN) == 0 ? index : 0;
        made.header.previous_epoch = EPOCH + index - ((how[0] & FORGETS_EPOCH) == 0);
        made.header.previous_abandoned = (how[0] & ABANDONED) != 0;
        made.header.previous_last = how[1];
        made.header.first_sequence = how[2];
        made.header.durable = how[3];
        made.file_size = (how[0] & CUT) != 0 ? how[4] * 128U : SEGMENT;
    }
    return made;
}

/* Fills SEGMENTS and returns how many there are. */
static unsigned cut_up(spool_survey_segment_t *segments, const uint8_t *data, size_t size)
{
    static const char next[] = "DMTNEXT1";
    const uint8_t *how = NULL;
    unsigned count = 0;
    while (count < SEGMENTS_MAX) {
        const uint8_t *end = memmem(data, size, next, sizeof(next) - 1);
        size_t here = end == NULL ? size : (size_t)(end - data);
        segments[count] = make_segment(count, how, data, here);
        count++;
        if (end == NULL || size - here < sizeof(next) - 1 + NEXT_SIZE)
            break;
        how = end + sizeof(next) - 1;
        data = how + NEXT_SIZE;
        size -= here + sizeof(next) - 1 + NEXT_SIZE;
    }
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const demit_files_t files = {.open = mem_open, .close = mem_close, .pread = mem_pread};
    spool_survey_segment_t segments[SEGMENTS_MAX];
    spool_survey_t survey;
    uint64_t count = 0;
    apr_pool_t *pool;

    if (apr_initialize() != APR_SUCCESS || apr_pool_create(&pool, NULL) != APR_SUCCESS)
        abort();
    spool_survey_init(&survey, &files, 0, segments, cut_up(segments, data, size));
    if (spool_survey_run(&survey) != APR_SUCCESS ||
        spool_survey_each(&survey, count_message, &count, pool) != APR_SUCCESS)
        abort();
    if (count > survey.records)
        abort();
    spool_survey_free(&survey);
    apr_pool_destroy(pool);
    return 0;
}
