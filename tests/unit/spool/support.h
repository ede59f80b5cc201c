/* What the tests of the spool share: a spool in a directory of its own, and calls that wait for their callbacks. */
#ifndef DEMIT_TEST_SPOOL_SUPPORT_H
#define DEMIT_TEST_SPOOL_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <apr_pools.h>

#include "demit/spool.h"

enum { TEST_SEGMENT = 64 * 1024, TEST_THRESHOLD = 4096, TEST_RECIPIENTS = 3 };
enum { PATIENCE_MS = 120000 }; /* for what takes milliseconds, unless the disk is slow and the processor busy */

typedef struct fixture {
    apr_pool_t *pool;
    char directory[64];
    demit_workers_t *workers;
    demit_spool_options_t options;
    demit_spool_t *spool;
} fixture_t;

int fixture_setup(void **state);
int fixture_teardown(void **state);

apr_status_t fixture_try_open(fixture_t *fixture);
void fixture_open(fixture_t *fixture);
void fixture_close(fixture_t *fixture);

/* A body of SIZE bytes that depends on SEED alone. malloc()ed. */
unsigned char *make_body(uint64_t seed, size_t size);

/* An envelope with TEST_RECIPIENTS recipients, in POOL. */
demit_envelope_t *make_envelope(uint64_t id, apr_pool_t *pool);

/* Writes and commits one message, waiting for everything. STATUS as on_done said (or append). */
apr_status_t put_with(fixture_t *fixture, demit_envelope_t *envelope, const unsigned char *body, size_t size,
                      const demit_spool_outcome_t *reports, demit_spool_location_t *location);
apr_status_t put(fixture_t *fixture, size_t size, uint64_t *id, demit_spool_location_t *location);

/* Records an outcome and waits for it. */
apr_status_t note(fixture_t *fixture, const demit_spool_outcome_t *outcome);
apr_status_t note_final(fixture_t *fixture, uint64_t id, demit_spool_location_t location);

/* Reads the message at LOCATION whole; its body must be make_body(ID, its size). */
void assert_body(fixture_t *fixture, demit_spool_location_t location, uint64_t id, size_t size);

/* Whether HOLDS comes true within TIMEOUT_MS, or somewhat more. */
bool wait_until(bool (*holds)(void *baton), void *baton, unsigned timeout_ms);
bool segment_is_there(const fixture_t *fixture, uint32_t number);

/* Small messages that are there to fill segments up. */
enum { FILLERS_MAX = 400 };
typedef struct fillers {
    uint64_t ids[FILLERS_MAX];
    demit_spool_location_t locations[FILLERS_MAX];
    unsigned count;
    uint32_t last_segment; /* where the last one stands */
} fillers_t;
void fillers_put(fixture_t *fixture, fillers_t *fillers);
/* Puts some until one stands behind SEGMENT. */
void fillers_leave(fixture_t *fixture, fillers_t *fillers, uint32_t segment);
/* Puts a message piece by piece, with some fillers before each. */
void put_among(fixture_t *fixture, size_t size, fillers_t *fillers, uint64_t *id, demit_spool_location_t *location);
/* All are over. */
void fillers_end(fixture_t *fixture, fillers_t *fillers);

/*
 * Leaves the current segment, and fills, empties and leaves one more, until that one is recycled: then every older one
 * has been looked at, and those that nothing keeps have gone with it or before it.
 */
void settle(fixture_t *fixture);

/* What recovery found. */
typedef struct recovered {
    struct found {
        uint64_t id, size;
        demit_spool_location_t location;
        demit_recipient_state_t states[TEST_RECIPIENTS];
        uint32_t attempts;
        int64_t next_attempt_us;
        bool delay_dsn_sent;
    } * found;
    size_t count, capacity;
    demit_spool_recovery_t result;
} recovered_t;

apr_status_t recover(fixture_t *fixture, recovered_t *recovered);
const struct found *find(const recovered_t *recovered, uint64_t id);
void recovered_free(recovered_t *recovered);

/* Names and counts in the directory: how many files end in SUFFIX; the first one's name. */
unsigned count_files(const fixture_t *fixture, const char *suffix);
/* Copies the spool's files into a new directory, whose name is put into COPY. */
void copy_directory(const char *from, char copy[64]);
void remove_directory(const char *directory);

#endif
