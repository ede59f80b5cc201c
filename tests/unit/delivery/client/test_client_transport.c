/* Batches, connections that are used again, hops, LMTP, and the stop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "fixture.h"

#define GREETING ">220 peer.test ESMTP", "<EHLO demit.test", ">250-peer.test", ">250 PIPELINING"
#define MESSAGE  "<MAIL", "<RCPT", "<DATA", ">250 ok", ">250 ok", ">354 go", "<.", ">250 taken"
#define GOODBYE  "<QUIT", ">221 bye"

enum { COUNT = 3 };

static fixture_t bench;
static demit_delivery_t *deliveries[COUNT];

static int set_up(void **state)
{
    (void)state;
    fixture_init(&bench);
    return 0;
}

static void make_deliveries(void)
{
    static const char *const recipients[] = {"user@example.com"};
    static const fake_message_t message = {.bytes = "a\r\n", .size = 3};
    for (size_t i = 0; i < COUNT; i++)
        deliveries[i] = delivery_make(&bench, fake_message_add(&message), "example.com", recipients, 1);
}

static script_peer_t *begin(const char *const *const *scripts, uint32_t count)
{
    script_peer_t *peer = script_peer_start(scripts, count);
    bench.domain.gateway_port = script_peer_port(peer);
    fixture_start(&bench);
    make_deliveries();
    return peer;
}

static void end(script_peer_t *peer)
{
    for (size_t i = 0; i < COUNT; i++)
        delivery_free(deliveries[i]);
    fixture_stop(&bench);
    if (peer == NULL)
        return;
    script_peer_finish(peer);
    script_peer_free(peer);
}

static void expect(size_t index, demit_result_t result, const char *status)
{
    assert_int_equal(deliveries[index]->recipients[0].result, result);
    if (status != NULL)
        assert_string_equal(deliveries[index]->recipients[0].status, status);
}

static void expect_all_delivered(void)
{
    for (size_t i = 0; i < COUNT; i++)
        expect(i, DEMIT_RESULT_DELIVERED, "2.0.0");
}

static void test_batch_on_one_connection(void **state)
{
    static const char *const script[] = {GREETING, MESSAGE, MESSAGE, MESSAGE, GOODBYE, NULL};
    static const char *const *const scripts[] = {script};
    (void)state;
    script_peer_t *peer = begin(scripts, 1);
    deliver_all(&bench, deliveries, COUNT);
    expect_all_delivered();
    end(peer);
}

static void test_reuse(void **state)
{
    static const char *const script[] = {GREETING, MESSAGE, "?", "@", MESSAGE, MESSAGE, GOODBYE, NULL};
    static const char *const *const scripts[] = {script};
    (void)state;
    bench.domain.idle_timeout_us = PATIENCE_S * 1000000LL;
    script_peer_t *peer = begin(scripts, 1);
    deliver_all(&bench, deliveries, 1);
    script_peer_await(peer, 1);
    deliver_all(&bench, deliveries + 1, COUNT - 1);
    expect_all_delivered();
    end(peer);
}

static void test_rest(void **state)
{
    static const char *const script[] = {GREETING, MESSAGE, MESSAGE, MESSAGE, GOODBYE, NULL};
    static const char *const *const scripts[] = {script};
    (void)state;
    bench.domain.idle_timeout_us = 200000;
    script_peer_t *peer = begin(scripts, 1);
    deliver_all(&bench, deliveries, COUNT);
    expect_all_delivered();
    script_peer_finish(peer); /* it quits by itself */
    assert_int_equal(script_peer_connections(peer), 1);
    script_peer_free(peer);
    end(NULL);
}

static void test_deliveries_per_connection(void **state)
{
    static const char *const two[] = {GREETING, MESSAGE, MESSAGE, GOODBYE, NULL};
    static const char *const one[] = {GREETING, MESSAGE, "?", "@", GOODBYE, NULL};
    static const char *const *const scripts[] = {two, one};
    (void)state;
    bench.domain.max_deliveries_per_connection = 2;
    bench.domain.idle_timeout_us = PATIENCE_S * 1000000LL;
    script_peer_t *peer = begin(scripts, 2);
    deliver_all(&bench, deliveries, COUNT);
    expect_all_delivered();
    script_peer_await(peer, 1);
    end(peer);
}

/* The peer had enough while the connection was idle: with a 421, by closing, or when it hears the next MAIL. */
static void test_stale_connection(void **state)
{
    static const char *const endings[][4] = {
        {"<MAIL", "<RCPT", "<DATA", NULL}, {"<MAIL", ">421 too long", NULL}, {"<MAIL", "!", NULL}};
    static const char *const fresh[] = {GREETING, MESSAGE, MESSAGE, GOODBYE, NULL};
    for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
        const char *stale[24] = {GREETING, MESSAGE};
        size_t at = 0;
        while (stale[at] != NULL)
            at++;
        memcpy(stale + at, endings[i], sizeof(endings[i]));
        const char *const *const scripts[] = {stale, fresh};
        bench.domain.idle_timeout_us = PATIENCE_S * 1000000LL;
        script_peer_t *peer = begin(scripts, 2);
        deliver_all(&bench, deliveries, 1);
        deliver_all(&bench, deliveries + 1, COUNT - 1);
        expect_all_delivered();
        end(peer);
        set_up(state);
    }
    fixture_start(&bench);
    fixture_stop(&bench);
}

static void test_peer_leaves_while_idle(void **state)
{
    static const char *const polite[] = {GREETING, MESSAGE, "^", ">421 4.4.2 idle too long", "|", "@", NULL};
    static const char *const mute[] = {GREETING, MESSAGE, "^", NULL};
    static const char *const fresh[] = {GREETING, MESSAGE, GOODBYE, NULL};
    static const char *const *const scripts[] = {polite, mute, fresh};
    (void)state;
    bench.domain.idle_timeout_us = PATIENCE_S * 1000000LL;
    script_peer_t *peer = begin(scripts, 3);
    deliver_all(&bench, deliveries, 1);
    script_peer_go_on(peer);
    script_peer_await(peer, 1); /* the client has closed, too */
    deliver_all(&bench, deliveries + 1, 1);
    script_peer_go_on(peer);
    deliver_all(&bench, deliveries + 2, 1); /* whether it has noticed or not */
    expect_all_delivered();
    end(peer);
}

static void test_reset_after_a_broken_transaction(void **state)
{
    static const char *const script[] = {GREETING,  "<MAIL",   "<RCPT",  "<DATA", ">250 ok", ">550 5.1.1 no",
                                         ">503 no", "<RSET",   "<MAIL",  "<RCPT", "<DATA",   ">250 reset",
                                         ">250 ok", ">250 ok", ">354 a", "<.",    ">250 ok", MESSAGE,
                                         GOODBYE,   NULL};
    static const char *const *const scripts[] = {script};
    (void)state;
    script_peer_t *peer = begin(scripts, 1);
    deliver_all(&bench, deliveries, COUNT);
    expect(0, DEMIT_RESULT_FAILED, "5.1.1");
    expect(1, DEMIT_RESULT_DELIVERED, "2.0.0");
    expect(2, DEMIT_RESULT_DELIVERED, "2.0.0");
    end(peer);
}

static void test_reset_refused(void **state)
{
    static const char *const odd[] = {GREETING,        "<MAIL",   "<RCPT", "<DATA",     ">250 ok",
                                      ">550 5.1.1 no", ">503 no", "<RSET", ">500 what", NULL};
    static const char *const fresh[] = {GREETING, MESSAGE, MESSAGE, GOODBYE, NULL};
    static const char *const *const scripts[] = {odd, fresh};
    (void)state;
    script_peer_t *peer = begin(scripts, 2);
    deliver_all(&bench, deliveries, COUNT);
    expect(0, DEMIT_RESULT_FAILED, "5.1.1");
    expect(1, DEMIT_RESULT_DELIVERED, "2.0.0");
    expect(2, DEMIT_RESULT_DELIVERED, "2.0.0");
    end(peer);
}

static void test_lost_within_a_batch(void **state)
{
    static const char *const lost[] = {GREETING, "<MAIL", NULL};
    static const char *const fresh[] = {GREETING, MESSAGE, MESSAGE, GOODBYE, NULL};
    static const char *const *const scripts[] = {lost, fresh};
    (void)state;
    script_peer_t *peer = begin(scripts, 2);
    deliver_all(&bench, deliveries, COUNT);
    expect(0, DEMIT_RESULT_DEFERRED, "4.4.2");
    expect(1, DEMIT_RESULT_DELIVERED, "2.0.0");
    expect(2, DEMIT_RESULT_DELIVERED, "2.0.0");
    end(peer);
}

static void test_nobody_there(void **state)
{
    (void)state;
    bench.domain.gateway_port = free_port();
    fixture_start(&bench);
    make_deliveries();
    deliver_all(&bench, deliveries, COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        expect(i, DEMIT_RESULT_DEFERRED, "4.4.1");
        assert_true(deliveries[i]->connection_failed);
        assert_string_equal(deliveries[i]->remote_ip, "127.0.0.1");
        assert_non_null(strstr(deliveries[i]->recipients[0].diagnostic, "refused"));
    }
    end(NULL);
}

static void test_greeting_refused_for_good(void **state)
{
    static const char *const script[] = {">554 5.7.1 no mail from you", NULL};
    static const char *const *const scripts[] = {script};
    (void)state;
    script_peer_t *peer = begin(scripts, 1);
    deliver_all(&bench, deliveries, COUNT);
    expect(2, DEMIT_RESULT_FAILED, "5.7.1");
    assert_true(deliveries[0]->recipients[0].diagnostic_is_smtp);
    end(peer);
}

/* A Gateway that is our own listener, bound to every address or to this one; one of another address is not ours. */
static void ourselves(const char *host, demit_result_t result, const char *status)
{
    static const char *const script[] = {">450 4.7.0 not now", NULL};
    static const char *const *const scripts[] = {script};
    script_peer_t *peer = script_peer_start(scripts, 1);
    bench.domain.gateway_port = script_peer_port(peer);
    demit_listen_settings_t *listen = apr_array_push((apr_array_header_t *)(uintptr_t)bench.settings.listeners);
    *listen = (demit_listen_settings_t){.title = "*", .host = host, .port = script_peer_port(peer), .enable = true};
    fixture_start(&bench);
    make_deliveries();
    deliver_all(&bench, deliveries, COUNT);
    expect(0, result, status);
    end(peer);
}

static void test_ourselves(void **state)
{
    ourselves(NULL, DEMIT_RESULT_DEFERRED, "4.4.6");
    set_up(state);
    ourselves("127.0.0.1", DEMIT_RESULT_DEFERRED, "4.4.6");
    set_up(state);
    ourselves("127.0.0.9", DEMIT_RESULT_DEFERRED, "4.7.0");
}

/* ---- LMTP -------------------------------------------------------------------------------------------------------- */

#define LMTP_GREETING ">220 lmtp.test", "<LHLO demit.test", ">250-lmtp.test", ">250 PIPELINING"

static void lmtp_message(demit_delivery_t **delivery)
{
    static const char *const recipients[] = {"a@example.com", "b@example.com", "c@example.com", "d@example.com"};
    static const fake_message_t message = {.bytes = "a\r\n", .size = 3};
    *delivery = delivery_make(&bench, fake_message_add(&message), "example.com", recipients, 4);
    delivery_recipient(*delivery, 0)->notify = DEMIT_NOTIFY_SUCCESS;
}

static const char *const lmtp_script[] = {LMTP_GREETING,     "<MAIL",   "<RCPT",
                                          "<RCPT",           "<RCPT",   "<RCPT",
                                          "<DATA",           ">250 ok", ">250 ok",
                                          ">550 5.1.1 who",  ">250 ok", ">250 ok",
                                          ">354 go",         "<.",      ">250 2.1.5 a has it",
                                          ">452 4.2.2 full", "~50",     ">552 5.2.2 d is full",
                                          GOODBYE,           NULL};

static void expect_lmtp(demit_delivery_t *delivery)
{
    assert_int_equal(delivery->recipients[0].result, DEMIT_RESULT_DELIVERED);
    assert_string_equal(delivery->recipients[0].diagnostic, "250 2.1.5 a has it");
    assert_int_equal(delivery->recipients[1].result, DEMIT_RESULT_FAILED);
    assert_int_equal(delivery->recipients[2].result, DEMIT_RESULT_DEFERRED);
    assert_string_equal(delivery->recipients[2].status, "4.2.2");
    assert_int_equal(delivery->recipients[3].result, DEMIT_RESULT_FAILED);
    assert_string_equal(delivery->recipients[3].diagnostic, "552 5.2.2 d is full");
    delivery_free(delivery);
}

static void test_lmtp(void **state)
{
    static const char *const *const scripts[] = {lmtp_script};
    demit_delivery_t *delivery = NULL;
    (void)state;
    bench.domain.delivery_method = DEMIT_DELIVER_LMTP;
    script_peer_t *peer = script_peer_start(scripts, 1);
    bench.domain.gateway_port = script_peer_port(peer);
    fixture_start(&bench);
    lmtp_message(&delivery);
    deliver_all(&bench, &delivery, 1);
    expect_lmtp(delivery);
    fixture_stop(&bench);
    script_peer_finish(peer);
    script_peer_free(peer);
}

static void test_lmtp_unix_socket(void **state)
{
    static const char *const *const scripts[] = {lmtp_script};
    char directory[] = "/tmp/demit-lmtp-XXXXXX";
    demit_delivery_t *delivery = NULL;
    (void)state;
    assert_non_null(mkdtemp(directory));
    const char *path = apr_pstrcat(bench.pool, directory, "/socket", (char *)NULL);
    bench.domain.delivery_method = DEMIT_DELIVER_LMTP;
    bench.domain.gateway_host = path;
    bench.domain.gateway_is_path = true;
    script_peer_t *peer = script_peer_start_unix(path, scripts, 1);
    fixture_start(&bench);
    lmtp_message(&delivery);
    deliver_all(&bench, &delivery, 1);
    assert_string_equal(delivery->remote_host, path);
    assert_null(delivery->remote_ip);
    expect_lmtp(delivery);
    unlink(path);
    rmdir(directory);
    fixture_stop(&bench);
    script_peer_finish(peer);
    script_peer_free(peer);
}

/* The connection breaks between the replies to two recipients: one has it, the other is tried again. */
static void test_lmtp_lost_between_replies(void **state)
{
    static const char *const script[] = {LMTP_GREETING, "<MAIL",   "<RCPT",    "<RCPT",    "<RCPT",   "<RCPT",
                                         "<DATA",       ">250 ok", ">250 ok",  ">250 ok",  ">250 ok", ">250 ok",
                                         ">354 go",     "<.",      ">250 one", ">250 two", NULL};
    static const char *const *const scripts[] = {script};
    demit_delivery_t *delivery = NULL;
    (void)state;
    bench.domain.delivery_method = DEMIT_DELIVER_LMTP;
    script_peer_t *peer = script_peer_start(scripts, 1);
    bench.domain.gateway_port = script_peer_port(peer);
    fixture_start(&bench);
    lmtp_message(&delivery);
    deliver_all(&bench, &delivery, 1);
    assert_int_equal(delivery->recipients[0].result, DEMIT_RESULT_DELIVERED);
    assert_int_equal(delivery->recipients[1].result, DEMIT_RESULT_DELIVERED);
    assert_int_equal(delivery->recipients[2].result, DEMIT_RESULT_DEFERRED);
    assert_int_equal(delivery->recipients[3].result, DEMIT_RESULT_DEFERRED);
    delivery_free(delivery);
    fixture_stop(&bench);
    script_peer_finish(peer);
    script_peer_free(peer);
}

/* ---- the stop ---------------------------------------------------------------------------------------------------- */

/* What is under way is finished; what was not begun comes back without a result. */
static void test_stop_within_a_batch(void **state)
{
    static const char *const script[] = {GREETING,  "<MAIL",   "<RCPT", "<DATA",      "@",     "^", ">250 ok",
                                         ">250 ok", ">354 go", "<.",    ">250 taken", GOODBYE, NULL};
    static const char *const *const scripts[] = {script};
    (void)state;
    script_peer_t *peer = begin(scripts, 1);
    deliver_start(&bench, deliveries, COUNT);
    script_peer_await(peer, 1);
    fixture_begin_stop(&bench);
    script_peer_go_on(peer);
    fixture_end_stop(&bench);
    expect(0, DEMIT_RESULT_DELIVERED, "2.0.0");
    expect(1, DEMIT_RESULT_NONE, NULL);
    expect(2, DEMIT_RESULT_NONE, NULL);
    for (size_t i = 0; i < COUNT; i++)
        delivery_free(deliveries[i]);
    script_peer_finish(peer);
    script_peer_free(peer);
}

/* A peer that never greets does not hold the stop up. */
static void test_stop_while_greeting(void **state)
{
    static const char *const script[] = {"@", "^", NULL};
    static const char *const *const scripts[] = {script};
    (void)state;
    script_peer_t *peer = begin(scripts, 1);
    bench.domain.ehlo_timeout_us = 10 * PATIENCE_S * 1000000LL;
    deliver_start(&bench, deliveries, COUNT);
    script_peer_await(peer, 1);
    fixture_stop(&bench);
    script_peer_go_on(peer); /* only now */
    expect(0, DEMIT_RESULT_NONE, NULL);
    for (size_t i = 0; i < COUNT; i++)
        delivery_free(deliveries[i]);
    script_peer_finish(peer);
    script_peer_free(peer);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, set_up)
    const struct CMUnitTest tests[] = {
        TEST(test_batch_on_one_connection),
        TEST(test_reuse),
        TEST(test_rest),
        TEST(test_deliveries_per_connection),
        TEST(test_stale_connection),
        TEST(test_peer_leaves_while_idle),
        TEST(test_reset_after_a_broken_transaction),
        TEST(test_reset_refused),
        TEST(test_lost_within_a_batch),
        TEST(test_nobody_there),
        TEST(test_greeting_refused_for_good),
        TEST(test_ourselves),
        TEST(test_lmtp),
        TEST(test_lmtp_unix_socket),
        TEST(test_lmtp_lost_between_replies),
        TEST(test_stop_within_a_batch),
        TEST(test_stop_while_greeting),
    };
    apr_initialize();
    return cmocka_run_group_tests(tests, NULL, NULL); /* no apr_terminate(): a failed test leaves threads behind */
}
