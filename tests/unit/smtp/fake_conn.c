/* Loop, timers, connections, workers and log, by hand. */
#include "tests/unit/smtp/fake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>

#include <cmocka.h>

#include "demit/log.h"
#include "demit/workers.h"
#include "tests/unit/smtp/fake_priv.h"

/* ---- bytes that grow --------------------------------------------------------------------------------------------- */

void fake_buffer_add(fake_buffer_t *buffer, const void *bytes, size_t size)
{
    if (buffer->size + size + 1 > buffer->capacity) {
        buffer->capacity = (buffer->size + size + 1) * 2;
        buffer->bytes = realloc(buffer->bytes, buffer->capacity);
        assert_non_null(buffer->bytes);
    }
    memcpy(buffer->bytes + buffer->size, bytes, size);
    buffer->size += size;
    buffer->bytes[buffer->size] = '\0';
}

void fake_buffer_free(fake_buffer_t *buffer)
{
    free(buffer->bytes);
    *buffer = (fake_buffer_t){NULL, 0, 0};
}

/* ---- the loop ---------------------------------------------------------------------------------------------------- */

struct demit_conn {
    demit_loop_t *loop;
    demit_conn_t *next;
    apr_pool_t *pool;
    apr_sockaddr_t *peer;
    const demit_conn_handler_t *handler;
    void *baton;
    fake_buffer_t in, out;
    bool paused, closing, aborted, gone, stalled, inside;
};

struct demit_loop {
    demit_task_t *first, **last;
    demit_timer_t timers; /* ring */
    demit_conn_t *conns;
    int64_t now_us;
};

static demit_loop_t the_loop;

void demit_loop_post(demit_loop_t *loop, demit_task_t *task)
{
    assert_ptr_equal(loop, &the_loop);
    assert_null(task->next);
    for (demit_task_t *queued = loop->first; queued != NULL; queued = queued->next) {
        assert_ptr_not_equal(queued, task); /* posted twice */
    }
    *loop->last = task;
    loop->last = &task->next;
}

int64_t demit_loop_now_us(const demit_loop_t *loop)
{
    return loop->now_us;
}

static bool run_task(void)
{
    demit_task_t *task = the_loop.first;

    if (task == NULL) {
        return false;
    }
    the_loop.first = task->next;
    if (the_loop.first == NULL) {
        the_loop.last = &the_loop.first;
    }
    task->next = NULL;
    task->run(task);
    return true;
}

/* ---- timers ------------------------------------------------------------------------------------------------------ */

void demit_timer_stop(demit_timer_t *timer)
{
    if (timer->queue == NULL) {
        return;
    }
    timer->prev->next = timer->next;
    timer->next->prev = timer->prev;
    timer->queue = NULL;
}

void demit_timer_start(demit_loop_t *loop, demit_timer_t *timer, int64_t duration_us)
{
    demit_timer_stop(timer);
    timer->due_us = loop->now_us + duration_us;
    timer->queue = loop;
    timer->next = &loop->timers;
    timer->prev = loop->timers.prev;
    timer->prev->next = timer;
    loop->timers.prev = timer;
}

bool demit_timer_running(const demit_timer_t *timer)
{
    return timer->queue != NULL;
}

uint32_t fake_timers_running(void)
{
    uint32_t count = 0;
    for (demit_timer_t *timer = the_loop.timers.next; timer != &the_loop.timers; timer = timer->next) {
        count++;
    }
    return count;
}

void fake_pass(int64_t duration_us)
{
    the_loop.now_us += duration_us;
    for (;;) {
        demit_timer_t *timer = the_loop.timers.next;
        while (timer != &the_loop.timers && timer->due_us > the_loop.now_us) {
            timer = timer->next;
        }
        if (timer == &the_loop.timers) {
            break;
        }
        demit_timer_stop(timer);
        timer->fire(timer);
    }
    fake_run();
}

/* ---- connections ------------------------------------------------------------------------------------------------- */

void demit_conn_set_handler(demit_conn_t *conn, const demit_conn_handler_t *handler, void *baton)
{
    conn->handler = handler;
    conn->baton = baton;
}

demit_loop_t *demit_conn_loop(const demit_conn_t *conn)
{
    return conn->loop;
}

apr_pool_t *demit_conn_pool(const demit_conn_t *conn)
{
    return conn->pool;
}

apr_sockaddr_t *demit_conn_peer(const demit_conn_t *conn)
{
    return conn->peer;
}

void demit_conn_write(demit_conn_t *conn, const void *bytes, size_t size)
{
    assert_false(conn->gone);
    assert_false(conn->closing);
    fake_buffer_add(&conn->out, bytes, size);
}

size_t demit_conn_backlog(const demit_conn_t *conn)
{
    return conn->stalled ? DEMIT_CONN_OUTPUT_LOW + 1 : 0;
}

void demit_conn_pause(demit_conn_t *conn)
{
    assert_false(conn->gone);
    conn->paused = true;
}

void demit_conn_resume(demit_conn_t *conn)
{
    assert_false(conn->gone);
    conn->paused = false;
}

void demit_conn_close(demit_conn_t *conn)
{
    conn->closing = true;
}

void demit_conn_abort(demit_conn_t *conn)
{
    conn->closing = conn->aborted = true;
}

void demit_conn_dismiss(demit_conn_t *conn, const char *text)
{
    demit_conn_write(conn, text, strlen(text));
    conn->closing = true;
}

void fake_set_stalled(demit_conn_t *conn, bool stalled)
{
    bool drained = conn->stalled && !stalled;

    conn->stalled = stalled;
    if (drained && !conn->closing) {
        conn->handler->on_drained(conn, conn->baton);
    }
}

static void close_conn(demit_conn_t *conn, demit_conn_end_t end)
{
    if (conn->gone) {
        return;
    }
    if (conn->handler != NULL) { /* who was turned away never had one */
        conn->handler->on_close(conn, conn->baton, end, APR_SUCCESS);
    }
    conn->gone = true;
    apr_pool_destroy(conn->pool);
    fake_buffer_free(&conn->in);
}

/* Offers what is kept, as the loop does at the end of a round. True: something was taken. */
static bool offer(demit_conn_t *conn)
{
    size_t before = conn->in.size, used = 0;

    while (used < conn->in.size && !conn->paused && !conn->closing && !conn->gone) {
        size_t most = conn->in.size - used;
        /* A block of its own, so that a sanitizer sees whoever keeps a pointer into it or reads beyond. */
        most = most < DEMIT_CONN_INPUT_MAX ? most : DEMIT_CONN_INPUT_MAX;
        char *bytes = malloc(most);
        assert_non_null(bytes);
        memcpy(bytes, conn->in.bytes + used, most);
        size_t taken = conn->handler->on_input(conn, conn->baton, bytes, most);
        free(bytes);
        assert_in_range(taken, 0, most);
        if (taken == 0) {
            assert_true(conn->paused || most < DEMIT_CONN_INPUT_MAX);
            break;
        }
        used += taken;
    }
    if (used > 0) {
        memmove(conn->in.bytes, conn->in.bytes + used, before - used);
        conn->in.size -= used;
    }
    return used > 0;
}

static bool tend_conns(void)
{
    bool moved = false;

    for (demit_conn_t *conn = the_loop.conns; conn != NULL; conn = conn->next) {
        if (conn->gone) {
            continue;
        }
        moved = offer(conn) || moved;
        if (conn->closing) {
            close_conn(conn, conn->aborted ? DEMIT_CONN_FAILED : DEMIT_CONN_CLOSED_BY_US);
            moved = true;
        }
    }
    return moved;
}

void fake_feed(demit_conn_t *conn, const char *bytes, size_t size)
{
    if (!conn->gone) {
        fake_buffer_add(&conn->in, bytes, size);
        offer(conn);
    }
}

void fake_disconnect(demit_conn_t *conn)
{
    close_conn(conn, DEMIT_CONN_CLOSED_BY_PEER);
}

bool fake_is_closed(demit_conn_t *conn)
{
    return conn->gone;
}

const char *fake_output(demit_conn_t *conn)
{
    return conn->out.bytes != NULL ? conn->out.bytes : "";
}

void fake_forget_output(demit_conn_t *conn)
{
    fake_buffer_free(&conn->out);
}

demit_conn_t *fake_connect(const char *address)
{
    demit_conn_t *conn = apr_pcalloc(fake.pool, sizeof *conn);

    conn->loop = &the_loop;
    assert_int_equal(apr_pool_create(&conn->pool, fake.pool), APR_SUCCESS);
    if (address != NULL) {
        assert_int_equal(apr_sockaddr_info_get(&conn->peer, address, APR_UNSPEC, 25, 0, conn->pool), APR_SUCCESS);
    }
    conn->next = the_loop.conns;
    the_loop.conns = conn;
    assert_true(fake.acceptor->on_accept(conn, fake.acceptor->baton));
    return conn;
}

/* ---- workers ----------------------------------------------------------------------------------------------------- */

static demit_task_t *waiting_work;

void demit_workers_submit(demit_workers_t *workers, demit_task_t *task)
{
    (void)workers;
    assert_null(task->next);
    demit_task_t **last = &waiting_work;
    while (*last != NULL) {
        last = &(*last)->next;
    }
    *last = task;
}

static bool run_work(void)
{
    demit_task_t *task = waiting_work;

    if (task == NULL || fake.hold_workers) {
        return false;
    }
    waiting_work = task->next;
    task->next = NULL;
    task->run(task);
    return true;
}

/* ---- the log ----------------------------------------------------------------------------------------------------- */

static fake_buffer_t logged;

void demit_log(demit_log_level_t level, const char *event, const char *format, ...)
{
    char line[4096];
    va_list arguments;

    if (level == DEMIT_LOG_DEBUG) {
        return;
    }
    int size = snprintf(line, sizeof line, "event=%s ", event);
    va_start(arguments, format);
    (void)vsnprintf(line + size, sizeof line - (size_t)size, format, arguments);
    va_end(arguments);
    fake_buffer_add(&logged, line, strlen(line));
    fake_buffer_add(&logged, "\n", 1);
}

const char *demit_log_quote(char *buffer, size_t buffer_size, const char *text)
{
    (void)snprintf(buffer, buffer_size, "%s", text != NULL ? text : "-");
    return buffer;
}

const char *demit_log_status(char *buffer, size_t buffer_size, apr_status_t status)
{
    return apr_strerror(status, buffer, buffer_size);
}

const char *fake_log(void)
{
    return logged.bytes != NULL ? logged.bytes : "";
}

/* ---- time goes on ------------------------------------------------------------------------------------------------ */

bool fake_run_one(uint32_t choice)
{
    bool (*const events[])(void) = {run_task, run_work, fake_spool_run, tend_conns};
    const uint32_t count = sizeof events / sizeof events[0];

    for (uint32_t i = 0; i < count; i++) {
        if (events[(choice + i) % count]()) {
            return true;
        }
    }
    return false;
}

void fake_run(void)
{
    while (fake_run_one(0)) {
    }
}

void fake_release(void)
{
    fake.hold_spool = fake.hold_workers = false;
    fake_run();
}

void fake_loop_setup(void)
{
    the_loop = (demit_loop_t){.first = NULL, .now_us = 1};
    the_loop.last = &the_loop.first;
    the_loop.timers.next = the_loop.timers.prev = &the_loop.timers;
    waiting_work = NULL;
    fake.loop = &the_loop;
}

void fake_loop_teardown(void)
{
    for (demit_conn_t *conn = the_loop.conns; conn != NULL; conn = conn->next) {
        close_conn(conn, DEMIT_CONN_CLOSED_BY_PEER);
        fake_buffer_free(&conn->out);
    }
    fake_release();
    assert_int_equal(fake_timers_running(), 0);
    assert_null(the_loop.first);
    assert_null(waiting_work);
    fake_buffer_free(&logged);
}
