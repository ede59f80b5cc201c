/*
 * Event loops: one thread each, sockets only. A connection lives on one loop for life, and everything declared here
 * is called on that loop's thread unless the comment says otherwise. No callback may wait for a disk, a lock held
 * across one, or another thread; what waits goes to the disk workers (workers.h) and comes back by demit_loop_post().
 */
#ifndef DEMIT_LOOP_H
#define DEMIT_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <apr_network_io.h>
#include <apr_pools.h>

#include "demit/task.h"

typedef struct demit_loop demit_loop_t;
typedef struct demit_conn demit_conn_t;
typedef struct demit_timer demit_timer_t;
typedef struct demit_acceptor demit_acceptor_t;

/* ---- loops --------------------------------------------------------------------------------------------------- */

/* Makes a loop that holds at most MAX_CONNECTIONS. NAME is for the log and the thread's name; not copied. */
apr_status_t demit_loop_create(demit_loop_t **loop, const char *name, uint32_t max_connections, apr_pool_t *pool)
    __attribute__((warn_unused_result));

/* Runs the loop in a thread of its own. */
apr_status_t demit_loop_start(demit_loop_t *loop) __attribute__((warn_unused_result));

/* Runs the loop in the calling thread until demit_loop_stop(). */
apr_status_t demit_loop_run(demit_loop_t *loop) __attribute__((warn_unused_result));

/* Makes the loop return after the current round. Any thread. */
void demit_loop_stop(demit_loop_t *loop);

/* Waits for a started loop's thread to end. */
void demit_loop_join(demit_loop_t *loop);

/*
 * Runs TASK->run on the loop's thread, in the order of posting by one thread. Any thread; never blocks, never fails,
 * allocates nothing: the task is embedded in what it works on and must live until it has run. A task still queued
 * when the loop has stopped is run by demit_loop_join().
 */
void demit_loop_post(demit_loop_t *loop, demit_task_t *task);

/* The loop that the calling thread runs, or NULL. */
demit_loop_t *demit_loop_current(void);

/* Microseconds of the monotonic clock, read once per round: cheap, and steady within a callback. */
int64_t demit_loop_now_us(const demit_loop_t *loop);

/* Connections now open, and the number of rounds that the loop has turned (for a watchdog). Any thread. */
uint32_t demit_loop_connections(const demit_loop_t *loop);
uint64_t demit_loop_rounds(const demit_loop_t *loop);

/* ---- timers: one FIFO per distinct duration, O(1) ------------------------------------------------------------- */

struct demit_timer {
    void (*fire)(demit_timer_t *timer); /* runs on the loop; the timer is idle again and may be started anew */
    /* private */
    demit_timer_t *next, *prev;
    void *queue;
    int64_t due_us;
};

/* (Re)starts TIMER to fire once after DURATION_US. Meant for few distinct durations. */
void demit_timer_start(demit_loop_t *loop, demit_timer_t *timer, int64_t duration_us);
/* Stops it; harmless when it is not running. */
void demit_timer_stop(demit_timer_t *timer);
bool demit_timer_running(const demit_timer_t *timer);

/* ---- connections ---------------------------------------------------------------------------------------------- */

/* How a connection ended, as on_close tells. */
typedef enum demit_conn_end {
    DEMIT_CONN_CLOSED_BY_US, /* demit_conn_close() and everything was sent */
    DEMIT_CONN_CLOSED_BY_PEER,
    DEMIT_CONN_FAILED,        /* a socket error, or demit_conn_abort() */
    DEMIT_CONN_CONNECT_FAILED /* an outgoing connection was never made */
} demit_conn_end_t;

typedef struct demit_conn_handler {
    /* The outgoing connection stands. Not called for accepted ones. */
    void (*on_connected)(demit_conn_t *conn, void *baton);
    /*
     * BYTES[0..SIZE) have arrived and are not yet consumed. Returns how many were consumed; the rest is kept and
     * offered again, in front of what comes next, at the next arrival or demit_conn_resume(). SIZE never exceeds
     * DEMIT_CONN_INPUT_MAX; a handler offered that much must consume something or pause, else the connection fails.
     * The bytes are the loop's: valid during the call only.
     */
    size_t (*on_input)(demit_conn_t *conn, void *baton, const char *bytes, size_t size);
    /* All output has been handed to the kernel, after more than DEMIT_CONN_OUTPUT_LOW was waiting. May be NULL. */
    void (*on_drained)(demit_conn_t *conn, void *baton);
    /* Last call for this connection, exactly once, also after close and abort. CONN is gone when it returns. */
    void (*on_close)(demit_conn_t *conn, void *baton, demit_conn_end_t end, apr_status_t status);
} demit_conn_handler_t;

enum {
    DEMIT_CONN_INPUT_MAX = 64 * 1024, /* most input that is kept unconsumed */
    DEMIT_CONN_OUTPUT_LOW = 64 * 1024 /* demit_conn_backlog() above this: wait for on_drained before writing on */
};

void demit_conn_set_handler(demit_conn_t *conn, const demit_conn_handler_t *handler, void *baton);
demit_loop_t *demit_conn_loop(const demit_conn_t *conn);
/* Lives as long as the connection; small, for the session's own state. Per-transaction memory: a sub-pool of it. */
apr_pool_t *demit_conn_pool(const demit_conn_t *conn);
/* The peer's and our address. NULL for a Unix socket. */
apr_sockaddr_t *demit_conn_peer(const demit_conn_t *conn);
apr_sockaddr_t *demit_conn_local(const demit_conn_t *conn);
/* The native descriptor, for peer credentials only. */
int demit_conn_descriptor(const demit_conn_t *conn);

/*
 * Queues output (copied); it is sent when the current dispatch ends, in one call for everything written meanwhile.
 * Never blocks. After a failure it does nothing: on_close is on its way.
 */
void demit_conn_write(demit_conn_t *conn, const void *bytes, size_t size);
void demit_conn_printf(demit_conn_t *conn, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Bytes queued and not yet taken by the kernel. */
size_t demit_conn_backlog(const demit_conn_t *conn);

/* Stops offering input (the kernel's buffer then fills and the peer waits), and starts again with what was kept. */
void demit_conn_pause(demit_conn_t *conn);
void demit_conn_resume(demit_conn_t *conn);

/* Sends what is queued, then closes. on_close follows after the current dispatch, never from inside this call. */
void demit_conn_close(demit_conn_t *conn);
/* Drops what is queued and closes. on_close follows after the current dispatch. */
void demit_conn_abort(demit_conn_t *conn);
/*
 * Says TEXT to a client that was accepted just now, as far as the kernel takes it at once, and closes; on_close as
 * after an abort. Unlike demit_conn_close() it never waits, so that turning away a crowd costs no descriptors: a client
 * that talks before it is greeted may see a reset in place of TEXT.
 */
void demit_conn_dismiss(demit_conn_t *conn, const char *text);

typedef struct demit_connect {
    apr_sockaddr_t *peer;       /* one address (its ->next is not followed) */
    apr_sockaddr_t *bind_to;    /* source address, or NULL */
    int64_t connect_timeout_us; /* then on_close with DEMIT_CONN_CONNECT_FAILED and APR_TIMEUP */
    const demit_conn_handler_t *handler;
    void *baton;
} demit_connect_t;

/*
 * Begins an outgoing connection; on_connected or on_close follows, never from inside this call. TARGET is copied.
 * APR_EGENERAL when the loop is full.
 */
apr_status_t demit_conn_connect(demit_conn_t **conn, demit_loop_t *loop, const demit_connect_t *target)
    __attribute__((warn_unused_result));

/* ---- listening sockets ---------------------------------------------------------------------------------------- */

struct demit_acceptor {
    /*
     * A client was accepted on CONN (non-blocking, TCP_NODELAY set): give it a handler, or abort it. Runs on the loop
     * that accepted. Return false to refuse without a word.
     */
    bool (*on_accept)(demit_conn_t *conn, void *baton);
    /* The loop is full: a client is told REFUSAL (may be NULL) and closed. */
    const char *refusal;
    void *baton;
};

/*
 * Lets LOOP accept from SOCKET, a listening, non-blocking socket that may stand in several loops. At most 4 are taken
 * per wake-up. ACCEPTOR and SOCKET must outlive the loop or demit_loop_unlisten(). Before start, or on the loop.
 */
apr_status_t demit_loop_listen(demit_loop_t *loop, apr_socket_t *socket, const demit_acceptor_t *acceptor)
    __attribute__((warn_unused_result));
/*
 * The same while the loop runs, and it cannot fail: ACCEPTOR takes over from the one that SOCKET has, if it stands in
 * the loop already; and if the kernel cannot watch it just now (event=accept_suspended), that is tried again until it
 * can. On the loop.
 */
void demit_loop_listen_anew(demit_loop_t *loop, apr_socket_t *socket, const demit_acceptor_t *acceptor);
/* Harmless if SOCKET does not stand in the loop. Before start, or on the loop. */
void demit_loop_unlisten(demit_loop_t *loop, apr_socket_t *socket);

/* ---- other descriptors ------------------------------------------------------------------------------------------ */

/*
 * Calls ON_READABLE on the loop whenever the non-blocking descriptor FD, a pipe or socket that is not the loop's, can
 * be read. FD must outlive the loop. Before start, or on the loop.
 */
apr_status_t demit_loop_watch(demit_loop_t *loop, int fd, void (*on_readable)(void *baton, int fd), void *baton)
    __attribute__((warn_unused_result));

#endif
