#include "core/spool/scan.h"

#include <stdlib.h>
#include <string.h>

#include <apr_errno.h>

/* Read at a time: what was read is looked at while the processor's own cache still holds it. */
enum { WINDOW = 128 * 1024 };

void spool_scan_begin(spool_scan_t *scan, const demit_files_t *files, int fd, uint64_t epoch, uint64_t size)
{
    scan->files = files;
    scan->fd = fd;
    scan->epoch = epoch;
    scan->size = size;
    scan->offset = SPOOL_BLOCK;
    scan->batch_end = 0;
    scan->start = 0;
    scan->length = 0;
    scan->status = APR_SUCCESS;
}

void spool_scan_free(spool_scan_t *scan)
{
    free(scan->window);
    scan->window = NULL;
    scan->capacity = 0;
}

bool spool_scan_is_unwanted(spool_scan_t *scan)
{
    if (scan->unwanted == NULL || !atomic_load_explicit(scan->unwanted, memory_order_relaxed)) {
        return false;
    }
    scan->status = APR_EINTR;
    return true;
}

/* Reads the window block by block, after it could not be read as a whole; what the disk refuses counts as zeros. */
static void read_what_can_be_read(spool_scan_t *scan, size_t wanted)
{
    scan->length = 0;
    while (scan->length < wanted && !spool_scan_is_unwanted(scan)) { /* each may take a dying disk minutes */
        size_t part = wanted - scan->length < SPOOL_BLOCK ? wanted - scan->length : SPOOL_BLOCK, done;
        int error = scan->files->pread(scan->files, scan->fd, scan->window + scan->length, part,
                                       scan->start + scan->length, &done);

        if (error != 0) {
            memset(scan->window + scan->length, 0, part);
            scan->unreadable++;
            done = part;
        }
        scan->length += done;
        if (done < part) {
            return;
        }
    }
}

static bool fill(spool_scan_t *scan, uint64_t offset, size_t size)
{
    uint64_t start = offset / SPOOL_BLOCK * SPOOL_BLOCK;
    size_t wanted = size + (size_t)(offset - start);

    if (spool_scan_is_unwanted(scan)) {
        return false;
    }
    wanted = wanted < WINDOW ? WINDOW : (size_t)spool_round_up(wanted, SPOOL_BLOCK);
    if (wanted > scan->capacity) {
        unsigned char *bigger = realloc(scan->window, wanted);

        if (bigger == NULL) {
            scan->status = APR_ENOMEM;
            return false;
        }
        scan->window = bigger;
        scan->capacity = wanted;
    }
    if (wanted > scan->size - start) {
        wanted = (size_t)(scan->size - start);
    }
    scan->start = start;
    if (scan->files->pread(scan->files, scan->fd, scan->window, wanted, start, &scan->length) != 0) {
        read_what_can_be_read(scan, wanted);
    }
    return offset + size <= scan->start + scan->length;
}

/* SIZE bytes at OFFSET, or NULL: the segment ends before. */
static const unsigned char *look(spool_scan_t *scan, uint64_t offset, uint64_t size)
{
    if (size > scan->size || offset > scan->size - size) {
        return NULL;
    }
    if ((offset < scan->start || offset + size > scan->start + scan->length) && !fill(scan, offset, (size_t)size)) {
        return NULL;
    }
    return scan->window + (offset - scan->start);
}

static bool find_batch(spool_scan_t *scan, spool_found_t *found)
{
    const unsigned char *bytes = look(scan, scan->offset, SPOOL_BATCH_HEADER_SIZE);

    if (bytes == NULL || !spool_batch_header_decode(&found->batch, scan->epoch, scan->offset, bytes)) {
        return false;
    }
    found->offset = scan->offset;
    scan->batch_end = scan->offset + found->batch.length;
    scan->offset += SPOOL_BATCH_HEADER_SIZE;
    return true;
}

bool spool_scan_record_at(spool_scan_t *scan, uint64_t offset, spool_found_t *found)
{
    const unsigned char *bytes = look(scan, offset, SPOOL_RECORD_HEADER_SIZE);

    if (bytes == NULL || !spool_record_header_decode(&found->record, scan->epoch, offset, bytes)) {
        return false;
    }
    found->offset = offset;
    bytes = look(scan, offset, SPOOL_RECORD_HEADER_SIZE + spool_record_meta_size(&found->record));
    found->meta = bytes ? bytes + SPOOL_RECORD_HEADER_SIZE : NULL;
    found->body = NULL;
    found->good = bytes != NULL && spool_record_meta_is_good(&found->record, scan->epoch, offset, found->meta);
    return true;
}

static bool find_record(spool_scan_t *scan, spool_found_t *found)
{
    uint64_t offset = scan->offset, size, meta_size;
    const unsigned char *bytes;

    if (!spool_scan_record_at(scan, offset, found)) {
        return false;
    }
    size = spool_record_size(&found->record);
    meta_size = spool_record_meta_size(&found->record);
    bytes = look(scan, offset, size);
    if (bytes == NULL) { /* the file was cut here */
        found->good = false;
        scan->offset = scan->size;
        return true;
    }
    found->meta = bytes + SPOOL_RECORD_HEADER_SIZE;
    found->body = found->meta + meta_size;
    found->good = found->good && spool_record_body_is_good(&found->record, scan->epoch, offset,
                                                           spool_body_hash(found->body, found->record.body_size));
    scan->offset += size;
    return true;
}

spool_scan_event_t spool_scan_next(spool_scan_t *scan, spool_found_t *found)
{
    while (scan->offset < scan->size && scan->status == APR_SUCCESS) {
        if (scan->batch_end != 0 && scan->offset >= scan->batch_end) {
            scan->offset = spool_round_up(scan->offset, SPOOL_BLOCK);
            scan->batch_end = 0;
            continue;
        }
        if (scan->batch_end == 0 && scan->offset % SPOOL_BLOCK == 0 && find_batch(scan, found)) {
            return SPOOL_SCAN_BATCH;
        }
        if (find_record(scan, found)) {
            return SPOOL_SCAN_RECORD;
        }
        scan->offset += SPOOL_ALIGN;
    }
    return SPOOL_SCAN_END;
}
