/*
 * What the queue stands on, in memory and in the test's hands: a spool, disk workers, the log, the settings, clocks and
 * a transport. Linked in front of the real rooms.
 */
#ifndef DEMIT_TEST_FAKES_H
#define DEMIT_TEST_FAKES_H

#include "core/delivery/queue_priv.h"

/* ---- spool ---- */

typedef struct fake_message {
    demit_envelope_t envelope; /* deep copy */
    char *bytes;
    size_t size;
    bool gone; /* a final outcome came */
} fake_message_t;

typedef struct fake_outcome {
    uint64_t id;
    bool final, delay_dsn_sent, with_commit;
    uint32_t attempts, count;
    int64_t next_attempt_us;
    uint32_t recipients[64];
    demit_recipient_state_t states[64];
} fake_outcome_t;

enum { FAKE_MAX = 4096 };

typedef struct fake_spool {
    apr_pool_t *pool;
    fake_message_t messages[FAKE_MAX]; /* a location's block is the index */
    uint32_t message_count;
    fake_outcome_t outcomes[FAKE_MAX];
    uint32_t outcome_count;
    uint64_t next_id;
    apr_status_t commit_status, outcome_status, open_status, verify_status; /* what the disk says */
    unsigned busy_appends;                                                  /* so many appends are told APR_EAGAIN */
    bool hold_outcomes;                                                     /* on_done comes at fake_spool_release() */
    demit_spool_mover_t mover;
    bool recovery_is_ended;
    bool moves_fail;   /* nothing is ever heard of a move */
    bool is_forgetful; /* keeps nothing, for measurements */
    unsigned moves, skips;
} fake_spool_t;

extern fake_spool_t fake_spool;
void fake_spool_reset(apr_pool_t *pool);
/* Stores BYTES under ENVELOPE, and gives its location. */
demit_spool_location_t fake_spool_put(const demit_envelope_t *envelope, const char *bytes);
void fake_spool_release(void);
const fake_message_t *fake_spool_last(void);

/* ---- disk workers: what is submitted runs at fake_workers_run() ---- */

void fake_workers_run(void);
unsigned fake_workers_waiting(void);

/* ---- log ---- */

/* Whether a line of EVENT with TEXT in it was written since the last reset. */
bool fake_log_has(const char *event, const char *text);
unsigned fake_log_count(const char *event);
void fake_log_reset(void);

/* ---- a queue with a clock and a transport that are turned by hand ---- */

typedef struct fixture {
    apr_pool_t *pool;
    demit_settings_t settings;
    demit_domain_settings_t any, local;
    demit_queue_t *queue;
    int64_t monotonic_us, wall_us;
    demit_transport_t transport;
    demit_delivery_t *held[FAKE_MAX]; /* given to the transport, not yet reported */
    uint32_t held_count, starts, most_held, given;
    uint32_t last_batch;
} fixture_t;

fixture_t *fixture_make(void);
void fixture_free(fixture_t *fixture);
/* Time passes, and the queue turns until it has nothing to do at once. */
void fixture_pass(fixture_t *fixture, int64_t us);
void fixture_turn(fixture_t *fixture);
/* A message from SENDER to COUNT recipients arrives. */
uint64_t fixture_send(fixture_t *fixture, const char *sender, const char *const *recipients, uint32_t count);
uint64_t fixture_send_one(fixture_t *fixture, const char *recipient);
uint64_t fixture_send_envelope(fixture_t *fixture, demit_envelope_t *envelope, const char *bytes);
/* Reports held delivery I with RESULT for all recipients, and turns. */
void fixture_report(fixture_t *fixture, uint32_t i, demit_result_t result, const char *status, const char *diagnostic);
demit_queue_counts_t fixture_counts(fixture_t *fixture);

#endif
