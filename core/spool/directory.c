/*
 * The files of a spool and how a segment comes into use. A file's name says what it is, because a rename is atomic and
 * a header is not: a file called .seg has a header that was synced before it got the name, so a .seg without a good
 * header is damage and never just an unlucky moment.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <apr_errno.h>
#include <apr_general.h>
#include <apr_time.h>

#include "demit/log.h"
#include "demit/os.h"

#include "core/spool/spool_priv.h"

static const struct {
    spool_file_kind_t kind;
    const char *suffix;
} kinds[] = {
    {SPOOL_FILE_SEGMENT, ".seg"},
    {SPOOL_FILE_FREE, ".free"},
    {SPOOL_FILE_NEW, ".new"},
    {SPOOL_FILE_DAMAGED, ".damaged"},
};

void spool_file_name(char name[SPOOL_NAME_SIZE], uint32_t number, spool_file_kind_t kind)
{
    const char *suffix = "";

    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (kinds[i].kind == kind) {
            suffix = kinds[i].suffix;
        }
    }
    (void)snprintf(name, SPOOL_NAME_SIZE, "%08x%s", (unsigned)number, suffix);
}

spool_file_kind_t spool_file_parse(const char *name, uint32_t *number)
{
    uint32_t value = 0;

    for (int i = 0; i < 8; i++) {
        char c = name[i];

        if (c >= '0' && c <= '9') {
            value = value << 4 | (uint32_t)(c - '0');
        } else if (c >= 'a' && c <= 'f') {
            value = value << 4 | (uint32_t)(c - 'a' + 10);
        } else {
            return SPOOL_FILE_OTHER;
        }
    }
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcmp(name + 8, kinds[i].suffix) == 0) {
            *number = value;
            return kinds[i].kind;
        }
    }
    return SPOOL_FILE_OTHER;
}

int spool_segment_file_open(const demit_files_t *files, int directory, uint32_t number, int *fd)
{
    char name[SPOOL_NAME_SIZE];

    spool_file_name(name, number, SPOOL_FILE_SEGMENT);
    return files->open(files, directory, name, O_RDONLY, 0, fd);
}

apr_status_t spool_segment_file_header(const demit_files_t *files, int directory, uint32_t number,
                                       spool_segment_header_t *header, uint64_t *size_bytes)
{
    unsigned char block[SPOOL_BLOCK] = {0};
    char name[SPOOL_NAME_SIZE];
    struct stat status;
    size_t done;
    int fd, error;

    spool_file_name(name, number, SPOOL_FILE_SEGMENT);
    error = files->stat(files, directory, name, &status);
    if (error == 0) {
        error = files->open(files, directory, name, O_RDONLY, 0, &fd);
    }
    if (error != 0) {
        return APR_FROM_OS_ERROR(error);
    }
    *size_bytes = (uint64_t)status.st_size;
    error = files->pread(files, fd, block, sizeof block, 0, &done);
    (void)files->close(files, fd);
    if (error != 0) {
        return APR_FROM_OS_ERROR(error);
    }
    return spool_segment_header_decode(header, block) && header->number == number ? APR_SUCCESS : APR_EINVAL;
}

int spool_file_rename(demit_spool_t *spool, uint32_t from_number, spool_file_kind_t from, uint32_t to_number,
                      spool_file_kind_t to)
{
    char from_name[SPOOL_NAME_SIZE], to_name[SPOOL_NAME_SIZE];

    spool_file_name(from_name, from_number, from);
    spool_file_name(to_name, to_number, to);
    return spool->files->rename(spool->files, spool->directory, from_name, spool->directory, to_name);
}

int spool_file_unlink(demit_spool_t *spool, uint32_t number, spool_file_kind_t kind)
{
    char name[SPOOL_NAME_SIZE];

    spool_file_name(name, number, kind);
    return spool->files->unlink(spool->files, spool->directory, name);
}

/* ---- the next segment ---- */

/* What a segment is made from. */
typedef struct source {
    uint32_t number;
    spool_file_kind_t kind;
} source_t;

/* Gives a new file its full length, so that every segment has it, and one that is shorter was cut. An errno. */
static int stretch(demit_spool_t *spool, int fd)
{
    unsigned char zeros[SPOOL_BLOCK] = {0};
    struct iovec part = {zeros, sizeof zeros};

    return spool->files->pwritev(spool->files, fd, &part, 1, spool->segment_size - SPOOL_BLOCK);
}

/* Writes the header into the source, makes it durable, and only then gives it the name that says so. An errno. */
static int begin_file(demit_spool_t *spool, const source_t *source, const spool_segment_header_t *header, int *fd)
{
    const demit_files_t *files = spool->files;
    unsigned char block[SPOOL_BLOCK];
    struct iovec part = {block, sizeof block};
    char name[SPOOL_NAME_SIZE];
    spool_file_kind_t kind = source->kind;
    uint32_t number = source->number;
    int error;

    spool_file_name(name, number, kind);
    error = files->open(files, spool->directory, name, O_RDWR | (kind == SPOOL_FILE_NEW ? O_CREAT | O_EXCL : 0),
                        spool->file_mode, fd);
    if (error != 0) {
        return error;
    }
    spool_segment_header_encode(header, block);
    error = files->pwritev(files, *fd, &part, 1, 0);
    if (error == 0 && kind == SPOOL_FILE_NEW) {
        error = stretch(spool, *fd);
    }
    if (error == 0) {
        error = files->datasync(files, *fd);
    }
    if (error == 0) {
        error = spool_file_rename(spool, number, kind, header->number, SPOOL_FILE_SEGMENT);
    }
    if (error == 0) {
        number = header->number;
        kind = SPOOL_FILE_SEGMENT;
        error = files->sync_directory(files, spool->directory);
    }
    if (error != 0) {
        (void)files->close(files, *fd);
        (void)spool_file_unlink(spool, number, kind); /* nothing but an empty segment, should it come back */
    }
    return error;
}

static apr_status_t fill_header(demit_spool_t *spool, spool_segment_header_t *header)
{
    const spool_committer_t *committer = &spool->committer;

    header->first_sequence = committer->next_sequence;
    header->durable = committer->durable;
    header->size = spool->segment_size;
    header->previous_number = committer->previous_number;
    header->previous_abandoned = committer->previous_abandoned;
    header->previous_epoch = committer->previous_epoch;
    header->previous_last = committer->previous_number ? committer->acknowledged : 0;
    header->created_us = apr_time_now();
    return apr_generate_random_bytes((unsigned char *)&header->epoch, sizeof header->epoch);
}

/*
 * Chooses what the next segment is made from. With no spare that may be taken, a file is made on the spot: it grows as
 * it is written, which costs each sync more, but a fresh server answers at once and a busy one never waits. The last
 * spare is for those who make room in the end: with a full disk, outcomes must find a place, or nothing is ever freed.
 */
static spool_segment_t *take_source(demit_spool_t *spool, bool privileged, source_t *source)
{
    spool_segment_t *segment = calloc(1, sizeof *segment);

    if (segment == NULL) {
        return NULL;
    }
    spool_lock(spool);
    segment->header.number = spool->next_number;
    segment->current = true;
    if (spool_segment_add(spool, segment) != APR_SUCCESS) {
        spool_unlock(spool);
        free(segment);
        return NULL;
    }
    spool->next_number++;
    if (spool->spare_count >= (privileged ? 1u : (uint32_t)SPOOL_SPARES_WANTED)) {
        *source = (source_t){spool->spares[--spool->spare_count], SPOOL_FILE_FREE};
    } else {
        *source = (source_t){segment->header.number, SPOOL_FILE_NEW};
    }
    spool_unlock(spool);
    return segment;
}

static void log_failure(const spool_segment_t *segment, apr_status_t status)
{
    char text[DEMIT_LOG_VALUE_MAX];

    demit_log(DEMIT_LOG_ERROR, "spool_segment_failed", "segment=%08x reason=%s", (unsigned)segment->header.number,
              demit_log_status(text, sizeof text, status));
}

apr_status_t spool_segment_begin(demit_spool_t *spool, bool privileged)
{
    spool_committer_t *committer = &spool->committer;
    spool_segment_t *segment;
    source_t source;
    apr_status_t status;

    segment = take_source(spool, privileged, &source);
    if (segment == NULL) {
        return APR_ENOMEM;
    }
    status = fill_header(spool, &segment->header);
    segment->header.prepared = source.kind == SPOOL_FILE_FREE;
    if (status == APR_SUCCESS) {
        status = APR_FROM_OS_ERROR(begin_file(spool, &source, &segment->header, &committer->fd));
    }
    spool_lock(spool);
    if (status != APR_SUCCESS) {
        log_failure(segment, status);
        spool_segment_remove(spool, segment);
    } else {
        /* If the older one's end is void, this header is the only place that says so. */
        if (committer->previous_abandoned) {
            spool_segment_follows(segment, committer->previous_number, true);
        }
        committer->current = segment;
        spool->newest = segment->header.number;
        committer->position = SPOOL_BLOCK;
        committer->marked = segment->header.durable;
        committer->mark_due_us = 0;
    }
    spool_unlock(spool);
    return status;
}

void spool_segment_leave(demit_spool_t *spool, bool abandoned)
{
    spool_committer_t *committer = &spool->committer;
    spool_segment_t *segment = committer->current;

    if (segment == NULL) {
        return;
    }
    committer->previous_number = segment->header.number;
    committer->previous_epoch = segment->header.epoch;
    committer->previous_abandoned = abandoned;
    committer->current = NULL;
    (void)spool->files->close(spool->files, committer->fd);
    spool_lock(spool);
    segment->current = false;
    spool_maintain(spool);
    spool_unlock(spool);
}
