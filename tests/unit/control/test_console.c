/* The console as a client sees it, on real sockets. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <apr_general.h>
#include <apr_time.h>

#include <cmocka.h>

#include "demit/build.h"
#include "tests/unit/control/fakes.h"
#include "tests/unit/control/fixture.h"

static demit_recipient_t recipients[] = {
    {.address = "gone@example.com", .state = DEMIT_RECIPIENT_DELIVERED},
    {.address = "bob@example.com", .notify = DEMIT_NOTIFY_SUCCESS | DEMIT_NOTIFY_FAILURE, .original = "rfc822;bob"},
    {.address = "eve@example.net", .state = DEMIT_RECIPIENT_PENDING},
};
static demit_envelope_t envelopes[] = {
    {.id = 1, .size_bytes = 2048, .sender = "a@example.org", .recipients = recipients, .recipient_count = 3},
    {.id = 2,
     .size_bytes = 10,
     .sender = "",
     .recipients = recipients,
     .recipient_count = 3,
     .attempts = 4,
     .flags = DEMIT_MESSAGE_BOUNCE | DEMIT_MESSAGE_LEADING_DOT},
};
static const demit_queue_message_view_t messages[] = {
    {.envelope = &envelopes[0], .active = true},
    {.envelope = &envelopes[1], .last_error = "450 caf\xe9 \x1b[31mlater"},
};

static void set_messages(uint64_t count)
{
    envelopes[0].arrived_us = apr_time_now() - 7200 * 1000000LL;
    envelopes[1].arrived_us = apr_time_now() - 60 * 1000000LL;
    fake_rooms.messages = messages;
    fake_rooms.message_array_size = 2;
    fake_rooms.message_count = count;
    fake_rooms.counts.messages = count;
}

static void assert_reply(const fixture_t *fixture, const char *line, int exit_code, const char *part)
{
    reply_t reply = fixture_ask(fixture, line);

    if (reply.exit_code != exit_code || strstr(reply.body, part) == NULL) {
        fail_msg("%s gave %d: %s", line, reply.exit_code, reply.body);
    }
    reply_free(&reply);
}

/* ---- commands ------------------------------------------------------------------------------------------------- */

static void version_and_pid(void **state)
{
    fixture_t *fixture = *state;
    char pid[32];

    assert_reply(fixture, "text version\n", 0, DEMIT_VERSION);
    json_t *value = fixture_ask_json(fixture, "VERSION");
    assert_string_equal(json_string_value(json_object_get(value, "version")), DEMIT_VERSION);
    json_decref(value);
    snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
    reply_t reply = fixture_ask(fixture, "text pid\n");
    assert_string_equal(reply.body, pid);
    reply_free(&reply);
    assert_reply(fixture, "text sysinfo\n", 0, "processors");
}

static void help_lists_what_there_is(void **state)
{
    fixture_t *fixture = *state;
    json_t *value = fixture_ask_json(fixture, "help");
    json_t *rows = json_object_get(value, "commands");
    size_t index;
    json_t *row;

    assert_true(json_array_size(rows) >= 14);
    json_array_foreach(rows, index, row)
    {
        char line[128];
        snprintf(line, sizeof(line), "text help %s\n", json_string_value(json_object_get(row, "command")));
        assert_reply(fixture, line, 0, json_string_value(json_object_get(row, "help")));
    }
    json_decref(value);
    assert_reply(fixture, "text help nothing\n", 64, "Unknown");
}

static void unknown_commands_get_the_nearest(void **state)
{
    fixture_t *fixture = *state;

    assert_reply(fixture, "text mialq\n", 64, "did you mean \"mailq\"");
    assert_reply(fixture, "text sumary\n", 64, "did you mean \"summary\"");
    assert_reply(fixture, "text message detials 1\n", 64, "did you mean \"message details\"");
    assert_reply(fixture, "text message\n", 64, "did you mean \"message details\"");
    assert_reply(fixture, "text priv\n", 64, "did you mean \"privileges\"");
    reply_t reply = fixture_ask(fixture, "text xyzzy\n");
    assert_true(reply.is_error);
    assert_int_equal(reply.exit_code, 64);
    assert_null(strstr(reply.body, "did you mean"));
    reply_free(&reply);
    json_t *value = fixture_ask_json(fixture, "mialq");
    assert_int_equal(json_integer_value(json_object_get(value, "exit_code")), 64);
    assert_non_null(json_object_get(value, "error"));
    json_decref(value);
}

static void arguments_are_checked(void **state)
{
    static const char *const bad[] = {
        "text summary now\n",        "text mailq 0\n",         "text mailq -1\n",  "text mailq 10001\n",
        "text mailq 99999999999\n",  "text mailq 1x\n",        "text mailq 1 2\n", "text showqueue\n",
        "text showqueue . 5\n",      "text showqueue a.b c\n", "text domain\n",    "text message details\n",
        "text message details 12\n", "text shutdown -f\n",
    };
    fixture_t *fixture = *state;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_reply(fixture, bad[i], 64, "");
    }
    assert_int_equal(atomic_load(&fixture->shutdowns), 0);
}

static void summary_tells_from_every_room(void **state)
{
    fixture_t *fixture = *state;

    fake_rooms.counts = (demit_queue_counts_t){.messages = 42, .delivered = UINT64_MAX, .recovering = true};
    assert_reply(fixture, "text summary\n", 0, "mx.example.com");
    json_t *value = fixture_ask_json(fixture, "summary");
    assert_int_equal(json_integer_value(json_object_get(json_object_get(value, "queue"), "messages")), 42);
    assert_true(json_is_true(json_object_get(json_object_get(value, "queue"), "recovering")));
    assert_int_equal(json_integer_value(json_object_get(json_object_get(value, "since_start"), "delivered")),
                     INT64_MAX);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(value, "smtp"), "sessions")), 2);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(value, "spool"), "segments_free")), 3);
    assert_int_equal(json_array_size(json_object_get(value, "loops")), 1);
    json_decref(value);
    assert_reply(fixture, "text count\n", 0, "42");
}

static void mailq_shows_messages(void **state)
{
    fixture_t *fixture = *state;

    assert_reply(fixture, "text mailq\n", 0, "The queue is empty.");
    set_messages(2);
    reply_t reply = fixture_ask(fixture, "text mailq\n");
    assert_non_null(strstr(reply.body, "0000000000001  active    2h0m  2.0K      0  a@example.org      2  "));
    assert_non_null(strstr(reply.body, "<>"));
    assert_non_null(strstr(reply.body, "450 caf\xef\xbf\xbd \\x1b[31mlater")); /* no escape reaches the terminal */
    assert_non_null(strstr(reply.body, "2 messages."));
    reply_free(&reply);
    fake_rooms.counts.recovering = true;
    assert_reply(fixture, "text mailq\n", 0, "there may be more");
    /* A gateway is a destination with everybody's recipients. */
    assert_reply(fixture, "text showqueue relay.example:25\n", 0, "bob@example.com");
    json_t *value = fixture_ask_json(fixture, "mailq");
    json_t *row = json_array_get(json_object_get(value, "messages"), 1);
    assert_string_equal(json_string_value(json_object_get(row, "state")), "deferred");
    assert_string_equal(json_string_value(json_object_get(row, "recipient")), "bob@example.com");
    json_decref(value);
    value = fixture_ask_json(fixture, "showqueue EXAMPLE.NET.");
    assert_string_equal(json_string_value(json_object_get(value, "domain")), "example.net");
    row = json_array_get(json_object_get(value, "messages"), 0);
    assert_string_equal(json_string_value(json_object_get(row, "recipient")), "eve@example.net");
    assert_int_equal(json_integer_value(json_object_get(row, "recipients_pending")), 1);
    json_decref(value);
}

static void domains_in_any_spelling(void **state)
{
    static const char *const spellings[] = {"b\xc3\xbc"
                                            "cher.example",
                                            "XN--bcher-KVA.example."};
    fixture_t *fixture = *state;
    demit_recipient_t *eve = &recipients[2];
    const char *before = eve->address;

    set_messages(1);
    for (size_t i = 0; i < 2; i++) {
        char line[64];
        eve->address = i == 0 ? "eve@xn--bcher-kva.example"
                              : "eve@B\xc3\xbc"
                                "cher.example";
        snprintf(line, sizeof(line), "showqueue %s", spellings[i]);
        json_t *value = fixture_ask_json(fixture, line);
        json_t *row = json_array_get(json_object_get(value, "messages"), 0);
        assert_string_equal(json_string_value(json_object_get(value, "domain")), "xn--bcher-kva.example");
        assert_string_equal(json_string_value(json_object_get(row, "recipient")), eve->address);
        assert_int_equal(json_integer_value(json_object_get(row, "recipients_pending")), 1);
        json_decref(value);
    }
    eve->address = before;
}

static void mailq_of_a_million_is_bounded(void **state)
{
    fixture_t *fixture = *state;

    set_messages(1000000);
    assert_reply(fixture, "text mailq\n", 0, "1000 of 1000000 messages are shown");
    assert_int_equal(atomic_load(&fake_rooms.messages_looked_at), 1000);
    json_t *value = fixture_ask_json(fixture, "mailq 10000");
    assert_int_equal(json_array_size(json_object_get(value, "messages")), 10000);
    assert_int_equal(json_integer_value(json_object_get(value, "total")), 1000000);
    json_decref(value);
    value = fixture_ask_json(fixture, "mailq 3");
    assert_int_equal(json_array_size(json_object_get(value, "messages")), 3);
    json_decref(value);
}

static void message_details(void **state)
{
    fixture_t *fixture = *state;

    set_messages(2);
    assert_reply(fixture, "text message details 0000000000002\n", 0, "leading-dot,bounce");
    assert_reply(fixture, "text message details 0000000000002\n", 0, "success,failure");
    assert_reply(fixture, "text message details 0000000000009\n", 66, "No message 0000000000009");
    json_t *value = fixture_ask_json(fixture, "Message Details 0000000000001");
    assert_int_equal(json_array_size(json_object_get(value, "recipients")), 3);
    json_decref(value);
}

static void destinations_come_largest_first(void **state)
{
    enum { COUNT = 500 };
    fixture_t *fixture = *state;
    demit_queue_domain_view_t *domains = calloc(COUNT, sizeof(*domains));
    char(*names)[32] = calloc(COUNT, sizeof(*names));
    size_t index;
    json_t *row;

    for (unsigned i = 0; i < COUNT; i++) {
        snprintf(names[i], sizeof(names[i]), "d%u.example", i);
        domains[i] = (demit_queue_domain_view_t){
            .domain = names[i], .messages = 9, .deferred = (i * 7919U) % COUNT, .last_error = "450 later"};
    }
    fake_rooms.domains = domains;
    fake_rooms.domain_count = COUNT;
    json_t *value = fixture_ask_json(fixture, "delayed 20");
    assert_int_equal(json_array_size(json_object_get(value, "domains")), 20);
    assert_int_equal(json_integer_value(json_object_get(value, "total")), COUNT - 1); /* one has none */
    json_array_foreach(json_object_get(value, "domains"), index, row)
    {
        assert_int_equal(json_integer_value(json_object_get(row, "deferred")), COUNT - 1 - index);
    }
    json_decref(value);
    assert_reply(fixture, "text delayed 20\n", 0, "20 of 499 destinations are shown");
    assert_reply(fixture, "text active\n", 0, "Nothing is being delivered.");
    assert_reply(fixture, "text domain D3.example\n", 0, "450 later");
    assert_reply(fixture, "text domain unknown.example\n", 0, "none: the settings for every domain");
    json_t *gateway = fixture_ask_json(fixture, "domain Relay.example:25");
    assert_string_equal(json_string_value(json_object_get(gateway, "domain")), "relay.example:25");
    assert_null(json_object_get(gateway, "settings"));
    json_decref(gateway);
    fixture->any_domain.gateway_host = "relay.example";
    assert_reply(fixture, "text domain unknown.example\n", 0, "domain relay.example:25");
    fake_rooms.domain_count = 0;
    free(domains);
    free(names);
}

static void privileges_say_drift_by_the_exit_code(void **state)
{
    fixture_t *fixture = *state;

    assert_reply(fixture, "text privileges\n", 0, "No drift");
    assert_reply(fixture, "text privileges\n", 0, "(cannot be read)");
    fake_rooms.drift = 2;
    assert_reply(fixture, "text privileges\n", 1, "DRIFT: 2 differences");
    json_t *value = fixture_ask_json(fixture, "privileges");
    assert_string_equal(json_string_value(json_object_get(json_object_get(value, "configured"), "kept")),
                        "cap_net_bind_service");
    assert_int_equal(json_array_size(json_object_get(value, "drift")), 2);
    assert_int_equal(json_integer_value(json_object_get(json_array_get(json_object_get(value, "actual"), 2), "thread")),
                     4711);
    json_decref(value);
    fake_rooms.drift = -1;
    assert_reply(fixture, "text privileges\n", 71, "Unknown");
    fake_rooms.drift = 0;
    fake_rooms.report_error = 5;
    assert_reply(fixture, "text privileges\n", 71, "Unknown");
}

static void wait_for_rolls(unsigned count)
{
    for (int i = 0; i < PATIENCE_MS && atomic_load(&fake_rooms.rolls) < count; i++) {
        usleep(1000);
    }
    assert_int_equal(atomic_load(&fake_rooms.rolls), count);
}

/* As many may ask as there may be sessions, and more: the console still answers, and stops the daemon. */
static void a_roll_that_never_comes_home_costs_one_session(void **state)
{
    enum { MORE_THAN_THE_LIMIT = 40 };
    fixture_t *fixture = *state;

    fake_rooms.sees_one_thread = true;
    const int fd = fixture_connect(fixture);
    fixture_send(fd, "text privileges\n");
    wait_for_rolls(1);
    fixture_advance(fixture, 31 * 1000000);
    reply_t reply = fixture_read(fd);
    assert_int_equal(reply.exit_code, 69);
    assert_non_null(strstr(reply.body, "did not answer"));
    reply_free(&reply);
    for (unsigned i = 0; i < MORE_THAN_THE_LIMIT; i++) {
        assert_reply(fixture, "text privileges\n", 69, "has not come back");
    }
    fake_rooms.drift = 2;
    assert_reply(fixture, "text privileges\n", 1, "DRIFT: 2 differences");
    assert_reply(fixture, "text shutdown\n", 0, "");
}

static void a_roll_that_came_home_may_be_called_again(void **state)
{
    fixture_t *fixture = *state;

    fake_rooms.sees_one_thread = true;
    for (unsigned i = 1; i <= 3; i++) {
        const int fd = fixture_connect(fixture);
        fixture_send(fd, "text privileges\n");
        wait_for_rolls(i);
        if (i == 2) { /* its client does not wait for it */
            close(fd);
            fixture_wait_connections(fixture, 0);
        }
        demit_loop_post(fixture->loop, &atomic_load(&fake_rooms.roll)->done);
        if (i != 2) {
            reply_t reply = fixture_read(fd);
            assert_int_equal(reply.exit_code, 0);
            assert_non_null(strstr(reply.body, "each of the 7 threads that serve"));
            reply_free(&reply);
        }
    }
}

static void shutdown_is_answered_then_done(void **state)
{
    fixture_t *fixture = *state;

    assert_reply(fixture, "text shutdown\n", 0, "Stopping");
    fixture_wait_connections(fixture, 0);
    assert_int_equal(atomic_load(&fixture->shutdowns), 1);
    assert_reply(fixture, "text shutdown\n", 0, "Stopping");
    fixture_wait_connections(fixture, 0);
    assert_int_equal(atomic_load(&fixture->shutdowns), 2); /* what twice means is the daemon's to decide */
}

static void shutdown_happens_though_the_client_leaves(void **state)
{
    fixture_t *fixture = *state;
    const int fd = fixture_connect(fixture);

    fixture_send(fd, "text shutdown\n");
    close(fd);
    for (int i = 0; i < PATIENCE_MS && atomic_load(&fixture->shutdowns) == 0; i++) {
        usleep(1000);
    }
    assert_int_equal(atomic_load(&fixture->shutdowns), 1);
}

/* ---- the configuration ------------------------------------------------------------------------------------------ */

static void reload_tells_what_came_of_it(void **state)
{
    fixture_t *fixture = *state;

    fixture->reload_code = 77;
    assert_reply(fixture, "text config reload\n", 77, "demit.conf:1:2: wrong\ndemit.conf:3:4: wrong, too\n");
    assert_reply(fixture, "text config reload\n", 77, "Nothing was changed.");
    assert_reply(fixture, "text config show\n", 0, "");
    assert_reply(fixture, "json config reload\n", 77, "\"errors\"");
    fixture->reload_code = 0;
    assert_reply(fixture, "text config reload\n", 0, "Max_Recipients");
    assert_reply(fixture, "json config reload\n", 0, "\"listeners_added\"");
    assert_reply(fixture, "text config show\n", 0, "Hostname = mx.after.example\nMax_Recipients = 7\n");
    assert_reply(fixture, "text summary\n", 0, "mx.after.example");
}

/* ---- requests that are none ------------------------------------------------------------------------------------ */

static void a_request_may_come_byte_by_byte(void **state)
{
    static const char line[] = "text version\n";
    fixture_t *fixture = *state;
    const int fd = fixture_connect(fixture);

    for (size_t i = 0; line[i] != '\0'; i++) {
        assert_int_equal(send(fd, line + i, 1, MSG_NOSIGNAL), 1);
        usleep(2000);
    }
    reply_t reply = fixture_read(fd);
    assert_true(reply.is_ok);
    reply_free(&reply);
}

static void a_client_may_half_close_when_it_has_asked(void **state)
{
    fixture_t *fixture = *state;
    const int fd = fixture_connect(fixture);

    fake_queue_hold(true);
    fixture_send(fd, "text summary\n");
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    fake_queue_wait_posted(1);
    usleep(20000);
    fake_queue_hold(false);
    reply_t reply = fixture_read(fd);
    assert_true(reply.is_ok);
    assert_int_equal(reply.received, reply.size);
    reply_free(&reply);
}

static void too_long_a_request_is_refused_before_it_ends(void **state)
{
    fixture_t *fixture = *state;
    char flood[4096];
    const int fd = fixture_connect(fixture);

    memset(flood, 'x', sizeof(flood) - 1);
    flood[sizeof(flood) - 1] = '\0';
    fixture_send(fd, flood);
    reply_t reply = fixture_read(fd);
    assert_int_equal(reply.exit_code, 64);
    assert_non_null(strstr(reply.body, "1024"));
    reply_free(&reply);
}

static void a_bad_request_is_refused(void **state)
{
    fixture_t *fixture = *state;

    assert_reply(fixture, "summary\n", 64, "must begin with");
    assert_reply(fixture, "json \x01\n", 64, "\"error\"");
    assert_reply(fixture, "text \n", 64, "no command");
}

static void one_request_is_answered_and_no_more(void **state)
{
    fixture_t *fixture = *state;

    assert_reply(fixture, "text version\ntext shutdown\n", 0, DEMIT_VERSION);
    fixture_wait_connections(fixture, 0);
    assert_int_equal(atomic_load(&fixture->shutdowns), 0);
}

static void silence_is_ended(void **state)
{
    fixture_t *fixture = *state;
    const int fd = fixture_connect(fixture);

    fixture_send(fd, "text su");
    fixture_wait_connections(fixture, 1);
    fixture_advance(fixture, 9 * 1000000);
    assert_int_equal(demit_loop_connections(fixture->loop), 1);
    fixture_advance(fixture, 2 * 1000000);
    reply_t reply = fixture_read(fd);
    assert_int_equal(reply.exit_code, 64);
    assert_non_null(strstr(reply.body, "10 seconds"));
    reply_free(&reply);
}

static void a_client_may_leave_in_the_middle_of_its_request(void **state)
{
    fixture_t *fixture = *state;

    for (int i = 0; i < 50; i++) {
        const int fd = fixture_connect(fixture);
        fixture_send(fd, "text summ");
        close(fd);
    }
    fixture_wait_connections(fixture, 0);
    assert_reply(fixture, "text version\n", 0, DEMIT_VERSION);
}

/* ---- trips through the queue ----------------------------------------------------------------------------------- */

static void a_client_may_leave_while_the_queue_is_asked(void **state)
{
    fixture_t *fixture = *state;

    set_messages(5000);
    fake_queue_hold(true);
    for (unsigned i = 0; i < 20; i++) {
        const int fd = fixture_connect(fixture);
        fixture_send(fd, "json mailq 5000\n");
        fake_queue_wait_posted(i + 1);
        close(fd);
    }
    fixture_wait_connections(fixture, 0);
    fake_queue_hold(false);
    fake_queue_wait_idle(); /* or "count" would wait behind them for longer than it may, on a slow machine */
    assert_reply(fixture, "text count\n", 0, "5000");
}

static void a_queue_that_is_late_is_said_to_be(void **state)
{
    fixture_t *fixture = *state;
    const int fd = fixture_connect(fixture);

    fake_queue_hold(true);
    fixture_send(fd, "text summary\n");
    fake_queue_wait_posted(1);
    fixture_advance(fixture, 31 * 1000000);
    reply_t reply = fixture_read(fd);
    assert_int_equal(reply.exit_code, 69);
    assert_non_null(strstr(reply.body, "30 seconds"));
    reply_free(&reply);
    fake_queue_hold(false);
    assert_reply(fixture, "text count\n", 0, "messages");
}

static void the_console_may_close_while_the_queue_is_asked(void **state)
{
    fixture_t *fixture = *state;
    const int asking = fixture_connect(fixture);
    const int silent = fixture_connect(fixture);

    fake_queue_hold(true);
    fixture_send(asking, "text summary\n");
    fake_queue_wait_posted(1);
    fixture_wait_connections(fixture, 2);
    fixture_close_console(fixture);
    reply_t reply = fixture_read(asking);
    assert_int_equal(reply.received, 0);
    reply_free(&reply);
    reply = fixture_read(silent);
    assert_int_equal(reply.received, 0);
    reply_free(&reply);
}

static void the_queue_may_never_come_back(void **state)
{
    fixture_t *fixture = *state;
    const int fd = fixture_connect(fixture);

    fake_queue_hold(true);
    fixture_send(fd, "text summary\n");
    fake_queue_wait_posted(1);
    fixture_crash(fixture);
    close(fd);
}

/* ---- slow and many --------------------------------------------------------------------------------------------- */

static void a_slow_reader_gets_it_all_and_holds_nobody_up(void **state)
{
    fixture_t *fixture = *state;
    const int fd = fixture_connect(fixture);

    set_messages(10000);
    fixture_send(fd, "json mailq 10000\n");
    fake_queue_wait_posted(1);
    for (int i = 0; i < 20; i++) {
        assert_reply(fixture, "text version\n", 0, DEMIT_VERSION);
    }
    reply_t reply = fixture_read(fd);
    assert_true(reply.is_ok);
    assert_true(reply.size > 1000000);
    assert_int_equal(reply.received, reply.size);
    reply_free(&reply);
}

static void who_does_not_read_is_dropped(void **state)
{
    fixture_t *fixture = *state;
    const int fd = fixture_connect(fixture);

    set_messages(10000);
    fixture_send(fd, "json mailq 10000\n");
    fake_queue_wait_posted(1);
    assert_reply(fixture, "text count\n", 0, "10000"); /* so the first answer is on its way */
    fixture_wait_connections(fixture, 1);
    fixture_advance(fixture, 31 * 1000000);
    fixture_wait_connections(fixture, 0);
    reply_t reply = fixture_read(fd);
    assert_true(reply.received < reply.size); /* and the client can tell */
    reply_free(&reply);
}

static void sessions_are_limited(void **state)
{
    enum { LIMIT = 32 };
    fixture_t *fixture = *state;
    int fds[LIMIT];

    for (unsigned i = 0; i < LIMIT; i++) {
        fds[i] = fixture_connect(fixture);
        fixture_wait_connections(fixture, i + 1);
    }
    reply_t reply = fixture_read(fixture_connect(fixture));
    assert_int_equal(reply.exit_code, 69);
    reply_free(&reply);
    fixture_send(fds[0], "text version\n");
    reply = fixture_read(fds[0]);
    assert_true(reply.is_ok);
    reply_free(&reply);
    for (unsigned i = 1; i < LIMIT; i++) {
        close(fds[i]);
    }
    fixture_wait_connections(fixture, 0);
    assert_reply(fixture, "text version\n", 0, DEMIT_VERSION);
}

/* ---- who may ask: see test_peers.c as well ---------------------------------------------------------------------- */

static void an_unknown_peer_is_refused(void **state)
{
    fixture_t *fixture = *state;

    fake_rooms.peer_error = 5;
    reply_t reply = fixture_read(fixture_connect(fixture));
    assert_true(reply.is_error);
    assert_int_equal(reply.exit_code, 71);
    reply_free(&reply);
}

#define CONSOLE_TEST(name) cmocka_unit_test_setup_teardown(name, fixture_start, fixture_stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONSOLE_TEST(version_and_pid),
        CONSOLE_TEST(help_lists_what_there_is),
        CONSOLE_TEST(reload_tells_what_came_of_it),
        CONSOLE_TEST(unknown_commands_get_the_nearest),
        CONSOLE_TEST(arguments_are_checked),
        CONSOLE_TEST(summary_tells_from_every_room),
        CONSOLE_TEST(mailq_shows_messages),
        CONSOLE_TEST(domains_in_any_spelling),
        CONSOLE_TEST(mailq_of_a_million_is_bounded),
        CONSOLE_TEST(message_details),
        CONSOLE_TEST(destinations_come_largest_first),
        CONSOLE_TEST(privileges_say_drift_by_the_exit_code),
        CONSOLE_TEST(a_roll_that_never_comes_home_costs_one_session),
        CONSOLE_TEST(a_roll_that_came_home_may_be_called_again),
        CONSOLE_TEST(shutdown_is_answered_then_done),
        CONSOLE_TEST(shutdown_happens_though_the_client_leaves),
        CONSOLE_TEST(a_request_may_come_byte_by_byte),
        CONSOLE_TEST(a_client_may_half_close_when_it_has_asked),
        CONSOLE_TEST(too_long_a_request_is_refused_before_it_ends),
        CONSOLE_TEST(a_bad_request_is_refused),
        CONSOLE_TEST(one_request_is_answered_and_no_more),
        CONSOLE_TEST(silence_is_ended),
        CONSOLE_TEST(a_client_may_leave_in_the_middle_of_its_request),
        CONSOLE_TEST(a_client_may_leave_while_the_queue_is_asked),
        CONSOLE_TEST(a_queue_that_is_late_is_said_to_be),
        CONSOLE_TEST(the_console_may_close_while_the_queue_is_asked),
        CONSOLE_TEST(the_queue_may_never_come_back),
        CONSOLE_TEST(a_slow_reader_gets_it_all_and_holds_nobody_up),
        CONSOLE_TEST(who_does_not_read_is_dropped),
        CONSOLE_TEST(sessions_are_limited),
        CONSOLE_TEST(an_unknown_peer_is_refused),
    };
    signal(SIGPIPE, SIG_IGN);
    apr_initialize();
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    apr_terminate();
    return failed;
}
