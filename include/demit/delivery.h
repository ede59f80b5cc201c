/*
 * Delivery: the queue owns every message that is not yet over, decides when which recipients are tried where, and hands
 * deliveries to transports. The queue is one thread; transports work on loops or disk workers and report back.
 */
#ifndef DEMIT_DELIVERY_H
#define DEMIT_DELIVERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <apr_pools.h>

#include "demit/envelope.h"
#include "demit/loop.h"
#include "demit/settings.h"
#include "demit/spool.h"
#include "demit/task.h"
#include "demit/workers.h"

typedef struct demit_queue demit_queue_t;
typedef struct demit_delivery demit_delivery_t;
typedef struct demit_destination demit_destination_t;
typedef struct demit_resolver demit_resolver_t;

/* ---- what transports are given, and what they give back ---------------------------------------------------------- */

typedef enum demit_result {
    DEMIT_RESULT_NONE,      /* not tried (yet): counts as deferred */
    DEMIT_RESULT_DELIVERED, /* the next hop, or the mailbox, has it for good */
    DEMIT_RESULT_RELAYED,   /* delivered to a peer that does not offer DSN: NOTIFY=SUCCESS means "relayed" (RFC
                               3461 5.2.2) */
    DEMIT_RESULT_DEFERRED,  /* 4yz or a broken connection: again later */
    DEMIT_RESULT_FAILED     /* 5yz: never again */
} demit_result_t;

/* One recipient of a delivery. Strings are of the delivery's pool. */
typedef struct demit_delivery_recipient {
    const demit_recipient_t *recipient;
    uint32_t index; /* in the envelope */
    demit_result_t result;
    const char *status;      /* "2.0.0", "5.1.1" (RFC 3463) */
    const char *diagnostic;  /* what the peer said, all lines joined, printable; or our own words */
    bool diagnostic_is_smtp; /* it came from the peer: Diagnostic-Code: smtp; (RFC 3464 2.3.6) */
} demit_delivery_recipient_t;

/*
 * One message to some of its recipients, at one destination. Made by the queue; belongs to the transport from start()
 * until demit_queue_report(). Everything in it lives in POOL, which the transport may use (one thread at a time).
 */
struct demit_delivery {
    demit_task_t task; /* free for the transport's use */
    apr_pool_t *pool;
    const demit_envelope_t *envelope;
    demit_spool_location_t location;
    const demit_domain_settings_t *settings;
    const demit_settings_t *server_settings; /* what SETTINGS is of; POOL holds them */
    const char *domain;                      /* of the recipients, as demit_domain_to_ascii() has it */
    demit_delivery_recipient_t *recipients;
    uint32_t recipient_count;
    /* Filled in by the transport for the log and the DSN. */
    const char *remote_host; /* name of the next hop, or NULL */
    const char *remote_ip;   /* "192.0.2.1", or NULL */
    bool connection_failed;  /* no connection could be made: the destination rests for Host_Failure_Retry */
    bool peer_notifies;      /* LMTP: the peer offers DSN and was given NOTIFY, so we do not report its deliveries */
    void *queue_private;
};

/* Sets the result of every recipient that has none yet. DIAGNOSTIC is copied into the delivery's pool. */
void demit_delivery_set_all(demit_delivery_t *delivery, demit_result_t result, const char *status,
                            const char *diagnostic, bool is_smtp);

/* A way to deliver. The queue calls start() in its own thread. */
typedef struct demit_transport demit_transport_t;
struct demit_transport {
    const char *name; /* for the log: "maildir", "smtp", "lmtp" */
    /*
     * Takes COUNT deliveries (at least 1), all for one destination and with the same settings, to be tried in order on
     * one connection where that makes sense. Each must be reported, in any order, exactly once. The array itself is the
     * queue's, and valid during the call only.
     */
    void (*start)(demit_transport_t *transport, demit_delivery_t **deliveries, uint32_t count);
    /* Ends what is idle now (cached connections) and finishes what is under way; then calls stopped once. */
    void (*stop)(demit_transport_t *transport, void (*stopped)(void *baton), void *baton);
};

/* Gives a delivery back with its results. Any thread. */
void demit_queue_report(demit_queue_t *queue, demit_delivery_t *delivery);

/* ---- transports -------------------------------------------------------------------------------------------------- */

typedef struct demit_transport_options {
    demit_queue_t *queue;
    demit_spool_t *spool;
    demit_workers_t *workers;
    demit_loop_t *const *loops; /* deliveries of one destination go to one loop */
    uint32_t loop_count;
    uint32_t idle_connections; /* how many may be kept for mail to come; 0: none */
    demit_resolver_t *resolver;
    const demit_files_t *files; /* NULL: demit_files_system */
} demit_transport_options_t;

/* SMTP (RFC 5321) and LMTP (RFC 2033) clients, by MX, Gateway or Unix socket. */
apr_status_t demit_transport_smtp_create(demit_transport_t **transport, const demit_transport_options_t *options,
                                         apr_pool_t *pool) __attribute__((warn_unused_result));
/* Maildir: tmp/ → new/, synced. */
apr_status_t demit_transport_maildir_create(demit_transport_t **transport, const demit_transport_options_t *options,
                                            apr_pool_t *pool) __attribute__((warn_unused_result));

/*
 * The directory that all Maildirs of TEMPLATE (demit_domain_settings_t) lie below, and that must be there already: what
 * stands before the first component with a '%'. Any thread.
 */
const char *demit_maildir_base(const char *template, apr_pool_t *pool);

/*
 * Whether LOCAL_PART, without quotes, has a mailbox in a Maildir domain. Blocks on the disk: disk workers only.
 * APR_SUCCESS, APR_ENOENT (550 5.1.1), or an error (451).
 */
apr_status_t demit_maildir_exists(const demit_domain_settings_t *domain, const char *domain_name,
                                  const char *local_part, apr_pool_t *scratch_pool) __attribute__((warn_unused_result));

/* ---- DNS --------------------------------------------------------------------------------------------------------- */

/*
 * Makes the resolver (c-ares) and reads the system's resolver files, so that a chroot does not matter later. Starts no
 * thread: the process must still have one alone to let go of root.
 */
apr_status_t demit_resolver_create(demit_resolver_t **resolver, const demit_settings_t *settings, apr_pool_t *pool)
    __attribute__((warn_unused_result));
/* Starts its thread; after the identity is assumed. */
apr_status_t demit_resolver_start(demit_resolver_t *resolver) __attribute__((warn_unused_result));
/* Runs TASK->run in its thread. Any thread; never blocks. Not during or after demit_resolver_stop(). */
void demit_resolver_post(demit_resolver_t *resolver, demit_task_t *task);
/* Ends the thread, if it runs, and frees everything. */
void demit_resolver_stop(demit_resolver_t *resolver);

/* ---- the queue --------------------------------------------------------------------------------------------------- */

typedef struct demit_queue_options {
    demit_spool_t *spool;
    demit_workers_t *workers;
    const demit_settings_t *settings; /* held */
} demit_queue_options_t;

apr_status_t demit_queue_create(demit_queue_t **queue, const demit_queue_options_t *options, apr_pool_t *pool)
    __attribute__((warn_unused_result));

/*
 * How many connections there may be at a time, Maildirs not counted, whatever Server_Max_Outbound_Connections says:
 * what the host has descriptors for. As long as nothing is said, any number. Any thread; from the next turn on.
 */
void demit_queue_limit_connections(demit_queue_t *queue, uint32_t most);

/* Which transport serves a delivery method. Before start. */
void demit_queue_set_transport(demit_queue_t *queue, demit_delivery_method_t method, demit_transport_t *transport);

/* Starts the queue's thread, and the recovery of what the spool held. */
apr_status_t demit_queue_start(demit_queue_t *queue) __attribute__((warn_unused_result));

/*
 * A message was committed at LOCATION. ENVELOPE is copied. Any thread (the committer's, from on_done); never blocks.
 */
void demit_queue_accept(demit_queue_t *queue, const demit_envelope_t *envelope, demit_spool_location_t location);

/*
 * Begins the end: no delivery is started any more, a recovery that still runs is ended, deliveries under way have
 * GRACE_US to be reported, their outcomes are recorded, and the queue's thread ends. What is reported or accepted later
 * is not lost: it is in the spool, and the next start finds it. Once, after demit_queue_start(); loops and workers must
 * run until it has drained. Never blocks.
 */
void demit_queue_drain(demit_queue_t *queue, int64_t grace_us);
/* As if the grace of demit_queue_drain(), which was called, were used up. Once; any thread. */
void demit_queue_hurry(demit_queue_t *queue);
/* Whether the queue's thread has come to its end. Any thread. */
bool demit_queue_is_drained(const demit_queue_t *queue);
/*
 * Waits for the queue's thread, draining it with GRACE_US if nobody did, and for a recovery that still runs, which ends
 * at its next read of the disk. Lets go of what was posted too late, whose memory may go when this has returned.
 * Whoever made the transports stops them afterwards. Main thread.
 */
void demit_queue_stop(demit_queue_t *queue, int64_t grace_us);

/*
 * Runs FN in the queue's thread, for the console. Any thread; never blocks. In FN the demit_queue_* looks below may be
 * used.
 */
void demit_queue_post(demit_queue_t *queue, demit_task_t *task);

/*
 * From its next turn on the queue works by SETTINGS, which it holds, and gives up those that it has. Deliveries under
 * way end as they began; what they leave over, and all that waits, goes where SETTINGS say, at the time it was due.
 * Settings with a life of their own only. Any thread that may use their pool; never blocks, never fails.
 */
void demit_queue_use_settings(demit_queue_t *queue, const demit_settings_t *settings);

typedef struct demit_queue_counts {
    uint64_t messages, recipients_pending, destinations;
    uint64_t active, deferred;                                /* a message counts once for each destination it has */
    uint64_t received, delivered, failed, bounced, deferrals; /* since the start */
    bool recovering;
} demit_queue_counts_t;
void demit_queue_counts(demit_queue_t *queue, demit_queue_counts_t *counts); /* queue's thread */

typedef struct demit_queue_domain_view {
    const char *domain; /* or host:port of a Gateway, whose domains share its connections */
    uint64_t messages, active, deferred;
    const char *last_error; /* or NULL */
} demit_queue_domain_view_t;
/* Queue's thread. */
void demit_queue_each_domain(demit_queue_t *queue, void (*each)(void *baton, const demit_queue_domain_view_t *view),
                             void *baton);

typedef struct demit_queue_message_view {
    const demit_envelope_t *envelope;
    bool active;
    const char *last_error; /* or NULL */
} demit_queue_message_view_t;
/* Up to LIMIT messages, oldest first; of DOMAIN, or of all when NULL. Queue's thread. */
void demit_queue_each_message(demit_queue_t *queue, const char *domain, uint64_t limit,
                              void (*each)(void *baton, const demit_queue_message_view_t *view), void *baton);

/* Shows the message ID to EACH. False: it is not in the queue. Queue's thread. */
bool demit_queue_find_message(demit_queue_t *queue, uint64_t id,
                              void (*each)(void *baton, const demit_queue_message_view_t *view), void *baton);

/* ---- DSNs (RFC 3461, 3464) --------------------------------------------------------------------------------------- */

typedef enum demit_dsn_action {
    DEMIT_DSN_FAILED,
    DEMIT_DSN_DELAYED,
    DEMIT_DSN_DELIVERED,
    DEMIT_DSN_RELAYED
} demit_dsn_action_t;

#endif
