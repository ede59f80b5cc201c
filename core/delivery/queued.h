/*
 * A message in the queue: one block of memory that holds everything about it, addresses included, because a queue may
 * hold a million. The block is packed by whoever accepts the message and read-only in its texts from then on; the rest
 * belongs to the queue's thread.
 */
#ifndef DEMIT_DELIVERY_QUEUED_H
#define DEMIT_DELIVERY_QUEUED_H

#include "demit/delivery.h"

#include "core/delivery/list.h"
#include "core/delivery/wheel.h"

typedef struct demit_queued demit_queued_t;
typedef struct demit_leg demit_leg_t;
typedef struct demit_note demit_note_t;

typedef enum demit_leg_state {
    DEMIT_LEG_OVER,    /* no recipient is pending; also before it is taken in */
    DEMIT_LEG_READY,   /* in its destination's line */
    DEMIT_LEG_BLOCKED, /* would be, but the message is being moved by compaction; in the wheel, lest it wait for ever */
    DEMIT_LEG_ACTIVE,  /* deliveries of it are under way */
    DEMIT_LEG_WAITING  /* in the wheel */
} demit_leg_state_t;

/* The part of a message that goes to one destination: the unit that is scheduled. */
struct demit_leg {
    demit_wheel_node_t node; /* first; of the destination's line, or of the wheel */
    demit_link_t by_age;     /* in the destination's list of everything it has */
    demit_destination_t *destination;
    demit_queued_t *message;
    demit_leg_t *next;                     /* of the message */
    uint32_t number;                       /* by which recipients know it */
    uint32_t attempts, pending, under_way; /* failed attempts; recipients; deliveries */
    demit_leg_state_t state : 8;
    bool delay_told;
    bool added;  /* by a reload: a block of memory of its own */
    bool moved;  /* by a reload: older than what came to its destination before it */
    bool astray; /* other settings apply since its deliveries began: looks for its destination when they are back */
};

enum { DEMIT_NO_LEG = UINT32_MAX };

/*
 * What is in the block for a recipient. TEXTS is the offset of its address from the block's beginning; behind it stand
 * the texts that it has besides, in the order of the two flags.
 */
typedef struct demit_queued_recipient {
    uint32_t texts;
    uint32_t leg;
    uint8_t notify;
    uint8_t state;         /* demit_recipient_state_t */
    bool has_original : 1; /* and so on: as in demit_recipient_t */
    bool has_accepted : 1;
    bool busy : 1; /* in a delivery that is under way */
} demit_queued_recipient_t;

struct demit_queued {
    union {
        struct {
            demit_task_t task;
            demit_queue_t *queue;
        } arriving;              /* on its way to the queue's thread */
        struct {                 /* from then on */
            demit_link_t by_age; /* among all messages */
            demit_queued_t *next_in_bucket;
        };
    };
    uint64_t id;
    int64_t arrived_us;           /* wall clock, for people */
    int64_t arrived_monotonic_us; /* for arithmetic: immune to jumps of the wall clock */
    int64_t next_attempt_us;      /* as recovered; wall clock */
    uint64_t size_bytes;
    demit_spool_location_t location;
    void *move_ticket;  /* compaction waits for this message to be idle */
    demit_note_t *note; /* last error, or NULL */
    demit_leg_t *legs;  /* first_leg, or an array of its own; then those that were added */
    demit_leg_t first_leg;
    uint32_t flags, recipient_count, leg_count, pending;
    uint32_t attempts; /* as recovered, then the most of any leg */
    uint32_t records;  /* outcomes on their way to the disk */
    uint32_t active;   /* legs in state ACTIVE */
    uint8_t ret;
    bool has_envid;
    bool recovered, delay_dsn_sent, moving;
    bool final_recorded;                   /* the spool was told that it is over */
    bool unrecorded;                       /* an outcome could not be written: all of them are written again later */
    demit_queued_recipient_t recipients[]; /* then the sender, the envelope id if there is one, the recipients' texts */
};

/* Packs ENVELOPE into one block. NULL: no memory. Any thread. */
demit_queued_t *demit_queued_pack(const demit_envelope_t *envelope, demit_spool_location_t location);
void demit_queued_free(demit_queued_t *message);

/* A leg for MESSAGE that is over: one that is through, or a new one. NULL: no memory. */
demit_leg_t *demit_queued_spare_leg(demit_queued_t *message);

/* Where the mail for RECIPIENT of MESSAGE goes. */
const char *demit_queued_address(const demit_queued_t *message, const demit_queued_recipient_t *recipient);

/* The envelope as it stands now, in POOL; its texts are the message's own and live as long as that. */
demit_envelope_t *demit_queued_envelope(const demit_queued_t *message, apr_pool_t *pool);

/* ---- notes: shared texts of the last error ---- */

struct demit_note {
    uint32_t references;
    char text[];
};

/* A note that says TEXT (cut to something sensible): RECENT again if it says so already. Takes a reference. */
demit_note_t *demit_note_make(demit_note_t *recent, const char *text);
void demit_note_release(demit_note_t *note);

/* ---- the index by id: intrusive chains ---- */

typedef struct demit_queue_index {
    demit_queued_t **buckets;
    size_t mask, count;
} demit_queue_index_t;

apr_status_t demit_queue_index_init(demit_queue_index_t *index) __attribute__((warn_unused_result));
void demit_queue_index_destroy(demit_queue_index_t *index);
void demit_queue_index_add(demit_queue_index_t *index, demit_queued_t *message);
void demit_queue_index_remove(demit_queue_index_t *index, demit_queued_t *message);
demit_queued_t *demit_queue_index_find(const demit_queue_index_t *index, uint64_t id);

#endif
