/* Other settings while messages wait, and while they are being delivered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "core/config/life.h"
#include "fakes.h"

#define SECOND INT64_C(1000000)
#define MINUTE (60 * SECOND)

static int ends; /* of settings */

static int make(void **state)
{
    ends = 0;
    *state = fixture_make();
    return 0;
}

static int end(void **state)
{
    fixture_free(*state);
    return 0;
}

/* ---- settings with a life --------------------------------------------------------------------------------------- */

static apr_status_t count_end(void *baton)
{
    (void)baton;
    ends++;
    return APR_SUCCESS;
}

/* A domain and its gateway; without one it is reached by MX, and with "maildir" it is kept here. */
typedef struct scope {
    const char *name, *gateway;
} scope_t;

static demit_settings_t *make_settings(const fixture_t *f, const char *gateway, const scope_t *scopes, int count)
{
    apr_pool_t *pool;
    assert_int_equal(apr_pool_create(&pool, NULL), APR_SUCCESS);
    demit_settings_t *made = apr_pmemdup(pool, &f->settings, sizeof(f->settings));
    demit_domain_settings_t *any = apr_pmemdup(pool, &f->any, sizeof(f->any));
    apr_array_header_t *domains = apr_array_make(pool, count + 1, sizeof(demit_domain_settings_t));
    made->any_domain = any;
    made->domains = domains;
    made->hostname = apr_pstrdup(pool, f->settings.hostname);
    any->gateway_host = apr_pstrdup(pool, gateway);
    for (int i = 0; i < count; i++) {
        const bool is_maildir = scopes[i].gateway != NULL && strcmp(scopes[i].gateway, "maildir") == 0;
        demit_domain_settings_t *domain = apr_array_push(domains);
        *domain = is_maildir ? f->local : f->any;
        domain->name = apr_pstrdup(pool, scopes[i].name);
        domain->gateway_host = is_maildir ? NULL : apr_pstrdup(pool, scopes[i].gateway);
    }
    apr_pool_cleanup_register(pool, made, count_end, apr_pool_cleanup_null);
    demit_settings_begin_life(made, pool);
    return made;
}

static void use(fixture_t *f, const demit_settings_t *settings)
{
    demit_queue_use_settings(f->queue, settings);
    demit_settings_release(settings);
    fixture_turn(f);
}

/* Any domain goes to GATEWAY, or, if that is NULL, by MX. */
static void use_gateway(fixture_t *f, const char *gateway)
{
    use(f, make_settings(f, gateway, NULL, 0));
}

/* The one delivery that is held, for the next hop GATEWAY, has COUNT recipients. */
static void assert_held(const fixture_t *f, const char *gateway, uint32_t count)
{
    assert_int_equal(f->held_count, 1);
    if (gateway == NULL) {
        assert_null(f->held[0]->settings->gateway_host);
    } else {
        assert_string_equal(f->held[0]->settings->gateway_host, gateway);
    }
    assert_int_equal(f->held[0]->recipient_count, count);
}

static void assert_empty(fixture_t *f)
{
    demit_queue_counts_t counts = fixture_counts(f);
    assert_int_equal(counts.messages, 0);
    assert_int_equal(counts.recipients_pending, 0);
    assert_int_equal(counts.destinations, 0);
    assert_int_equal(counts.active, 0);
    assert_int_equal(counts.deferred, 0);
    assert_int_equal(f->queue->connections, 0);
    assert_int_equal(f->queue->deliveries_under_way, 0);
    assert_true(demit_list_is_empty(&f->queue->abandoned));
}

/* ---- what waits ------------------------------------------------------------------------------------------------- */

static void what_waits_goes_elsewhere_when_it_is_due(void **state)
{
    fixture_t *f = *state;
    use_gateway(f, "one.example");
    fixture_send_one(f, "a@b.example");
    fixture_report(f, 0, DEMIT_RESULT_DEFERRED, "4.0.0", "later");
    fixture_pass(f, 5 * MINUTE);
    use_gateway(f, "two.example");
    assert_int_equal(f->held_count, 0);
    fixture_pass(f, 14 * MINUTE);
    assert_int_equal(f->held_count, 0);
    fixture_pass(f, MINUTE + SECOND);
    assert_held(f, "two.example", 1);
    fixture_report(f, 0, DEMIT_RESULT_DEFERRED, "4.0.0", "later");
    fixture_pass(f, 39 * MINUTE); /* the back-off goes on: this was the second failure */
    assert_int_equal(f->held_count, 0);
    fixture_pass(f, MINUTE + SECOND);
    fixture_report(f, 0, DEMIT_RESULT_DELIVERED, "2.0.0", "ok");
    assert_empty(f);
    assert_int_equal(ends, 1); /* the second one's are in force */
}

static void what_rests_elsewhere_goes_on_here(void **state)
{
    fixture_t *f = *state;
    fixture_send_one(f, "a@b.example");
    f->held[0]->connection_failed = true;
    fixture_report(f, 0, DEMIT_RESULT_DEFERRED, "4.4.1", "down");
    fixture_send_one(f, "c@b.example"); /* in line behind a host that rests */
    assert_int_equal(f->held_count, 0);
    use_gateway(f, "up.example");
    assert_held(f, "up.example", 1);
    fixture_report(f, 0, DEMIT_RESULT_DELIVERED, "2.0.0", "ok");
    fixture_pass(f, 20 * MINUTE + SECOND);
    fixture_report(f, 0, DEMIT_RESULT_DELIVERED, "2.0.0", "ok");
    assert_empty(f);
}

/* What is known of a host is not forgotten because something else has changed. */
static void a_dead_host_rests_on(void **state)
{
    static const char *const gateways[] = {NULL, "down.example"};
    for (size_t i = 0; i < sizeof(gateways) / sizeof(gateways[0]); i++) {
        fixture_t *f = *state;
        use_gateway(f, gateways[i]);
        fixture_send_one(f, "a@b.example");
        f->held[0]->connection_failed = true;
        fixture_report(f, 0, DEMIT_RESULT_DEFERRED, "4.4.1", "down");
        fixture_send_one(f, "c@b.example");
        for (unsigned again = 0; again < 3; again++) {
            use_gateway(f, gateways[i]);
            assert_int_equal(f->held_count, 0);
        }
        fixture_pass(f, 2 * MINUTE + SECOND);
        assert_held(f, gateways[i], 1);
        fixture_report(f, 0, DEMIT_RESULT_DELIVERED, "2.0.0", "ok");
        fixture_pass(f, 20 * MINUTE);
        fixture_report(f, 0, DEMIT_RESULT_DELIVERED, "2.0.0", "ok");
        assert_empty(f);
    }
}

/* What was sent lately counts on while the limit is the same, and a new limit holds at once. */
static void a_throttle_is_not_forgotten(void **state)
{
    fixture_t *f = *state;
    f->any.throttle_messages = 2;
    f->any.throttle_seconds = 600;
    use_gateway(f, NULL);
    for (unsigned i = 0; i < 5; i++)
        fixture_send_one(f, "a@b.example");
    assert_int_equal(f->given, 2);
    use_gateway(f, NULL);
    use_gateway(f, NULL);
    assert_int_equal(f->given, 2);
    f->any.throttle_messages = 1;
    use_gateway(f, NULL);
    assert_int_equal(f->given, 3);
    f->any.throttle_messages = 0;
    use_gateway(f, NULL);
    assert_int_equal(f->given, 5);
    while (f->held_count > 0)
        fixture_report(f, 0, DEMIT_RESULT_DELIVERED, "2.0.0", "ok");
    assert_empty(f);
}

static void recipients_part_and_meet_again(void **state)
{
    static const scope_t apart[] = {{"b.example", "b.gateway"}, {"c.example", NULL}, {"d.example", "maildir"}};
    static const char *const to[] = {"a@b.example", "a@c.example", "b@b.example", "a@d.example", "a@e.example"};
    fixture_t *f = *state;
    use_gateway(f, "one.example");
    fixture_send(f, "s@from.example", to, 5);
    assert_held(f, "one.example", 5);
    fixture_report(f, 0, DEMIT_RESULT_DEFERRED, "4.0.0", "later");
    use(f, make_settings(f, "one.example", apart, 3));
    fixture_pass(f, 20 * MINUTE + SECOND);
    assert_int_equal(f->held_count, 4);
    assert_int_equal(fixture_counts(f).recipients_pending, 5);
    while (f->held_count > 0) {
        const bool is_b = strcmp(f->held[0]->domain, "b.example") == 0;
        assert_int_equal(f->held[0]->recipient_count, is_b ? 2 : 1);
        fixture_report(f, 0, is_b ? DEMIT_RESULT_DELIVERED : DEMIT_RESULT_DEFERRED, is_b ? "2.0.0" : "4.0.0", "so");
    }
    assert_int_equal(fixture_counts(f).recipients_pending, 3);
    for (unsigned again = 0; again < 5; again++) { /* legs that are over are used again */
        use_gateway(f, "one.example");
        use(f, make_settings(f, "two.example", apart, 3));
    }
    use_gateway(f, "one.example");
    fixture_pass(f, 40 * MINUTE + SECOND);
    assert_true(f->held_count >= 1);
    while (f->held_count > 0)
        fixture_report(f, 0, DEMIT_RESULT_DELIVERED, "2.0.0", "ok");
    assert_empty(f);
}

/* ---- what is under way ------------------------------------------------------------------------------------------ */

static void what_is_under_way_ends_as_it_began(void **state)
{
    static const char *const to[] = {"a@b.example", "c@b.example"};
    fixture_t *f = *state;
    use_gateway(f, "one.example");
    fixture_send(f, "s@from.example", to, 2);
    use_gateway(f, "two.example");
    use_gateway(f, "three.example");
    assert_held(f, "one.example", 2);
    assert_string_equal(f->held[0]->server_settings->any_domain->gateway_host, "one.example");
    assert_int_equal(ends, 1); /* the second's: nobody works with them */
    demit_delivery_t *delivery = f->held[--f->held_count];
    demit_delivery_set_all(delivery, DEMIT_RESULT_DEFERRED, "4.0.0", "later", true);
    delivery->recipients[0].result = DEMIT_RESULT_DELIVERED;
    delivery->recipients[0].status = "2.0.0";
    demit_queue_report(f->queue, delivery);
    fixture_turn(f);
    assert_int_equal(ends, 2);
    fixture_pass(f, 20 * MINUTE + SECOND);
    assert_held(f, "three.example", 1);
    assert_string_equal(f->held[0]->recipients[0].recipient->address, "c@b.example");
    fixture_report(f, 0, DEMIT_RESULT_DELIVERED, "2.0.0", "ok");
    assert_empty(f);
}

static void a_connection_counts_where_it_was_made(void **state)
{
    static const scope_t local[] = {{"b.example", "maildir"}};
    fixture_t *f = *state;
    use_gateway(f, NULL);
    fixture_send_one(f, "a@b.example");
    assert_int_equal(f->queue->connections, 1);
    use(f, make_settings(f, NULL, local, 1));
    fixture_send_one(f, "c@b.example");
    assert_int_equal(f->held_count, 2);
    assert_int_equal(f->queue->connections, 1);
    use_gateway(f, NULL);
    while (f->held_count > 0)
        fixture_report(f, 0, DEMIT_RESULT_DELIVERED, "2.0.0", "ok");
    assert_empty(f);
    assert_int_equal(ends, 2);
}

/* The queue ends with settings on their way to it, and with deliveries that nobody reported. */
static void nothing_is_held_after_the_end(void **state)
{
    fixture_t *f = *state;
    use_gateway(f, "one.example");
    fixture_send_one(f, "a@b.example");
    demit_settings_t *late = make_settings(f, NULL, NULL, 0);
    demit_queue_use_settings(f->queue, late);
    demit_settings_release(late);
    fixture_free(f);
    assert_int_equal(ends, 2);
    *state = fixture_make();
}

/* ---- anything ---------------------------------------------------------------------------------------------------- */

static uint32_t dice(uint64_t *seed, uint32_t sides)
{
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*seed >> 33) % sides;
}

static void use_anything(fixture_t *f, uint64_t *seed)
{
    static const char *const names[] = {"b.example", "c.example", "d.example", "e.example"};
    static const char *const ways[] = {NULL, "one.example", "two.example", "maildir"};
    scope_t scopes[4];
    int count = 0;
    for (unsigned i = 0; i < 4; i++) {
        if (dice(seed, 3) > 0) {
            scopes[count++] = (scope_t){.name = names[i], .gateway = ways[dice(seed, 4)]};
        }
    }
    use(f, make_settings(f, ways[dice(seed, 3)], scopes, count));
}

static void report_any(fixture_t *f, uint64_t *seed, uint64_t *delivered)
{
    demit_delivery_t *delivery = f->held[dice(seed, f->held_count)];
    uint32_t index = 0;
    while (f->held[index] != delivery) {
        index++;
    }
    f->held[index] = f->held[--f->held_count];
    demit_delivery_set_all(delivery, DEMIT_RESULT_DEFERRED, "4.0.0", "later", true);
    for (uint32_t i = 0; i < delivery->recipient_count; i++) {
        if (dice(seed, 2) == 0) {
            delivery->recipients[i].result = DEMIT_RESULT_DELIVERED;
            delivery->recipients[i].status = "2.0.0";
            ++*delivered;
        }
    }
    delivery->connection_failed = dice(seed, 8) == 0;
    demit_queue_report(f->queue, delivery);
    fixture_turn(f);
}

static void send_any(fixture_t *f, uint64_t *seed, uint64_t *sent)
{
    static const char *const to[] = {"a@b.example", "a@c.example", "b@b.example", "a@d.example", "a@e.example"};
    const uint32_t first = dice(seed, 5), count = 1 + dice(seed, 5 - first);
    fixture_send(f, "s@from.example", &to[first], count);
    *sent += count;
}

/* Whatever happens in whatever order: every recipient is delivered to once, and nothing stays behind. */
static void anything_in_any_order(void **state)
{
    fixture_t *f = *state;
    for (uint64_t seed = 1, round = 0; round < 300; round++) {
        uint64_t sent = 0, delivered = 0;
        for (unsigned step = 0; step < 60; step++) {
            switch (dice(&seed, 4)) {
            case 0:
                use_anything(f, &seed);
                break;
            case 1:
                send_any(f, &seed, &sent);
                break;
            case 2:
                fixture_pass(f, dice(&seed, 30) * MINUTE);
                break;
            default:
                if (f->held_count > 0) {
                    report_any(f, &seed, &delivered);
                }
                break;
            }
        }
        while (fixture_counts(f).messages > 0) {
            while (f->held_count > 0) {
                report_any(f, &seed, &delivered);
            }
            fixture_pass(f, 20 * MINUTE);
        }
        assert_int_equal(delivered, sent);
        fixture_free(f);
        f = fixture_make();
    }
    *state = f;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make, end)

int main(void)
{
    apr_initialize();
    const struct CMUnitTest tests[] = {
        TEST(what_waits_goes_elsewhere_when_it_is_due),
        TEST(what_rests_elsewhere_goes_on_here),
        TEST(a_dead_host_rests_on),
        TEST(a_throttle_is_not_forgotten),
        TEST(recipients_part_and_meet_again),
        TEST(what_is_under_way_ends_as_it_began),
        TEST(a_connection_counts_where_it_was_made),
        TEST(nothing_is_held_after_the_end),
        TEST(anything_in_any_order),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    apr_terminate();
    return failed;
}
