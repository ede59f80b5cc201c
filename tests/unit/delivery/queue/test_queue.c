#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "fakes.h"

#define SECOND INT64_C(1000000)
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)

static int make(void **state)
{
    *state = fixture_make();
    return 0;
}

static int end(void **state)
{
    fixture_free(*state);
    return 0;
}

static void delivers_and_forgets(void **state)
{
    fixture_t *f = *state;
    fixture_send_one(f, "Bob@B.example");
    assert_int_equal(f->held_count, 1);
    assert_string_equal(f->held[0]->domain, "b.example");
    assert_string_equal(f->held[0]->recipients[0].recipient->address, "Bob@B.example");
    assert_int_equal(fixture_counts(f).active, 1);
    fixture_report(f, 0, DEMIT_RESULT_DELIVERED, "2.0.0", "ok");
    assert_int_equal(fake_spool.outcome_count, 1);
    assert_true(fake_spool.outcomes[0].final);
    assert_int_equal(fake_spool.outcomes[0].states[0], DEMIT_RECIPIENT_DELIVERED);
    demit_queue_counts_t counts = fixture_counts(f);
    assert_int_equal(counts.messages, 0);
    assert_int_equal(counts.recipients_pending, 0);
    assert_int_equal(counts.destinations, 0);
    assert_int_equal(counts.delivered, 1);
    assert_int_equal(f->queue->deliveries_under_way, 0);
    assert_true(fake_log_has("delivered", "to=<Bob@B.example> via=fake status=2.0.0"));
}

/* Retry_Interval doubled up to Max_Retry_Interval; the last attempt when the message expires. */
static void backs_off(void **state)
{
    static const int64_t pauses[] = {20, 40, 80, 160, 320, 640, 720, 720};
    fixture_t *f = *state;
    fixture_send_one(f, "a@b.example");
    for (size_t i = 0; i < sizeof(pauses) / sizeof(pauses[0]); i++) {
        assert_int_equal(f->held_count, 1);
        fixture_report(f, 0, DEMIT_RESULT_DEFERRED, "4.0.0", "later");
        assert_int_equal(fake_spool.outcomes[i].attempts, i + 1);
        assert_int_equal(fake_spool.outcomes[i].count, 0);
        assert_int_equal(fake_spool.outcomes[i].next_attempt_us, f->wall_us + pauses[i] * MINUTE);
        assert_int_equal(fixture_counts(f).deferred, 1);
        fixture_pass(f, pauses[i] * MINUTE - SECOND);
        assert_int_equal(f->held_count, 0);
        fixture_pass(f, SECOND + SECOND / 10);
    }
    assert_int_equal(f->held_count, 1);
}

static void wall_clock_jumps_change_nothing(void **state)
{
    fixture_t *f = *state;
    fixture_send_one(f, "a@b.example");
    f->wall_us += 30 * 24 * HOUR;
    fixture_report(f, 0, DEMIT_RESULT_DEFERRED, "4.0.0", "later");
    assert_int_equal(fixture_counts(f).messages, 1); /* not expired */
    f->wall_us -= 60 * 24 * HOUR;
    fixture_pass(f, 19 * MINUTE);
    assert_int_equal(f->held_count, 0);
    fixture_pass(f, MINUTE + SECOND);
    assert_int_equal(f->held_count, 1);
}

static void expires_with_one_last_attempt(void **state)
{
    fixture_t *f = *state;
    f->any.message_expiration_us = 50 * MINUTE;
    fixture_send_one(f, "a@b.example");
    fixture_report(f, 0, DEMIT_RESULT_DEFERRED, "4.0.0", "later"); /* at 0, again at 20 */
    fixture_pass(f, 20 * MINUTE + SECOND);
    fixture_report(f, 0, DEMIT_RESULT_DEFERRED, "4.0.0", "later"); /* again at 50, not at 60 */
    fixture_pass(f, 30 * MINUTE);
    assert_int_equal(f->held_count, 1);
    fixture_report(f, 0, DEMIT_RESULT_DEFERRED, "4.4.1", "still not");
    assert_true(fake_log_has("failed", "status=5.4.7"));
    /* Its bounce goes to the sender. */
    assert_int_equal(f->held_count, 1);
    assert_string_equal(f->held[0]->recipients[0].recipient->address, "sender@from.example");
    assert_string_equal(f->held[0]->envelope->sender, "");
}

static void max_retries(void **state)
{
    static const int32_t limits[] = {0, 1, 3};
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        fixture_t *f = fixture_make();
        f->any.max_retries = limits[i];
        f->any.generate_bounces = false;
        fixture_send_one(f, "a@b.example");
        for (int32_t attempt = 0; attempt <= limits[i]; attempt++) {
            assert_int_equal(f->held_count, 1);
            fixture_report(f, 0, DEMIT_RESULT_DEFERRED, "4.0.0", "later");
            fixture_pass(f, 13 * HOUR);
        }
        assert_int_equal(f->held_count, 0);
        assert_int_equal(fixture_counts(f).messages, 0);
        assert_int_equal(fixture_counts(f).failed, 1);
        fixture_free(f);
    }
    (void)state;
}

static void one_transaction_for_one_destination(void **state)
{
    fixture_t *f = *state;
    const char *const to[] = {"a@x.example", "b@y.example", "c@X.EXAMPLE", "d@y.example", "e@x.example"};
    fixture_send(f, "s@from.example", to, 5);
    assert_int_equal(f->held_count, 2);
    assert_int_equal(f->held[0]->recipient_count, 3);
    assert_int_equal(f->held[1]->recipient_count, 2);
    assert_int_equal(f->held[0]->recipients[1].index, 2);
    /* One destination delivers, the other defers: two outcomes, the second one not final. */
    fixture_report(f, 0, DEMIT_RESULT_DELIVERED, "2.0.0", "ok");
    assert_false(fake_spool.outcomes[0].final);
    assert_int_equal(fake_spool.outcomes[0].count, 3);
    fixture_report(f, 0, DEMIT_RESULT_DEFERRED, "4.0.0", "later");
    fixture_pass(f, 20 * MINUTE + SECOND);
    assert_int_equal(f->held_count, 1);
    assert_int_equal(f->held[0]->recipient_count, 2);
    fixture_report(f, 0, DEMIT_RESULT_DELIVERED, "2.0.0", "ok");
    assert_true(fake_spool.outcomes[2].final);
    assert_int_equal(fixture_counts(f).messages, 0);
}

static void one_destination_in_any_spelling(void **state)
{
    fixture_t *f = *state;
    const char *const to[] = {"a@b\xc3\xbc"
                              "cher.example",
                              "b@XN--bcher-kva.example",
                              "c@B\xc3\x9c"
                              "CHER.Example",
                              "d@xn--\xff.example"};
    fixture_send(f, "s@from.example", to, 4);
    assert_int_equal(f->held_count, 2);
    assert_int_equal(f->held[0]->recipient_count, 3);
    assert_string_equal(f->held[0]->domain, "xn--bcher-kva.example");
    assert_string_equal(f->held[0]->recipients[0].recipient->address, to[0]); /* as it was written */
    assert_string_equal(f->held[0]->recipients[2].recipient->address, to[2]);
    assert_string_equal(f->held[1]->domain, "xn--\xff.example"); /* what is no domain is the transport's to refuse */
}

static void many_recipients_are_split(void **state)
{
    fixture_t *f = *state;
    const char *to[250];
    for (unsigned i = 0; i < 250; i++)
        to[i] = apr_psprintf(f->pool, "r%u@x.example", i);
    fixture_send(f, "s@from.example", to, 250);
    assert_int_equal(f->starts, 1);
    assert_int_equal(f->held_count, 3);
    assert_int_equal(f->held[0]->recipient_count, 100);
    assert_int_equal(f->held[2]->recipient_count, 50);
    /* The second hundred is deferred; nobody is tried again before all are back. */
    fixture_report(f, 1, DEMIT_RESULT_DEFERRED, "4.5.3", "too many");
    fixture_pass(f, HOUR);
    assert_int_equal(f->held_count, 2);
    fixture_report(f, 0, DEMIT_RESULT_DELIVERED, "2.0.0", "ok");
    fixture_report(f, 0, DEMIT_RESULT_DELIVERED, "2.0.0", "ok");
    fixture_pass(f, 20 * MINUTE + SECOND);
    assert_int_equal(f->held_count, 1);
    assert_int_equal(f->held[0]->recipient_count, 100);
    assert_int_equal(f->held[0]->recipients[0].index, 100);
}

static void connections_are_limited_and_shared(void **state)
{
    fixture_t *f = *state;
    f->any.max_outbound_connections = 4;
    for (unsigned i = 0; i < 40; i++)
        fixture_send_one(f, "a@x.example");
    assert_int_equal(f->starts, 4);
    assert_int_equal(f->held_count, 4); /* came one by one: a connection each, and then they are full */
    fixture_report(f, 0, DEMIT_RESULT_DELIVERED, "2.0.0", "ok");
    assert_int_equal(f->starts, 5);
    assert_int_equal(f->last_batch, 32); /* one connection is free, so it gets as much as one may */
    f->settings.server_max_outbound_connections = 5;
    fixture_send_one(f, "a@y.example");
    fixture_send_one(f, "a@z.example");
    assert_int_equal(f->starts, 6);
    fixture_send_one(f, "a@local.example"); /* mailboxes are no connections */
    assert_int_equal(f->starts, 7);
}

/* The settings may allow more connections than the host has descriptors for. */
static void keeps_to_what_the_host_allows(void **state)
{
    fixture_t *f = *state;
    f->settings.server_max_outbound_connections = 5;
    demit_queue_limit_connections(f->queue, 2);
    fixture_send_one(f, "a@u.example");
    fixture_send_one(f, "a@v.example");
    fixture_send_one(f, "a@w.example");
    assert_int_equal(f->starts, 2);
    fixture_send_one(f, "a@local.example"); /* mailboxes are no connections */
    assert_int_equal(f->starts, 3);
    demit_queue_limit_connections(f->queue, 3);
    fixture_turn(f);
    assert_int_equal(f->starts, 4);
}

static void spreads_a_burst(void **state)
{
    fixture_t *f = *state;
    f->any.max_outbound_connections = 4;
    demit_recipient_t recipient = {.address = "a@x.example"};
    demit_envelope_t envelope = {.sender = "s@x.example", .recipients = &recipient, .recipient_count = 1};
    for (unsigned i = 0; i < 22; i++) {
        envelope.id = i + 1;
        demit_queue_accept(f->queue, &envelope, fake_spool_put(&envelope, ""));
    }
    fixture_turn(f);
    assert_int_equal(f->starts, 4);
    assert_int_equal(f->held_count, 22);
    assert_int_equal(f->last_batch, 5);
}

static void throttles(void **state)
{
    fixture_t *f = *state;
    f->any.throttle_messages = 60;
    f->any.throttle_seconds = 3;
    f->any.max_outbound_connections = 1000;
    uint32_t at[4000];
    unsigned seconds = 0;
    for (unsigned i = 0; i < 600; i++)
        fixture_send_one(f, "a@x.example");
    for (; f->given < 600 && seconds < 4000; seconds++) {
        fixture_pass(f, SECOND / 10);
        at[seconds] = f->given;
    }
    for (unsigned i = 30; i < seconds; i++)
        assert_true(at[i] - at[i - 30] <= 60);
    assert_true(seconds >= 270 && seconds < 340); /* 60 in 3 s, or hardly less */
}

static void a_dead_host_rests(void **state)
{
    fixture_t *f = *state;
    f->any.max_outbound_connections = 2;
    for (unsigned i = 0; i < 10; i++)
        fixture_send_one(f, "a@x.example");
    assert_int_equal(f->held_count, 2);
    f->held[0]->connection_failed = f->held[1]->connection_failed = true;
    fixture_report(f, 0, DEMIT_RESULT_DEFERRED, "4.4.1", "connection refused");
    fixture_report(f, 0, DEMIT_RESULT_DEFERRED, "4.4.1", "connection refused");
    assert_int_equal(f->held_count, 0);
    fixture_pass(f, 119 * SECOND);
    assert_int_equal(f->held_count, 0);
    fixture_pass(f, 2 * SECOND);
    assert_int_equal(f->held_count, 1); /* one careful try */
    fixture_report(f, 0, DEMIT_RESULT_DELIVERED, "2.0.0", "ok");
    assert_int_equal(f->starts, 5); /* it is back: everything goes, over both connections */
    assert_int_equal(f->held_count, 7);
}

static void what_expires_in_the_line_is_given_up(void **state)
{
    fixture_t *f = *state;
    f->any.message_expiration_us = HOUR;
    f->any.generate_bounces = false;
    for (unsigned i = 0; i < 300; i++)
        fixture_send_one(f, "a@x.example");
    for (unsigned minute = 0; minute < 64; minute++) {
        while (f->held_count > 0) {
            f->held[0]->connection_failed = true;
            fixture_report(f, 0, DEMIT_RESULT_DEFERRED, "4.4.1", "no route to host");
        }
        fixture_pass(f, MINUTE);
    }
    assert_int_equal(fixture_counts(f).failed, 300);
    assert_int_equal(fixture_counts(f).messages, 0);
    fixture_pass(f, 3 * MINUTE); /* its rest */
    assert_int_equal(fixture_counts(f).destinations, 0);
}

static void gateway_domains_share_connections(void **state)
{
    fixture_t *f = *state;
    f->any.gateway_host = "relay.example";
    f->any.gateway_port = 2525;
    f->any.max_outbound_connections = 1;
    const char *const to[] = {"a@x.example", "b@y.example"};
    fixture_send(f, "s@from.example", to, 2);
    fixture_send_one(f, "c@z.example");
    assert_int_equal(fixture_counts(f).destinations, 1);
    assert_int_equal(f->starts, 1);
    assert_int_equal(f->held[0]->recipient_count, 2);
}

static void failed_is_bounced_in_one_record(void **state)
{
    fixture_t *f = *state;
    const char *const to[] = {"a@x.example", "b@x.example"};
    fixture_send(f, "sender@from.example", to, 2);
    fixture_report(f, 0, DEMIT_RESULT_FAILED, "5.1.1", "550 no such user");
    assert_int_equal(fake_spool.outcome_count, 1);
    assert_true(fake_spool.outcomes[0].with_commit);
    assert_true(fake_spool.outcomes[0].final);
    assert_int_equal(fake_spool.outcomes[0].count, 2);
    const fake_message_t *dsn = fake_spool_last();
    assert_non_null(strstr(dsn->bytes, "Final-Recipient: rfc822; a@x.example\r\n"));
    assert_non_null(strstr(dsn->bytes, "Final-Recipient: rfc822; b@x.example\r\n"));
    assert_non_null(strstr(dsn->bytes, "Subject: test\r\n\r\nbody\r\n"));
    assert_string_equal(dsn->envelope.sender, "");
    assert_true((dsn->envelope.flags & DEMIT_MESSAGE_BOUNCE) != 0);
    /* The bounce is on its way; the message is gone. */
    assert_int_equal(f->held_count, 1);
    assert_int_equal(fixture_counts(f).messages, 1);
    assert_int_equal(fixture_counts(f).bounced, 1);
    /* And is itself never bounced. */
    fixture_report(f, 0, DEMIT_RESULT_FAILED, "5.1.1", "550 no such user");
    assert_int_equal(f->held_count, 0);
    assert_int_equal(fixture_counts(f).messages, 0);
    assert_int_equal(fake_log_count("double_bounce"), 1);
}

static void a_bounce_that_cannot_be_stored(void **state)
{
    fixture_t *f = *state;
    fixture_send_one(f, "a@x.example");
    fake_spool.commit_status = APR_ENOSPC;
    fixture_report(f, 0, DEMIT_RESULT_FAILED, "5.1.1", "550 no such user");
    assert_int_equal(fixture_counts(f).messages, 1); /* nobody was told, so it has not failed */
    assert_int_equal(fixture_counts(f).recipients_pending, 1);
    assert_int_equal(fake_log_count("notification_not_stored"), 1);
    fake_spool.commit_status = APR_SUCCESS;
    fake_spool.busy_appends = 2;
    fixture_pass(f, 20 * MINUTE + SECOND);
    fixture_report(f, 0, DEMIT_RESULT_FAILED, "5.1.1", "550 no such user");
    assert_int_equal(fixture_counts(f).bounced, 1);
    assert_non_null(strstr(fake_spool_last()->bytes, "Action: failed"));
    assert_int_equal(fixture_counts(f).messages, 1);
}

static void an_outcome_that_cannot_be_stored(void **state)
{
    fixture_t *f = *state;
    fixture_send_one(f, "a@x.example");
    fake_spool.outcome_status = APR_EGENERAL;
    fixture_report(f, 0, DEMIT_RESULT_DELIVERED, "2.0.0", "ok");
    assert_int_equal(fixture_counts(f).messages, 1);
    fixture_pass(f, 6 * SECOND);
    assert_int_equal(f->held_count, 0); /* it was delivered, whatever the disk says */
    fake_spool.outcome_status = APR_SUCCESS;
    fixture_pass(f, 6 * SECOND);
    assert_int_equal(fake_spool.outcome_count, 1);
    assert_true(fake_spool.outcomes[0].final);
    assert_int_equal(fixture_counts(f).messages, 0);
}

/* A stop does not wait for the pause between two tries, and tries once more. */
static void an_outcome_that_can_be_stored_when_it_stops(void **state)
{
    fixture_t *f = *state;
    fixture_send_one(f, "a@x.example");
    fake_spool.outcome_status = APR_EGENERAL;
    fixture_report(f, 0, DEMIT_RESULT_DELIVERED, "2.0.0", "ok");
    assert_int_equal(fake_spool.outcome_count, 0);
    fake_spool.outcome_status = APR_SUCCESS;
    demit_queue_begin_stop(f->queue, 30 * SECOND);
    fixture_turn(f);
    assert_int_equal(fake_spool.outcome_count, 1);
    assert_true(fake_spool.outcomes[0].final);
    assert_true(demit_queue_is_done(f->queue));
}

/* Both legs fail at once: neither notification can say that the message is over, so a third record does. */
static void two_bounces_at_once(void **state)
{
    fixture_t *f = *state;
    const char *const to[] = {"a@x.example", "b@y.example"};
    fixture_send(f, "sender@from.example", to, 2);
    demit_delivery_t *both[] = {f->held[0], f->held[1]};
    f->held_count = 0;
    for (unsigned i = 0; i < 2; i++) {
        demit_delivery_set_all(both[i], DEMIT_RESULT_FAILED, "5.1.1", "no", true);
        demit_queue_report(f->queue, both[i]);
    }
    fixture_turn(f);
    assert_int_equal(fake_spool.outcome_count, 3);
    assert_false(fake_spool.outcomes[0].final || fake_spool.outcomes[1].final);
    assert_true(fake_spool.outcomes[2].final);
    assert_int_equal(fixture_counts(f).bounced, 2);
    assert_int_equal(fixture_counts(f).messages, 2);
}

static void a_final_outcome_under_way_keeps_the_message(void **state)
{
    fixture_t *f = *state;
    fake_spool.hold_outcomes = true;
    fixture_send_one(f, "a@x.example");
    fixture_report(f, 0, DEMIT_RESULT_DELIVERED, "2.0.0", "ok");
    assert_int_equal(fixture_counts(f).messages, 1);
    assert_int_equal(f->queue->records_under_way, 1);
    fake_spool_release();
    fixture_turn(f);
    assert_int_equal(fixture_counts(f).messages, 0);
}

/* A crash between delivery and its record: the next queue tries again, and only who is pending. */
static void recovers(void **state)
{
    fixture_t *f = *state;
    const char *const to[] = {"a@x.example", "b@y.example"};
    fixture_send(f, "s@from.example", to, 2);
    fixture_report(f, 0, DEMIT_RESULT_DELIVERED, "2.0.0", "ok");
    fixture_report(f, 0, DEMIT_RESULT_DEFERRED, "4.0.0", "later");
    fixture_send_one(f, "c@z.example"); /* under way at the crash */

    fixture_t *next = apr_pcalloc(f->pool, sizeof(*next));
    *next = *f;
    next->held_count = 0;
    next->transport.start = f->transport.start;
    demit_queue_clock_t clock = {f->queue->clock.monotonic_us, f->queue->clock.wall_us, next};
    demit_queue_options_t options = {.settings = &f->settings};
    assert_int_equal(demit_queue_create_with_clock(&next->queue, &options, &clock, f->pool), APR_SUCCESS);
    for (unsigned method = 0; method < DEMIT_METHOD_COUNT; method++)
        demit_queue_set_transport(next->queue, (demit_delivery_method_t)method, &next->transport);
    apr_thread_t *thread;
    apr_status_t status;
    assert_int_equal(apr_thread_create(&thread, NULL, demit_queue_recover, next->queue, f->pool), APR_SUCCESS);
    apr_thread_join(&status, thread);
    fixture_turn(next);
    assert_int_equal(fixture_counts(next).messages, 2);
    assert_int_equal(fixture_counts(next).received, 0);
    assert_int_equal(next->held_count, 1);
    assert_string_equal(next->held[0]->domain, "z.example");
    fixture_pass(next, 20 * MINUTE + SECOND);
    assert_int_equal(next->held_count, 2);
    assert_string_equal(next->held[1]->domain, "y.example");
    assert_int_equal(next->held[1]->recipients[0].index, 1);
    /* The back-off goes on where it was. */
    fixture_report(next, 1, DEMIT_RESULT_DEFERRED, "4.0.0", "later");
    fixture_pass(next, 39 * MINUTE);
    assert_int_equal(next->held_count, 1);
    fixture_pass(next, MINUTE + SECOND);
    assert_int_equal(next->held_count, 2);
}

static void compaction_moves_what_is_idle(void **state)
{
    fixture_t *f = *state;
    uint64_t id = fixture_send_one(f, "a@x.example");
    uint32_t ticket = 0;
    fake_spool.mover.move(fake_spool.mover.baton, id, (demit_spool_location_t){1, 0}, &ticket);
    fixture_turn(f);
    assert_int_equal(fake_spool.moves, 0); /* a delivery reads it */
    fixture_report(f, 0, DEMIT_RESULT_DEFERRED, "4.0.0", "later");
    assert_int_equal(fake_spool.moves, 1);
    fixture_pass(f, 20 * MINUTE + SECOND);
    assert_int_equal(f->held_count, 1);
    assert_int_equal(f->held[0]->location.block, 1);
    /* Asked about the old place again, or about what is over. */
    fake_spool.mover.move(fake_spool.mover.baton, id, (demit_spool_location_t){1, 0}, &ticket);
    fixture_turn(f);
    assert_int_equal(fake_spool.skips, 1);
    ticket = 1;
    fake_spool.mover.move(fake_spool.mover.baton, id, (demit_spool_location_t){1, 1}, &ticket);
    fixture_turn(f);
    fixture_report(f, 0, DEMIT_RESULT_DELIVERED, "2.0.0", "ok");
    assert_int_equal(fake_spool.skips, 2);
    assert_int_equal(fake_spool.moves, 1);
    assert_int_equal(fixture_counts(f).messages, 0);
}

/* A move that comes to nothing (the disk is full, say) holds the message up for a minute and not for ever. */
static void a_move_that_fails(void **state)
{
    fixture_t *f = *state;
    uint64_t id = fixture_send_one(f, "a@x.example");
    fixture_report(f, 0, DEMIT_RESULT_DEFERRED, "4.0.0", "later");
    fixture_pass(f, 19 * MINUTE + 50 * SECOND);
    uint32_t ticket = 0;
    fake_spool.moves_fail = true;
    fake_spool.mover.move(fake_spool.mover.baton, id, (demit_spool_location_t){1, 0}, &ticket);
    fixture_pass(f, 11 * SECOND);
    assert_int_equal(f->held_count, 0);
    fixture_pass(f, MINUTE + SECOND);
    assert_int_equal(f->held_count, 1);
    fixture_report(f, 0, DEMIT_RESULT_DEFERRED, "4.0.0", "later");
    fake_spool.moves_fail = false;
    fake_spool.mover.move(fake_spool.mover.baton, id, (demit_spool_location_t){1, 0}, &ticket);
    fixture_turn(f);
    assert_int_equal(fake_spool.moves, 1);
    fixture_pass(f, 41 * MINUTE);
    assert_int_equal(f->held_count, 1);
    assert_int_equal(f->held[0]->location.block, 1);
}

static void count_domain(void *baton, const demit_queue_domain_view_t *view)
{
    fixture_t *f = baton;
    f->starts = (uint32_t)view->messages;
    assert_string_equal(view->domain, "x.example");
    assert_string_equal(view->last_error, "450 busy");
    assert_int_equal(view->deferred, 1);
    assert_int_equal(view->active, 1);
}

static void count_message(void *baton, const demit_queue_message_view_t *view)
{
    uint64_t *ids = baton;
    ids[++ids[0]] = view->envelope->id;
    assert_int_equal(view->envelope->recipient_count, 1);
}

static void looks(void **state)
{
    fixture_t *f = *state;
    f->any.max_outbound_connections = 1;
    uint64_t first = fixture_send_one(f, "a@x.example");
    fixture_report(f, 0, DEMIT_RESULT_DEFERRED, "4.0.0", "450 busy");
    uint64_t second = fixture_send_one(f, "b@x.example"), third = fixture_send_one(f, "c@x.example");
    demit_queue_each_domain(f->queue, count_domain, f);
    assert_int_equal(f->starts, 3);
    uint64_t ids[8] = {0};
    demit_queue_each_message(f->queue, NULL, 2, count_message, ids);
    assert_int_equal(ids[0], 2);
    assert_int_equal(ids[1], first);
    assert_int_equal(ids[2], second);
    ids[0] = 0;
    demit_queue_each_message(f->queue, "X.example", 10, count_message, ids);
    assert_int_equal(ids[0], 3);
    assert_int_equal(ids[3], third);
    ids[0] = 0;
    assert_true(demit_queue_find_message(f->queue, second, count_message, ids));
    assert_false(demit_queue_find_message(f->queue, 1, count_message, ids));
    assert_int_equal(ids[0], 1);
    assert_int_equal(ids[1], second);
    ids[0] = 0;
    demit_queue_each_message(f->queue, "nowhere.example", 10, count_message, ids);
    assert_int_equal(ids[0], 0);
    assert_int_equal(fixture_counts(f).destinations, 1);
}

static void count_all(void *baton, const demit_queue_message_view_t *view)
{
    uint64_t *ids = baton;
    ids[++ids[0]] = view->envelope->id;
}

/* Behind a gateway the messages of all domains wait together; who asks for one domain gets that one's. */
static void looks_through_a_gateway(void **state)
{
    fixture_t *f = *state;
    f->any.gateway_host = "relay.example";
    f->any.gateway_port = 2525;
    f->any.max_outbound_connections = 1;
    fixture_send_one(f, "a@x.example");
    uint64_t second = fixture_send_one(f, "b@y.example");
    fixture_send_one(f, "c@x.example");
    uint64_t fourth = fixture_send_one(f, "d@Y.example");
    uint64_t ids[8] = {0};
    demit_queue_each_message(f->queue, "y.EXAMPLE", 10, count_all, ids);
    assert_int_equal(ids[0], 2);
    assert_int_equal(ids[1], second);
    assert_int_equal(ids[2], fourth);
    ids[0] = 0;
    demit_queue_each_message(f->queue, "y.example", 1, count_all, ids);
    assert_int_equal(ids[0], 1);
    ids[0] = 0;
    demit_queue_each_message(f->queue, "z.example", 10, count_all, ids);
    assert_int_equal(ids[0], 0);
    assert_int_equal(fixture_counts(f).destinations, 1);
}

static void stops(void **state)
{
    fixture_t *f = *state;
    fixture_send_one(f, "a@x.example");
    demit_queue_begin_stop(f->queue, 10 * SECOND);
    demit_queue_turn(f->queue);
    assert_false(demit_queue_is_done(f->queue));
    fixture_send_one(f, "b@x.example");
    assert_int_equal(f->held_count, 1); /* nothing new is started */
    demit_delivery_t *delivery = f->held[--f->held_count];
    demit_delivery_set_all(delivery, DEMIT_RESULT_DELIVERED, "2.0.0", "ok", false);
    demit_queue_report(f->queue, delivery);
    demit_queue_turn(f->queue);
    demit_queue_turn(f->queue);
    assert_true(demit_queue_is_done(f->queue));
    assert_int_equal(fake_spool.outcome_count, 1);
}

static void stops_after_the_grace(void **state)
{
    fixture_t *f = *state;
    fixture_send_one(f, "a@x.example");
    demit_queue_begin_stop(f->queue, 10 * SECOND);
    demit_queue_turn(f->queue);
    f->monotonic_us += 9 * SECOND;
    assert_false(demit_queue_is_done(f->queue));
    f->monotonic_us += 2 * SECOND;
    assert_true(demit_queue_is_done(f->queue));
}

static void a_hurry_ends_the_grace(void **state)
{
    fixture_t *f = *state;
    fixture_send_one(f, "a@x.example");
    demit_queue_drain(f->queue, 10 * SECOND);
    demit_queue_turn(f->queue);
    assert_false(demit_queue_is_done(f->queue));
    demit_queue_hurry(f->queue);
    demit_queue_turn(f->queue);
    assert_true(demit_queue_is_done(f->queue));
}

/* Nobody takes it any more, and the end of the queue must not look for it in memory that went with the delivery. */
static void a_report_after_the_end_is_let_go(void **state)
{
    fixture_t *f = *state;
    fixture_send_one(f, "a@x.example");
    demit_queue_begin_stop(f->queue, 10 * SECOND);
    f->monotonic_us += 11 * SECOND;
    demit_queue_turn(f->queue);
    assert_true(demit_queue_is_done(f->queue));
    demit_delivery_t *delivery = f->held[--f->held_count];
    demit_delivery_set_all(delivery, DEMIT_RESULT_DEFERRED, "4.4.2", "too late", false);
    demit_queue_report(f->queue, delivery);
}

int main(void)
{
    apr_initialize();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(delivers_and_forgets, make, end),
        cmocka_unit_test_setup_teardown(backs_off, make, end),
        cmocka_unit_test_setup_teardown(wall_clock_jumps_change_nothing, make, end),
        cmocka_unit_test_setup_teardown(expires_with_one_last_attempt, make, end),
        cmocka_unit_test(max_retries),
        cmocka_unit_test_setup_teardown(one_transaction_for_one_destination, make, end),
        cmocka_unit_test_setup_teardown(one_destination_in_any_spelling, make, end),
        cmocka_unit_test_setup_teardown(many_recipients_are_split, make, end),
        cmocka_unit_test_setup_teardown(connections_are_limited_and_shared, make, end),
        cmocka_unit_test_setup_teardown(keeps_to_what_the_host_allows, make, end),
        cmocka_unit_test_setup_teardown(spreads_a_burst, make, end),
        cmocka_unit_test_setup_teardown(throttles, make, end),
        cmocka_unit_test_setup_teardown(a_dead_host_rests, make, end),
        cmocka_unit_test_setup_teardown(what_expires_in_the_line_is_given_up, make, end),
        cmocka_unit_test_setup_teardown(gateway_domains_share_connections, make, end),
        cmocka_unit_test_setup_teardown(failed_is_bounced_in_one_record, make, end),
        cmocka_unit_test_setup_teardown(a_bounce_that_cannot_be_stored, make, end),
        cmocka_unit_test_setup_teardown(an_outcome_that_cannot_be_stored, make, end),
        cmocka_unit_test_setup_teardown(an_outcome_that_can_be_stored_when_it_stops, make, end),
        cmocka_unit_test_setup_teardown(two_bounces_at_once, make, end),
        cmocka_unit_test_setup_teardown(a_final_outcome_under_way_keeps_the_message, make, end),
        cmocka_unit_test_setup_teardown(recovers, make, end),
        cmocka_unit_test_setup_teardown(compaction_moves_what_is_idle, make, end),
        cmocka_unit_test_setup_teardown(a_move_that_fails, make, end),
        cmocka_unit_test_setup_teardown(looks, make, end),
        cmocka_unit_test_setup_teardown(looks_through_a_gateway, make, end),
        cmocka_unit_test_setup_teardown(stops, make, end),
        cmocka_unit_test_setup_teardown(stops_after_the_grace, make, end),
        cmocka_unit_test_setup_teardown(a_hurry_ends_the_grace, make, end),
        cmocka_unit_test_setup_teardown(a_report_after_the_end_is_let_go, make, end),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    apr_terminate();
    return failed;
}
