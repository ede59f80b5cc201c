/*
 * One client of the console, from accept to the last byte of its answer.
 *
 * A session outlives its connection while its task is on its way through the queue's thread, and its connection may
 * outlive the wait for that task. So it is neither's: it is freed when both the connection and the task are gone.
 */
#include <stdlib.h>

#include "core/control/control_priv.h"
#include "demit/log.h"

enum {
    REQUEST_TIMEOUT_US = 10 * 1000 * 1000,  /* for the one line */
    PROGRESS_TIMEOUT_US = 30 * 1000 * 1000, /* for the queue's thread to come round; for the client to read on */
    SLICE_BYTES = 32 * 1024,
    DENIAL_WINDOW_US = 60 * 1000 * 1000,
    DENIALS_PER_WINDOW = 10
};

typedef enum console_state {
    CONSOLE_READING, /* the request has not come whole */
    CONSOLE_ASKING,  /* the task is in the queue's thread, or on its way there or back */
    CONSOLE_SENDING, /* the answer goes out */
    CONSOLE_CLOSING  /* nothing more will be said */
} console_state_t;

struct console_session {
    console_session_t *next, **link; /* in the control's list; *link points here */
    demit_control_t *control;
    demit_conn_t *conn; /* NULL: gone */
    console_state_t state;
    bool is_travelling; /* the task is not ours now, and with it the inquiry, the request and the command */
    bool stops;         /* the daemon is to stop when this connection is over */
    demit_peer_t peer;
    demit_timer_t timer;
    demit_task_t task;
    console_request_t request;
    const console_command_t *command;
    console_inquiry_t inquiry;
    console_text_t output;
    size_t sent;
};

static void on_timeout(demit_timer_t *timer);
static void in_queue(demit_task_t *task);
static void back_from_queue(demit_task_t *task);

static size_t on_input(demit_conn_t *conn, void *baton, const char *bytes, size_t size);
static void on_drained(demit_conn_t *conn, void *baton);
static void on_close(demit_conn_t *conn, void *baton, demit_conn_end_t end, apr_status_t status);

/* ---- errors that need no session ------------------------------------------------------------------------------- */

/* Says one error and closes. */
static void say_error(demit_conn_t *conn, bool json, int exit_code, const char *hint, const char *what)
{
    console_answer_t answer = {.value = NULL};
    console_text_t body = {.bytes = NULL};

    console_answer_fail(&answer, exit_code, hint, "%s", what);
    console_render(&body, &answer, json);
    demit_conn_printf(conn, "error %d %zu\n", exit_code, body.size);
    demit_conn_write(conn, body.bytes, body.size);
    demit_conn_close(conn);
    console_text_free(&body);
    console_answer_free(&answer);
}

static size_t ignore_input(demit_conn_t *conn, void *baton, const char *bytes, size_t size)
{
    (void)conn;
    (void)baton;
    (void)bytes;
    return size;
}

/* Not a byte of a client that is refused is looked at, so the answer is in text whatever it wants. */
static void refuse(demit_conn_t *conn, int exit_code, const char *hint, const char *what)
{
    static const demit_conn_handler_t handler = {.on_input = ignore_input};

    demit_conn_set_handler(conn, &handler, NULL);
    say_error(conn, false, exit_code, hint, what);
}

static void log_denial(console_listener_t *listener, const demit_peer_t *peer)
{
    console_denials_t *denials = &listener->control->denials;
    const int64_t now_us = demit_loop_now_us(listener->control->options.loop);
    char path[DEMIT_LOG_VALUE_MAX];

    if (denials->window_began_us == 0 || now_us - denials->window_began_us > DENIAL_WINDOW_US) {
        denials->window_began_us = now_us;
        denials->logged = 0;
    }
    if (denials->logged == DENIALS_PER_WINDOW) {
        denials->silent++;
        return;
    }
    denials->logged++;
    demit_log(DEMIT_LOG_WARNING, "control_denied", "uid=%lu gid=%lu pid=%ld socket=%s unlogged_before=%llu",
              (unsigned long)peer->uid, (unsigned long)peer->gid, (long)peer->pid,
              demit_log_quote(path, sizeof(path), listener->path), (unsigned long long)denials->silent);
    denials->silent = 0;
}

static bool is_allowed(const demit_control_options_t *options, const demit_peer_t *peer)
{
    return peer->uid == 0 || peer->uid == demit_identity_uid(options->identity) ||
           (options->group != NULL && demit_os_group_has(options->group, peer->uid, peer->gid));
}

static const demit_conn_handler_t session_handler = {
    .on_input = on_input, .on_drained = on_drained, .on_close = on_close};

/* ---- life ------------------------------------------------------------------------------------------------------ */

static void release(console_session_t *session)
{
    *session->link = session->next;
    if (session->next != NULL) {
        session->next->link = session->link;
    }
    session->control->session_count--;
    demit_timer_stop(&session->timer);
    console_answer_free(&session->inquiry.answer);
    console_text_free(&session->output);
    /* While a thread may still answer, at a stop, the pool stays, and goes with its parent. */
    if (session->inquiry.roll.pool != NULL && !session->is_travelling) {
        apr_pool_destroy(session->inquiry.roll.pool);
    }
    demit_settings_release(session->inquiry.settings);
    free(session);
}

static void release_if_over(console_session_t *session)
{
    if (session->conn == NULL && !session->is_travelling) {
        release(session);
    }
}

static void begin(demit_conn_t *conn, demit_control_t *control, const demit_peer_t *peer)
{
    console_session_t *session = calloc(1, sizeof(*session));

    if (session == NULL) {
        demit_conn_abort(conn);
        return;
    }
    session->control = control;
    session->conn = conn;
    session->state = CONSOLE_READING;
    session->peer = *peer;
    session->timer.fire = on_timeout;
    session->inquiry.options = &control->options;
    session->inquiry.settings = demit_settings_hold(control->options.settings);
    session->inquiry.up_since_us = control->created_us;
    session->next = control->sessions;
    session->link = &control->sessions;
    if (session->next != NULL) {
        session->next->link = &session->next;
    }
    control->sessions = session;
    control->session_count++;
    demit_conn_set_handler(conn, &session_handler, session);
    demit_timer_start(control->options.loop, &session->timer, REQUEST_TIMEOUT_US);
}

bool console_session_accept(demit_conn_t *conn, void *baton)
{
    console_listener_t *listener = baton;
    demit_control_t *control = listener->control;
    demit_peer_t peer;

    if (demit_os_peer(demit_conn_descriptor(conn), &peer) != 0) {
        refuse(conn, CONSOLE_EXIT_SYSTEM, NULL, "The system does not tell who you are.");
    } else if (!is_allowed(&control->options, &peer)) {
        log_denial(listener, &peer);
        refuse(conn, CONSOLE_EXIT_NO_PERMISSION,
               "The console is for root, the daemon's own user, and members of Control_Group.", "Permission denied.");
    } else if (control->session_count >= CONSOLE_SESSIONS_MAX) {
        refuse(conn, CONSOLE_EXIT_UNAVAILABLE, "Try again.", "Too many console sessions at once.");
    } else {
        begin(conn, control, &peer);
    }
    return true;
}

void console_sessions_abort(demit_control_t *control)
{
    for (console_session_t *session = control->sessions; session != NULL; session = session->next) {
        if (session->conn != NULL && (session->state == CONSOLE_READING || session->state == CONSOLE_ASKING)) {
            session->state = CONSOLE_CLOSING;
            demit_conn_abort(session->conn);
        }
    }
}

void console_sessions_free(demit_control_t *control)
{
    for (console_session_t *session = control->sessions, *next; session != NULL; session = next) {
        next = session->next;
        release(session);
    }
}

/* ---- sending --------------------------------------------------------------------------------------------------- */

/* Hands over a slice at a time, so that a long answer is not copied into the connection at once. */
static void send_more(console_session_t *session)
{
    demit_conn_t *conn = session->conn;

    demit_timer_start(session->control->options.loop, &session->timer, PROGRESS_TIMEOUT_US);
    while (session->sent < session->output.size && demit_conn_backlog(conn) <= DEMIT_CONN_OUTPUT_LOW) {
        const size_t left = session->output.size - session->sent;
        const size_t size = left < SLICE_BYTES ? left : SLICE_BYTES;
        demit_conn_write(conn, session->output.bytes + session->sent, size);
        session->sent += size;
    }
    if (session->sent == session->output.size) {
        session->state = CONSOLE_CLOSING;
        demit_timer_stop(&session->timer); /* the loop bounds the closing itself */
        demit_conn_close(conn);
    }
}

/* Renders the answer and begins to send it. */
static void send_answer(console_session_t *session)
{
    console_answer_t *answer = &session->inquiry.answer;
    demit_conn_t *conn = session->conn;

    if (!answer->incomplete) {
        console_render(&session->output, answer, session->request.json);
    }
    if (answer->incomplete || session->output.failed) {
        console_text_free(&session->output);
        console_answer_fail(answer, CONSOLE_EXIT_SYSTEM, "A smaller LIMIT needs less.", "Out of memory.");
        console_render(&session->output, answer, session->request.json);
    }
    demit_conn_printf(conn, "%s %d %zu\n", answer->is_error ? "error" : "ok", answer->exit_code, session->output.size);
    console_answer_free(answer);
    session->state = CONSOLE_SENDING;
    send_more(session);
}

/* Says an error instead of an answer. The inquiry, which may be travelling, is not touched. */
static void fail(console_session_t *session, int exit_code, const char *hint, const char *what)
{
    session->state = CONSOLE_CLOSING;
    demit_timer_stop(&session->timer);
    say_error(session->conn, session->request.json, exit_code, hint, what);
}

static void on_drained(demit_conn_t *conn, void *baton)
{
    console_session_t *session = baton;

    (void)conn;
    if (session->state == CONSOLE_SENDING) {
        send_more(session);
    }
}

/* ---- answering ------------------------------------------------------------------------------------------------- */

static void complete(console_session_t *session)
{
    if (!session->inquiry.answer.is_error && session->command->complete != NULL) {
        session->command->complete(&session->inquiry);
    }
    session->stops = !session->inquiry.answer.is_error && (session->command->flags & CONSOLE_COMMAND_STOPS) != 0;
    send_answer(session);
}

/* In the queue's thread. */
static void in_queue(demit_task_t *task)
{
    console_session_t *session = DEMIT_CONTAINER_OF(task, console_session_t, task);

    session->command->look(&session->inquiry);
    task->run = back_from_queue;
    demit_loop_post(session->inquiry.options->loop, task);
}

/* On the loop again. The client may have gone, or been told that it took too long. */
static void come_back(console_session_t *session)
{
    session->is_travelling = false;
    if (session->conn != NULL && session->state == CONSOLE_ASKING) {
        complete(session);
    }
    release_if_over(session);
}

static void back_from_queue(demit_task_t *task)
{
    come_back(DEMIT_CONTAINER_OF(task, console_session_t, task));
}

static void back_from_roll(demit_task_t *task)
{
    console_session_t *session = DEMIT_CONTAINER_OF(task, console_session_t, inquiry.roll.done);

    session->control->roll_is_out = false;
    come_back(session);
}

static bool wants_roll(const console_session_t *session)
{
    return (session->command->flags & CONSOLE_COMMAND_ROLL) != 0 && session->inquiry.options->call_roll != NULL &&
           !demit_identity_sees_threads();
}

/*
 * False: it cannot be called. One at a time: where a thread hangs a roll may never come back, and as many as there may
 * be sessions would leave none to see why, or to stop the daemon.
 */
static bool call_roll(console_session_t *session)
{
    const demit_control_options_t *options = session->inquiry.options;

    if (session->control->roll_is_out) {
        session->inquiry.roll_is_late = true;
        return false;
    }
    session->inquiry.roll.done.run = back_from_roll;
    if (options->call_roll(options->baton, &session->inquiry.roll) != APR_SUCCESS) {
        return false;
    }
    session->control->roll_is_out = true;
    session->state = CONSOLE_ASKING;
    session->is_travelling = true;
    demit_timer_start(options->loop, &session->timer, PROGRESS_TIMEOUT_US);
    return true;
}

static void log_command(const console_session_t *session)
{
    const bool matters = (session->command->flags & (CONSOLE_COMMAND_STOPS | CONSOLE_COMMAND_CHANGES)) != 0;

    demit_log(matters ? DEMIT_LOG_INFO : DEMIT_LOG_DEBUG, "control_command", "command=%s uid=%lu pid=%ld",
              session->command->name, (unsigned long)session->peer.uid, (long)session->peer.pid);
}

/* The request is whole. */
static void answer(console_session_t *session)
{
    console_inquiry_t *inquiry = &session->inquiry;

    session->command = console_command_find(inquiry, &session->request);
    if (session->command == NULL) {
        send_answer(session);
        return;
    }
    log_command(session);
    if (session->command->prepare != NULL && !session->command->prepare(inquiry)) {
        send_answer(session);
        return;
    }
    if (wants_roll(session) && call_roll(session)) {
        return;
    }
    if (session->command->look == NULL) {
        complete(session);
        return;
    }
    session->state = CONSOLE_ASKING;
    session->is_travelling = true;
    session->task.run = in_queue;
    demit_timer_start(session->control->options.loop, &session->timer, PROGRESS_TIMEOUT_US);
    demit_queue_post(inquiry->options->queue, &session->task);
}

static size_t on_input(demit_conn_t *conn, void *baton, const char *bytes, size_t size)
{
    console_session_t *session = baton;
    const char *wrong = "";

    if (session->state != CONSOLE_READING) {
        return size;
    }
    switch (console_request_parse(&session->request, bytes, size, &wrong)) {
    case CONSOLE_PARSE_PARTIAL:
        return 0;
    case CONSOLE_PARSE_BAD:
        fail(session, CONSOLE_EXIT_USAGE, NULL, wrong);
        return size;
    case CONSOLE_PARSE_DONE:
        break;
    }
    /*
     * Whatever follows the line is nobody's. Not to look at it also means not to see the end of the client's output, by
     * which `… | nc -UN` says that it has asked: it is answered all the same.
     */
    demit_conn_pause(conn);
    answer(session);
    return size;
}

static void on_timeout(demit_timer_t *timer)
{
    console_session_t *session = DEMIT_CONTAINER_OF(timer, console_session_t, timer);

    switch (session->state) {
    case CONSOLE_READING:
        fail(session, CONSOLE_EXIT_USAGE, NULL, "No request came within 10 seconds.");
        break;
    case CONSOLE_ASKING:
        fail(session, CONSOLE_EXIT_UNAVAILABLE, "Is the machine overloaded, or its disk?",
             "The daemon's threads did not answer within 30 seconds.");
        break;
    case CONSOLE_SENDING:
    case CONSOLE_CLOSING:
        demit_conn_abort(session->conn); /* it does not read */
        break;
    }
}

static void on_close(demit_conn_t *conn, void *baton, demit_conn_end_t end, apr_status_t status)
{
    console_session_t *session = baton;
    demit_control_t *control = session->control;
    const bool stops = session->stops; /* it was promised; whether the client stayed to hear it does not matter */

    (void)conn;
    (void)end;
    (void)status;
    session->conn = NULL;
    demit_timer_stop(&session->timer);
    release_if_over(session);
    if (stops) {
        control->options.shutdown(control->options.baton);
    }
}
