/*
 * Walks through a segment file and finds what is good in it. Trusts nothing: what is bad is passed over, eight bytes at
 * a time, until something good comes. A sender cannot plant anything, as the epoch is a secret of the file.
 */
#ifndef DEMIT_SPOOL_SCAN_H
#define DEMIT_SPOOL_SCAN_H

#include <stdatomic.h>

#include "demit/files.h"

#include "core/spool/format.h"

typedef struct spool_scan {
    const demit_files_t *files;
    const atomic_bool *unwanted; /* set: the scan ends before its time, APR_EINTR; NULL: it never is */
    int fd;
    uint64_t epoch, size; /* of the segment */
    uint64_t offset;      /* what is looked at next */
    uint64_t batch_end;   /* end of the good batch that OFFSET is in; 0: in none */
    uint64_t unreadable;  /* blocks that the disk did not give */
    uint64_t start;       /* the window: where it is in the file, how much of it is there */
    size_t length, capacity;
    unsigned char *window;
    apr_status_t status; /* why the scan ended before its time (no memory, APR_EINTR) */
} spool_scan_t;

typedef enum spool_scan_event { SPOOL_SCAN_END, SPOOL_SCAN_BATCH, SPOOL_SCAN_RECORD } spool_scan_event_t;

/* Pointers are good until the next call. */
typedef struct spool_found {
    uint64_t offset;
    spool_batch_header_t batch; /* of a SPOOL_SCAN_BATCH */
    spool_record_header_t record;
    const unsigned char *meta, *body;
    bool good; /* meta and body are what was written */
} spool_found_t;

/*
 * The window of SCAN is kept from segment to segment; it begins NULL and is freed by spool_scan_free(). UNWANTED is the
 * caller's to set before.
 */
void spool_scan_begin(spool_scan_t *scan, const demit_files_t *files, int fd, uint64_t epoch, uint64_t size);
/* True, with the status set, if nobody wants the scan any more. Looked at before every read, too. */
bool spool_scan_is_unwanted(spool_scan_t *scan);
spool_scan_event_t spool_scan_next(spool_scan_t *scan, spool_found_t *found);
/* Finds the record at OFFSET, header and meta bytes only. False: there is none, or the status says why not. */
bool spool_scan_record_at(spool_scan_t *scan, uint64_t offset, spool_found_t *found);
void spool_scan_free(spool_scan_t *scan);

#endif
