/*
 * What the spool and the disk can do to a session: every error at every place, answers that come late, clients that
 * leave at any moment. And what is stored when all goes well.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apr_general.h>

#include <cmocka.h>

#include "tests/unit/smtp/fake.h"

#define START   "EHLO client.test\r\n"
#define TO_DATA "MAIL FROM:<a@client.test>\r\nRCPT TO:<joe@local.test>\r\nDATA\r\n"
#define TEXT    "Subject: x\r\n\r\none\r\n..two\r\n..three\r\n.\r\n"
#define TO_BDAT "MAIL FROM:<a@client.test>\r\nRCPT TO:<joe@local.test>\r\n"

static demit_conn_t *conn;

static void say(const char *text)
{
    fake_feed(conn, text, strlen(text));
    fake_run();
}

/* What was answered since the last time is exactly TEXT. */
static void hear(const char *text)
{
    assert_string_equal(fake_output(conn), text);
    fake_forget_output(conn);
}

/* What was answered last begins with TEXT. */
static void hear_at_last(const char *text)
{
    const char *output = fake_output(conn), *last = output;

    for (const char *line = output; *line != '\0';) {
        last = line;
        const char *end = strstr(line, "\r\n");
        assert_non_null(end);
        line = end + 2;
    }
    if (strncmp(last, text, strlen(text)) != 0) {
        fail_msg("%s\ninstead of %s", last, text);
    }
    fake_forget_output(conn);
}

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

static void greet(void)
{
    conn = fake_connect("192.0.2.1");
    say(START);
    fake_forget_output(conn);
}

/* After whatever went wrong the session goes on and takes a message. */
static void expect_good_message(void)
{
    uint32_t before = fake.message_count;

    fake.begin_status = fake.commit_status = APR_SUCCESS;
    fake.append_fails_at = fake.append_waits_every = 0;
    say(TO_DATA TEXT);
    hear_at_last("250 2.0.0 Ok: queued as ");
    assert_int_equal(fake.message_count, before + 1);
}

/* ---- errors ------------------------------------------------------------------------------------------------------ */

static const struct {
    apr_status_t status;
    const char *reply;
} errors[] = {{APR_ENOSPC, "452 4.3.1"}, {APR_EGENERAL, "451 4.3.0"}, {APR_EACCES, "451 4.3.0"}};

static void test_begin_fails(void **state)
{
    (void)state;
    greet();
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        fake.begin_status = errors[i].status;
        say(TO_DATA);
        hear_at_last(errors[i].reply);
        assert_int_equal(fake.open_writers, 0);
        expect_good_message();

        fake.begin_status = errors[i].status;
        say(TO_BDAT "BDAT 5\r\nQUIT\n");
        hear_at_last(errors[i].reply);
        say("BDAT 5 LAST\r\nQUIT\nRSET\r\n");
        hear("503 5.5.1 The message was refused, say RSET\r\n250 2.0.0 Ok\r\n");
        say(TO_BDAT "BDAT 6 LAST\r\nQUIT\r\n");
        hear_at_last(errors[i].reply);
        expect_good_message();
    }
    assert_non_null(strstr(fake_log(), "event=not_stored"));
}

static void test_append_fails(void **state)
{
    (void)state;
    greet();
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        for (uint32_t at = 1; at <= 3; at++) {
            fake.append_status = errors[i].status;
            fake.append_fails_at = at;
            say(TO_DATA);
            fake_forget_output(conn);
            say("Subject: x\r\n");
            assert_string_equal(fake_output(conn), ""); /* the rest is swallowed before anything is said */
            assert_int_equal(fake.open_writers, at <= 2 ? 0 : 1);
            say("\r\n..\r\nQUIT\r\n");
            assert_string_equal(fake_output(conn), "");
            say(".\r\n");
            hear_at_last(errors[i].reply);
            assert_int_equal(fake.open_writers, 0);
            fake.append_fails_at = at;
            say(TO_BDAT "BDAT 5\r\nQUI\r\nBDAT 6 LAST\r\nQUIT\r\n");
            hear_at_last(at <= 2 ? "503 5.5.1" : errors[i].reply);
            say("RSET\r\n");
            expect_good_message();
        }
    }
}

static void test_commit_fails(void **state)
{
    (void)state;
    greet();
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        fake.commit_status = errors[i].status;
        say(TO_DATA TEXT);
        hear_at_last(errors[i].reply);
        expect_good_message();
        fake.commit_status = errors[i].status;
        say(TO_BDAT "BDAT 6 LAST\r\nQUIT\r\n");
        hear_at_last(errors[i].reply);
        expect_good_message();
    }
    assert_int_equal(fake.accepted, 2 * sizeof errors / sizeof errors[0]);
}

static void test_memory_is_short(void **state)
{
    (void)state;
    fake.settings.max_buffer_memory_bytes = 400;
    greet();
    demit_conn_t *first = conn;
    say(TO_DATA "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n");
    greet();
    say(TO_DATA);
    for (int i = 0; i < 6; i++) {
        say("yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n");
    }
    assert_int_equal(fake.open_writers, 1); /* the memory is given back at once, not at the end */
    say(".\r\n");
    hear_at_last("452 4.3.1");
    expect_good_message();
    demit_conn_t *second = conn;
    conn = first;
    say(".\r\n");
    hear_at_last("250 2.0.0");
    /* Everything was given back: a message of nearly the whole size fits. */
    conn = second;
    expect_good_message();
    fake.settings.max_buffer_memory_bytes = 100;
    say(TO_DATA);
    hear_at_last("452 4.3.1");
}

/* Recipients are memory too, and need no byte of text to take it. */
static void test_recipients_are_counted(void **state)
{
    (void)state;
    fake.settings.max_recipients = 1000;
    fake.settings.max_buffer_memory_bytes = 2000;
    greet();
    say("MAIL FROM:<a@client.test>\r\n");
    hear("250 2.1.0 Ok\r\n");
    uint32_t taken = 0;
    for (;; taken++) {
        say("RCPT TO:<joe@local.test>\r\n");
        if (strncmp(fake_output(conn), "250", 3) != 0) {
            break;
        }
        assert_true(taken < 20);
        fake_forget_output(conn);
    }
    hear("452 4.3.1 Too much mail is arriving at once, try again later\r\n");
    assert_true(taken > 1);
    /* Nobody else finds room for two; who leaves gives it all back. */
    demit_conn_t *first = conn;
    greet();
    say("MAIL FROM:<a@client.test>\r\nRCPT TO:<joe@local.test>\r\nRCPT TO:<joe@local.test>\r\n");
    hear_at_last("452 4.3.1");
    fake_disconnect(first);
    say("RCPT TO:<joe@local.test>\r\n");
    hear_at_last("250 2.1.5");
    for (int i = 0; i < 20; i++) {
        say("RSET\r\nMAIL FROM:<a@client.test>\r\nRCPT TO:<joe@local.test>\r\nRCPT TO:<joe@local.test>\r\n");
        hear_at_last("250 2.1.5");
    }
}

/* Over the threshold the spool holds no more than that in memory, so that is all that counts. */
static void test_a_large_message_needs_little_memory(void **state)
{
    (void)state;
    fake.settings.large_message_threshold_bytes = 300;
    fake.settings.max_buffer_memory_bytes = 400;
    greet();
    say(TO_DATA);
    for (int i = 0; i < 100; i++) {
        say("yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n");
    }
    say(".\r\n");
    hear_at_last("250 2.0.0");
}

/* ---- late answers ------------------------------------------------------------------------------------------------ */

static void test_commands_wait_for_the_commit(void **state)
{
    (void)state;
    greet();
    fake.hold_spool = true;
    say(TO_DATA TEXT "NOOP\r\nQUIT\r\n");
    hear("250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 End data with <CR><LF>.<CR><LF>\r\n");
    assert_int_equal(fake.accepted, 0);
    fake_pass(3500 * APR_USEC_PER_SEC); /* our disk is slow: that is not the client's fault */
    hear("");
    fake_release();
    hear("250 2.0.0 Ok: queued as 0000000000001\r\n250 2.0.0 Ok\r\n221 2.0.0 Bye\r\n");
}

static void test_commands_wait_for_the_mailbox(void **state)
{
    (void)state;
    greet();
    fake.hold_workers = true;
    say("MAIL FROM:<>\r\nRCPT TO:<no@local.test>\r\nRCPT TO:<ann@local.test>\r\nNOOP\r\n");
    hear("250 2.1.0 Ok\r\n");
    fake_release();
    hear("550 5.1.1 No such mailbox here\r\n250 2.1.5 Ok\r\n250 2.0.0 Ok\r\n");
    assert_int_equal(fake.looks, 2);
}

/* A mailbox that was found is not looked for again at once; one that was not is, every time. */
static void test_known_mailboxes(void **state)
{
    static const char again[] = "RSET\r\nMAIL FROM:<>\r\nRCPT TO:<joe@local.test>\r\nRCPT TO:<joe+x@LOCAL.test>\r\n"
                                "RCPT TO:<no@local.test>\r\n";

    (void)state;
    greet();
    say(again);
    assert_int_equal(fake.looks, 2); /* joe; no */
    say(again);
    assert_int_equal(fake.looks, 3);
    hear_at_last("550 5.1.1");
    fake_pass(5 * APR_USEC_PER_SEC);
    say(again);
    assert_int_equal(fake.looks, 5);
    /* A reload makes new settings for the domain. */
    demit_domain_settings_t *domains = (demit_domain_settings_t *)(void *)fake.settings.domains->elts;
    apr_array_header_t *reloaded = apr_array_copy(fake.pool, fake.settings.domains);
    fake.settings.domains = reloaded;
    domains[0].name = "elsewhere.test";
    say(again);
    assert_int_equal(fake.looks, 7);
}

static void test_the_session_ends_after_the_commit(void **state)
{
    (void)state;
    greet();
    fake.hold_spool = true;
    say(TO_DATA TEXT);
    fake_forget_output(conn);
    fake_pass(4000 * APR_USEC_PER_SEC);
    hear("");
    fake_release();
    hear("250 2.0.0 Ok: queued as 0000000000001\r\n421 4.4.2 The session has taken too long\r\n");
    assert_true(fake_is_closed(conn));
}

/* ---- clients that leave ------------------------------------------------------------------------------------------ */

static const char long_dialogue[] =
    START TO_DATA TEXT "RSET\r\n" TO_BDAT "BDAT 5\r\nx\r\n\r\nBDAT 3 LAST\r\n\r\n\r" TO_DATA "\n\r\n.\r\n" TO_DATA TEXT;

/*
 * The client is gone after every byte, with all answers given, with none, and with every number of events done in
 * between, in several orders. Nothing may be left (fake_teardown() looks), and what was committed is accepted once.
 */
static void leave_after(size_t size, uint32_t events, uint32_t order, bool hold)
{
    fake_setup();
    fake.append_waits_every = 2;
    conn = fake_connect("192.0.2.1");
    fake.hold_spool = hold;
    fake.hold_workers = hold && (order & 1) != 0;
    fake_feed(conn, long_dialogue, size);
    for (uint32_t i = 0; i < events; i++) {
        (void)fake_run_one(order + i * order);
    }
    fake_disconnect(conn);
    fake_teardown();
}

static void test_leaving_anywhere(void **state)
{
    (void)state;
    for (size_t size = 0; size <= sizeof long_dialogue - 1; size++) {
        for (uint32_t events = 0; events < 40; events += 1 + events / 3) {
            for (uint32_t order = 0; order < 4; order++) {
                leave_after(size, events, order, false);
            }
        }
        leave_after(size, 20, 0, true);
        leave_after(size, 20, 1, true);
    }
}

/* ---- what is stored ---------------------------------------------------------------------------------------------- */

static void test_envelope(void **state)
{
    (void)state;
    conn = fake_connect("127.0.0.1");
    say("EHLO [IPv6:::1]\r\nMAIL FROM:<@far.test:a@client.test> RET=HDRS ENVID=q+2B1 BODY=8BITMIME SIZE=50\r\n"
        "RCPT TO:<joe@local.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;o+3D@x\r\nRCPT TO:<x@far.test>\r\n"
        "RCPT TO:<Sales@local.test>\r\nRCPT TO:<joe+tag@local.test>\r\nDATA\r\nSubject: "
        "\xc3\xb6\r\n\r\n.x\r\n..\xff\r\n.\r\n");
    assert_int_equal(fake.message_count, 1);
    const demit_envelope_t *envelope = &fake.messages[0].envelope;
    assert_string_equal(envelope->sender, "a@client.test");
    assert_string_equal(envelope->envid, "q+2B1");
    assert_int_equal(envelope->ret, DEMIT_RET_HDRS);
    assert_int_equal(envelope->flags, DEMIT_MESSAGE_8BITMIME | DEMIT_MESSAGE_HEADER_8BIT | DEMIT_MESSAGE_BODY_8BIT |
                                          DEMIT_MESSAGE_LEADING_DOT);
    assert_int_equal(envelope->recipient_count, 4);
    const demit_recipient_t *r = envelope->recipients;
    assert_string_equal(r[0].address, "joe@local.test");
    assert_string_equal(r[0].original, "rfc822;o+3D@x");
    assert_null(r[0].accepted);
    assert_int_equal(r[0].notify, DEMIT_NOTIFY_SUCCESS | DEMIT_NOTIFY_DELAY);
    assert_string_equal(r[1].address, "x@far.test");
    assert_null(r[1].original);
    assert_int_equal(r[1].notify, 0);
    assert_string_equal(r[2].address, "joe@local.test");
    assert_string_equal(r[2].accepted, "Sales@local.test");
    assert_string_equal(r[2].original, "rfc822;Sales@local.test");
    assert_string_equal(r[3].address, "joe+tag@local.test");
    assert_null(r[3].accepted);
    assert_string_equal(fake.messages[0].body, "Subject: \xc3\xb6\r\n\r\nx\r\n.\xff\r\n");
    assert_int_equal(envelope->size_bytes, fake.messages[0].size);
    const char *trace = "Received: from [IPv6:::1] ([127.0.0.1])\r\n\tby mx.test with ESMTP id 0000000000001;\r\n\t";
    assert_memory_equal(fake.messages[0].text, trace, strlen(trace));
    assert_non_null(strstr(fake_log(), "event=received id=0000000000001 from=<a@client.test> size="));
}

static void test_trace_and_utf8(void **state)
{
    (void)state;
    greet();
    say("MAIL FROM:<\xc3\xb6@client.test> SMTPUTF8\r\nRCPT TO:<joe@local.test>\r\nDATA\r\n.\r\n");
    const char *trace = "Received: from client.test ([192.0.2.1])\r\n\tby mx.test with UTF8SMTP id 0000000000001\r\n"
                        "\tfor <joe@local.test>;\r\n\t";
    assert_memory_equal(fake.messages[0].text, trace, strlen(trace));
    assert_int_equal(fake.messages[0].envelope.flags, DEMIT_MESSAGE_SMTPUTF8);
    say("HELO x\r\n" TO_DATA ".\r\n");
    assert_non_null(strstr(fake.messages[1].text, "with SMTP id"));
}

static void test_a_recipient_twice(void **state)
{
    (void)state;
    greet();
    say("MAIL FROM:<>\r\nRCPT TO:<joe@local.test>\r\nRCPT TO:<joe@LOCAL.TEST>\r\nRCPT TO:<joe@local.test> "
        "NOTIFY=NEVER\r\n"
        "RCPT TO:<joe@local.test> ORCPT=rfc822;x\r\nRCPT TO:<joe@local.test> ORCPT=rfc822;x\r\nDATA\r\n.\r\n");
    hear_at_last("250 2.0.0");
    assert_int_equal(fake.messages[0].envelope.recipient_count, 3);
}

/* One mailbox, two spellings: one copy, to the address that was written first. */
static void test_one_domain_in_two_spellings(void **state)
{
    APR_ARRAY_IDX(fake.settings.domains, 0, demit_domain_settings_t).name = "xn--bcher-kva.test";
    (void)state;
    greet();
    say("MAIL FROM:<> SMTPUTF8\r\nRCPT TO:<joe@B\xc3\xbc"
        "cher.test>\r\nRCPT TO:<joe@xn--bcher-kva.test>\r\nDATA\r\n.\r\n");
    hear_at_last("250 2.0.0");
    assert_int_equal(fake.messages[0].envelope.recipient_count, 1);
    assert_string_equal(fake.messages[0].envelope.recipients[0].address, "joe@B\xc3\xbc"
                                                                         "cher.test");
    assert_null(fake.messages[0].envelope.recipients[0].accepted);
}

/* An alias that names itself, in the other spelling, ends the chain; the address stays as it was written. */
static void test_alias_to_itself_in_another_spelling(void **state)
{
    demit_domain_settings_t *domain = &APR_ARRAY_IDX(fake.settings.domains, 0, demit_domain_settings_t);
    (void)state;
    domain->name = "xn--bcher-kva.test";
    APR_ARRAY_PUSH((apr_array_header_t *)domain->aliases, demit_alias_t) =
        (demit_alias_t){"joe", "joe@xn--bcher-kva.test"};
    greet();
    say("MAIL FROM:<> SMTPUTF8\r\nRCPT TO:<joe@b\xc3\xbc"
        "cher.test>\r\nDATA\r\n.\r\n");
    hear_at_last("250 2.0.0");
    assert_string_equal(fake.messages[0].envelope.recipients[0].address, "joe@b\xc3\xbc"
                                                                         "cher.test");
}

static void test_non_ascii_alias(void **state)
{
    apr_array_header_t *aliases =
        (apr_array_header_t *)APR_ARRAY_IDX(fake.settings.domains, 0, demit_domain_settings_t).aliases;

    (void)state;
    APR_ARRAY_PUSH(aliases, demit_alias_t) = (demit_alias_t){"j\xc3\xb6+", "joe@local.test"};
    greet();
    say("MAIL FROM:<> SMTPUTF8\r\nRCPT TO:<j\xc3\xb6+@local.test>\r\nDATA\r\n.\r\n");
    assert_string_equal(fake.messages[0].envelope.recipients[0].original, "utf-8;j\\x{F6}\\x{2B}@local.test");
}

/* ---- <postmaster> ------------------------------------------------------------------------------------------------ */

static const demit_domain_settings_t *domain_at(int index)
{
    return &APR_ARRAY_IDX(fake.settings.domains, index, demit_domain_settings_t);
}

static void alias(const demit_domain_settings_t *domain, const char *address)
{
    APR_ARRAY_PUSH((apr_array_header_t *)domain->aliases, demit_alias_t) = (demit_alias_t){"postmaster", address};
}

static void send_to(const char *recipient, const char *reply)
{
    char text[256];

    greet();
    (void)snprintf(text, sizeof text, "MAIL FROM:<>\r\nRCPT TO:<%s>\r\nDATA\r\n.\r\n", recipient);
    say(text);
    hear_at_last(reply);
}

static void refuse_to(const char *recipient, const char *reply)
{
    char text[256];

    greet();
    (void)snprintf(text, sizeof text, "MAIL FROM:<>\r\nRCPT TO:<%s>\r\n", recipient);
    say(text);
    hear_at_last(reply);
}

static const char *last_recipient(void)
{
    return fake.messages[fake.message_count - 1].envelope.recipients[0].address;
}

static void test_postmaster(void **state)
{
    (void)state;
    /* No mailbox and no alias in the first domain: the LMTP server of the second is to know one. */
    send_to("postmaster", "250");
    assert_string_equal(last_recipient(), "postmaster@lmtp.test");
    refuse_to("postmaster@local.test", "550 5.1.1");
    alias(domain_at(0), "ann@local.test");
    send_to("PostMaster", "250");
    assert_string_equal(last_recipient(), "ann@local.test");
    assert_string_equal(fake.messages[fake.message_count - 1].envelope.recipients[0].accepted, "PostMaster");
    send_to("Postmaster@Local.Test", "250");
    assert_string_equal(last_recipient(), "ann@local.test");
    alias(fake.settings.any_domain, "root@far.test");
    send_to("postmaster", "250");
    assert_string_equal(last_recipient(), "root@far.test");
}

static void test_global_postmaster_stands_in(void **state)
{
    (void)state;
    alias(fake.settings.any_domain, "sales@local.test");
    send_to("postmaster@local.test", "250");
    assert_string_equal(last_recipient(), "joe@local.test");
    refuse_to("postmaster@far.test", "550 5.7.1");
}

static void test_no_postmaster(void **state)
{
    (void)state;
    ((apr_array_header_t *)fake.settings.domains)->nelts = 0;
    greet();
    say("MAIL FROM:<>\r\nRCPT TO:<postmaster>\r\n");
    hear_at_last("550 5.1.1 No mailbox or alias for postmaster");
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_begin_fails),
        TEST(test_append_fails),
        TEST(test_commit_fails),
        TEST(test_memory_is_short),
        TEST(test_recipients_are_counted),
        TEST(test_a_large_message_needs_little_memory),
        TEST(test_commands_wait_for_the_commit),
        TEST(test_commands_wait_for_the_mailbox),
        TEST(test_known_mailboxes),
        TEST(test_the_session_ends_after_the_commit),
        cmocka_unit_test(test_leaving_anywhere),
        TEST(test_envelope),
        TEST(test_trace_and_utf8),
        TEST(test_a_recipient_twice),
        TEST(test_one_domain_in_two_spellings),
        TEST(test_alias_to_itself_in_another_spelling),
        TEST(test_non_ascii_alias),
        TEST(test_postmaster),
        TEST(test_global_postmaster_stands_in),
        TEST(test_no_postmaster),
    };
    apr_initialize();
    int failures = cmocka_run_group_tests(tests, NULL, NULL);
    apr_terminate();
    return failures;
}
