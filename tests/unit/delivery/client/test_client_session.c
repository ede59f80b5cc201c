/* The dialogue with an SMTP server, step by step: a peer that follows a script, and what becomes of the delivery. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "fixture.h"

#define GREETING   ">220 peer.test ESMTP", "<EHLO demit.test", ">250-peer.test"
#define PIPELINING GREETING, ">250-PIPELINING", ">250 ENHANCEDSTATUSCODES"
#define LOCKSTEP   GREETING, ">250 ENHANCEDSTATUSCODES"
#define GOODBYE    "<QUIT", ">221 bye"

static fixture_t bench;

static int set_up(void **state)
{
    (void)state;
    fixture_init(&bench);
    return 0;
}

static script_peer_t *begin(const char *const *const *scripts, uint32_t count)
{
    script_peer_t *peer = script_peer_start(scripts, count);
    bench.domain.gateway_port = script_peer_port(peer);
    fixture_start(&bench);
    return peer;
}

static void end(script_peer_t *peer)
{
    fixture_stop(&bench);
    script_peer_finish(peer);
    script_peer_free(peer);
}

static void expect_result(const demit_delivery_t *delivery, uint32_t index, demit_result_t result, const char *status,
                          const char *diagnostic)
{
    const demit_delivery_recipient_t *recipient = &delivery->recipients[index];
    assert_int_equal(recipient->result, result);
    assert_string_equal(recipient->status, status);
    if (strstr(recipient->diagnostic, diagnostic) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", diagnostic, recipient->diagnostic);
}

/* One text to one recipient at a peer with one SCRIPT; the single result is as given. */
static void one(const char *const *script, const char *text, uint32_t flags, demit_result_t result, const char *status,
                const char *diagnostic, const char *message)
{
    const char *const *const scripts[] = {script};
    script_peer_t *peer = begin(scripts, 1);
    demit_delivery_t *delivery = deliver_text(&bench, text, flags);
    expect_result(delivery, 0, result, status, diagnostic);
    delivery_free(delivery);
    fixture_stop(&bench);
    script_peer_finish(peer);
    assert_string_equal(script_peer_messages(peer, NULL), message);
    script_peer_free(peer);
}

/* ---- good days --------------------------------------------------------------------------------------------------- */

static void test_lockstep(void **state)
{
    static const char *const script[] = {LOCKSTEP,
                                         "<MAIL FROM:<sender@example.org>\r\n",
                                         "?",
                                         ">250 2.1.0 ok",
                                         "<RCPT TO:<user@example.com>\r\n",
                                         "?",
                                         ">250 2.1.5 ok",
                                         "<DATA",
                                         "?",
                                         ">354 go",
                                         "<.",
                                         ">250 2.0.0 queued as X",
                                         GOODBYE,
                                         NULL};
    (void)state;
    one(script, "Subject: a\r\n\r\nb\r\n", 0, DEMIT_RESULT_DELIVERED, "2.0.0", "250 2.0.0 queued as X",
        "Subject: a\r\n\r\nb\r\n.\r\n");
}

static void test_pipelining(void **state)
{
    static const char *const script[] = {PIPELINING,
                                         "<MAIL FROM:<sender@example.org>",
                                         "<RCPT TO:<user@example.com>",
                                         "<DATA",
                                         "?",
                                         ">250 ok",
                                         ">250 ok",
                                         ">354 go",
                                         "<.",
                                         ">250 taken",
                                         GOODBYE,
                                         NULL};
    (void)state;
    one(script, "a\r\n", 0, DEMIT_RESULT_DELIVERED, "2.0.0", "250 taken", "a\r\n.\r\n");
}

static void test_body_forms(void **state)
{
    static const char *const script[] = {PIPELINING, "<MAIL", "<RCPT",      "<DATA", ">250 ok", ">250 ok",
                                         ">354 go",  "<.",    ">250 taken", GOODBYE, NULL};
    static const struct {
        const char *text;
        uint32_t flags;
        const char *sent;
    } forms[] = {
        {"", 0, ".\r\n"},
        {".\r\n..x\r\n.y", DEMIT_MESSAGE_LEADING_DOT | DEMIT_MESSAGE_NO_FINAL_CRLF, "..\r\n...x\r\n..y\r\n.\r\n"},
        {"a\n.\r\nb\n.\nc\rd", DEMIT_MESSAGE_LONE_LF, "a\r\n..\r\nb\r\n..\r\nc d\r\n.\r\n"},
        {"no end", DEMIT_MESSAGE_NO_FINAL_CRLF, "no end\r\n.\r\n"},
    };
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        one(script, forms[i].text, forms[i].flags, DEMIT_RESULT_DELIVERED, "2.0.0", "taken", forms[i].sent);
        set_up(state);
    }
    fixture_start(&bench);
    fixture_stop(&bench);
}

static void test_extensions_are_used(void **state)
{
    static const char *const script[] = {
        GREETING,
        ">250-PIPELINING",
        ">250-SIZE 1000000",
        ">250-8bitmime",
        ">250-SMTPUTF8",
        ">250 DSN",
        "<MAIL FROM:<s\xc3\xa9nder@example.org> SIZE=9 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=a+2Bb\r\n",
        "<RCPT TO:<one@example.com> NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;first+40example.com\r\n",
        "<RCPT TO:<two@example.com> NOTIFY=NEVER ORCPT=rfc822;t+2Bwo@example.com\r\n",
        "<DATA",
        ">250 ok",
        ">250 ok",
        ">250 ok",
        ">354 go",
        "<.",
        ">250 2.6.0 taken",
        GOODBYE,
        NULL};
    static const char *const *const scripts[] = {script};
    static const char *const recipients[] = {"one@example.com", "two@example.com"};
    static const fake_message_t message = {.bytes = "S: \xc3\xa9\r\n\r\n", .size = 9};
    (void)state;
    script_peer_t *peer = begin(scripts, 1);
    demit_delivery_t *delivery = delivery_make(&bench, fake_message_add(&message), "example.com", recipients, 2);
    demit_envelope_t *envelope = delivery_envelope(delivery);
    envelope->flags = DEMIT_MESSAGE_SMTPUTF8 | DEMIT_MESSAGE_HEADER_8BIT | DEMIT_MESSAGE_8BITMIME;
    envelope->sender = "s\xc3\xa9nder@example.org";
    envelope->ret = DEMIT_RET_HDRS;
    envelope->envid = "a+2Bb";
    delivery_recipient(delivery, 0)->notify = DEMIT_NOTIFY_SUCCESS | DEMIT_NOTIFY_FAILURE | DEMIT_NOTIFY_DELAY;
    delivery_recipient(delivery, 0)->original = "rfc822;first+40example.com";
    delivery_recipient(delivery, 1)->notify = DEMIT_NOTIFY_NEVER;
    delivery_recipient(delivery, 1)->accepted = "t+wo@example.com";
    deliver_all(&bench, &delivery, 1);
    expect_result(delivery, 0, DEMIT_RESULT_DELIVERED, "2.6.0", "250 2.6.0 taken");
    expect_result(delivery, 1, DEMIT_RESULT_DELIVERED, "2.6.0", "250 2.6.0 taken");
    assert_string_equal(delivery->remote_ip, "127.0.0.1");
    delivery_free(delivery);
    end(peer);
}

static void test_relayed_without_dsn(void **state)
{
    static const char *const script[] = {PIPELINING,
                                         "<MAIL FROM:<sender@example.org>\r\n",
                                         "<RCPT TO:<user@example.com>\r\n",
                                         "<RCPT TO:<other@example.com>\r\n",
                                         "<DATA",
                                         ">250 ok",
                                         ">250 ok",
                                         ">250 ok",
                                         ">354 go",
                                         "<.",
                                         ">250 ok",
                                         GOODBYE,
                                         NULL};
    static const char *const *const scripts[] = {script};
    static const char *const recipients[] = {"user@example.com", "other@example.com"};
    static const fake_message_t message = {.bytes = "a\r\n", .size = 3};
    (void)state;
    script_peer_t *peer = begin(scripts, 1);
    demit_delivery_t *delivery = delivery_make(&bench, fake_message_add(&message), "example.com", recipients, 2);
    delivery_recipient(delivery, 0)->notify = DEMIT_NOTIFY_SUCCESS;
    delivery_envelope(delivery)->envid = "x";
    deliver_all(&bench, &delivery, 1);
    expect_result(delivery, 0, DEMIT_RESULT_RELAYED, "2.0.0", "250 ok");
    expect_result(delivery, 1, DEMIT_RESULT_DELIVERED, "2.0.0", "250 ok");
    delivery_free(delivery);
    end(peer);
}

static void test_helo_only(void **state)
{
    static const char *const script[] = {
        ">220 old", "<HELO demit.test", ">250 old", "<MAIL",   ">250 ok", "<RCPT", ">250 ok",
        "<DATA",    ">354 go",          "<.",       ">250 ok", GOODBYE,   NULL};
    (void)state;
    bench.domain.delivery_method = DEMIT_DELIVER_SMTP;
    one(script, "a\r\n", 0, DEMIT_RESULT_DELIVERED, "2.0.0", "250 ok", "a\r\n.\r\n");
}

static void test_ehlo_refused_then_helo(void **state)
{
    static const char *const script[] = {
        ">220 old", "<EHLO",   ">500 what?", "<HELO demit.test", ">250 old", "<MAIL", ">250 ok", "<RCPT", ">250 ok",
        "<DATA",    ">354 go", "<.",         ">250 ok",          GOODBYE,    NULL};
    (void)state;
    one(script, "a\r\n", 0, DEMIT_RESULT_DELIVERED, "2.0.0", "250 ok", "a\r\n.\r\n");
}

/* A body of several pieces, read in odd portions, with dots everywhere. */
static void test_large_body(void **state)
{
    static const char *const script[] = {PIPELINING, "<MAIL", "<RCPT", "<DATA",   ">250 ok", ">250 ok",
                                         ">354 go",  "~50",   "<.",    ">250 ok", GOODBYE,   NULL};
    static const char *const *const scripts[] = {script};
    static const char *const recipients[] = {"user@example.com"};
    enum { LINES = 500000 };
    (void)state;
    char *text = malloc(4 * LINES + 1);
    char *sent = malloc(5 * LINES + 4);
    for (size_t i = 0; i < LINES; i++) {
        memcpy(text + 4 * i, i % 3 == 0 ? "a.\r\n" : ".a\r\n", 4);
        memcpy(sent + 5 * i, i % 3 == 0 ? "a.\r\n " : "..a\r\n", 5);
    }
    size_t sent_size = 0; /* squeeze the blanks out */
    for (size_t i = 0; i < 5 * (size_t)LINES; i++) {
        if (sent[i] != ' ')
            sent[sent_size++] = sent[i];
    }
    memcpy(sent + sent_size, ".\r\n", 3);
    script_peer_t *peer = begin(scripts, 1);
    const fake_message_t message = {
        .bytes = text, .size = 4 * LINES, .flags = DEMIT_MESSAGE_LEADING_DOT, .most_at_once = 10007};
    demit_delivery_t *delivery = delivery_make(&bench, fake_message_add(&message), "example.com", recipients, 1);
    deliver_all(&bench, &delivery, 1);
    expect_result(delivery, 0, DEMIT_RESULT_DELIVERED, "2.0.0", "250 ok");
    delivery_free(delivery);
    fixture_stop(&bench);
    script_peer_finish(peer);
    size_t size = 0;
    const char *got = script_peer_messages(peer, &size);
    assert_int_equal(size, sent_size + 3);
    assert_memory_equal(got, sent, size);
    script_peer_free(peer);
    free(text);
    free(sent);
}

/* ---- refusals ---------------------------------------------------------------------------------------------------- */

static void test_some_recipients_refused(void **state)
{
    static const char *const script[] = {PIPELINING,
                                         "<MAIL",
                                         "<RCPT",
                                         "<RCPT",
                                         "<RCPT",
                                         "<RCPT",
                                         "<DATA",
                                         ">250 ok",
                                         ">550 5.1.1 no such user",
                                         ">250 ok",
                                         ">450-4.2.0 greylisted",
                                         ">450 later",
                                         ">552 too many",
                                         ">354 go",
                                         "<.",
                                         ">250 ok",
                                         GOODBYE,
                                         NULL};
    static const char *const *const scripts[] = {script};
    static const char *const recipients[] = {"a@example.com", "b@example.com", "c@example.com", "d@example.com"};
    static const fake_message_t message = {.bytes = "a\r\n", .size = 3};
    (void)state;
    script_peer_t *peer = begin(scripts, 1);
    demit_delivery_t *delivery = delivery_make(&bench, fake_message_add(&message), "example.com", recipients, 4);
    deliver_all(&bench, &delivery, 1);
    expect_result(delivery, 0, DEMIT_RESULT_FAILED, "5.1.1", "550 5.1.1 no such user");
    expect_result(delivery, 1, DEMIT_RESULT_DELIVERED, "2.0.0", "250 ok");
    expect_result(delivery, 2, DEMIT_RESULT_DEFERRED, "4.2.0", "450 4.2.0 greylisted later");
    expect_result(delivery, 3, DEMIT_RESULT_DEFERRED, "4.5.3", "552 too many");
    assert_true(delivery->recipients[0].diagnostic_is_smtp);
    delivery_free(delivery);
    end(peer);
}

/* RFC 2920 3.1: all refused, and yet the server wants the data. */
static void test_lone_dot(void **state)
{
    static const char *const script[] = {
        PIPELINING, "<MAIL", "<RCPT", "<DATA", ">250 ok", ">550 no", ">354 go", "<.\r\n", ">554 no valid recipients",
        GOODBYE,    NULL};
    (void)state;
    one(script, "a\r\n", 0, DEMIT_RESULT_FAILED, "5.0.0", "550 no", "");
}

static void test_all_refused_lockstep(void **state)
{
    static const char *const script[] = {LOCKSTEP, "<MAIL", ">250 ok", "<RCPT", ">550 5.7.1 no", GOODBYE, NULL};
    (void)state;
    one(script, "a\r\n", 0, DEMIT_RESULT_FAILED, "5.7.1", "550 5.7.1 no", "");
}

static void test_mail_refused(void **state)
{
    static const char *const together[] = {PIPELINING,        "<MAIL",           "<RCPT", "<DATA", ">451 4.3.0 sick",
                                           ">503 first MAIL", ">503 first MAIL", GOODBYE, NULL};
    static const char *const apart[] = {LOCKSTEP, "<MAIL", ">552 5.3.4 too big", GOODBYE, NULL};
    one(together, "a\r\n", 0, DEMIT_RESULT_DEFERRED, "4.3.0", "451 4.3.0 sick", "");
    set_up(state);
    one(apart, "a\r\n", 0, DEMIT_RESULT_FAILED, "5.3.4", "552", "");
}

/* MAIL refused, RCPT taken, data wanted: nothing may be sent, not even a dot. */
static void test_mad_peer(void **state)
{
    (void)state;
    static const char *const quiet[] = {PIPELINING, "<MAIL", "<RCPT", "<DATA", ">550 no", ">250 ok", ">354 go", NULL};
    one(quiet, "a\r\n", 0, DEMIT_RESULT_FAILED, "5.0.0", "550 no", "");
}

static void test_data_refused(void **state)
{
    static const char *const script[] = {PIPELINING,           "<MAIL", "<RCPT", "<DATA", ">250 ok", ">250 ok",
                                         ">554 5.7.0 not you", GOODBYE, NULL};
    static const char *const nonsense[] = {PIPELINING, "<MAIL",   "<RCPT",   "<DATA",
                                           ">250 ok",  ">250 ok", ">250 ok", NULL};
    one(script, "a\r\n", 0, DEMIT_RESULT_FAILED, "5.7.0", "554 5.7.0 not you", "");
    set_up(state);
    one(nonsense, "a\r\n", 0, DEMIT_RESULT_DEFERRED, "4.5.0", "protocol error", "");
}

static void test_message_refused(void **state)
{
    static const char *const failed[] = {PIPELINING, "<MAIL", "<RCPT",           "<DATA", ">250 ok", ">250 ok",
                                         ">354 go",  "<.",    ">550 5.6.0 spam", GOODBYE, NULL};
    static const char *const deferred[] = {PIPELINING, "<MAIL", "<RCPT",     "<DATA", ">250 ok", ">250 ok",
                                           ">354 go",  "<.",    ">452 full", GOODBYE, NULL};
    one(failed, "a\r\n", 0, DEMIT_RESULT_FAILED, "5.6.0", "550 5.6.0 spam", "a\r\n.\r\n");
    set_up(state);
    one(deferred, "a\r\n", 0, DEMIT_RESULT_DEFERRED, "4.3.1", "452 full", "a\r\n.\r\n");
}

static void test_what_the_peer_lacks(void **state)
{
    static const char *const small[] = {GREETING, ">250 SIZE 2", GOODBYE, NULL};
    static const char *const plain[] = {GREETING, ">250 PIPELINING", GOODBYE, NULL};
    static const char *const eight[] = {GREETING, ">250 8BITMIME", GOODBYE, NULL};
    one(small, "abc\r\n", 0, DEMIT_RESULT_FAILED, "5.3.4", "larger", "");
    set_up(state);
    one(plain, "\xe9\r\n", DEMIT_MESSAGE_BODY_8BIT, DEMIT_RESULT_FAILED, "5.6.3", "8BITMIME", "");
    set_up(state);
    one(eight, "\xc3\xa9\r\n", DEMIT_MESSAGE_HEADER_8BIT | DEMIT_MESSAGE_SMTPUTF8, DEMIT_RESULT_FAILED, "5.6.7",
        "SMTPUTF8", "");
}

static void test_utf8_recipient_alone_fails(void **state)
{
    static const char *const script[] = {PIPELINING,
                                         "<MAIL FROM:<sender@example.org>\r\n",
                                         "<RCPT TO:<b@example.com>",
                                         "<DATA",
                                         ">250 ok",
                                         ">250 ok",
                                         ">354 go",
                                         "<.",
                                         ">250 ok",
                                         GOODBYE,
                                         NULL};
    static const char *const *const scripts[] = {script};
    static const char *const recipients[] = {"\xc3\xa9@example.com", "b@example.com", "c\r\nDATA@example.com"};
    static const fake_message_t message = {.bytes = "a\r\n", .size = 3, .flags = DEMIT_MESSAGE_SMTPUTF8};
    (void)state;
    script_peer_t *peer = begin(scripts, 1);
    demit_delivery_t *delivery = delivery_make(&bench, fake_message_add(&message), "example.com", recipients, 3);
    deliver_all(&bench, &delivery, 1);
    expect_result(delivery, 0, DEMIT_RESULT_FAILED, "5.6.7", "SMTPUTF8");
    expect_result(delivery, 1, DEMIT_RESULT_DELIVERED, "2.0.0", "250 ok");
    expect_result(delivery, 2, DEMIT_RESULT_FAILED, "5.1.3", "control");
    delivery_free(delivery);
    end(peer);
}

/* ---- bad days ---------------------------------------------------------------------------------------------------- */

static void test_421_anywhere(void **state)
{
    static const char *const banner[] = {">421 4.7.0 go away", NULL};
    static const char *const ehlo[] = {">220 x", "<EHLO", ">421 no", NULL};
    static const char *const mail[] = {PIPELINING, "<MAIL", "<RCPT", "<DATA", ">421 4.3.2 closing", NULL};
    static const char *const rcpt[] = {PIPELINING, "<MAIL", "<RCPT", "<DATA", ">250 ok", ">421 closing", NULL};
    static const char *const data[] = {PIPELINING, "<MAIL",   "<RCPT",        "<DATA",
                                       ">250 ok",  ">250 ok", ">421 closing", NULL};
    static const char *const dot[] = {PIPELINING, "<MAIL",   "<RCPT", "<DATA",        ">250 ok",
                                      ">250 ok",  ">354 go", "<.",    ">421 closing", NULL};
    one(banner, "a\r\n", 0, DEMIT_RESULT_DEFERRED, "4.7.0", "421 4.7.0 go away", "");
    set_up(state);
    one(ehlo, "a\r\n", 0, DEMIT_RESULT_DEFERRED, "4.3.2", "421 no", "");
    set_up(state);
    one(mail, "a\r\n", 0, DEMIT_RESULT_DEFERRED, "4.3.2", "421 4.3.2 closing", "");
    set_up(state);
    one(rcpt, "a\r\n", 0, DEMIT_RESULT_DEFERRED, "4.3.2", "421 closing", "");
    set_up(state);
    one(data, "a\r\n", 0, DEMIT_RESULT_DEFERRED, "4.3.2", "421 closing", "");
    set_up(state);
    one(dot, "a\r\n", 0, DEMIT_RESULT_DEFERRED, "4.3.2", "421 closing", "a\r\n.\r\n");
}

static void test_closed_anywhere(void **state)
{
    static const char *const scripts[][16] = {
        {"~1", NULL},
        {">220 x", "<EHLO", NULL},
        {PIPELINING, "<MAIL", "<RCPT", "<DATA", NULL},
        {PIPELINING, "<MAIL", "<RCPT", "<DATA", ">250 ok", ">250 ok", NULL},
        {PIPELINING, "<MAIL", "<RCPT", "<DATA", ">250 ok", ">250 ok", ">354 go", "<.", NULL},
        {PIPELINING, "<MAIL", "<RCPT", "<DATA", ">250 ok", ">250 ok", ">354 go", "<.", "!", NULL},
    };
    for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++) {
        one(scripts[i], "a\r\n", 0, DEMIT_RESULT_DEFERRED, "4.4.2", "connection", i >= 4 ? "a\r\n.\r\n" : "");
        set_up(state);
    }
    fixture_start(&bench);
    fixture_stop(&bench);
}

static void test_nonsense(void **state)
{
    static const char *const http[] = {">HTTP/1.1 400 Bad Request", NULL};
    static const char *const codes[] = {PIPELINING, "<MAIL", "<RCPT", "<DATA", ">250-ok", ">251 other", NULL};
    static const char *const unasked[] = {
        PIPELINING, "<MAIL", "<RCPT", "<DATA", ">250 ok", ">250 ok", ">354 a", "<.", ">>250 taken\r\n250 again\r\n",
        NULL};
    one(http, "a\r\n", 0, DEMIT_RESULT_DEFERRED, "4.5.0", "protocol error", "");
    set_up(state);
    one(codes, "a\r\n", 0, DEMIT_RESULT_DEFERRED, "4.5.0", "protocol error", "");
    set_up(state);
    one(unasked, "a\r\n", 0, DEMIT_RESULT_DELIVERED, "2.0.0", "taken", "a\r\n.\r\n");
}

static void test_timeouts(void **state)
{
    static const char *const banner[] = {"|", NULL};
    static const char *const mail[] = {LOCKSTEP, "<MAIL", "|", NULL};
    static const char *const dot[] = {LOCKSTEP, "<MAIL",   ">250 ok", "<RCPT", ">250 ok",
                                      "<DATA",  ">354 go", "<.",      "|",     NULL};
    bench.domain.ehlo_timeout_us = 200000;
    one(banner, "a\r\n", 0, DEMIT_RESULT_DEFERRED, "4.4.2", "timed out while waiting for the reply to the connection",
        "");
    set_up(state);
    bench.domain.mailfrom_timeout_us = 200000;
    one(mail, "a\r\n", 0, DEMIT_RESULT_DEFERRED, "4.4.2", "timed out while waiting for the reply to MAIL", "");
    set_up(state);
    bench.domain.body_timeout_us = 2000000; /* for each step of it, of which the others are not to be the slow one */
    one(dot, "a\r\n", 0, DEMIT_RESULT_DEFERRED, "4.4.2", "reply to the message", "a\r\n.\r\n");
}

static void test_refused_while_sending(void **state)
{
    static const char *const script[] = {
        PIPELINING, "<MAIL", "<RCPT", "<DATA", ">250 ok", ">250 ok", ">354 go", "~100", ">552 5.3.4 enough", "|", NULL};
    static const char *const *const scripts[] = {script};
    static const char *const recipients[] = {"user@example.com"};
    enum { SIZE = 32 << 20 };
    (void)state;
    char *text = malloc(SIZE);
    memset(text, 'x', SIZE);
    script_peer_t *peer = begin(scripts, 1);
    const fake_message_t message = {.bytes = text, .size = SIZE};
    demit_delivery_t *delivery = delivery_make(&bench, fake_message_add(&message), "example.com", recipients, 1);
    deliver_all(&bench, &delivery, 1);
    expect_result(delivery, 0, DEMIT_RESULT_FAILED, "5.3.4", "552 5.3.4 enough");
    delivery_free(delivery);
    end(peer);
    free(text);
}

/* Damage found by verifying, or an error of the disk in the middle: no final dot, whatever else happens. */
static void test_damaged_message(void **state)
{
    static const char *const script[] = {PIPELINING, "<MAIL",   "<RCPT", "<DATA", ">250 ok",
                                         ">250 ok",  ">354 go", "|",     NULL};
    static const char *const *const scripts[] = {script};
    static const char *const recipients[] = {"user@example.com"};
    (void)state;
    char *text = malloc(300000);
    memset(text, 'x', 300000);
    for (int i = 0; i < 2; i++) {
        if (i > 0)
            set_up(state);
        script_peer_t *peer = begin(scripts, 1);
        const fake_message_t message = {
            .bytes = text, .size = 300000, .damaged = i == 0, .fails_at = i == 0 ? 0 : 200000};
        demit_delivery_t *delivery = delivery_make(&bench, fake_message_add(&message), "example.com", recipients, 1);
        deliver_all(&bench, &delivery, 1);
        expect_result(delivery, 0, DEMIT_RESULT_DEFERRED, "4.3.0", "cannot be read");
        delivery_free(delivery);
        end(peer);
    }
    free(text);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, set_up)
    const struct CMUnitTest tests[] = {
        TEST(test_lockstep),
        TEST(test_pipelining),
        TEST(test_body_forms),
        TEST(test_extensions_are_used),
        TEST(test_relayed_without_dsn),
        TEST(test_helo_only),
        TEST(test_ehlo_refused_then_helo),
        TEST(test_large_body),
        TEST(test_some_recipients_refused),
        TEST(test_lone_dot),
        TEST(test_all_refused_lockstep),
        TEST(test_mail_refused),
        TEST(test_mad_peer),
        TEST(test_data_refused),
        TEST(test_message_refused),
        TEST(test_what_the_peer_lacks),
        TEST(test_utf8_recipient_alone_fails),
        TEST(test_421_anywhere),
        TEST(test_closed_anywhere),
        TEST(test_nonsense),
        TEST(test_timeouts),
        TEST(test_refused_while_sending),
        TEST(test_damaged_message),
    };
    apr_initialize();
    return cmocka_run_group_tests(tests, NULL, NULL); /* no apr_terminate(): a failed test leaves threads behind */
}
