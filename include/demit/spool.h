/*
 * The spool: a durable log of segments. docs/spool-format.md describes every byte.
 *
 * Durable means: when on_done of a commit says APR_SUCCESS, the message is on stable storage, whole, once (with
 * Force_Fsync = false: handed to the kernel). Everything of it goes through one committer thread, which writes what all
 * callers have ready with one vectored write on a 4 KiB boundary and syncs once.
 */
#ifndef DEMIT_SPOOL_H
#define DEMIT_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <apr_file_io.h>
#include <apr_pools.h>

#include "demit/envelope.h"
#include "demit/files.h"
#include "demit/workers.h"

typedef struct demit_spool demit_spool_t;
typedef struct demit_spool_writer demit_spool_writer_t;
typedef struct demit_spool_reader demit_spool_reader_t;

/* Where a message's record stands. Opaque to callers; 8 bytes, kept by the queue for every message. */
typedef struct demit_spool_location {
    uint32_t segment; /* number of the segment file */
    uint32_t block;   /* offset in it, in units of 8 bytes */
} demit_spool_location_t;

typedef struct demit_spool_options {
    const char *directory; /* exists, owned by and writable for this process's identity */
    uint32_t file_mode;
    uint64_t segment_size_bytes;
    uint32_t large_message_threshold_bytes; /* more than this becomes chunks while it arrives */
    uint64_t minimum_free_bytes;            /* below it, commits fail with ENOSPC */
    bool force_fsync;
    const demit_files_t *files; /* NULL: demit_files_system */
    demit_workers_t *workers;   /* prepare, recycle and compact segments; NULL: none of that happens */
} demit_spool_options_t;

/*
 * Takes the lock of the spool (APR_EAGAIN: another process owns it), reads the segment headers, opens a fresh segment
 * and starts the committer. Mail can be written from then on; what was there is found by demit_spool_recover().
 */
apr_status_t demit_spool_open(demit_spool_t **spool, const demit_spool_options_t *options, apr_pool_t *pool)
    __attribute__((warn_unused_result));

/*
 * Commits what is ready, ends the committer, releases the lock. No writer, reader or record may be under way; a ticket
 * that the mover still holds is void. Before demit_workers_stop(): it waits for what the workers do for it.
 */
void demit_spool_close(demit_spool_t *spool);

/* A new message id, never used before in this spool. Any thread. */
uint64_t demit_spool_next_id(demit_spool_t *spool);

/* ---- writing a message: on any one thread at a time, typically a loop; nothing here blocks ---------------------- */

/*
 * Begins a message. Bytes appended are held in memory up to the threshold; then they go out as chunk records.
 * ON_ROOM runs in the committer's thread when demit_spool_append() may be called again after it said APR_EAGAIN.
 */
apr_status_t demit_spool_begin(demit_spool_writer_t **writer, demit_spool_t *spool, void (*on_room)(void *baton),
                               void *baton) __attribute__((warn_unused_result));

/*
 * Appends SIZE bytes of the stored form (CRLF, no dot-stuffing). All or nothing. APR_EAGAIN: a chunk is still being
 * written, wait for on_room and call again with the same bytes. Another error (ENOSPC, EIO): the message cannot be
 * stored; discard it.
 */
apr_status_t demit_spool_append(demit_spool_writer_t *writer, const void *bytes, size_t size)
    __attribute__((warn_unused_result));

/* Bytes appended so far, and how many of them are held in memory now. */
uint64_t demit_spool_written(const demit_spool_writer_t *writer);

/*
 * Commits the message with ENVELOPE (encoded within this call; its size_bytes is set to what was appended). ON_DONE
 * runs in the committer's thread, once: APR_SUCCESS and where the message is, or why it is not stored. The writer is
 * gone when ON_DONE returns. ON_DONE must not block; it posts.
 * REPORTS, if not NULL: an outcome (as in demit_spool_record_outcome()) that becomes true in the same instant: a bounce
 * and the failure that it reports are one record.
 */
typedef void demit_spool_done_fn(void *baton, apr_status_t status, demit_spool_location_t location);
typedef struct demit_spool_outcome demit_spool_outcome_t;
void demit_spool_commit(demit_spool_writer_t *writer, demit_envelope_t *envelope, const demit_spool_outcome_t *reports,
                        demit_spool_done_fn *on_done, void *baton);

/* Gives the message up. The writer is gone; ON_ROOM is not called any more once this returns. */
void demit_spool_discard(demit_spool_writer_t *writer);

/* ---- outcomes --------------------------------------------------------------------------------------------------- */

/* What became of some recipients of one message. Outcomes commute: recovery may meet them in any order. */
struct demit_spool_outcome {
    uint64_t id;                     /* of the message */
    demit_spool_location_t location; /* of the message */
    bool final;                      /* no recipient is left: the message is over */
    bool delay_dsn_sent;
    uint32_t attempts;                     /* made so far */
    int64_t next_attempt_us;               /* wall clock */
    uint32_t count;                        /* of recipients whose state changed for good */
    const uint32_t *recipients;            /* their indices in the envelope */
    const demit_recipient_state_t *states; /* DELIVERED or FAILED */
};

/*
 * Records OUTCOME (copied). It rides in the next batch, at most 50 ms later. ON_DONE, if not NULL, runs in the
 * committer's thread with LOCATION unspecified. Any thread. After a final outcome is durable the message's space is
 * free: no reader may be opened on it any more.
 */
void demit_spool_record_outcome(demit_spool_t *spool, const demit_spool_outcome_t *outcome,
                                demit_spool_done_fn *on_done, void *baton);

/* ---- reading: may block on the disk; disk workers only ----------------------------------------------------------- */

/* Opens a message. Its segments stay in place until demit_spool_reader_close(). ENVELOPE may be NULL. */
apr_status_t demit_spool_reader_open(demit_spool_reader_t **reader, demit_envelope_t **envelope, demit_spool_t *spool,
                                     demit_spool_location_t location, apr_pool_t *pool)
    __attribute__((warn_unused_result));
/* Reads up to *SIZE bytes of the message at OFFSET; *SIZE says how many came, 0 at the end. */
apr_status_t demit_spool_reader_read(demit_spool_reader_t *reader, uint64_t offset, void *bytes, size_t *size)
    __attribute__((warn_unused_result));
uint64_t demit_spool_reader_size(const demit_spool_reader_t *reader);
/* Verifies the checksum of the whole body: APR_EINVAL if the disk gave back something else. */
apr_status_t demit_spool_reader_verify(demit_spool_reader_t *reader) __attribute__((warn_unused_result));
void demit_spool_reader_close(demit_spool_reader_t *reader);

/* ---- recovery ---------------------------------------------------------------------------------------------------- */

typedef struct demit_spool_recovery {
    uint64_t messages; /* alive */
    uint64_t records, segments;
    uint64_t torn_records;    /* above the highest durable mark: never acknowledged */
    uint64_t damaged_records; /* below it: acknowledged mail was lost by the disk; each is logged */
    int64_t elapsed_us;
} demit_spool_recovery_t;

/*
 * Finds every living message of earlier runs. EACH runs in the calling thread, once per message, with its envelope as
 * it now stands (states, attempts) and POOL cleared after each call. Blocks on the disk: a disk worker's or a thread of
 * its own; new mail is accepted meanwhile. Once per demit_spool_open(). Nothing is recycled before it has returned.
 * APR_EINTR: demit_spool_end_recovery() was called, before or meanwhile. After that and any other error EACH was called
 * for some of the messages or none, RESULT means nothing, and nothing is recycled until the next start.
 */
apr_status_t demit_spool_recover(demit_spool_t *spool, demit_spool_recovery_t *result,
                                 void (*each)(void *baton, const demit_envelope_t *envelope,
                                              demit_spool_location_t location),
                                 void *baton, apr_pool_t *pool) __attribute__((warn_unused_result));

/*
 * A stop does not wait for the recovery of a million messages, or of a dying disk: demit_spool_recover() returns
 * APR_EINTR before its next message or read of the disk. Any thread, at any time before demit_spool_close(); never
 * blocks. Nothing is lost: the next start recovers everything.
 */
void demit_spool_end_recovery(demit_spool_t *spool);

/* ---- compaction -------------------------------------------------------------------------------------------------- */

/*
 * Tells the spool whom to ask when a segment that is mostly gone is to be emptied. MOVE runs in a disk worker for a
 * message record that stands in the segment: its owner, the queue, calls demit_spool_move() in its own thread with the
 * message's present state, or, if the message is over or stands elsewhere by now, demit_spool_move_skip(). A message
 * with a delivery under way is skipped, too: its old place is gone soon after `moved`. It is asked about again later.
 * LOCATION may lie in another segment: the message then has chunks in the one that is emptied.
 */
typedef struct demit_spool_mover {
    void (*move)(void *baton, uint64_t id, demit_spool_location_t location, void *ticket);
    /* The message now stands at TO; or, TO being FROM, it could not be moved. Committer's thread or a disk worker. */
    void (*moved)(void *baton, uint64_t id, demit_spool_location_t from, demit_spool_location_t to);
    void *baton;
} demit_spool_mover_t;
void demit_spool_set_mover(demit_spool_t *spool, const demit_spool_mover_t *mover);
void demit_spool_move(demit_spool_t *spool, void *ticket, demit_envelope_t *envelope);
void demit_spool_move_skip(demit_spool_t *spool, void *ticket);

/* ---- looking at it ----------------------------------------------------------------------------------------------- */

typedef struct demit_spool_statistics {
    uint64_t batches, syncs, records, bytes_written;
    uint32_t segments, segments_free;
    uint64_t commits_failed;
    uint64_t buffered_bytes; /* bodies held in memory by writers */
} demit_spool_statistics_t;
void demit_spool_statistics(const demit_spool_t *spool, demit_spool_statistics_t *statistics);

/* Runs TASK->run in the committer, between two batches. Any thread; never blocks. Not during demit_spool_close(). */
void demit_spool_post(demit_spool_t *spool, demit_task_t *task);

/* The committer's. Any thread. */
void demit_spool_progress(demit_spool_t *spool, demit_progress_t *progress);

/*
 * `demitctl spool check DIR`: verifies a spool offline, prints what is there and what is damaged. APR_EINVAL: damage;
 * APR_ENOENT: there is no such directory, or it is no spool, which is printed, too.
 */
apr_status_t demit_spool_check(const char *directory, apr_file_t *out, bool json, apr_pool_t *pool)
    __attribute__((warn_unused_result));

#endif
