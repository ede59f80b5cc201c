/* A queue as the spool sees one: knows what was acknowledged, moves what it is asked to move. */
#ifndef DEMIT_TEST_SPOOL_MODEL_H
#define DEMIT_TEST_SPOOL_MODEL_H

#include <pthread.h>

#include "support.h"

enum { MODEL_MAX = 20000 };

typedef enum model_state {
    MODEL_SUBMITTED, /* may be there after a crash, or not */
    MODEL_STORED,    /* acknowledged: must be there */
    MODEL_ENDING,    /* its end was submitted: may be there */
    MODEL_OVER       /* its end was acknowledged: must not come back */
} model_state_t;

typedef struct model_message {
    uint64_t id;
    size_t size;
    model_state_t state;
    demit_spool_location_t location;
    bool moving, reading; /* never both: what is read is not moved, as in the queue */
} model_message_t;

typedef struct model {
    pthread_mutex_t mutex;
    fixture_t *fixture;
    model_message_t *messages;
    size_t count;
    unsigned moves, moved, stayed, refused; /* agreed to, ended well, ended where they were; puts refused */
} model_t;

void model_init(model_t *model, fixture_t *fixture);
void model_destroy(model_t *model);
/* Tells the fixture's spool to ask this model. */
void model_attach(model_t *model);
/* Puts a message and waits. Its index, or SIZE_MAX when the spool refused it. */
size_t model_put(model_t *model, size_t size);
/* Ends it and waits. */
apr_status_t model_end(model_t *model, size_t index);
/* Reads every message that is STORED, while others may be moved. */
void model_assert_bodies(model_t *model);
/* How many moves ended well so far, while there may be more. */
unsigned model_moved(model_t *model);
/* THREADS threads put COUNT messages each, and end all but each KEEP-th. */
void model_load(model_t *model, unsigned threads, unsigned count, unsigned keep);

/* What was known at some moment. */
typedef struct model_snapshot {
    model_state_t *states;
    size_t count;
} model_snapshot_t;
model_snapshot_t model_snapshot(model_t *model);

/*
 * Opens the spool in DIRECTORY as after a crash and compares: what was STORED before and is not past it AFTER is
 * there, byte for byte; what was OVER before is not; nothing else is. Twice, as a crash may follow a crash.
 */
void model_verify(model_t *model, const char *directory, const model_snapshot_t *before, const model_snapshot_t *after);

#endif
