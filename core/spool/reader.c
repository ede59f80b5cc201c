/* Reading one message: its record, and behind it the chunks, each in its place. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <apr_errno.h>

#include "core/spool/spool_priv.h"

enum { FIRST_READ = 4096 }; /* enough for the header and the envelope of nearly every message */

/* A stretch of the body. */
typedef struct piece {
    uint32_t segment;
    uint64_t epoch;
    uint64_t record;   /* offset of the record that holds it */
    uint64_t position; /* offset of its bytes */
    uint64_t start;    /* of the message's byte that comes first */
    uint64_t length, sequence;
} piece_t;

struct demit_spool_reader {
    demit_spool_t *spool;
    apr_pool_t *pool;
    piece_t *pieces;
    uint32_t piece_count;
    uint32_t pinned; /* the first so many pieces' segments are */
    uint64_t size;
    int fd;
    uint32_t fd_segment; /* which segment FD is of; 0: FD is not open */
};

static apr_status_t pin(demit_spool_t *spool, uint32_t number, uint64_t *epoch)
{
    spool_segment_t *segment;

    spool_lock(spool);
    segment = spool_segment_find(spool, number);
    if (segment != NULL && segment->retired) {
        segment = NULL;
    }
    if (segment != NULL) {
        segment->pins++;
        *epoch = segment->header.epoch;
    }
    spool_unlock(spool);
    return segment ? APR_SUCCESS : APR_ENOENT;
}

static void unpin(demit_spool_t *spool, uint32_t number)
{
    spool_segment_t *segment;

    spool_lock(spool);
    segment = spool_segment_find(spool, number);
    if (segment != NULL) {
        segment->pins--;
        if (segment->pins == 0 && segment->living == 0) {
            spool_maintain(spool);
        }
    }
    spool_unlock(spool);
}

/* Reads exactly SIZE bytes of a segment. APR_EINVAL: it ends before. */
static apr_status_t read_segment(demit_spool_reader_t *reader, uint32_t number, uint64_t offset, void *bytes,
                                 size_t *size)
{
    const demit_files_t *files = reader->spool->files;
    size_t done;
    int error = 0;

    if (reader->fd_segment != number) {
        if (reader->fd_segment != 0) {
            (void)files->close(files, reader->fd);
        }
        reader->fd_segment = 0;
        error = spool_segment_file_open(files, reader->spool->directory, number, &reader->fd);
        if (error != 0) {
            return APR_FROM_OS_ERROR(error);
        }
        reader->fd_segment = number;
    }
    error = files->pread(files, reader->fd, bytes, *size, offset, &done);
    *size = done;
    return APR_FROM_OS_ERROR(error);
}

static apr_status_t read_exactly(demit_spool_reader_t *reader, uint32_t number, uint64_t offset, void *bytes,
                                 size_t size)
{
    size_t done = size;
    apr_status_t status = read_segment(reader, number, offset, bytes, &done);

    return status == APR_SUCCESS && done < size ? APR_EINVAL : status;
}

/* Reads header and meta bytes of the message record at LOCATION, checked. */
static apr_status_t read_head(demit_spool_reader_t *reader, demit_spool_location_t location, uint64_t epoch,
                              spool_record_header_t *header, unsigned char **meta)
{
    uint64_t offset = spool_location_offset(location);
    unsigned char *bytes = apr_palloc(reader->pool, FIRST_READ);
    size_t size = FIRST_READ, meta_size;
    apr_status_t status = read_segment(reader, location.segment, offset, bytes, &size);

    if (status != APR_SUCCESS) { /* that was more than is wanted: what the disk cannot read may be another's */
        size = SPOOL_RECORD_HEADER_SIZE;
        status = read_segment(reader, location.segment, offset, bytes, &size);
    }
    if (status != APR_SUCCESS) {
        return status;
    }
    if (size < SPOOL_RECORD_HEADER_SIZE || !spool_record_header_decode(header, epoch, offset, bytes) ||
        header->type != SPOOL_MESSAGE) {
        return APR_EINVAL;
    }
    *meta = bytes + SPOOL_RECORD_HEADER_SIZE;
    meta_size = (size_t)spool_record_meta_size(header);
    if (meta_size > size - SPOOL_RECORD_HEADER_SIZE) {
        *meta = apr_palloc(reader->pool, meta_size);
        status = read_exactly(reader, location.segment, offset + SPOOL_RECORD_HEADER_SIZE, *meta, meta_size);
    }
    if (status == APR_SUCCESS && !spool_record_meta_is_good(header, epoch, offset, *meta)) {
        status = APR_EINVAL;
    }
    return status;
}

/* Lists the stretches of the body: the chunks, then what stands in the record itself. Pins them. */
static apr_status_t list_pieces(demit_spool_reader_t *reader, demit_spool_location_t location, uint64_t epoch,
                                const spool_record_header_t *header, const unsigned char *meta)
{
    uint64_t record = spool_location_offset(location), start = 0;
    const unsigned char *in = meta + header->envelope_size;
    piece_t *piece;
    apr_status_t status;

    reader->pieces = apr_pcalloc(reader->pool, (header->chunk_count + 1) * sizeof *reader->pieces);
    for (uint32_t i = 0; i < header->chunk_count; i++, in += SPOOL_CHUNK_REF_SIZE) {
        spool_chunk_ref_t ref;
        uint64_t found;

        piece = &reader->pieces[reader->piece_count++];
        spool_chunk_ref_decode(&ref, in);
        *piece = (piece_t){ref.segment, ref.epoch,  ref.offset,  ref.offset + SPOOL_RECORD_HEADER_SIZE,
                           start,       ref.length, ref.sequence};
        start += ref.length;
        status = pin(reader->spool, ref.segment, &found);
        if (status != APR_SUCCESS) {
            return status;
        }
        reader->pinned++;
        if (found != ref.epoch) {
            return APR_EINVAL;
        }
    }
    /* The record's own segment is pinned already; it is counted last. */
    reader->pieces[reader->piece_count++] =
        (piece_t){location.segment,
                  epoch,
                  record,
                  record + SPOOL_RECORD_HEADER_SIZE + spool_record_meta_size(header),
                  start,
                  header->body_size,
                  header->sequence};
    reader->size = start + header->body_size;
    return APR_SUCCESS;
}

static void let_go(demit_spool_reader_t *reader)
{
    if (reader->fd_segment != 0) {
        (void)reader->spool->files->close(reader->spool->files, reader->fd);
    }
    reader->fd_segment = 0;
    for (uint32_t i = 0; i < reader->pinned; i++) {
        unpin(reader->spool, reader->pieces[i].segment);
    }
    reader->pinned = 0;
}

apr_status_t demit_spool_reader_open(demit_spool_reader_t **result, demit_envelope_t **envelope, demit_spool_t *spool,
                                     demit_spool_location_t location, apr_pool_t *pool)
{
    demit_spool_reader_t *reader = apr_pcalloc(pool, sizeof *reader);
    spool_record_header_t header;
    unsigned char *meta;
    uint64_t epoch;
    apr_status_t status;

    *result = NULL;
    reader->spool = spool;
    reader->pool = pool;
    status = pin(spool, location.segment, &epoch);
    if (status != APR_SUCCESS) {
        return status;
    }
    status = read_head(reader, location, epoch, &header, &meta);
    if (status == APR_SUCCESS) {
        status = list_pieces(reader, location, epoch, &header, meta);
    }
    if (status == APR_SUCCESS && envelope != NULL) {
        status = demit_envelope_decode(envelope, meta, header.envelope_size, pool);
    }
    if (status != APR_SUCCESS) {
        let_go(reader);
        unpin(spool, location.segment);
        return status;
    }
    reader->pinned = reader->piece_count;
    *result = reader;
    return APR_SUCCESS;
}

/* The piece that holds byte OFFSET, which is below the size. */
static const piece_t *piece_at(const demit_spool_reader_t *reader, uint64_t offset)
{
    uint32_t low = 0, high = reader->piece_count - 1;

    while (low < high) {
        uint32_t middle = low + (high - low + 1) / 2;

        if (reader->pieces[middle].start <= offset) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    return &reader->pieces[low];
}

apr_status_t demit_spool_reader_read(demit_spool_reader_t *reader, uint64_t offset, void *bytes, size_t *size)
{
    size_t wanted = *size, done = 0;

    while (done < wanted && offset + done < reader->size) {
        const piece_t *piece = piece_at(reader, offset + done);
        uint64_t within = offset + done - piece->start;
        size_t part = wanted - done;
        apr_status_t status;

        if (part > piece->length - within) {
            part = (size_t)(piece->length - within);
        }
        status = read_exactly(reader, piece->segment, piece->position + within, (unsigned char *)bytes + done, part);
        if (status != APR_SUCCESS) {
            return status;
        }
        done += part;
    }
    *size = done;
    return APR_SUCCESS;
}

uint64_t demit_spool_reader_size(const demit_spool_reader_t *reader)
{
    return reader->size;
}

static apr_status_t verify_piece(demit_spool_reader_t *reader, const piece_t *piece, unsigned char **buffer,
                                 size_t *capacity)
{
    unsigned char head[SPOOL_RECORD_HEADER_SIZE];
    spool_record_header_t header;
    apr_status_t status;

    if (piece->length + 1 > *capacity) {
        unsigned char *bigger = realloc(*buffer, (size_t)piece->length + 1);

        if (bigger == NULL) {
            return APR_ENOMEM;
        }
        *buffer = bigger;
        *capacity = (size_t)piece->length + 1;
    }
    status = read_exactly(reader, piece->segment, piece->record, head, sizeof head);
    if (status == APR_SUCCESS) {
        status = read_exactly(reader, piece->segment, piece->position, *buffer, (size_t)piece->length);
    }
    if (status != APR_SUCCESS) {
        return status;
    }
    if (!spool_record_header_decode(&header, piece->epoch, piece->record, head) || header.sequence != piece->sequence ||
        header.body_size != piece->length ||
        !spool_record_body_is_good(&header, piece->epoch, piece->record,
                                   spool_body_hash(*buffer, (size_t)piece->length))) {
        return APR_EINVAL;
    }
    return APR_SUCCESS;
}

apr_status_t demit_spool_reader_verify(demit_spool_reader_t *reader)
{
    unsigned char *buffer = NULL;
    size_t capacity = 0;
    apr_status_t status = APR_SUCCESS;

    for (uint32_t i = 0; i < reader->piece_count && status == APR_SUCCESS; i++) {
        status = verify_piece(reader, &reader->pieces[i], &buffer, &capacity);
    }
    free(buffer);
    return status;
}

void demit_spool_reader_close(demit_spool_reader_t *reader)
{
    let_go(reader);
}
