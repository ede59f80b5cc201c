/* What the console and its sessions know of each other. Main thread. */
#ifndef DEMIT_CONTROL_PRIV_H
#define DEMIT_CONTROL_PRIV_H

#include "core/control/command.h"
#include "demit/control.h"

/* Sessions at one time. The console is for people and their scripts; each may hold a bounded answer in memory. */
enum { CONSOLE_SESSIONS_MAX = 32 };

typedef struct console_session console_session_t;

typedef struct console_listener {
    demit_control_t *control;
    const char *path;
    demit_acceptor_t acceptor;
} console_listener_t;

/* Refusals are logged, but a stranger must not fill the log with them. */
typedef struct console_denials {
    int64_t window_began_us;
    uint32_t logged; /* in this window */
    uint64_t silent; /* since the last one that was logged */
} console_denials_t;

struct demit_control {
    demit_control_options_t options;
    apr_pool_t *pool;
    int64_t created_us; /* monotonic */
    const char *refusal;
    console_session_t *sessions;
    uint32_t session_count;
    bool roll_is_out; /* a session waits for it, even when its client does not any more */
    console_denials_t denials;
};

/* A client was accepted: answers it, or tells it why not. */
bool console_session_accept(demit_conn_t *conn, void *baton);

/* Gives up those that wait for a request or for the queue; answers on their way out are finished. */
void console_sessions_abort(demit_control_t *control);

/* Frees what is left. Only when neither the loop nor the queue's thread runs any more. */
void console_sessions_free(demit_control_t *control);

#endif
