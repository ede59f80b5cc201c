/* Clocks, limits, draining, long lines, junk: the session and the server as a whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apr_general.h>

#include <cmocka.h>

#include "tests/unit/smtp/fake.h"

#define BANNER  "220 mx.test ESMTP\r\n"
#define SECONDS APR_USEC_PER_SEC

static int setup(void **state)
{
    (void)state;
    fake_setup();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fake_teardown();
    return 0;
}

static void say(demit_conn_t *conn, const char *text)
{
    fake_feed(conn, text, strlen(text));
    fake_run();
}

static void hear(demit_conn_t *conn, const char *text)
{
    assert_string_equal(fake_output(conn), text);
    fake_forget_output(conn);
}

static demit_conn_t *greet(const char *address)
{
    demit_conn_t *conn = fake_connect(address);
    say(conn, "EHLO client.test\r\n");
    fake_forget_output(conn);
    return conn;
}

/* ---- clocks ------------------------------------------------------------------------------------------------------ */

static void test_command_timeout(void **state)
{
    (void)state;
    demit_conn_t *conn = fake_connect("192.0.2.1");
    hear(conn, BANNER);
    fake_pass(299 * SECONDS);
    say(conn, "NOOP\r\n");
    hear(conn, "250 2.0.0 Ok\r\n");
    /* Half a line does not buy time. */
    for (int i = 0; i < 29; i++) {
        fake_pass(10 * SECONDS);
        fake_feed(conn, "N", 1);
    }
    hear(conn, "");
    fake_pass(10 * SECONDS);
    hear(conn, "421 4.4.2 Timeout\r\n");
    assert_true(fake_is_closed(conn));
}

static void test_data_timeout(void **state)
{
    (void)state;
    demit_conn_t *conn = greet("127.0.0.1");
    say(conn, "MAIL FROM:<>\r\nRCPT TO:<x@far.test>\r\nDATA\r\n");
    fake_forget_output(conn);
    for (int i = 0; i < 10; i++) {
        fake_pass(200 * SECONDS);
        say(conn, "x");
    }
    hear(conn, "");
    fake_pass(300 * SECONDS);
    hear(conn, "421 4.4.2 Timeout\r\n");
    assert_int_equal(fake.open_writers, 0);
}

static void test_session_timeout(void **state)
{
    (void)state;
    demit_conn_t *conn = greet("192.0.2.1");
    for (int i = 0; i < 35; i++) {
        fake_pass(100 * SECONDS);
        say(conn, "NOOP\r\n");
    }
    fake_forget_output(conn);
    fake_pass(101 * SECONDS);
    hear(conn, "421 4.4.2 The session has taken too long\r\n");
    assert_true(fake_is_closed(conn));
}

/* ---- a client that does not read --------------------------------------------------------------------------------- */

static void test_stalled_client(void **state)
{
    (void)state;
    demit_conn_t *conn = greet("192.0.2.1");
    fake_set_stalled(conn, true);
    say(conn, "NOOP\r\nNOOP\r\nNOOP\r\n");
    hear(conn, "250 2.0.0 Ok\r\n"); /* nothing more is said to a client that does not listen */
    fake_set_stalled(conn, false);
    fake_run();
    hear(conn, "250 2.0.0 Ok\r\n250 2.0.0 Ok\r\n");
    fake_set_stalled(conn, true);
    say(conn, "NOOP\r\nNOOP\r\n");
    fake_pass(300 * SECONDS);
    assert_true(fake_is_closed(conn));
    hear(conn, "250 2.0.0 Ok\r\n");
}

/* ---- limits ------------------------------------------------------------------------------------------------------ */

/* The limit is read when the server is made. */
static void limit_connections(uint32_t limit)
{
    static const demit_listen_settings_t listen = {.title = "*:25", .banner_hostname = "other.test"};
    const demit_smtp_server_options_t options = {.max_connections_per_client = limit};

    assert_int_equal(demit_smtp_server_create(&fake.server, &options, fake.pool), APR_SUCCESS);
    fake.acceptor = demit_smtp_acceptor(fake.server, &fake.settings, &listen, fake.pool);
}

static void test_connections_per_client(void **state)
{
    static const char welcome[] = "220 other.test ESMTP\r\n";
    static const char refusal[] = "421 4.7.0 Too many connections from your address\r\n";

    (void)state;
    limit_connections(2);
    for (int round = 0; round < 3; round++) {
        demit_conn_t *a = fake_connect("192.0.2.1"), *b = fake_connect("::ffff:192.0.2.1");
        demit_conn_t *c = fake_connect("192.0.2.1"), *d = fake_connect("192.0.2.2"), *e = fake_connect("2001:db8::1");
        demit_conn_t *f = fake_connect(NULL), *g = fake_connect(NULL), *h = fake_connect(NULL);
        hear(a, welcome);
        hear(b, welcome);
        hear(c, refusal);
        hear(d, welcome);
        hear(e, welcome);
        hear(f, welcome);
        hear(g, welcome);
        hear(h, welcome);
        fake_run();
        assert_true(fake_is_closed(c));
        fake_disconnect(a);
        demit_conn_t *again = fake_connect("192.0.2.1");
        hear(again, welcome);
        demit_conn_t *all[] = {b, d, e, f, g, h, again};
        for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
            fake_disconnect(all[i]);
        }
    }
}

static void test_many_clients(void **state)
{
    enum { COUNT = 3000 };
    static demit_conn_t *conns[COUNT];

    (void)state;
    limit_connections(1);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < COUNT; i++) {
            char address[32];
            (void)snprintf(address, sizeof address, "10.0.%d.%d", i / 250, i % 250);
            conns[i] = fake_connect(address);
            assert_memory_equal(fake_output(conns[i]), "220", 3);
        }
        for (int i = 0; i < COUNT; i++) {
            fake_disconnect(conns[(i * 7) % COUNT]);
        }
    }
}

/* Whoever asks about one mailbox after the other gets no more memory for it than for a message. */
static void test_endless_recipients(void **state)
{
    (void)state;
    fake.settings.max_session_errors = 0;
    demit_conn_t *conn = greet("192.0.2.1");
    say(conn, "MAIL FROM:<>\r\n");
    for (int i = 0; i < 1010; i++) {
        say(conn, (i & 1) != 0 ? "RCPT TO:<x@far.test>\r\n" : "RCPT TO:<broken@local.test>\r\n");
    }
    fake_forget_output(conn);
    say(conn, "RCPT TO:<joe@local.test>\r\nRSET\r\nMAIL FROM:<>\r\nRCPT TO:<joe@local.test>\r\n");
    hear(conn, "452 4.5.3 Too many recipients\r\n250 2.0.0 Ok\r\n250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n");
}

static void test_unix_socket_relays_like_loopback(void **state)
{
    (void)state;
    demit_conn_t *conn = greet(NULL);
    say(conn, "MAIL FROM:<>\r\nRCPT TO:<x@far.test>\r\nDATA\r\n.\r\n");
    assert_int_equal(fake.message_count, 1);
    assert_non_null(strstr(fake.messages[0].text, "from client.test ([local])"));
}

static void test_statistics(void **state)
{
    demit_smtp_statistics_t statistics;

    (void)state;
    demit_conn_t *conn = greet("192.0.2.1");
    say(conn, "MAIL FROM:<>\r\nRCPT TO:<x@far.test>\r\nRCPT TO:<no@local.test>\r\nRCPT TO:<joe@local.test>\r\n"
              "DATA\r\nx\r\n.\r\n");
    demit_smtp_statistics(fake.server, &statistics);
    assert_int_equal(statistics.connections, 1);
    assert_int_equal(statistics.sessions, 1);
    assert_int_equal(statistics.messages, 1);
    assert_int_equal(statistics.rejected_recipients, 2);
    assert_int_equal(statistics.bytes, fake.messages[0].size);
    assert_non_null(strstr(fake_log(), "event=rejected client=[192.0.2.1] helo=client.test from= what=x@far.test "
                                       "reply=550 5.7.1 Relaying denied\n"));
}

/* ---- draining ---------------------------------------------------------------------------------------------------- */

static void test_drain(void **state)
{
    static const char stopping[] = "421 4.3.2 The server is stopping\r\n";
    demit_smtp_statistics_t statistics;

    (void)state;
    demit_conn_t *fresh = fake_connect("192.0.2.1"), *ready = greet("192.0.2.1"), *busy = greet("192.0.2.1"),
                 *text = greet("192.0.2.1"), *committing = greet("192.0.2.1"), *gone = greet("192.0.2.1");
    fake_forget_output(fresh);
    say(busy, "MAIL FROM:<>\r\n");
    say(text, "MAIL FROM:<>\r\nRCPT TO:<joe@local.test>\r\nDATA\r\nx\r\n");
    fake.hold_spool = true;
    say(committing, "MAIL FROM:<>\r\nRCPT TO:<joe@local.test>\r\nDATA\r\n.\r\n");
    say(gone, "MAIL FROM:<>\r\nRCPT TO:<joe@local.test>\r\nDATA\r\n.\r\n");
    fake_forget_output(busy);
    fake_forget_output(text);
    fake_forget_output(committing);
    demit_smtp_server_drain(fake.server);
    demit_smtp_server_drain(fake.server);
    fake_run();
    hear(fresh, stopping);
    hear(ready, stopping);
    assert_true(fake_is_closed(fresh) && fake_is_closed(ready));
    hear(busy, "");
    fake_disconnect(gone);
    say(text, ".\r\n");
    demit_conn_t *late = fake_connect("192.0.2.1");
    hear(late, stopping);
    say(busy, "RSET\r\n");
    hear(busy, "250 2.0.0 Ok\r\n421 4.3.2 The server is stopping\r\n");
    fake_run();
    /* Two sessions and one message whose client is gone: all that is awaited. */
    demit_smtp_statistics(fake.server, &statistics);
    assert_int_equal(statistics.sessions, 3);
    fake_release();
    hear(text, "250 2.0.0 Ok: queued as 0000000000001\r\n421 4.3.2 The server is stopping\r\n");
    hear(committing, "250 2.0.0 Ok: queued as 0000000000002\r\n421 4.3.2 The server is stopping\r\n");
    demit_smtp_statistics(fake.server, &statistics);
    assert_int_equal(statistics.sessions, 0);
    assert_int_equal(fake.accepted, 3);
}

/* ---- long lines -------------------------------------------------------------------------------------------------- */

/* A command line of SIZE bytes, CRLF included, in pieces of STEP. */
static void long_line(size_t size, size_t step, const char *answer)
{
    char *line = malloc(size);
    demit_conn_t *conn = greet("192.0.2.1");

    assert_non_null(line);
    memset(line, 'x', size);
    memcpy(line, "NOOP ", 5);
    memcpy(line + size - 2, "\r\n", 2);
    for (size_t at = 0; at < size; at += step) {
        fake_feed(conn, line + at, size - at < step ? size - at : step);
    }
    say(conn, "NOOP\r\n");
    assert_memory_equal(fake_output(conn), answer, strlen(answer));
    assert_string_equal(fake_output(conn) + strlen(answer), "250 2.0.0 Ok\r\n");
    fake_disconnect(conn);
    fake_forget_output(conn);
    free(line);
}

static void test_long_lines(void **state)
{
    static const size_t sizes[] = {512,  1024, 2047, 2048,  2049,  2050,  4095,
                                   4096, 4097, 5000, 65535, 65536, 65537, 200000};

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        const char *answer = sizes[i] <= 2048 ? "250 2.0.0 Ok\r\n" : "500 5.5.2 The line is too long\r\n";
        for (size_t step = 1; step < 3 * sizes[i]; step = step * 3 + 1) {
            long_line(sizes[i], step, answer);
        }
    }
}

static void test_a_long_text_line(void **state)
{
    enum { SIZE = 300000 };
    char *text = malloc(SIZE + 3);

    (void)state;
    assert_non_null(text);
    for (size_t i = 0; i < SIZE; i++) {
        text[i] = (char)('a' + i % 26);
    }
    memcpy(text + SIZE, "\r\n", 3);
    demit_conn_t *conn = greet("192.0.2.1");
    say(conn, "MAIL FROM:<>\r\nRCPT TO:<joe@local.test>\r\nDATA\r\n");
    for (size_t at = 0; at < SIZE + 2; at += 1000) {
        fake_feed(conn, text + at, SIZE + 2 - at < 1000 ? SIZE + 2 - at : 1000);
    }
    say(conn, ".\r\n");
    assert_int_equal(fake.message_count, 1);
    assert_int_equal(fake.messages[0].body_size, SIZE + 2);
    assert_memory_equal(fake.messages[0].body, text, SIZE + 2);
    assert_int_equal(fake.messages[0].envelope.flags, DEMIT_MESSAGE_LONG_LINE);
    free(text);
}

/* ---- junk -------------------------------------------------------------------------------------------------------- */

static const char *const scraps[] = {"EHLO x\r\n",
                                     "HELO x\r\n",
                                     "MAIL FROM:<a@b>\r\n",
                                     "MAIL FROM:<> SIZE=9\r\n",
                                     "RCPT TO:<joe@local.test>\r\n",
                                     "RCPT TO:<no@local.test>\r\n",
                                     "DATA\r\n",
                                     ".\r\n",
                                     "\r\n.\r\n",
                                     "\n.\n",
                                     "\r",
                                     "\n",
                                     "\r\n",
                                     ".",
                                     "RSET\r\n",
                                     "BDAT 3\r\n",
                                     "BDAT 4 LAST\r\n",
                                     "BDAT 99999999999\r\n",
                                     "BDAT",
                                     "NOOP\r\n",
                                     "QUIT",
                                     "\xff\xfe",
                                     "<",
                                     ">",
                                     "\"",
                                     "\\",
                                     "VRFY x\r\n",
                                     "SIZE=",
                                     "Subject: x\r\n",
                                     "x",
                                     " "};

static size_t make_junk(char *junk, size_t room, unsigned seed)
{
    size_t size = 0;

    srand(seed);
    while (size + 64 < room) {
        if (rand() % 4 == 0) {
            for (int i = rand() % 40; i > 0; i--) {
                junk[size++] = (char)(rand() % 256);
            }
        } else {
            const char *scrap = scraps[(size_t)rand() % (sizeof scraps / sizeof scraps[0])];
            memcpy(junk + size, scrap, strlen(scrap));
            size += strlen(scrap);
        }
    }
    return size;
}

/* Every line that was answered is one: a code, perhaps an enhanced one, text, CRLF. */
static void check_replies(const char *output)
{
    while (*output != '\0') {
        const char *end = strstr(output, "\r\n");
        assert_non_null(end);
        assert_true(output[0] >= '2' && output[0] <= '5');
        assert_true(output[3] == ' ' || output[3] == '-');
        for (; output < end; output++) {
            assert_true(*output >= ' ' && *output <= '~');
        }
        output = end + 2;
    }
}

static char *answer_junk(const char *junk, size_t size, size_t step, uint32_t order)
{
    fake_setup();
    fake.settings.max_session_errors = 0;
    fake.append_waits_every = 3;
    demit_conn_t *conn = fake_connect("192.0.2.1");
    for (size_t at = 0; at < size; at += step) {
        fake_feed(conn, junk + at, size - at < step ? size - at : step);
        (void)fake_run_one(order++);
    }
    fake_run();
    char *output = strdup(fake_output(conn));
    assert_non_null(output);
    fake_teardown();
    return output;
}

static void test_junk(void **state)
{
    char junk[3000];

    (void)state;
    for (unsigned seed = 1; seed <= 200; seed++) {
        size_t size = make_junk(junk, sizeof junk, seed);
        char *whole = answer_junk(junk, size, size, 0);
        check_replies(whole);
        for (size_t step = 1; step < 200; step = step * 3 + seed % 5) {
            char *split = answer_junk(junk, size, step, seed);
            assert_string_equal(split, whole);
            free(split);
        }
        free(whole);
    }
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_command_timeout),
        TEST(test_data_timeout),
        TEST(test_session_timeout),
        TEST(test_stalled_client),
        TEST(test_connections_per_client),
        TEST(test_many_clients),
        TEST(test_endless_recipients),
        TEST(test_unix_socket_relays_like_loopback),
        TEST(test_statistics),
        TEST(test_drain),
        TEST(test_long_lines),
        TEST(test_a_long_text_line),
        cmocka_unit_test(test_junk),
    };
    apr_initialize();
    int failures = cmocka_run_group_tests(tests, NULL, NULL);
    apr_terminate();
    return failures;
}
