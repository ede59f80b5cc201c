/*
 * What a disk worker does for the spool in the background, one task at a time: recycle segments in which nothing is
 * needed any more, write spare ones in full, and begin to empty those that are mostly gone.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include <apr_errno.h>
#include <apr_time.h>

#include "demit/log.h"
#include "demit/os.h"

#include "core/spool/spool_priv.h"

enum {
    RECYCLE_AT_ONCE = 16,     /* segments for one sync of the directory */
    FILL_BYTES = 1024 * 1024, /* one write when a spare is made */
    RETRY_US = 1000 * 1000
};

void spool_maintain(demit_spool_t *spool)
{
    if (spool->workers == NULL || spool->closing) {
        return;
    }
    if (spool->maintenance_queued) {
        spool->maintenance_again = true;
        return;
    }
    spool->maintenance_queued = true;
    demit_workers_submit(spool->workers, &spool->maintenance);
}

static void retry_later(demit_spool_t *spool)
{
    spool_lock(spool);
    spool->maintenance_retry_us = demit_os_monotonic_us() + RETRY_US;
    spool_unlock(spool);
    spool_wake_up(&spool->wake, true); /* the committer keeps the time */
}

static void log_trouble(const char *what, int error)
{
    char text[DEMIT_LOG_VALUE_MAX];

    demit_log(DEMIT_LOG_WARNING, "spool_maintenance", "step=%s reason=%s", what,
              demit_log_status(text, sizeof text, APR_FROM_OS_ERROR(error)));
}

/* ---- recycling ---- */

/* Retires up to RECYCLE_AT_ONCE segments in which nothing is needed; nobody else takes segments out of the table. */
static uint32_t retire(demit_spool_t *spool, spool_segment_t *retired[RECYCLE_AT_ONCE])
{
    uint32_t count = 0;

    spool_lock(spool);
    for (uint32_t i = 0; i < spool->segment_count && spool->recovered && count < RECYCLE_AT_ONCE; i++) {
        if (spool_segment_is_recyclable(spool, spool->segments[i])) {
            spool->segments[i]->retired = true;
            retired[count++] = spool->segments[i];
        }
    }
    spool_unlock(spool);
    return count;
}

static spool_file_kind_t kind_after(const spool_segment_t *segment)
{
    return segment->damaged ? SPOOL_FILE_DAMAGED : SPOOL_FILE_FREE;
}

static int rename_retired(demit_spool_t *spool, spool_segment_t *const *retired, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t number = retired[i]->header.number;
        int error = 0;

        if (!retired[i]->renamed) {
            error = spool_file_rename(spool, number, SPOOL_FILE_SEGMENT, number, kind_after(retired[i]));
        }
        if (error != 0) {
            return error;
        }
        retired[i]->renamed = true;
    }
    return spool->files->sync_directory(spool->files, spool->directory);
}

static uint64_t file_size(demit_spool_t *spool, uint32_t number)
{
    char name[SPOOL_NAME_SIZE];
    struct stat status;

    spool_file_name(name, number, SPOOL_FILE_FREE);
    return spool->files->stat(spool->files, spool->directory, name, &status) == 0 ? (uint64_t)status.st_size : 0;
}

/* The segment is gone for good: its file is a spare, or not needed. */
static void forget(demit_spool_t *spool, spool_segment_t *segment)
{
    uint32_t number = segment->header.number;
    bool damaged = segment->damaged;
    bool whole = !damaged && segment->header.prepared && file_size(spool, number) == spool->segment_size;

    spool_lock(spool);
    spool_segment_remove(spool, segment);
    whole = whole && spool->spare_count < SPOOL_SPARES_MAX;
    if (whole) {
        spool->spares[spool->spare_count++] = number;
    }
    spool_unlock(spool);
    if (!whole && !damaged) {
        (void)spool_file_unlink(spool, number, SPOOL_FILE_FREE);
    }
}

/*
 * The directory is synced before a segment leaves the table: only then can it not come back, and only then may those
 * go that hold outcomes about it.
 */
static void recycle(demit_spool_t *spool)
{
    spool_segment_t *retired[RECYCLE_AT_ONCE];
    uint32_t count;

    while ((count = retire(spool, retired)) > 0) {
        int error = rename_retired(spool, retired, count);

        if (error != 0) {
            log_trouble("recycle", error);
            retry_later(spool);
            return;
        }
        for (uint32_t i = 0; i < count; i++) {
            forget(spool, retired[i]);
        }
    }
}

/* ---- spares ---- */

static bool spare_is_wanted(demit_spool_t *spool)
{
    bool wanted;

    spool_lock(spool);
    wanted = spool->spare_count < SPOOL_SPARES_WANTED && !spool->closing;
    spool_unlock(spool);
    return wanted;
}

/* One piece of a spare, down to the disk. An errno; ECANCELED: nobody wants it any more. */
static int fill_piece(demit_spool_t *spool, int fd, unsigned char *bytes, uint64_t offset)
{
    uint64_t left = spool->segment_size - offset;
    struct iovec part = {bytes, left < FILL_BYTES ? (size_t)left : FILL_BYTES};
    int error = spare_is_wanted(spool) ? spool->files->pwritev(spool->files, fd, &part, 1, offset) : ECANCELED;

    return error != 0 ? error : spool->files->datasync(spool->files, fd);
}

/*
 * Writes the whole file. Blocks that were written once are cheaper to write and sync than blocks that were not. Piece
 * by piece, with a sync and a rest as long as the piece took behind each: a sync of the committer's waits for what else
 * is on its way to the disk, and a whole segment of zeros in front of it would hold up mail for as long.
 */
static int fill(demit_spool_t *spool, int fd)
{
    unsigned char *bytes = calloc(1, FILL_BYTES);
    int error = bytes ? spool->files->allocate(spool->files, fd, spool->segment_size) : ENOMEM;

    for (uint64_t offset = 0; offset < spool->segment_size && error == 0; offset += FILL_BYTES) {
        int64_t began_us = demit_os_monotonic_us();

        error = fill_piece(spool, fd, bytes, offset);
        if (error == 0 && offset + FILL_BYTES < spool->segment_size) {
            apr_sleep(demit_os_monotonic_us() - began_us);
        }
    }
    free(bytes);
    return error;
}

static int make_spare(demit_spool_t *spool, uint32_t number)
{
    char name[SPOOL_NAME_SIZE];
    int fd, error;

    spool_file_name(name, number, SPOOL_FILE_NEW);
    error = spool->files->open(spool->files, spool->directory, name, O_RDWR | O_CREAT | O_EXCL, spool->file_mode, &fd);
    if (error != 0) {
        return error;
    }
    error = fill(spool, fd);
    if (spool->files->close(spool->files, fd) != 0 && error == 0) {
        error = EIO;
    }
    if (error == 0) {
        error = spool_file_rename(spool, number, SPOOL_FILE_NEW, number, SPOOL_FILE_FREE);
    }
    if (error != 0) {
        (void)spool_file_unlink(spool, number, SPOOL_FILE_NEW);
    }
    return error;
}

/* Whether there is room for a spare, and for what the committer may write into its segment meanwhile. */
static int check_space(demit_spool_t *spool)
{
    uint64_t bytes;
    int error = spool->files->free_bytes(spool->files, spool->directory, &bytes);

    if (error == 0 && bytes < spool->minimum_free + 2 * spool->segment_size) {
        error = ENOSPC;
    }
    return error;
}

static void prepare(demit_spool_t *spool)
{
    while (spare_is_wanted(spool)) {
        uint32_t number;
        int error = check_space(spool);

        spool_lock(spool);
        number = spool->next_number++;
        spool_unlock(spool);
        if (error == 0) {
            error = make_spare(spool, number);
        }
        if (error == ECANCELED) {
            return;
        }
        if (error != 0) {
            if (error != ENOSPC) { /* a full disk has its own event */
                log_trouble("prepare", error);
            }
            retry_later(spool);
            return;
        }
        spool_lock(spool);
        spool->spares[spool->spare_count++] = number;
        spool_unlock(spool);
    }
}

/* ---- the task ---- */

void spool_maintenance_run(demit_task_t *task)
{
    demit_spool_t *spool = DEMIT_CONTAINER_OF(task, demit_spool_t, maintenance);
    bool again;

    recycle(spool);
    prepare(spool);
    spool_compact(spool);
    spool_lock(spool);
    again = spool->maintenance_again && !spool->closing;
    spool->maintenance_again = false;
    if (again) {
        demit_workers_submit(spool->workers, &spool->maintenance); /* at the end of the line: others wait too */
    } else {
        spool->maintenance_queued = false;
    }
    if (!again) {
        (void)apr_thread_cond_broadcast(spool->maintenance_idle);
    }
    spool_unlock(spool);
}
