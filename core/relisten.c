/*
 * Listeners while the daemon runs. Everything that can fail comes first: new sockets are bound and listen, kept ones
 * get their new options, and if one thing fails all of it is undone. Only then the loops are told, which cannot fail,
 * and at last what is not wanted any more is closed. So clients always find a listener at an address that is in both
 * configurations: its socket is never closed, and neither is a connection that waits in its backlog.
 *
 * What cannot be done this way is to exchange "*:25" for "10.0.0.1:25" on a system that refuses to bind one beside the
 * other: the old one would have to go first, and might not come back. It is refused.
 */
#include "core/daemon.h"

#include <stdatomic.h>
#include <stdio.h>
#include <sysexits.h>

#include <apr_strings.h>

#include "demit/config.h"
#include "demit/log.h"

/* A socket that is in the newer configuration only. */
typedef struct added {
    demit_bound_t *bound;
    const demit_listen_settings_t *listen;
    bool is_new; /* not one that was about to be closed */
} added_t;

/* A socket that is in both configurations. */
typedef struct kept {
    demit_bound_t *bound;
    const demit_listen_settings_t *newer;
    bool is_changed;
} kept_t;

typedef struct heard {
    apr_socket_t *socket;
    const demit_acceptor_t *acceptor;
} heard_t;

/* What the loops are told: in a pool of its own, until the last has heard and the main thread has closed the rest. */
typedef struct news {
    apr_pool_t *pool;
    demit_daemon_t *daemon;
    const demit_settings_t *older; /* held: the acceptors that the loops have are theirs */
    apr_array_header_t *heard;     /* heard_t */
    apr_array_header_t *removed;   /* demit_bound_t * */
    _Atomic uint32_t loops_left;
    demit_task_t done;
} news_t;

typedef struct telling {
    demit_task_t task;
    demit_loop_t *loop;
    news_t *news;
} telling_t;

struct demit_relisten {
    demit_daemon_t *daemon;
    const demit_settings_t *newer;
    apr_pool_t *pool;
    apr_array_header_t *kept;    /* kept_t */
    apr_array_header_t *added;   /* added_t */
    apr_array_header_t *removed; /* demit_bound_t * */
    news_t *news;
};

/* ---- plan -------------------------------------------------------------------------------------------------------- */

static const demit_listen_settings_t *find_listen(const apr_array_header_t *listeners,
                                                  const demit_listen_settings_t *like)
{
    for (int i = 0; i < listeners->nelts; i++) {
        const demit_listen_settings_t *listen = &APR_ARRAY_IDX(listeners, i, demit_listen_settings_t);
        if (listen->enable && demit_listen_same_address(listen, like)) {
            return listen;
        }
    }
    return NULL;
}

static const apr_array_header_t *listeners_of(const demit_settings_t *settings, bool is_console)
{
    return is_console ? settings->control_listeners : settings->listeners;
}

static bool has_bound(const demit_daemon_t *daemon, const demit_listen_settings_t *listen, bool is_console)
{
    for (int i = 0; i < daemon->bound->nelts; i++) {
        const demit_bound_t *bound = APR_ARRAY_IDX(daemon->bound, i, demit_bound_t *);
        if (bound->is_console == is_console && demit_listen_same_address(bound->listen, listen)) {
            return true;
        }
    }
    return false;
}

static void sort_bound(demit_relisten_t *change)
{
    const apr_array_header_t *bounds = change->daemon->bound;

    for (int i = 0; i < bounds->nelts; i++) {
        demit_bound_t *bound = APR_ARRAY_IDX(bounds, i, demit_bound_t *);
        const demit_listen_settings_t *newer =
            find_listen(listeners_of(change->newer, bound->is_console), bound->listen);
        if (newer != NULL) {
            APR_ARRAY_PUSH(change->kept, kept_t) =
                (kept_t){.bound = bound,
                         .newer = newer,
                         .is_changed = !demit_listen_same_options(bound->listen, newer, bound->is_console)};
        } else {
            APR_ARRAY_PUSH(change->removed, demit_bound_t *) = bound;
        }
    }
}

/* ---- kept sockets ------------------------------------------------------------------------------------------------ */

static void add_error(demit_reload_outcome_t *outcome, int code, const char *text)
{
    APR_ARRAY_PUSH(outcome->errors, const char *) = apr_pstrdup(outcome->errors->pool, text);
    /* A missing privilege is what its own exit code tells; all else is for the configuration to mend. */
    if (outcome->exit_code == 0 || code == EX_NOPERM) {
        outcome->exit_code = code == EX_NOPERM ? EX_NOPERM : EX_CONFIG;
    }
}

static void refuse_option(const demit_listen_settings_t *listen, const char *option, const char *why,
                          demit_reload_outcome_t *outcome)
{
    demit_error_text_t error;

    demit_listen_say(&error, listen, "Listen \"%s\": %s: %s", listen->title, option, why);
    add_error(outcome, EX_CONFIG, error.text);
}

/* What setsockopt(2) cannot take back: the system sizes the buffers of a socket itself only until it is told a size. */
static bool check_buffer(const demit_listen_settings_t *newer, const char *option, int from_bytes, int to_bytes,
                         demit_reload_outcome_t *outcome)
{
    if (from_bytes > 0 && to_bytes == 0) {
        refuse_option(newer, option, "the system's choice cannot be restored while the socket is open; needs a restart",
                      outcome);
        return false;
    }
    return true;
}

static apr_status_t set_buffer(apr_socket_t *socket, apr_int32_t option, int bytes)
{
    return bytes > 0 ? apr_socket_opt_set(socket, option, bytes) : APR_SUCCESS;
}

/* Gives the socket of BOUND the options TO. They are set on the listening socket, and inherited by what it accepts. */
static apr_status_t set_options(const demit_bound_t *bound, const demit_listen_settings_t *to, apr_pool_t *pool)
{
    apr_status_t status;

    if (bound->unix_socket.path != NULL) {
        status = demit_unix_socket_set_mode(&bound->unix_socket, (mode_t)to->file_mode, pool);
    } else {
        status = set_buffer(bound->socket, APR_SO_RCVBUF, to->tcp_recv_buffer_bytes);
        if (status == APR_SUCCESS) {
            status = set_buffer(bound->socket, APR_SO_SNDBUF, to->tcp_send_buffer_bytes);
        }
    }
    /* listen(2) on a socket that listens changes its backlog; who waits in it stays. */
    return status == APR_SUCCESS ? apr_socket_listen(bound->socket, to->backlog) : status;
}

/* Gives the socket of BOUND the options of NEWER, or refuses. */
static void change_one(const demit_relisten_t *change, const demit_bound_t *bound, const demit_listen_settings_t *newer,
                       demit_reload_outcome_t *outcome)
{
    const demit_listen_settings_t *older = bound->listen;
    char text[256];

    if (!check_buffer(newer, "TCP_Recv_Buffer_Size", older->tcp_recv_buffer_bytes, newer->tcp_recv_buffer_bytes,
                      outcome) ||
        !check_buffer(newer, "TCP_Send_Buffer_Size", older->tcp_send_buffer_bytes, newer->tcp_send_buffer_bytes,
                      outcome)) {
        return;
    }
    const apr_status_t status = set_options(bound, newer, change->pool);
    if (status != APR_SUCCESS) {
        refuse_option(newer, "options", apr_strerror(status, text, sizeof(text)), outcome);
    }
}

static void change_kept(const demit_relisten_t *change, demit_reload_outcome_t *outcome)
{
    for (int i = 0; i < change->kept->nelts; i++) {
        const kept_t *kept = &APR_ARRAY_IDX(change->kept, i, kept_t);
        if (kept->is_changed) {
            change_one(change, kept->bound, kept->newer, outcome);
        }
    }
}

/* ---- new sockets ------------------------------------------------------------------------------------------------- */

/* A socket that another reload has just taken out, and that is not closed yet. */
void demit_relisten_foresee(const demit_daemon_t *daemon, const demit_settings_t *newer,
                            demit_reload_outcome_t *outcome)
{
    const apr_array_header_t *listeners = newer->listeners;
    demit_error_text_t error;

    for (int i = 0; i < listeners->nelts; i++) {
        const demit_listen_settings_t *listen = &APR_ARRAY_IDX(listeners, i, demit_listen_settings_t);
        if (listen->enable && !has_bound(daemon, listen, false) && demit_listen_is_out_of_reach(daemon, listen)) {
            add_error(outcome, demit_listen_say_denied(daemon, listen, &error), error.text);
        }
    }
}

static demit_bound_t *find_leaving(const demit_daemon_t *daemon, const demit_listen_settings_t *listen, bool is_console)
{
    for (int i = 0; i < daemon->leaving->nelts; i++) {
        demit_bound_t *bound = APR_ARRAY_IDX(daemon->leaving, i, demit_bound_t *);
        if (!bound->is_wanted && bound->is_console == is_console && demit_listen_same_address(bound->listen, listen)) {
            return bound;
        }
    }
    return NULL;
}

static int open_one(demit_relisten_t *change, demit_bound_t **out, const demit_listen_settings_t *listen,
                    bool is_console, demit_error_text_t *error)
{
    demit_bound_t *bound;
    int code = demit_bound_open(&bound, change->daemon, listen, is_console, error);

    if (code != 0) {
        return code;
    }
    if (listen->unix_path == NULL) {
        code = demit_bound_listen(change->daemon, bound, listen, error);
    }
    if (code != 0) {
        demit_bound_close(bound);
        return code;
    }
    *out = bound;
    return 0;
}

static void add_one(demit_relisten_t *change, const demit_listen_settings_t *listen, bool is_console,
                    demit_reload_outcome_t *outcome)
{
    const added_t again = {.bound = find_leaving(change->daemon, listen, is_console), .listen = listen};
    demit_error_text_t error;
    demit_bound_t *bound;

    if (again.bound != NULL) {
        change_one(change, again.bound, listen, outcome);
        APR_ARRAY_PUSH(change->added, added_t) = again;
        return;
    }
    const int code = open_one(change, &bound, listen, is_console, &error);
    if (code != 0) {
        add_error(outcome, code, error.text);
    } else {
        APR_ARRAY_PUSH(change->added, added_t) = (added_t){.bound = bound, .listen = listen, .is_new = true};
    }
}

/* Tries all of them, so that all that is wrong is known at once. */
static void open_new(demit_relisten_t *change, bool is_console, demit_reload_outcome_t *outcome)
{
    const apr_array_header_t *listeners = listeners_of(change->newer, is_console);

    for (int i = 0; i < listeners->nelts; i++) {
        const demit_listen_settings_t *listen = &APR_ARRAY_IDX(listeners, i, demit_listen_settings_t);
        if (listen->enable && !has_bound(change->daemon, listen, is_console)) {
            add_one(change, listen, is_console, outcome);
        }
    }
}

/* ---- back -------------------------------------------------------------------------------------------------------- */

static void undo(const demit_relisten_t *change)
{
    char text[DEMIT_LOG_VALUE_MAX];

    for (int i = 0; i < change->added->nelts; i++) {
        const added_t *added = &APR_ARRAY_IDX(change->added, i, added_t);
        if (added->is_new) {
            demit_bound_close(added->bound);
        }
    }
    apr_pool_destroy(change->news->pool);
    for (int i = 0; i < change->kept->nelts; i++) {
        const kept_t *kept = &APR_ARRAY_IDX(change->kept, i, kept_t);
        if (!kept->is_changed) {
            continue;
        }
        const apr_status_t status = set_options(kept->bound, kept->bound->listen, change->pool);
        if (status != APR_SUCCESS) { /* it serves all the same */
            demit_log(DEMIT_LOG_WARNING, "listener_options", "address=%s error=%s", kept->bound->listen->title,
                      demit_log_status(text, sizeof(text), status));
        }
    }
}

static news_t *make_news(demit_daemon_t *daemon)
{
    apr_pool_t *pool;

    if (apr_pool_create(&pool, daemon->pool) != APR_SUCCESS) {
        return NULL;
    }
    apr_pool_tag(pool, "listeners");
    news_t *news = apr_pcalloc(pool, sizeof(*news));
    news->pool = pool;
    news->daemon = daemon;
    news->heard = apr_array_make(pool, 8, sizeof(heard_t));
    news->removed = apr_array_make(pool, 8, sizeof(demit_bound_t *));
    return news;
}

int demit_relisten_prepare(demit_relisten_t **out, demit_daemon_t *daemon, const demit_settings_t *newer,
                           demit_reload_outcome_t *outcome, apr_pool_t *pool)
{
    demit_relisten_t *change = apr_palloc(pool, sizeof(*change));

    *change = (demit_relisten_t){.daemon = daemon,
                                 .newer = newer,
                                 .pool = pool,
                                 .kept = apr_array_make(pool, 4, sizeof(kept_t)),
                                 .added = apr_array_make(pool, 4, sizeof(added_t)),
                                 .removed = apr_array_make(pool, 4, sizeof(demit_bound_t *))};
    change->news = make_news(daemon);
    if (change->news == NULL) {
        add_error(outcome, EX_OSERR, "no memory for the listeners");
        return outcome->exit_code;
    }
    sort_bound(change);
    open_new(change, true, outcome);
    open_new(change, false, outcome);
    change_kept(change, outcome);
    if (outcome->exit_code != 0) {
        undo(change);
        return outcome->exit_code;
    }
    *out = change;
    return 0;
}

/* ---- forth ------------------------------------------------------------------------------------------------------- */

/* Every loop has heard of the reload that took BOUND out. */
static void let_leave(demit_daemon_t *daemon, demit_bound_t *bound)
{
    if (--bound->leaves > 0) {
        return; /* a later reload took it out again */
    }
    for (int i = 0; i < daemon->leaving->nelts; i++) {
        if (APR_ARRAY_IDX(daemon->leaving, i, demit_bound_t *) == bound) {
            demit_bound_t *last = *(demit_bound_t **)apr_array_pop(daemon->leaving);
            if (last != bound) {
                APR_ARRAY_IDX(daemon->leaving, i, demit_bound_t *) = last;
            }
            break;
        }
    }
    if (!bound->is_wanted) {
        demit_bound_close(bound);
    }
}

static void close_removed(demit_task_t *task)
{
    news_t *news = DEMIT_CONTAINER_OF(task, news_t, done);

    for (int i = 0; i < news->removed->nelts; i++) {
        let_leave(news->daemon, APR_ARRAY_IDX(news->removed, i, demit_bound_t *));
    }
    demit_settings_release(news->older);
    apr_pool_destroy(news->pool);
}

static void tell_loop(demit_task_t *task)
{
    const telling_t *telling = DEMIT_CONTAINER_OF(task, telling_t, task);
    news_t *news = telling->news;

    for (int i = 0; i < news->removed->nelts; i++) {
        demit_loop_unlisten(telling->loop, APR_ARRAY_IDX(news->removed, i, demit_bound_t *)->socket);
    }
    for (int i = 0; i < news->heard->nelts; i++) {
        const heard_t *heard = &APR_ARRAY_IDX(news->heard, i, heard_t);
        demit_loop_listen_anew(telling->loop, heard->socket, heard->acceptor);
    }
    if (atomic_fetch_sub(&news->loops_left, 1) == 1) {
        demit_loop_post(news->daemon->main_loop, &news->done);
    }
}

static void post(news_t *news)
{
    const demit_daemon_t *daemon = news->daemon;
    telling_t *tellings = apr_pcalloc(news->pool, daemon->loop_count * sizeof(*tellings));

    atomic_init(&news->loops_left, daemon->loop_count);
    for (uint32_t i = 0; i < daemon->loop_count; i++) {
        tellings[i] = (telling_t){.task.run = tell_loop, .loop = daemon->loops[i], .news = news};
        demit_loop_post(daemon->loops[i], &tellings[i].task);
    }
}

/* BOUND is listened to by the newer settings: at once by the main loop, or when the others are told. */
static void hear(const demit_relisten_t *change, news_t *news, const demit_bound_t *bound)
{
    const demit_acceptor_t *acceptor = demit_bound_acceptor(change->daemon, bound, change->newer);

    if (bound->is_console) {
        demit_loop_listen_anew(change->daemon->main_loop, bound->socket, acceptor);
    } else {
        APR_ARRAY_PUSH(news->heard, heard_t) = (heard_t){.socket = bound->socket, .acceptor = acceptor};
    }
}

static void note(apr_array_header_t *titles, const demit_listen_settings_t *listen)
{
    APR_ARRAY_PUSH(titles, const char *) = apr_pstrdup(titles->pool, listen->title);
}

static void keep(const demit_relisten_t *change, news_t *news, demit_bound_t *bound,
                 const demit_listen_settings_t *listen)
{
    bound->listen = listen;
    bound->is_wanted = true;
    APR_ARRAY_PUSH(change->daemon->bound, demit_bound_t *) = bound;
    hear(change, news, bound);
}

/* The console's stand in the main loop, which is this thread's, and leave it at once; they close with the others. */
static void take_out(const demit_relisten_t *change, news_t *news, demit_bound_t *bound)
{
    APR_ARRAY_PUSH(news->removed, demit_bound_t *) = bound;
    bound->is_wanted = false;
    if (bound->leaves++ == 0) {
        APR_ARRAY_PUSH(change->daemon->leaving, demit_bound_t *) = bound;
    }
    if (bound->is_console) {
        demit_loop_unlisten(change->daemon->main_loop, bound->socket);
    }
}

static void replace_bound(const demit_relisten_t *change, news_t *news, demit_reload_outcome_t *outcome)
{
    apr_array_clear(change->daemon->bound);
    for (int i = 0; i < change->kept->nelts; i++) {
        const kept_t *kept = &APR_ARRAY_IDX(change->kept, i, kept_t);
        keep(change, news, kept->bound, kept->newer);
        if (kept->is_changed) {
            note(outcome->changed, kept->newer);
        }
    }
    for (int i = 0; i < change->added->nelts; i++) {
        const added_t *added = &APR_ARRAY_IDX(change->added, i, added_t);
        keep(change, news, added->bound, added->listen);
        note(outcome->added, added->listen);
    }
    for (int i = 0; i < change->removed->nelts; i++) {
        demit_bound_t *bound = APR_ARRAY_IDX(change->removed, i, demit_bound_t *);
        take_out(change, news, bound);
        note(outcome->removed, bound->listen);
    }
}

void demit_relisten_commit(demit_relisten_t *change, const demit_settings_t *older, demit_reload_outcome_t *outcome)
{
    news_t *news = change->news;

    news->older = demit_settings_hold(older);
    news->done.run = close_removed;
    replace_bound(change, news, outcome);
    post(news);
}
