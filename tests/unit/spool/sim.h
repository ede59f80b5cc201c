/*
 * A file table that fails, counts, and can cut the power.
 *
 * Calls go through to the real directory, so what is read is always what was written last. Beside it the table keeps
 * what no sync has covered yet: written bytes with what they replaced, and changes of names. A cut makes a copy of the
 * directory as a disk might have kept it: any 512-byte sectors of what was not synced, in any order, and the changes of
 * names up to some point, of all files or of each. The table has no mmap(2); a cut finds none.
 */
#ifndef DEMIT_TEST_SPOOL_SIM_H
#define DEMIT_TEST_SPOOL_SIM_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "demit/files.h"

typedef enum sim_call {
    SIM_OPEN,
    SIM_CLOSE,
    SIM_PREAD,
    SIM_PWRITEV,
    SIM_DATASYNC,
    SIM_SYNC_DIRECTORY,
    SIM_ALLOCATE,
    SIM_RENAME,
    SIM_UNLINK,
    SIM_STAT,
    SIM_LIST,
    SIM_FREE_BYTES,
    SIM_LOCK,
    SIM_CALLS
} sim_call_t;

typedef struct sim_write sim_write_t;
typedef struct sim_name sim_name_t;

typedef struct sim {
    demit_files_t table; /* first: what the spool holds is the simulator */
    pthread_mutex_t mutex;
    char directory[64]; /* of the spool */
    char shadow[64];    /* keeps what was unlinked, as long as the unlinking is not synced */
    unsigned counts[SIM_CALLS], total;

    /* The FAIL_AT-th call of kind FAIL fails with ERROR, and FAIL_MORE after it. A write may be done by half. */
    sim_call_t fail;
    unsigned fail_at, fail_more;
    int error;
    bool half;
    unsigned failed; /* how many did */

    uint64_t free_bytes; /* what free_bytes() says; 0: the truth */

    bool power; /* keep what is not synced */
    uint64_t random;
    sim_write_t *writes;
    sim_name_t *names;
    /* Called before every call, with the mutex held: may cut. */
    void (*before)(struct sim *sim, void *baton);
    void *baton;
} sim_t;

void sim_init(sim_t *sim, const char *directory);
void sim_destroy(sim_t *sim);
/* Sets BEFORE and its baton; sets what free_bytes() says. At any time. */
void sim_watch(sim_t *sim, void (*before)(sim_t *sim, void *baton), void *baton);
void sim_set_free_bytes(sim_t *sim, uint64_t bytes);
/* Makes a copy as after a power cut, in a new directory whose name is put into COPY. With the mutex held. */
void sim_cut(sim_t *sim, char copy[64]);
uint64_t sim_random(sim_t *sim);

#endif
