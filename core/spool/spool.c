#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include <apr_errno.h>
#include <apr_thread_cond.h>

#include "demit/log.h"

#include "core/spool/spool_priv.h"

/* ---- what is in the directory ---- */

typedef struct listing {
    struct listed {
        uint32_t number;
        spool_file_kind_t kind;
    } * files;
    uint32_t count, capacity;
} listing_t;

static int list_file(void *baton, const char *name)
{
    listing_t *listing = baton;
    uint32_t number;
    spool_file_kind_t kind = spool_file_parse(name, &number);

    if (kind == SPOOL_FILE_OTHER) {
        return 0;
    }
    if (listing->count == listing->capacity) {
        uint32_t capacity = listing->capacity * 2 + 64;
        struct listed *files = realloc(listing->files, capacity * sizeof *files);

        if (files == NULL) {
            return ENOMEM;
        }
        listing->files = files;
        listing->capacity = capacity;
    }
    listing->files[listing->count++] = (struct listed){number, kind};
    return 0;
}

/* Takes a segment of an earlier run into the table. One without a good header too: recovery sees what can be saved. */
static apr_status_t load_segment(demit_spool_t *spool, uint32_t number, uint64_t *generation, uint32_t *unreadable)
{
    spool_segment_t *segment = calloc(1, sizeof *segment);
    uint64_t file_size;
    apr_status_t status;

    if (segment == NULL) {
        return APR_ENOMEM;
    }
    status = spool_segment_file_header(spool->files, spool->directory, number, &segment->header, &file_size);
    if (status == APR_SUCCESS) {
        uint64_t found = segment->header.first_sequence >> SPOOL_GENERATION_SHIFT;

        *generation = found > *generation ? found : *generation;
    } else if (APR_STATUS_IS_EINVAL(status) || APR_STATUS_IS_EOF(status) || APR_TO_OS_ERROR(status) == EIO) {
        memset(&segment->header, 0, sizeof segment->header);
        segment->header.number = number;
        segment->damaged = true;
        (*unreadable)++;
    } else {
        free(segment);
        return status;
    }
    segment->unknown = true;
    status = spool_segment_add(spool, segment);
    if (status != APR_SUCCESS) {
        free(segment);
    }
    return status;
}

/* A free file of the right size is a spare; another is of no use. */
static void load_free(demit_spool_t *spool, uint32_t number)
{
    char name[SPOOL_NAME_SIZE];
    struct stat status;

    spool_file_name(name, number, SPOOL_FILE_FREE);
    if (spool->spare_count < SPOOL_SPARES_MAX &&
        spool->files->stat(spool->files, spool->directory, name, &status) == 0 &&
        (uint64_t)status.st_size == spool->segment_size) {
        spool->spares[spool->spare_count++] = number;
    } else {
        (void)spool_file_unlink(spool, number, SPOOL_FILE_FREE);
    }
}

static apr_status_t load(demit_spool_t *spool)
{
    listing_t listing = {0};
    uint64_t generation = 0;
    uint32_t unreadable = 0;
    apr_status_t status = APR_FROM_OS_ERROR(spool->files->list(spool->files, spool->directory, list_file, &listing));

    spool->next_number = 1;
    for (uint32_t i = 0; i < listing.count && status == APR_SUCCESS; i++) {
        uint32_t number = listing.files[i].number;

        if (number >= spool->next_number) {
            spool->next_number = number + 1;
        }
        if (listing.files[i].kind == SPOOL_FILE_SEGMENT) {
            status = load_segment(spool, number, &generation, &unreadable);
        } else if (listing.files[i].kind == SPOOL_FILE_FREE) {
            load_free(spool, number);
        } else if (listing.files[i].kind == SPOOL_FILE_NEW) {
            (void)spool_file_unlink(spool, number, SPOOL_FILE_NEW);
        }
    }
    free(listing.files);
    /* A header that cannot be read may have held the last generation: every such one could be a start of its own. */
    spool->generation = generation + 1 + unreadable;
    spool->recovered = spool->segment_count == 0;
    return status;
}

/* ---- opening ---- */

static apr_status_t check_options(const demit_spool_options_t *options)
{
    /* A full buffer and a fair envelope must find room in one segment; locations count eight bytes in 32 bits. */
    if (options->segment_size_bytes < SPOOL_SEGMENT_MIN || options->segment_size_bytes > (uint64_t)1 << 34 ||
        options->segment_size_bytes % SPOOL_BLOCK != 0 || options->large_message_threshold_bytes == 0) {
        return APR_EINVAL;
    }
    return APR_SUCCESS;
}

static void take_options(demit_spool_t *spool, const demit_spool_options_t *options)
{
    spool->files = options->files ? options->files : &demit_files_system;
    spool->workers = options->workers;
    spool->file_mode = (mode_t)options->file_mode;
    spool->segment_size = options->segment_size_bytes;
    spool->minimum_free = options->minimum_free_bytes;
    spool->force_fsync = options->force_fsync;
    spool->threshold = options->large_message_threshold_bytes;
    if (spool->threshold > spool->segment_size / 2) {
        spool->threshold = (uint32_t)(spool->segment_size / 2);
    }
}

static apr_status_t lock_directory(demit_spool_t *spool, const char *path)
{
    const demit_files_t *files = spool->files;
    int error = files->open(files, AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0, &spool->directory);

    if (error != 0) {
        return APR_FROM_OS_ERROR(error);
    }
    error = files->open(files, spool->directory, "lock", O_RDWR | O_CREAT, 0600, &spool->lock_file);
    if (error == 0) {
        error = files->lock(files, spool->lock_file);
        if (error == 0) {
            return APR_SUCCESS;
        }
        (void)files->close(files, spool->lock_file);
    }
    (void)files->close(files, spool->directory);
    return error == EWOULDBLOCK ? APR_EAGAIN : APR_FROM_OS_ERROR(error);
}

static void unlock_directory(demit_spool_t *spool)
{
    (void)spool->files->close(spool->files, spool->lock_file);
    (void)spool->files->close(spool->files, spool->directory);
}

static apr_status_t create_locks(demit_spool_t *spool, apr_pool_t *pool)
{
    apr_status_t status = apr_thread_mutex_create(&spool->lock, APR_THREAD_MUTEX_DEFAULT, pool);

    if (status == APR_SUCCESS) {
        status = apr_thread_mutex_create(&spool->room_lock, APR_THREAD_MUTEX_DEFAULT, pool);
    }
    if (status == APR_SUCCESS) {
        status = apr_thread_cond_create(&spool->maintenance_idle, pool);
    }
    return status;
}

static void start_numbers(demit_spool_t *spool)
{
    spool_committer_t *committer = &spool->committer;
    uint64_t base = spool->generation << SPOOL_GENERATION_SHIFT;

    committer->last = &committer->first;
    committer->patience_ends_us = INT64_MAX;
    committer->next_sequence = base + 1;
    committer->acknowledged = committer->durable = base;
    atomic_init(&spool->next_id, base + 1);
    atomic_init(&spool->incoming, NULL);
    atomic_init(&spool->stopping, false);
    atomic_init(&spool->recovery_unwanted, false);
    spool->maintenance.run = spool_maintenance_run;
}

/*
 * A full disk is no reason not to start: what is in the spool can be delivered, and that makes room.
 */
static apr_status_t begin_first_segment(demit_spool_t *spool)
{
    apr_status_t status = spool_segment_begin(spool, false);

    int error = APR_TO_OS_ERROR(status);

    return error == ENOSPC || error == EDQUOT ? APR_SUCCESS : status;
}

static void free_segments(demit_spool_t *spool)
{
    while (spool->segment_count > 0) {
        spool_segment_remove(spool, spool->segments[spool->segment_count - 1]);
    }
    free(spool->segments);
}

apr_status_t demit_spool_open(demit_spool_t **result, const demit_spool_options_t *options, apr_pool_t *pool)
{
    demit_spool_t *spool = apr_pcalloc(pool, sizeof *spool);
    apr_status_t status = check_options(options);

    *result = NULL;
    if (status != APR_SUCCESS) {
        return status;
    }
    take_options(spool, options);
    spool->pool = pool;
    status = create_locks(spool, pool);
    if (status != APR_SUCCESS) {
        return status;
    }
    status = lock_directory(spool, options->directory);
    if (status != APR_SUCCESS) {
        return status;
    }
    status = spool_tracked_prepare(spool);
    if (status == APR_SUCCESS) {
        status = load(spool);
    }
    if (status != APR_SUCCESS) {
        goto no_segments;
    }
    start_numbers(spool);
    status = begin_first_segment(spool);
    if (status != APR_SUCCESS) {
        goto no_segments;
    }
    status = APR_FROM_OS_ERROR(spool_wake_init(&spool->wake));
    if (status != APR_SUCCESS) {
        goto no_wake;
    }
    status = apr_thread_create(&spool->thread, NULL, spool_committer_main, spool, pool);
    if (status != APR_SUCCESS) {
        /* pthread_create(3) says EAGAIN for "no resources", which here means that the lock is another's. */
        status = APR_ENOMEM;
        goto no_thread;
    }
    *result = spool;
    return APR_SUCCESS;

no_thread:
    spool_wake_destroy(&spool->wake);
no_wake:
    spool_segment_leave(spool, false);
no_segments:
    free_segments(spool);
    spool_tracked_forget(spool);
    unlock_directory(spool);
    return status;
}

/* ---- closing ---- */

/* Waits for the maintenance that is under way, and lets no other begin. */
static void end_maintenance(demit_spool_t *spool)
{
    spool_lock(spool);
    spool->closing = true;
    while (spool->maintenance_queued) {
        (void)apr_thread_cond_wait(spool->maintenance_idle, spool->lock);
    }
    spool_unlock(spool);
}

void demit_spool_close(demit_spool_t *spool)
{
    apr_status_t status;

    end_maintenance(spool);
    spool_compaction_end(spool);
    atomic_store(&spool->stopping, true);
    spool_wake_up(&spool->wake, true);
    (void)apr_thread_join(&status, spool->thread);
    spool_wake_destroy(&spool->wake);
    free(spool->committer.parts);
    spool_tracked_forget(spool);
    free_segments(spool);
    unlock_directory(spool);
}

uint64_t demit_spool_next_id(demit_spool_t *spool)
{
    return atomic_fetch_add_explicit(&spool->next_id, 1, memory_order_relaxed);
}

void demit_spool_set_mover(demit_spool_t *spool, const demit_spool_mover_t *mover)
{
    spool_lock(spool);
    spool->mover = *mover;
    spool->has_mover = true;
    spool_unlock(spool);
}

void demit_spool_statistics(const demit_spool_t *spool, demit_spool_statistics_t *statistics)
{
    memset(statistics, 0, sizeof *statistics);
    statistics->batches = atomic_load_explicit(&spool->batches, memory_order_relaxed);
    statistics->syncs = atomic_load_explicit(&spool->syncs, memory_order_relaxed);
    statistics->records = atomic_load_explicit(&spool->records, memory_order_relaxed);
    statistics->bytes_written = atomic_load_explicit(&spool->bytes_written, memory_order_relaxed);
    statistics->commits_failed = atomic_load_explicit(&spool->commits_failed, memory_order_relaxed);
    statistics->buffered_bytes = atomic_load_explicit(&spool->buffered, memory_order_relaxed);
    (void)apr_thread_mutex_lock(spool->lock);
    statistics->segments = spool->segment_count;
    statistics->segments_free = spool->spare_count;
    (void)apr_thread_mutex_unlock(spool->lock);
}
