#include "tests/unit/control/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "demit/log.h"
#include "tests/unit/control/fakes.h"

typedef struct errand {
    demit_task_t task;
    fixture_t *fixture;
    void (*work)(fixture_t *fixture);
    atomic_bool done;
} errand_t;

static void run_errand(demit_task_t *task)
{
    errand_t *errand = DEMIT_CONTAINER_OF(task, errand_t, task);

    if (errand->work != NULL) {
        errand->work(errand->fixture);
    }
    atomic_store(&errand->done, true);
}

/* Does WORK on the loop and waits for it. */
static void on_loop(fixture_t *fixture, void (*work)(fixture_t *fixture))
{
    errand_t errand = {.task.run = run_errand, .fixture = fixture, .work = work};

    demit_loop_post(fixture->loop, &errand.task);
    while (!atomic_load(&errand.done)) {
        usleep(1000);
    }
}

static void count_shutdown(void *baton)
{
    fixture_t *fixture = baton;

    atomic_fetch_add(&fixture->shutdowns, 1);
}

static const char *const no_words[] = {NULL};
static const char *const changed_words[] = {"Max_Recipients", NULL};

static apr_array_header_t *words(apr_pool_t *pool, const char *const *list)
{
    apr_array_header_t *array = apr_array_make(pool, 2, sizeof(const char *));

    for (; *list != NULL; list++) {
        APR_ARRAY_PUSH(array, const char *) = *list;
    }
    return array;
}

/* As the fixture says: refused with that code, or with other settings as the outcome. */
static void fake_reload(void *baton, demit_reload_outcome_t *outcome, apr_pool_t *pool)
{
    static const char *const wrong[] = {"demit.conf:1:2: wrong", "demit.conf:3:4: wrong, too", NULL};
    static const char *const added[] = {"*:587", NULL}, *const removed[] = {"*:25", NULL};
    fixture_t *fixture = baton;

    outcome->exit_code = fixture->reload_code;
    outcome->errors = words(pool, fixture->reload_code != 0 ? wrong : no_words);
    outcome->warnings = words(pool, no_words);
    outcome->added = words(pool, added);
    outcome->removed = words(pool, removed);
    outcome->changed = words(pool, no_words);
    outcome->options = words(pool, changed_words);
    if (fixture->reload_code == 0) {
        fixture->settings_after = fixture->settings;
        fixture->settings_after.hostname = "mx.after.example";
        fixture->settings_after.text = "Hostname = mx.after.example\nMax_Recipients = 7\n";
        demit_control_use_settings(fixture->control, &fixture->settings_after);
    }
}

/* All answer at once, and nobody brings it home: a test does, or leaves it as a thread that hangs would. */
static apr_status_t fake_call_roll(void *baton, demit_roll_t *roll)
{
    fixture_t *fixture = baton;

    if (apr_pool_create(&roll->pool, fixture->pool) != APR_SUCCESS) {
        return APR_ENOMEM;
    }
    roll->lines = apr_array_make(roll->pool, 1, sizeof(const char *));
    roll->threads = 7;
    atomic_store(&fake_rooms.roll, roll);
    atomic_fetch_add(&fake_rooms.rolls, 1);
    return APR_SUCCESS;
}

static void open_listener(fixture_t *fixture)
{
    static const demit_listen_settings_t listen = {.title = "console"};
    const demit_unix_socket_request_t request = {.path = fixture->path, .mode = 0666, .backlog = 64};
    char error[256] = "";

    if (demit_unix_socket_open(&fixture->socket, &request, error, sizeof(error), fixture->pool) != APR_SUCCESS) {
        fail_msg("%s", error);
    }
    assert_int_equal(demit_loop_listen(fixture->loop, fixture->socket.socket,
                                       demit_control_acceptor(fixture->control, &listen, fixture->pool)),
                     APR_SUCCESS);
}

static void reset_fakes(void)
{
    memset(&fake_rooms, 0, sizeof(fake_rooms));
    fake_rooms.daemon_uid = geteuid();
    fake_rooms.group_uid = 54321;
}

int fixture_start(void **state)
{
    fixture_t *fixture = calloc(1, sizeof(*fixture));

    reset_fakes();
    demit_log_set_level(DEMIT_LOG_ERROR);
    *state = fixture;
    strcpy(fixture->directory, "/tmp/demit-console-XXXXXX");
    assert_non_null(mkdtemp(fixture->directory));
    assert_int_equal(chmod(fixture->directory, 0755), 0);
    snprintf(fixture->path, sizeof(fixture->path), "%s/control.sock", fixture->directory);
    assert_int_equal(apr_pool_create(&fixture->pool, NULL), APR_SUCCESS);
    fixture->settings.hostname = "mx.example.com";
    fixture->any_domain = (demit_domain_settings_t){.remote_smtp_port = 25, .retry_interval_us = 1200 * 1000000LL};
    fixture->settings.any_domain = &fixture->any_domain;
    fake_queue_start();
    assert_int_equal(demit_loop_create(&fixture->loop, "main", 256, fixture->pool), APR_SUCCESS);
    const demit_control_options_t options = {
        .settings = &fixture->settings,
        .group = (const demit_os_group_t *)(const void *)fixture,
        .loop = fixture->loop,
        .loops = &fixture->loop,
        .loop_count = 1,
        .shutdown = count_shutdown,
        .reload = fake_reload,
        .call_roll = fake_call_roll,
        .baton = fixture,
    };
    assert_int_equal(demit_control_create(&fixture->control, &options, fixture->pool), APR_SUCCESS);
    open_listener(fixture);
    assert_int_equal(demit_loop_start(fixture->loop), APR_SUCCESS);
    return 0;
}

static void close_console(fixture_t *fixture)
{
    if (fixture->socket.path != NULL) {
        demit_loop_unlisten(fixture->loop, fixture->socket.socket);
        demit_unix_socket_close(&fixture->socket);
    }
    demit_control_close(fixture->control);
}

void fixture_close_console(fixture_t *fixture)
{
    on_loop(fixture, close_console);
}

static void end_loop(fixture_t *fixture)
{
    demit_loop_stop(fixture->loop);
    demit_loop_join(fixture->loop);
}

int fixture_stop(void **state)
{
    fixture_t *fixture = *state;

    if (fixture->loop != NULL) {
        fixture_close_console(fixture);
        fake_queue_hold(false);
        fake_queue_stop(false);
        end_loop(fixture);
        apr_pool_destroy(fixture->pool);
    }
    assert_int_equal(rmdir(fixture->directory), 0); /* so the socket's name is gone as well */
    free(fixture);
    return 0;
}

void fixture_crash(fixture_t *fixture)
{
    fixture_close_console(fixture);
    fake_queue_stop(true);
    end_loop(fixture);
    fixture->loop = NULL;
    apr_pool_destroy(fixture->pool);
}

void fixture_advance(fixture_t *fixture, long long microseconds)
{
    atomic_fetch_add(&fake_rooms.clock_us, microseconds);
    on_loop(fixture, NULL);
}

void fixture_wait_connections(fixture_t *fixture, unsigned count)
{
    for (int i = 0; i < PATIENCE_MS && demit_loop_connections(fixture->loop) != count; i++) {
        usleep(1000);
    }
    assert_int_equal(demit_loop_connections(fixture->loop), count);
}

/* ---- the client ----------------------------------------------------------------------------------------------- */

int fixture_connect(const fixture_t *fixture)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    assert_true(fd >= 0);
    memcpy(address.sun_path, fixture->path, strlen(fixture->path) + 1);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
    return fd;
}

void fixture_send(int fd, const char *bytes)
{
    const size_t size = strlen(bytes);

    assert_int_equal(send(fd, bytes, size, MSG_NOSIGNAL), (ssize_t)size);
}

/* Everything up to the end, terminated. */
static char *read_all(int fd, size_t *size)
{
    size_t capacity = 64 * 1024;
    char *bytes = malloc(capacity + 1);
    ssize_t n;

    *size = 0;
    while ((n = recv(fd, bytes + *size, capacity - *size, 0)) > 0) {
        *size += (size_t)n;
        if (*size == capacity) {
            capacity *= 2;
            bytes = realloc(bytes, capacity + 1);
        }
    }
    bytes[*size] = '\0';
    return bytes;
}

reply_t fixture_read(int fd)
{
    reply_t reply = {.is_ok = false};
    size_t all;
    char word[8] = "";
    char *bytes = read_all(fd, &all);
    char *body = strchr(bytes, '\n');

    close(fd);
    if (body == NULL) {
        reply.body = bytes;
        return reply;
    }
    assert_int_equal(sscanf(bytes, "%7s %d %zu", word, &reply.exit_code, &reply.size), 3);
    reply.is_ok = strcmp(word, "ok") == 0;
    reply.is_error = strcmp(word, "error") == 0;
    body++;
    reply.received = all - (size_t)(body - bytes);
    memmove(bytes, body, reply.received + 1);
    reply.body = bytes;
    return reply;
}

reply_t fixture_ask(const fixture_t *fixture, const char *line)
{
    const int fd = fixture_connect(fixture);

    fixture_send(fd, line);
    const reply_t reply = fixture_read(fd);
    assert_int_equal(reply.received, reply.size);
    return reply;
}

json_t *fixture_ask_json(const fixture_t *fixture, const char *command)
{
    char line[256];
    json_error_t error;

    snprintf(line, sizeof(line), "json %s\n", command);
    reply_t reply = fixture_ask(fixture, line);
    json_t *value = json_loads(reply.body, 0, &error);
    if (value == NULL) {
        fail_msg("%s: %s", error.text, reply.body);
    }
    reply_free(&reply);
    return value;
}

void reply_free(reply_t *reply)
{
    free(reply->body);
    reply->body = NULL;
}
