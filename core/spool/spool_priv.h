/*
 * The inside of the spool. Who may touch what:
 *
 *   the committer alone   struct spool_committer: the current segment's file, sequences, the batch that is being made
 *   under spool->lock     the table of segments with their counts, spares, tracked messages, tickets; the lock is never
 *                         held across I/O or a callback
 *   anyone                what is atomic
 *
 * A request travels to the committer on a lock-free stack and comes back by its `complete` function.
 */
#ifndef DEMIT_SPOOL_PRIV_H
#define DEMIT_SPOOL_PRIV_H

#include <stdatomic.h>

#include <apr_thread_cond.h>
#include <apr_thread_mutex.h>
#include <apr_thread_proc.h>

#include "demit/spool.h"
#include "demit/task.h"

#include "core/spool/format.h"
#include "core/spool/wake.h"

enum {
    SPOOL_SPARES_WANTED = 2, /* one to go on with, one that is kept for outcomes when the disk is full */
    SPOOL_SPARES_MAX = 8,    /* more recycled segments than this are given back to the file system */
    SPOOL_TRACKED_FIRST_BUCKETS = 1024,
    SPOOL_OWNERS_PER_LOOK = 256, /* so that the lock is never held for a walk through all */
    SPOOL_NAME_SIZE = 24         /* of a file in the spool's directory */
};

/* ---- segments ---------------------------------------------------------------------------------------------------- */

/* An older segment that must go before another one. */
typedef struct spool_elder {
    uint32_t number;
    bool firm; /* more than outcomes, which can be carried on */
} spool_elder_t;

/* One use of one file; the number is never used again. */
typedef struct spool_segment {
    spool_segment_header_t header;
    uint32_t total;  /* message and chunk records in it */
    uint32_t living; /* those that are still needed */
    uint32_t pins;   /* readers */
    bool current;
    bool unknown; /* of an earlier run, and recovery has not been here yet */
    bool damaged; /* kept for the operator under another name when it is empty */
    bool stuck;   /* something could not be noted (no memory): stays until the next start */
    bool compacting;
    bool retired; /* to be recycled: nobody may have it any more */
    bool renamed; /* it has its new name, but the directory could not be synced yet */
    int64_t compact_after_us;
    /*
     * Older segments that must go first: this one holds an outcome of a message there, or (firm) a younger copy of it,
     * or the word that the older one's end is void. Those that are gone from the table do not count.
     */
    spool_elder_t *elders;
    uint32_t elder_count, elder_capacity;
} spool_segment_t;

/* ---- requests to the committer ----------------------------------------------------------------------------------- */

typedef struct spool_request spool_request_t;

struct spool_request {
    spool_request_t *next;
    /* In the committer: it is durable, or not stored at all. The request is gone afterwards. */
    void (*complete)(demit_spool_t *spool, spool_request_t *request, apr_status_t status);
    /*
     * In the committer, before it is given a place: fills in what only the committer knows. Anything but APR_SUCCESS
     * goes to complete(), nothing is written. May be NULL.
     */
    apr_status_t (*prepare)(demit_spool_t *spool, spool_request_t *request);
    bool patient;    /* may wait for company */
    bool privileged; /* makes room in the end, so it may use the reserve of a full disk */
    bool weightless; /* nothing to write: complete() with this is all */
    apr_status_t outcome;

    unsigned char *head; /* record header and meta bytes */
    size_t head_size;
    unsigned char *body; /* 8 readable bytes of padding behind it; NULL: none, and the padding is behind head */
    uint64_t body_hash;
    spool_record_header_t header; /* type, sizes and id; the rest is filled in with the place */

    spool_segment_t *segment; /* where it was put */
    uint64_t offset;
};

/*
 * A message that is known one by one: it has chunks, or it was moved in this run. A spool that was compacted may have a
 * million of the latter: not a byte more than must be.
 */
typedef struct spool_tracked {
    struct spool_tracked *next; /* in its bucket */
    uint64_t id;
    uint32_t segment;     /* where its record stands */
    uint32_t chunk_count; /* 0: this is all; else it is the beginning of a spool_owner_t */
} spool_tracked_t;

typedef struct spool_owner {
    spool_tracked_t tracked; /* first */
    struct spool_owner *older, *younger;
    uint32_t block; /* of its record */
    uint32_t chunk_segments[];
} spool_owner_t;

typedef struct spool_tracked_table {
    spool_tracked_t **buckets;
    uint32_t count, bucket_count, capacity;
    spool_owner_t *oldest, *youngest;
    spool_owner_t *cursor; /* of compaction: which one it looks at next */
} spool_tracked_table_t;

typedef struct spool_ticket spool_ticket_t; /* a message that the mover was asked to move: compact.h */
typedef struct spool_compaction spool_compaction_t;

/* ---- the committer's own ----------------------------------------------------------------------------------------- */

typedef struct spool_committer {
    spool_request_t *first, **last; /* taken from the stack, in order */
    size_t waiting;                 /* how many */
    bool urgent;                    /* one of them cannot wait */
    int64_t patience_ends_us;       /* for those that can */

    spool_segment_t *current; /* NULL: none could be opened */
    int fd;
    uint64_t position; /* of the next batch */

    uint64_t next_sequence;
    uint64_t acknowledged; /* highest sequence that was reported stored */
    uint64_t durable;      /* highest sequence that a sync has covered */
    uint64_t marked;       /* highest durable mark that stands in a segment */
    int64_t mark_due_us;   /* when to write a mark of its own; 0: nothing to mark */

    /* For the header of the next segment. */
    uint32_t previous_number;
    uint64_t previous_epoch;
    bool previous_abandoned;

    apr_status_t open_error; /* why there is no segment, until retry_us */
    int64_t retry_us;
    bool space_low;
    int64_t space_checked_us;
    uint64_t space_left; /* above the minimum, of what was free then */

    struct iovec *parts;
    size_t part_capacity;
    unsigned char zeros[SPOOL_BLOCK]; /* what pads a batch; never written to (an iovec cannot be const) */
} spool_committer_t;

struct demit_spool {
    const demit_files_t *files;
    demit_workers_t *workers;
    int directory, lock_file;
    mode_t file_mode;
    uint64_t segment_size, minimum_free;
    uint64_t generation;
    atomic_uint_fast64_t next_id;

    _Atomic(spool_request_t *) incoming;
    demit_errands_t errands;
    atomic_uint_fast64_t rounds; /* of the committer */
    atomic_bool committing;
    spool_wake_t wake;
    apr_thread_t *thread;
    spool_committer_t committer;

    apr_thread_mutex_t *room_lock; /* held while on_room runs, so that a discard can wait for it */

    apr_thread_mutex_t *lock;
    spool_segment_t **segments; /* by number, ascending */
    uint32_t segment_count, segment_capacity;
    uint32_t next_number;
    uint32_t newest;                   /* number of the youngest segment whose name is durable */
    uint32_t spares[SPOOL_SPARES_MAX]; /* numbers of .free files, written in full */
    uint32_t spare_count;
    spool_tracked_table_t tracked;
    spool_ticket_t *tickets;
    demit_spool_mover_t mover;
    spool_compaction_t *compaction; /* the one under way */

    demit_task_t maintenance;
    int64_t maintenance_retry_us; /* what could not be done is tried again then; 0: nothing */
    apr_thread_cond_t *maintenance_idle;

    atomic_uint_fast64_t batches, syncs, records, bytes_written, commits_failed, buffered;
    apr_pool_t *pool; /* of the opener; used by open and close only */

    uint32_t threshold;
    bool force_fsync;
    atomic_bool stopping;
    atomic_bool recovery_unwanted;
    /* With spool->lock. */
    bool recovered, has_mover, maintenance_queued, maintenance_again, closing;
};

/* ---- directory.c: files and their names -------------------------------------------------------------------------- */

typedef enum spool_file_kind {
    SPOOL_FILE_OTHER,
    SPOOL_FILE_SEGMENT, /* NNNNNNNN.seg: in use */
    SPOOL_FILE_FREE,    /* NNNNNNNN.free: written in full, contents mean nothing */
    SPOOL_FILE_NEW,     /* NNNNNNNN.new: being made */
    SPOOL_FILE_DAMAGED  /* NNNNNNNN.damaged: set aside for the operator */
} spool_file_kind_t;

void spool_file_name(char name[SPOOL_NAME_SIZE], uint32_t number, spool_file_kind_t kind);
spool_file_kind_t spool_file_parse(const char *name, uint32_t *number);

/* Opens segment NUMBER for reading. An errno. */
int spool_segment_file_open(const demit_files_t *files, int directory, uint32_t number, int *fd);
/* Reads and checks the first block. APR_EINVAL: no good header. *SIZE_BYTES: how long the file is. */
apr_status_t spool_segment_file_header(const demit_files_t *files, int directory, uint32_t number,
                                       spool_segment_header_t *header, uint64_t *size_bytes);
/* Renames NUMBER from one kind to another; the directory is not synced. An errno. */
int spool_file_rename(demit_spool_t *spool, uint32_t from_number, spool_file_kind_t from, uint32_t to_number,
                      spool_file_kind_t to);
int spool_file_unlink(demit_spool_t *spool, uint32_t number, spool_file_kind_t kind);

/* Opens the segment that the committer goes on with: its header is durable when this returns. Committer (or opener). */
apr_status_t spool_segment_begin(demit_spool_t *spool, bool privileged);
/* The committer lets go of its segment; ABANDONED: because a write or a sync failed. */
void spool_segment_leave(demit_spool_t *spool, bool abandoned);

/* ---- segments.c: what is alive where. With spool->lock held unless it says otherwise ----------------------------- */

void spool_lock(demit_spool_t *spool);
void spool_unlock(demit_spool_t *spool);
spool_segment_t *spool_segment_find(demit_spool_t *spool, uint32_t number);
/* Takes SEGMENT into the table (its number is the highest) or APR_ENOMEM. */
apr_status_t spool_segment_add(demit_spool_t *spool, spool_segment_t *segment);
/* Takes it out and frees it. */
void spool_segment_remove(demit_spool_t *spool, spool_segment_t *segment);
/* ELDER must go before SEGMENT. */
void spool_segment_follows(spool_segment_t *segment, uint32_t elder, bool firm);
bool spool_segment_waits_for_elder(demit_spool_t *spool, const spool_segment_t *segment, bool firm_only);
bool spool_segment_is_recyclable(demit_spool_t *spool, const spool_segment_t *segment);
/* One record of segment NUMBER is no longer needed. */
void spool_segment_drop(demit_spool_t *spool, uint32_t number);

/* ---- tracked.c: messages that are known one by one. With spool->lock held unless it says otherwise --------------- */

static inline spool_owner_t *spool_owner_of(spool_tracked_t *tracked)
{
    return DEMIT_CONTAINER_OF(tracked, spool_owner_t, tracked);
}

/* An entry for the table, to be freed as a whole; the segments of its chunks are 0. NULL: no memory. Without the lock.
 */
spool_tracked_t *spool_tracked_make(uint64_t id, demit_spool_location_t location, uint32_t chunk_count);
/* Makes the table. At the opening, without the lock. */
apr_status_t spool_tracked_prepare(demit_spool_t *spool) __attribute__((warn_unused_result));
spool_tracked_t *spool_tracked_find(demit_spool_t *spool, uint64_t id);
/* Takes TRACKED over; its chunks are counted as living already. */
void spool_tracked_add(demit_spool_t *spool, spool_tracked_t *tracked);
/* Frees all. */
void spool_tracked_forget(demit_spool_t *spool);
/* The message is over: its record and chunks are no longer needed. */
void spool_message_over(demit_spool_t *spool, uint64_t id, demit_spool_location_t location);

/*
 * A walk through the messages that have chunks. spool_owners_next() gives the next one that has some in SEGMENT and
 * stands elsewhere itself, or ID 0: the caller lets go of the lock and comes again. False: that was all.
 */
void spool_owners_rewind(demit_spool_t *spool);
bool spool_owners_next(demit_spool_t *spool, uint32_t segment, uint64_t *id, demit_spool_location_t *location);

static inline uint64_t spool_location_offset(demit_spool_location_t location)
{
    return (uint64_t)location.block * SPOOL_ALIGN;
}

static inline demit_spool_location_t spool_location(uint32_t segment, uint64_t offset)
{
    return (demit_spool_location_t){segment, (uint32_t)(offset / SPOOL_ALIGN)};
}

/* ---- committer.c ------------------------------------------------------------------------------------------------- */

/* Hands REQUEST to the committer. Any thread; never blocks on a disk. */
void spool_submit(demit_spool_t *spool, spool_request_t *request);
void *spool_committer_main(apr_thread_t *thread, void *baton);

/* ---- outcome.c --------------------------------------------------------------------------------------------------- */

/* Sets the target of the encoded outcome inside REQUEST, and makes a ticket of its message stale. Committer. */
void spool_outcome_aim(demit_spool_t *spool, unsigned char *encoded, size_t size);
/* An outcome in SEGMENT is durable. Locked. */
void spool_outcome_apply(demit_spool_t *spool, const unsigned char *encoded, size_t size, spool_segment_t *segment);
/* Writes an outcome that stands in a segment to be emptied once more. ON_DONE as for any outcome. */
apr_status_t spool_outcome_carry(demit_spool_t *spool, const unsigned char *encoded, size_t size,
                                 demit_spool_done_fn *on_done, void *baton);

/* ---- writer.c ---------------------------------------------------------------------------------------------------- */

/* As demit_spool_begin() and demit_spool_commit(), for a message that is moved. */
apr_status_t spool_writer_begin_move(demit_spool_writer_t **writer, spool_ticket_t *ticket,
                                     void (*on_room)(void *baton), void *baton);

/* ---- maintain.c, compact.c --------------------------------------------------------------------------------------- */

/* Something may be there to recycle, prepare or compact: has a worker look. Locked; any thread. */
void spool_maintain(demit_spool_t *spool);
void spool_maintenance_run(demit_task_t *task);

/* Begins to empty a segment if one is worth it. In the maintenance task. */
void spool_compact(demit_spool_t *spool);
/* Whether SEGMENT is worth it. Locked. */
bool spool_segment_is_sparse(const spool_segment_t *segment);
/* Waits for what compaction has handed to workers, and frees what it holds. At close. */
void spool_compaction_end(demit_spool_t *spool);

#endif
