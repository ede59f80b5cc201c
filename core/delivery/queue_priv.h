/*
 * What the parts of the queue know of each other. Everything here is of the queue's thread, unless said otherwise.
 *
 *   queue.c              the thread, its mailbox, start and stop
 *   queue_intake.c       messages come in, and go
 *   queue_destination.c  who is next: destinations, their lines, limits and rests
 *   queue_settle.c       what became of a delivery: outcomes, retries
 *   queue_bounce.c       delivery status notifications
 *   queue_reload.c       other settings while it runs
 *   queue_look.c         what the console sees
 *   queue_move.c         compaction
 */
#ifndef DEMIT_DELIVERY_QUEUE_PRIV_H
#define DEMIT_DELIVERY_QUEUE_PRIV_H

#include <stdatomic.h>

#include <apr_hash.h>
#include <apr_poll.h>
#include <apr_thread_proc.h>

#include "demit/delivery.h"
#include "demit/domain.h"

#include "core/delivery/dsn.h"
#include "core/delivery/queued.h"
#include "core/delivery/throttle.h"
#include "core/delivery/wheel.h"

enum {
    DEMIT_METHOD_COUNT = DEMIT_DELIVER_MAILDIR + 1,
    DEMIT_TRANSACTION_RECIPIENTS = 100, /* RFC 5321 4.5.3.1.8: what every server takes in one transaction */
    DEMIT_BATCH_MAX = 32,               /* deliveries for one connection, as long as there are few in all */
    DEMIT_BATCH_MAX_MAILDIR = 64,       /* more of them share a directory's sync */
    DEMIT_MAILDIR_BATCHES = 4,          /* at a time for one destination: as many as there are disk workers */
    DEMIT_DESTINATION_KEY_MAX = 3 * DEMIT_DOMAIN_SIZE
};

/* The clocks, so that a test can turn them. */
typedef struct demit_queue_clock {
    int64_t (*monotonic_us)(void *baton);
    int64_t (*wall_us)(void *baton); /* since 1970 */
    void *baton;
} demit_queue_clock_t;

/* A domain, or the gateway that many domains share. Its memory is malloc's: domains come and go. */
struct demit_destination {
    demit_wheel_node_t node;      /* in the wheel while it rests */
    demit_link_t runnable;        /* in the queue's line of those that may start something */
    demit_link_t line;            /* legs that are ready, first in first out */
    demit_link_t by_age;          /* every leg, oldest first */
    demit_link_t *last_recovered; /* recovered legs stand before it in by_age; the head when there is none */
    demit_link_t leaving;         /* in the queue's list of those that no new leg comes to, if it is ABANDONED */
    const demit_domain_settings_t *settings;
    const demit_settings_t *server_settings; /* what SETTINGS is of; held */
    demit_transport_t *transport;
    demit_throttle_t *throttle; /* NULL: no throttle */
    demit_note_t *note;         /* last error */
    uint64_t intake_id;         /* the message that came last, */
    uint32_t intake_leg;        /* and which leg of it is ours */
    uint32_t batches;           /* connections in use */
    uint64_t legs, ready, active, waiting;
    bool is_maildir, is_gateway;
    bool resting;  /* node is in the wheel */
    bool failing;  /* the last connection failed: one careful try at a time */
    bool expiring; /* some of the line may have expired without a try */
    bool in_runnable;
    bool abandoned;
    size_t key_size;
    const char *name; /* the domain, or host:port of the gateway */
    char key[];       /* what the queue's hash knows it by, then the name */
};

/* One call of a transport's start(): one connection's worth of deliveries. */
typedef struct demit_batch {
    demit_link_t link; /* in the queue's list of them */
    demit_destination_t *destination;
    uint32_t outstanding;
} demit_batch_t;

/* The queue's side of a delivery, in the delivery's pool. */
typedef struct demit_ticket {
    demit_queue_t *queue;
    demit_leg_t *leg;
    demit_batch_t *batch; /* NULL: nobody tried it, it expired in line */
    bool over;            /* deferred recipients are given up after this attempt */
} demit_ticket_t;

struct demit_queue {
    apr_pool_t *pool;
    apr_pool_t *deliveries; /* parent of the deliveries' pools; its allocator is locked: transports have threads */
    apr_pool_t *scratch;    /* cleared at every use */
    demit_spool_t *spool;
    demit_workers_t *workers;
    const demit_settings_t *settings; /* held */
    demit_queue_clock_t clock;
    int64_t now_us; /* monotonic, read once per turn */
    demit_transport_t *transports[DEMIT_METHOD_COUNT];

    /* The mailbox: anyone pushes, the queue's thread takes all and keeps them in order in inbox. */
    _Atomic(demit_task_t *) mailbox;
    demit_task_t *inbox;
    apr_pollset_t *pollset; /* holds no descriptor: a sleep that apr_pollset_wakeup() ends */
    apr_thread_t *thread, *recovery_thread;

    demit_queue_index_t index;
    demit_link_t by_age;
    demit_link_t *last_recovered;
    apr_hash_t *destinations; /* key → demit_destination_t */
    demit_link_t abandoned;   /* destinations of settings that went, until their last leg has gone */
    demit_link_t runnable_local, runnable_remote; /* apart, so that full connections do not hold up mailboxes */
    demit_wheel_t retries, rests;
    demit_link_t batches;
    demit_link_t due; /* legs whose time has come, not yet in their lines */

    uint64_t *unrecorded; /* ids of messages whose outcomes must be written again */
    uint32_t unrecorded_count, unrecorded_space;
    int64_t rerecord_us;

    uint32_t connections; /* batches under way, Maildir's not counted */
    _Atomic uint32_t most_connections;
    uint32_t deliveries_under_way;
    uint64_t records_under_way;
    uint64_t recipients_pending;
    demit_queue_counts_t since_start;
    uint64_t active_legs, waiting_legs;

    bool recovering, stopping;
    int64_t stop_deadline_us;

    /* The main thread's until it is posted. */
    bool draining;
    int64_t grace_us;
    demit_task_t drain_task, hurry_task, recovered_task;
    atomic_bool drained;
};

/* ---- queue.c ---- */

apr_status_t demit_queue_create_with_clock(demit_queue_t **queue, const demit_queue_options_t *options,
                                           const demit_queue_clock_t *clock, apr_pool_t *pool)
    __attribute__((warn_unused_result));
/* One turn: some of the mailbox, what is due, what can start. Gives the monotonic time of the next turn. */
int64_t demit_queue_turn(demit_queue_t *queue);
/* Whether a stop is complete, or its grace is used up. */
bool demit_queue_is_done(demit_queue_t *queue);
int64_t demit_queue_wall_us(const demit_queue_t *queue);
/* Begins the stop in the queue's thread. */
void demit_queue_begin_stop(demit_queue_t *queue, int64_t grace_us);

/* ---- queue_intake.c ---- */

/* Takes MESSAGE in: finds its destinations and puts its legs into line, or into the wheel. */
void demit_queue_take_in(demit_queue_t *queue, demit_queued_t *message);
/* Frees MESSAGE if it is over and nothing is on its way for it any more. */
void demit_queue_let_go(demit_queue_t *queue, demit_queued_t *message);
/* Thread of the recovery. */
void *APR_THREAD_FUNC demit_queue_recover(apr_thread_t *thread, void *baton);
/* Lets go of what was posted and will not be run. When the thread has ended. */
void demit_queue_discard_posted(demit_queue_t *queue);
/* Frees everything. */
void demit_queue_forget_all(demit_queue_t *queue);

/* ---- queue_destination.c ---- */

/* Finds or makes the destination for mail to ADDRESS. NULL: no memory. */
demit_destination_t *demit_destination_for(demit_queue_t *queue, const char *address);
/* Whether mail to ADDRESS belongs to DESTINATION. */
bool demit_destination_is_for(const demit_queue_t *queue, const demit_destination_t *destination, const char *address);
/* Puts DESTINATION into line if it may have something to do; frees it if it has nothing to do or to remember. */
void demit_destination_reconsider(demit_queue_t *queue, demit_destination_t *destination);
void demit_destination_free(demit_queue_t *queue, demit_destination_t *destination);
/* Brings DESTINATION under the queue's settings, if it is the same host and the same way to it by them, too. */
bool demit_destination_adopt(demit_queue_t *queue, demit_destination_t *destination);
/* Nothing finds DESTINATION any more; it goes when its legs have gone. */
void demit_destination_abandon(demit_queue_t *queue, demit_destination_t *destination);
/* All changes of a leg's state go through here. READY lines it up, WAITING needs a due time. */
void demit_leg_set_state(demit_queue_t *queue, demit_leg_t *leg, demit_leg_state_t state, int64_t due_us);
/* A delivery of some of LEG's recipients, which are busy from now on. Its pool is freed by demit_queue_apply(). */
demit_delivery_t *demit_delivery_make(demit_queue_t *queue, demit_leg_t *leg, demit_batch_t *batch);
/* Starts what can start. */
void demit_queue_start_deliveries(demit_queue_t *queue);
/* DESTINATION starts nothing before UNTIL_US. */
void demit_destination_rest(demit_queue_t *queue, demit_destination_t *destination, int64_t until_us);
/* Destinations whose rest is over. */
void demit_queue_wake_destinations(demit_queue_t *queue);
/* The domain of ADDRESS, in BUFFER, in the form of demit_domain_to_ascii(); what is no domain, in lower case. */
void demit_domain_of(const demit_queue_t *queue, const char *address, char buffer[DEMIT_DOMAIN_SIZE]);

/* ---- queue_settle.c ---- */

/* Runs in the queue's thread when a transport has given a delivery back. */
void demit_queue_settle(demit_queue_t *queue, demit_delivery_t *delivery);
/* What the outcomes of DELIVERY, as they are, will be for the spool. In the delivery's pool. */
demit_spool_outcome_t *demit_queue_outcome(demit_queue_t *queue, demit_delivery_t *delivery);
/* Makes the results true here; IS_RECORDED: the spool has OUTCOME already. Ends the delivery. */
void demit_queue_apply(demit_queue_t *queue, demit_delivery_t *delivery, const demit_spool_outcome_t *outcome,
                       bool is_recorded);
/* Records everything that is known of MESSAGE in one outcome. */
void demit_queue_record_all(demit_queue_t *queue, demit_queued_t *message);
/* Frees TASK if it is the end of a record that nobody waits for any more. */
bool demit_queue_discard_record(demit_task_t *task);
/* Writes again what could not be written. */
void demit_queue_rerecord(demit_queue_t *queue);
int64_t demit_queue_age_us(const demit_queue_t *queue, const demit_queued_t *message);

/* ---- queue_reload.c ---- */

/* Moves LEG, nothing of which is under way, to where the settings say, or its parts to several places. Due at DUE_US.
 */
void demit_leg_find_way(demit_queue_t *queue, demit_leg_t *leg, int64_t due_us);
/* Lets go of the settings that TASK brings when nobody takes them any more; false: it is another's task. */
bool demit_queue_discard_settings(demit_task_t *task);

/* ---- queue_bounce.c ---- */

/*
 * Begins to write the DSN that DELIVERY's results call for. False: none is due. Otherwise the queue goes on with
 * demit_queue_apply() when the DSN is stored, or cannot be.
 */
bool demit_queue_bounce(demit_queue_t *queue, demit_delivery_t *delivery);

/* ---- queue_move.c ---- */

void demit_queue_set_mover(demit_queue_t *queue);
/* Compaction waited for MESSAGE to be idle: now it may be. */
void demit_queue_move_if_idle(demit_queue_t *queue, demit_queued_t *message);
/* Frees TASK if it is a request of compaction that nobody answers any more. */
bool demit_queue_discard_move(demit_task_t *task);

#endif
