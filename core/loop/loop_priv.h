/* What the files of this room share. */
#ifndef DEMIT_CORE_LOOP_PRIV_H
#define DEMIT_CORE_LOOP_PRIV_H

#include <stdatomic.h>

#include <apr_poll.h>
#include <apr_thread_proc.h>

#include "demit/loop.h"

/* Something that stands in a pollset. The apr_pollfd_t must outlive the batch: APR_POLLSET_NOCOPY. */
typedef struct demit_pollee demit_pollee_t;
struct demit_pollee {
    apr_pollfd_t pfd; /* client_data is the pollee */
    void (*on_event)(demit_pollee_t *pollee, apr_int16_t events);
    bool in_pollset;
};

/* All timers of one duration, soonest first. */
typedef struct demit_timer_queue demit_timer_queue_t;
struct demit_timer_queue {
    demit_timer_t ring; /* sentinel */
    int64_t duration_us;
    demit_timer_queue_t *next;
};

/* A doubly used list of connections: those with work for the end of the round, those that are over. */
typedef struct demit_conn_list {
    demit_conn_t *head, *tail;
} demit_conn_list_t;

typedef struct demit_listening demit_listening_t;

struct demit_loop {
    const char *name;
    apr_pool_t *pool;
    apr_pollset_t *pollset;
    apr_thread_t *thread;
    int64_t now_us;
    demit_timer_queue_t *timer_queues;
    demit_conn_list_t dirty, dead;
    demit_conn_t *all; /* every connection, so that a stopping loop can end them */
    demit_listening_t *listening;
    demit_listening_t *spare_listening; /* taken out, to be used again */
    apr_pool_t *spare_pool;             /* for the next accepted connection */
    apr_socket_t *spare_socket;         /* a descriptor to give up when there is none left to say "busy" with */
    uint32_t max_connections;
    _Atomic uint32_t connections;
    _Atomic uint64_t rounds;
    _Atomic(demit_task_t *) mailbox; /* newest first */
    atomic_bool stopping;
    char input[DEMIT_CONN_INPUT_MAX];
};

typedef enum conn_state {
    CONN_CONNECTING,
    CONN_OPEN,
    CONN_CLOSING,   /* sends what is queued, then closes */
    CONN_LINGERING, /* everything is sent; input is thrown away until the peer closes too */
    CONN_DEAD       /* closed; on_close is due */
} conn_state_t;

struct demit_conn {
    demit_pollee_t pollee;
    demit_loop_t *loop;
    apr_pool_t *pool;
    apr_socket_t *socket;
    const demit_conn_handler_t *handler;
    void *baton;
    conn_state_t state;
    demit_conn_end_t end;
    apr_status_t end_status;
    bool paused;
    bool in_dirty;
    bool input_ready; /* kept bytes are to be offered in this round */
    bool was_behind;  /* more than DEMIT_CONN_OUTPUT_LOW waited: on_drained is due when all is sent */
    bool peer_done;   /* end of input was seen */
    char *kept;       /* input not yet consumed */
    size_t kept_size, kept_capacity;
    char *out; /* output not yet sent: out[out_start .. out_size) */
    size_t out_start, out_size, out_capacity;
    demit_timer_t deadline; /* of connecting, of the last output, of lingering */
    demit_conn_t *next;     /* in dirty or dead */
    demit_conn_t *all_next, **all_link;
};

/* ---- loop.c ---- */
apr_status_t demit_pollee_add(demit_loop_t *loop, demit_pollee_t *pollee, apr_int16_t events);
void demit_pollee_remove(demit_loop_t *loop, demit_pollee_t *pollee);
/* Changes the events that are asked for; nothing when they are the same. */
apr_status_t demit_pollee_want(demit_loop_t *loop, demit_pollee_t *pollee, apr_int16_t events);

/* ---- timer.c ---- */
/* Microseconds until the next timer is due, or -1. */
apr_interval_time_t demit_timers_wait(const demit_loop_t *loop);
void demit_timers_fire(demit_loop_t *loop);

/* ---- conn.c ---- */
/* Makes the connection of an accepted SOCKET, which lives in POOL; the connection owns both. */
demit_conn_t *demit_conn_accepted(demit_loop_t *loop, apr_socket_t *socket, apr_pool_t *pool);
/* The work left for the end of a round: sends output, offers kept input, buries the dead. */
void demit_conns_finish_round(demit_loop_t *loop);

/* ---- acceptor.c ---- */
/* Makes the pool of one connection: a child of the loop's, sharing its allocator. */
apr_status_t demit_loop_conn_pool(apr_pool_t **pool, demit_loop_t *loop);
void demit_acceptors_close(demit_loop_t *loop);

#endif
