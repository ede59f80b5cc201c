/* A message on its way from a segment that is emptied: what compaction, the committer and the writer know of it. */
#ifndef DEMIT_SPOOL_COMPACT_H
#define DEMIT_SPOOL_COMPACT_H

#include "core/spool/spool_priv.h"

struct spool_ticket {
    spool_ticket_t *next; /* of all under way; with spool->lock */
    demit_spool_t *spool;
    uint64_t id;
    demit_spool_location_t from;
    bool answered; /* by the mover; with spool->lock */
    bool stale;    /* an outcome came in after the mover was asked: what is moved would not know it; with spool->lock */

    /* In one worker at a time. */
    demit_task_t copy;
    demit_envelope_t *envelope; /* the mover's, copied */
    apr_status_t kept;          /* why it could not be, if so */
    apr_pool_t *pool;
    demit_spool_writer_t *writer;
    demit_spool_reader_t *reader;
    uint64_t position; /* bytes copied */
    size_t held;       /* bytes in the buffer that the writer has not taken yet */
    unsigned char *buffer;
};

#endif
