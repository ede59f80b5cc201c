/*
 * Connections between two real sockets of one loop: an accepted side and a connecting side, each with a script of its
 * own. Peers that vanish, stop reading, never stop writing, or come when there is no room.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "demit/loop.h"

enum { PATIENCE_US = 120 * 1000 * 1000 };

typedef struct fixture {
    apr_pool_t *pool;
    demit_loop_t *loop;
    apr_socket_t *listener;
    apr_sockaddr_t *address;
    demit_acceptor_t acceptor;
    demit_timer_t watchdog; /* a test that hangs fails */
    demit_timer_t later;
    demit_conn_t *server;
    bool timed_out;
    char got[256 * 1024];
    size_t got_size;
    size_t take; /* most bytes to consume in one call */
    int closes, drains;
    demit_conn_end_t end;
    apr_status_t end_status;
    bool pause_at_once;
    demit_task_t resume;
} fixture_t;

static fixture_t *the_fixture;

static void on_watchdog(demit_timer_t *timer)
{
    fixture_t *f = DEMIT_CONTAINER_OF(timer, fixture_t, watchdog);

    f->timed_out = true;
    demit_loop_stop(f->loop);
}

static size_t server_input(demit_conn_t *conn, void *baton, const char *bytes, size_t size)
{
    fixture_t *f = baton;
    const size_t n = size < f->take ? size : f->take;

    assert_true(size <= DEMIT_CONN_INPUT_MAX);
    assert_true(f->got_size + n <= sizeof(f->got));
    memcpy(f->got + f->got_size, bytes, n);
    f->got_size += n;
    if (f->pause_at_once) {
        f->pause_at_once = false;
        demit_conn_pause(conn);
        demit_timer_start(f->loop, &f->later, 50 * 1000);
    }
    return n;
}

static void server_drained(demit_conn_t *conn, void *baton)
{
    (void)conn;
    ((fixture_t *)baton)->drains++;
}

static void server_closed(demit_conn_t *conn, void *baton, demit_conn_end_t end, apr_status_t status)
{
    fixture_t *f = baton;

    assert_ptr_equal(conn, f->server);
    f->server = NULL;
    f->closes++;
    f->end = end;
    f->end_status = status;
    demit_loop_stop(f->loop);
}

static const demit_conn_handler_t server_handler = {
    .on_input = server_input, .on_drained = server_drained, .on_close = server_closed};

static bool server_accept(demit_conn_t *conn, void *baton)
{
    fixture_t *f = baton;

    f->server = conn;
    demit_conn_set_handler(conn, &server_handler, f);
    assert_non_null(demit_conn_peer(conn));
    demit_conn_write(conn, "hello\r\n", 7);
    return true;
}

static fixture_t *start(uint32_t max_connections)
{
    fixture_t *f = calloc(1, sizeof(*f));

    assert_int_equal(apr_pool_create(&f->pool, NULL), APR_SUCCESS);
    assert_int_equal(apr_sockaddr_info_get(&f->address, "127.0.0.1", APR_INET, 0, 0, f->pool), APR_SUCCESS);
    assert_int_equal(apr_socket_create(&f->listener, APR_INET, SOCK_STREAM, APR_PROTO_TCP, f->pool), APR_SUCCESS);
    assert_int_equal(apr_socket_bind(f->listener, f->address), APR_SUCCESS);
    assert_int_equal(apr_socket_listen(f->listener, 64), APR_SUCCESS);
    assert_int_equal(apr_socket_opt_set(f->listener, APR_SO_NONBLOCK, 1), APR_SUCCESS);
    assert_int_equal(apr_socket_timeout_set(f->listener, 0), APR_SUCCESS);
    assert_int_equal(apr_socket_addr_get(&f->address, APR_LOCAL, f->listener), APR_SUCCESS);
    assert_int_equal(demit_loop_create(&f->loop, "test", max_connections, f->pool), APR_SUCCESS);
    f->acceptor = (demit_acceptor_t){.on_accept = server_accept, .refusal = "421 full\r\n", .baton = f};
    assert_int_equal(demit_loop_listen(f->loop, f->listener, &f->acceptor), APR_SUCCESS);
    f->take = sizeof(f->got);
    f->watchdog.fire = on_watchdog;
    demit_timer_start(f->loop, &f->watchdog, PATIENCE_US);
    the_fixture = f;
    return f;
}

static void finish(fixture_t *f)
{
    assert_false(f->timed_out);
    assert_int_equal(demit_loop_connections(f->loop), 0);
    apr_pool_destroy(f->pool);
    free(f);
}

/* A blocking client, to be driven before and after the loop runs. */
static int client_of(const fixture_t *f)
{
    const struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(f->address->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&to, sizeof(to)), 0);
    return fd;
}

static void read_until_end(int fd, char *text, size_t size)
{
    size_t used = 0;
    ssize_t n;

    while (used < size - 1 && (n = read(fd, text + used, size - 1 - used)) > 0) {
        used += (size_t)n;
    }
    text[used] = '\0';
}

static void a_client_talks_and_leaves(void **state)
{
    fixture_t *f = start(10);
    const int fd = client_of(f);
    char text[64];

    (void)state;
    assert_int_equal(write(fd, "one two", 7), 7);
    shutdown(fd, SHUT_WR);
    assert_int_equal(demit_loop_run(f->loop), APR_SUCCESS);
    assert_int_equal(f->closes, 1);
    assert_int_equal(f->end, DEMIT_CONN_CLOSED_BY_PEER);
    assert_memory_equal(f->got, "one two", 7);
    read_until_end(fd, text, sizeof(text));
    assert_string_equal(text, "hello\r\n");
    close(fd);
    finish(f);
}

static bool accept_and_print(demit_conn_t *conn, void *baton)
{
    static const int widths[] = {1022, 1023, 1024, 5000};

    ((fixture_t *)baton)->server = conn;
    demit_conn_set_handler(conn, &server_handler, baton);
    for (size_t i = 0; i < sizeof(widths) / sizeof(widths[0]); i++) {
        demit_conn_printf(conn, "%*d\n", widths[i], 7);
    }
    demit_conn_close(conn);
    return true;
}

/* A formatted line is sent whole, however long it becomes. */
static void a_line_of_any_length_is_printed(void **state)
{
    fixture_t *f = start(10);
    static char text[10000];
    size_t at = 0;

    (void)state;
    f->acceptor.on_accept = accept_and_print;
    const int fd = client_of(f);
    assert_int_equal(demit_loop_run(f->loop), APR_SUCCESS);
    read_until_end(fd, text, sizeof(text));
    for (size_t width = 1022; width <= 1024; width++) {
        at += width + 1;
        assert_memory_equal(text + at - 3, " 7\n", 3);
    }
    assert_int_equal(strlen(text), at + 5001);
    assert_string_equal(text + strlen(text) - 3, " 7\n");
    close(fd);
    finish(f);
}

/* Input that is consumed in pieces of three bytes arrives whole and in order. */
static void input_is_kept(void **state)
{
    fixture_t *f = start(10);
    const int fd = client_of(f);
    char sent[5000];

    (void)state;
    f->take = 3;
    for (size_t i = 0; i < sizeof(sent); i++) {
        sent[i] = (char)(i % 251);
    }
    assert_int_equal(write(fd, sent, sizeof(sent)), sizeof(sent));
    shutdown(fd, SHUT_WR);
    assert_int_equal(demit_loop_run(f->loop), APR_SUCCESS);
    assert_int_equal(f->got_size, sizeof(sent));
    assert_memory_equal(f->got, sent, sizeof(sent));
    close(fd);
    finish(f);
}

static void resume_server(demit_timer_t *timer)
{
    fixture_t *f = DEMIT_CONTAINER_OF(timer, fixture_t, later);

    assert_int_equal(f->got_size, 1); /* paused means paused */
    f->take = sizeof(f->got);
    demit_conn_resume(f->server);
}

static void a_paused_connection_gets_nothing(void **state)
{
    fixture_t *f = start(10);
    const int fd = client_of(f);

    (void)state;
    f->take = 1;
    f->pause_at_once = true;
    f->later.fire = resume_server;
    assert_int_equal(write(fd, "abcdef", 6), 6);
    shutdown(fd, SHUT_WR);
    assert_int_equal(demit_loop_run(f->loop), APR_SUCCESS);
    assert_int_equal(f->got_size, 6);
    assert_memory_equal(f->got, "abcdef", 6);
    close(fd);
    finish(f);
}

static void resume_by_task(demit_task_t *task)
{
    demit_conn_resume(DEMIT_CONTAINER_OF(task, fixture_t, resume)->server);
}

/* Takes nothing until all that may be kept is kept; then pauses, is resumed by a task, and takes everything. */
static size_t pause_when_full(demit_conn_t *conn, void *baton, const char *bytes, size_t size)
{
    fixture_t *f = baton;

    if (f->resume.run != NULL) {
        return server_input(conn, baton, bytes, size);
    }
    if (size == DEMIT_CONN_INPUT_MAX) {
        f->resume.run = resume_by_task;
        demit_conn_pause(conn);
        demit_loop_post(f->loop, &f->resume);
    }
    return 0;
}

static bool accept_pausing(demit_conn_t *conn, void *baton)
{
    static const demit_conn_handler_t handler = {.on_input = pause_when_full, .on_close = server_closed};

    ((fixture_t *)baton)->server = conn;
    demit_conn_set_handler(conn, &handler, baton);
    return true;
}

/* The task runs before the round's events: the connection is resumed, full, and told that there is more to read. */
static void a_full_connection_goes_on(void **state)
{
    static char flood[DEMIT_CONN_INPUT_MAX + 30000];
    fixture_t *f = start(10);

    (void)state;
    f->acceptor.on_accept = accept_pausing;
    const int fd = client_of(f);
    assert_int_equal(write(fd, flood, sizeof(flood)), sizeof(flood));
    shutdown(fd, SHUT_WR);
    assert_int_equal(demit_loop_run(f->loop), APR_SUCCESS);
    assert_int_equal(f->got_size, sizeof(flood));
    close(fd);
    finish(f);
}

static size_t refuse_input(demit_conn_t *conn, void *baton, const char *bytes, size_t size)
{
    (void)conn, (void)baton, (void)bytes, (void)size;
    return 0;
}

static bool accept_refusing(demit_conn_t *conn, void *baton)
{
    static const demit_conn_handler_t handler = {.on_input = refuse_input, .on_close = server_closed};

    ((fixture_t *)baton)->server = conn;
    demit_conn_set_handler(conn, &handler, baton);
    return true;
}

/* A handler that neither consumes nor pauses must not hold 64 KiB for ever. */
static void a_stuck_handler_fails_the_connection(void **state)
{
    fixture_t *f = start(10);
    static char flood[DEMIT_CONN_INPUT_MAX + 1000];

    (void)state;
    f->acceptor.on_accept = accept_refusing;
    const int fd = client_of(f);
    assert_true(write(fd, flood, sizeof(flood)) > 0);
    assert_int_equal(demit_loop_run(f->loop), APR_SUCCESS);
    assert_int_equal(f->end, DEMIT_CONN_FAILED);
    close(fd);
    finish(f);
}

static bool accept_and_write_much(demit_conn_t *conn, void *baton)
{
    static char block[64 * 1024];

    server_accept(conn, baton);
    memset(block, 'x', sizeof(block));
    for (int i = 0; i < 64; i++) {
        demit_conn_write(conn, block, sizeof(block));
    }
    assert_true(demit_conn_backlog(conn) > 4 * 1000 * 1000);
    return true;
}

static void close_when_drained(demit_conn_t *conn, void *baton)
{
    server_drained(conn, baton);
    assert_int_equal(demit_conn_backlog(conn), 0);
    demit_conn_close(conn);
}

static bool accept_write_close(demit_conn_t *conn, void *baton)
{
    static const demit_conn_handler_t handler = {
        .on_input = server_input, .on_drained = close_when_drained, .on_close = server_closed};

    accept_and_write_much(conn, baton);
    demit_conn_set_handler(conn, &handler, baton);
    return true;
}

/* 4 MiB to a slow reader: everything arrives, on_drained comes once, then the close is clean. */
static void output_waits_for_a_slow_reader(void **state)
{
    fixture_t *f = start(10);
    size_t total = 0;
    ssize_t n;
    static char text[100 * 1024];

    (void)state;
    f->acceptor.on_accept = accept_write_close;
    const int fd = client_of(f);
    assert_int_equal(demit_loop_start(f->loop), APR_SUCCESS);
    while ((n = read(fd, text, sizeof(text))) > 0) {
        total += (size_t)n;
    }
    demit_loop_join(f->loop);
    assert_int_equal(total, 7 + 64 * 64 * 1024);
    assert_int_equal(f->drains, 1);
    assert_int_equal(f->end, DEMIT_CONN_CLOSED_BY_US);
    close(fd);
    finish(f);
}

/* A client that half-closes at once still gets all of 4 MiB. */
static void a_half_closed_client_gets_everything(void **state)
{
    fixture_t *f = start(10);
    size_t total = 0;
    ssize_t n;
    static char text[100 * 1024];

    (void)state;
    f->acceptor.on_accept = accept_and_write_much;
    const int fd = client_of(f);
    shutdown(fd, SHUT_WR);
    assert_int_equal(demit_loop_start(f->loop), APR_SUCCESS);
    while ((n = read(fd, text, sizeof(text))) > 0) {
        total += (size_t)n;
    }
    demit_loop_join(f->loop);
    assert_int_equal(total, 7 + 64 * 64 * 1024);
    assert_int_equal(f->end, DEMIT_CONN_CLOSED_BY_PEER);
    close(fd);
    finish(f);
}

static size_t say_goodbye(demit_conn_t *conn, void *baton, const char *bytes, size_t size)
{
    (void)baton, (void)bytes;
    demit_conn_write(conn, "421 bye\r\n", 9);
    demit_conn_close(conn);
    return size < 10 ? size : 10;
}

static bool accept_goodbye(demit_conn_t *conn, void *baton)
{
    static const demit_conn_handler_t handler = {.on_input = say_goodbye, .on_close = server_closed};

    ((fixture_t *)baton)->server = conn;
    demit_conn_set_handler(conn, &handler, baton);
    return true;
}

/* The peer is still sending when we close: it must be able to read why, not find a reset. */
static void last_words_survive_unread_input(void **state)
{
    fixture_t *f = start(10);
    static char flood[300 * 1024];
    char text[64];

    (void)state;
    f->acceptor.on_accept = accept_goodbye;
    const int fd = client_of(f);
    assert_int_equal(demit_loop_start(f->loop), APR_SUCCESS);
    assert_true(write(fd, flood, sizeof(flood)) > 0);
    read_until_end(fd, text, sizeof(text));
    assert_string_equal(text, "421 bye\r\n");
    close(fd);
    demit_loop_join(f->loop);
    assert_int_equal(f->end, DEMIT_CONN_CLOSED_BY_US);
    finish(f);
}

static bool accept_and_dismiss(demit_conn_t *conn, void *baton)
{
    static const demit_conn_handler_t handler = {.on_input = server_input, .on_close = server_closed};
    fixture_t *f = baton;

    f->server = conn;
    demit_conn_set_handler(conn, &handler, f);
    demit_conn_dismiss(conn, "421 go\r\n");
    return true;
}

/* Who is turned away costs nothing from then on, though he has said something already and does not close. */
static void who_is_dismissed_is_gone_at_once(void **state)
{
    fixture_t *f = start(10);
    const int fd = client_of(f);
    char text[64];

    (void)state;
    f->acceptor.on_accept = accept_and_dismiss;
    assert_int_equal(write(fd, "EHLO early\r\n", 12), 12);
    assert_int_equal(demit_loop_run(f->loop), APR_SUCCESS);
    assert_int_equal(demit_loop_connections(f->loop), 0);
    assert_int_equal(f->end, DEMIT_CONN_CLOSED_BY_US);
    assert_int_equal(f->got_size, 0);
    assert_int_equal(read(fd, text, sizeof(text)), 8);
    assert_memory_equal(text, "421 go\r\n", 8);
    assert_int_equal(read(fd, text, sizeof(text)), 0); /* no reset */
    close(fd);
    finish(f);
}

static void a_full_loop_says_so(void **state)
{
    fixture_t *f = start(1);
    const int first = client_of(f), second = client_of(f);
    char text[64];

    (void)state;
    assert_int_equal(demit_loop_start(f->loop), APR_SUCCESS);
    read_until_end(second, text, sizeof(text));
    assert_string_equal(text, "421 full\r\n");
    close(second);
    close(first);
    demit_loop_join(f->loop);
    assert_int_equal(f->closes, 1);
    finish(f);
}

/* No descriptor left: the client in the queue is told, and service goes on when there are descriptors again. */
static void no_descriptor_left(void **state)
{
    fixture_t *f = start(10);
    const int early = client_of(f), late = client_of(f);
    struct rlimit limit, old;
    char text[64];

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    limit = old;
    const int highest = dup(0);
    limit.rlim_cur = (rlim_t)highest; /* every descriptor below is in use */
    close(highest);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(demit_loop_start(f->loop), APR_SUCCESS);
    read_until_end(early, text, sizeof(text));
    assert_string_equal(text, "421 full\r\n");
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_int_equal(read(late, text, 7), 7);
    assert_memory_equal(text, "hello\r\n", 7);
    close(early);
    close(late);
    demit_loop_join(f->loop);
    finish(f);
}

/* ---- outgoing --------------------------------------------------------------------------------------------------- */

static void client_connected(demit_conn_t *conn, void *baton)
{
    (void)baton;
    demit_conn_printf(conn, "EHLO %s\r\n", "there");
    demit_conn_close(conn);
}

static void client_closed(demit_conn_t *conn, void *baton, demit_conn_end_t end, apr_status_t status)
{
    fixture_t *f = baton;

    (void)conn;
    f->drains = 100 + (int)end;
    f->end_status = status;
    if (end == DEMIT_CONN_CONNECT_FAILED) {
        demit_loop_stop(f->loop);
    }
}

static const demit_conn_handler_t client_handler = {
    .on_connected = client_connected, .on_input = refuse_input, .on_close = client_closed};

static void connecting_writes_and_closes(void **state)
{
    fixture_t *f = start(10);
    demit_conn_t *client;
    const demit_connect_t target = {
        .peer = f->address, .connect_timeout_us = PATIENCE_US, .handler = &client_handler, .baton = f};

    (void)state;
    assert_int_equal(demit_conn_connect(&client, f->loop, &target), APR_SUCCESS);
    assert_int_equal(demit_loop_run(f->loop), APR_SUCCESS);
    assert_int_equal(f->drains, 100 + DEMIT_CONN_CLOSED_BY_US);
    assert_int_equal(f->got_size, 12);
    assert_memory_equal(f->got, "EHLO there\r\n", 12);
    finish(f);
}

static void nobody_listens(void **state)
{
    fixture_t *f = start(10);
    demit_conn_t *client;
    apr_sockaddr_t *closed;

    (void)state;
    assert_int_equal(apr_sockaddr_info_get(&closed, "127.0.0.1", APR_INET, 1, 0, f->pool), APR_SUCCESS);
    const demit_connect_t target = {
        .peer = closed, .connect_timeout_us = PATIENCE_US, .handler = &client_handler, .baton = f};
    assert_int_equal(demit_conn_connect(&client, f->loop, &target), APR_SUCCESS);
    assert_int_equal(demit_loop_run(f->loop), APR_SUCCESS);
    assert_int_equal(f->drains, 100 + DEMIT_CONN_CONNECT_FAILED);
    assert_true(APR_STATUS_IS_ECONNREFUSED(f->end_status));
    finish(f);
}

/* A listener whose queue is full never answers: the connection times out by itself. */
static void nobody_answers(void **state)
{
    fixture_t *f = start(10);
    demit_conn_t *client;
    const int quiet = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int fillers[4];
    apr_sockaddr_t *peer;

    (void)state;
    assert_int_equal(bind(quiet, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(quiet, 0), 0);
    assert_int_equal(getsockname(quiet, (struct sockaddr *)&address, &size), 0);
    for (size_t i = 0; i < 4; i++) {
        fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(fillers[i], (struct sockaddr *)&address, sizeof(address));
    }
    assert_int_equal(apr_sockaddr_info_get(&peer, "127.0.0.1", APR_INET, ntohs(address.sin_port), 0, f->pool), 0);
    const demit_connect_t target = {
        .peer = peer, .connect_timeout_us = 100 * 1000, .handler = &client_handler, .baton = f};
    assert_int_equal(demit_conn_connect(&client, f->loop, &target), APR_SUCCESS);
    assert_int_equal(demit_loop_run(f->loop), APR_SUCCESS);
    assert_int_equal(f->drains, 100 + DEMIT_CONN_CONNECT_FAILED);
    assert_true(APR_STATUS_IS_TIMEUP(f->end_status));
    for (size_t i = 0; i < 4; i++) {
        close(fillers[i]);
    }
    close(quiet);
    finish(f);
}

/* A loop that stops ends its connections, each with its on_close. */
static void a_stopping_loop_ends_connections(void **state)
{
    fixture_t *f = start(10);
    const int fd = client_of(f);
    char text[16];

    (void)state;
    assert_int_equal(demit_loop_start(f->loop), APR_SUCCESS);
    assert_int_equal(read(fd, text, 7), 7);
    demit_loop_stop(f->loop);
    demit_loop_join(f->loop);
    assert_int_equal(f->closes, 1);
    close(fd);
    finish(f);
}

static bool must_not_accept(demit_conn_t *conn, void *baton)
{
    (void)conn;
    ((fixture_t *)baton)->timed_out = true;
    return false;
}

/* As a reload does it: out, in again, and another acceptor in the place of the one that stands there. */
static void another_acceptor_takes_over(void **state)
{
    fixture_t *f = start(10);
    const demit_acceptor_t first = {.on_accept = must_not_accept, .baton = f};
    const int fd = client_of(f); /* waits in the backlog all the while */

    (void)state;
    for (unsigned i = 0; i < 1000; i++) {
        demit_loop_unlisten(f->loop, f->listener);
        demit_loop_unlisten(f->loop, f->listener);
        demit_loop_listen_anew(f->loop, f->listener, &first);
        demit_loop_listen_anew(f->loop, f->listener, &first);
    }
    demit_loop_listen_anew(f->loop, f->listener, &f->acceptor);
    assert_int_equal(write(fd, "x", 1), 1);
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    assert_int_equal(demit_loop_run(f->loop), APR_SUCCESS);
    assert_int_equal(f->closes, 1);
    assert_int_equal(f->got_size, 1);
    close(fd);
    finish(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_client_talks_and_leaves),
        cmocka_unit_test(a_line_of_any_length_is_printed),
        cmocka_unit_test(input_is_kept),
        cmocka_unit_test(a_paused_connection_gets_nothing),
        cmocka_unit_test(a_full_connection_goes_on),
        cmocka_unit_test(a_stuck_handler_fails_the_connection),
        cmocka_unit_test(output_waits_for_a_slow_reader),
        cmocka_unit_test(a_half_closed_client_gets_everything),
        cmocka_unit_test(last_words_survive_unread_input),
        cmocka_unit_test(who_is_dismissed_is_gone_at_once),
        cmocka_unit_test(a_full_loop_says_so),
        cmocka_unit_test(no_descriptor_left),
        cmocka_unit_test(connecting_writes_and_closes),
        cmocka_unit_test(nobody_listens),
        cmocka_unit_test(nobody_answers),
        cmocka_unit_test(a_stopping_loop_ends_connections),
        cmocka_unit_test(another_acceptor_takes_over),
    };
    if (apr_initialize() != APR_SUCCESS) {
        return 1;
    }
    return cmocka_run_group_tests_name("conn", tests, NULL, NULL);
}
