/* The parts that are pure: back-off, throttle, wheel, index. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <apr_general.h>

#include "core/delivery/queued.h"
#include "core/delivery/schedule.h"
#include "core/delivery/throttle.h"
#include "core/delivery/wheel.h"

#define SECOND INT64_C(1000000)

static void intervals_double_up_to_a_limit(void **state)
{
    static const struct {
        int64_t retry, limit;
        uint32_t attempts;
        int64_t expected;
    } table[] = {
        {1200, 43200, 1, 1200},
        {1200, 43200, 2, 2400},
        {1200, 43200, 6, 38400},
        {1200, 43200, 7, 43200},
        {1200, 43200, 0, 1200},
        {1, 10, 4, 8},
        {1, 10, 5, 10},
        {1, 10, UINT32_MAX, 10},
        {1200, 600, 1, 600},
        {0, 10, 1, 1},
        {0, 0, 3, 1},
        {7, 7, 9, 7},
        {INT64_MAX / SECOND, INT64_MAX / SECOND, 1000, INT64_MAX / SECOND},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        demit_domain_settings_t settings = {.retry_interval_us = table[i].retry * SECOND,
                                            .max_retry_interval_us = table[i].limit * SECOND};
        assert_int_equal(demit_schedule_interval_us(&settings, table[i].attempts), table[i].expected * SECOND);
    }
}

static void the_last_attempt_is_when_it_expires(void **state)
{
    (void)state;
    demit_domain_settings_t settings = {.retry_interval_us = 100 * SECOND,
                                        .max_retry_interval_us = 1000 * SECOND,
                                        .message_expiration_us = 250 * SECOND,
                                        .max_retries = -1};
    assert_int_equal(demit_schedule_pause_us(&settings, 1, 0), 100 * SECOND);
    assert_int_equal(demit_schedule_pause_us(&settings, 2, 100 * SECOND), 150 * SECOND);
    assert_int_equal(demit_schedule_pause_us(&settings, 9, 900 * SECOND), SECOND);
    assert_false(demit_schedule_is_over(&settings, 5, 249 * SECOND));
    assert_true(demit_schedule_is_over(&settings, 1, 250 * SECOND));
    settings.max_retries = 0;
    assert_true(demit_schedule_is_over(&settings, 1, 0));
    settings.max_retries = 2;
    assert_false(demit_schedule_is_over(&settings, 2, 0));
    assert_true(demit_schedule_is_over(&settings, 3, 0));
}

/* However messages come: no window of S seconds holds more than N. */
static void a_throttle_is_never_exceeded(void **state)
{
    (void)state;
    enum { TRIES = 20000, LIMIT = 25, WINDOW = 3 };
    int64_t now = 777, times[TRIES];
    unsigned sent = 0;
    srand(4711);
    demit_throttle_t throttle;
    demit_throttle_init(&throttle, LIMIT, WINDOW, now);
    for (unsigned i = 0; i < TRIES; i++) {
        now += (rand() % 3 == 0) ? rand() % 2000000 : rand() % 20000;
        uint32_t allowance = demit_throttle_allowance(&throttle, now);
        assert_true(allowance <= LIMIT);
        if (allowance == 0) {
            assert_true(demit_throttle_next_us(&throttle) > now);
            assert_true(demit_throttle_next_us(&throttle) <= now + WINDOW * SECOND + WINDOW * SECOND / 16 + 16);
            now = demit_throttle_next_us(&throttle);
            allowance = demit_throttle_allowance(&throttle, now);
            assert_true(allowance > 0);
        }
        demit_throttle_use(&throttle, 1);
        times[sent] = now;
        if (sent >= LIMIT)
            assert_true(now - times[sent - LIMIT] >= WINDOW * SECOND);
        sent++;
    }
}

static void a_wheel_is_never_early_and_never_late(void **state)
{
    (void)state;
    enum { NODES = 5000 };
    static demit_wheel_node_t nodes[NODES];
    static bool came[NODES];
    demit_wheel_t wheel;
    int64_t now = 123456789;
    srand(42);
    demit_wheel_init(&wheel, now);
    for (unsigned i = 0; i < NODES; i++) {
        /* From the past to two weeks ahead, on every level and beyond the last. */
        int64_t ahead =
            (int64_t)(((uint64_t)rand() << 20 ^ (uint64_t)rand()) % (UINT64_C(1) << (unsigned)(rand() % 41)));
        demit_wheel_add(&wheel, &nodes[i], now + ahead - 5);
        came[i] = false;
    }
    for (unsigned i = 0; i < NODES; i += 7) {
        demit_wheel_remove(&nodes[i]);
        came[i] = true;
    }
    unsigned left = NODES - (NODES + 6) / 7, rounds = 0;
    while (left > 0) {
        int64_t next = demit_wheel_next_us(&wheel);
        assert_true(next != INT64_MAX);
        now = (rounds++ % 3 == 0 && next > now) ? next + rand() % 5000000 : (next > now ? next : now);
        demit_link_t due;
        demit_list_init(&due);
        demit_wheel_advance(&wheel, now, &due);
        for (demit_link_t *link; (link = demit_list_shift(&due)) != NULL;) {
            unsigned i = (unsigned)((demit_wheel_node_t *)(void *)link - nodes);
            assert_false(came[i]);
            assert_true(nodes[i].due_us <= now);
            came[i] = true;
            left--;
        }
        for (unsigned i = 0; rounds % 64 == 0 && i < NODES; i++)
            assert_true(came[i] || nodes[i].due_us + 2 * (1 << 14) > now);
    }
    assert_int_equal(demit_wheel_next_us(&wheel), INT64_MAX);
}

static void a_message_is_packed_whole(void **state)
{
    (void)state;
    apr_initialize();
    apr_pool_t *pool;
    assert_int_equal(apr_pool_create(&pool, NULL), APR_SUCCESS);
    demit_recipient_t recipients[] = {
        {.address = "a@x", .original = "rfc822;o", .accepted = "acc@x", .notify = 6},
        {.address = "", .state = DEMIT_RECIPIENT_DELIVERED},
        {.address = "c@x", .original = "", .state = DEMIT_RECIPIENT_FAILED, .notify = DEMIT_NOTIFY_NEVER}};
    demit_envelope_t envelope = {.id = 7,
                                 .arrived_us = 8,
                                 .size_bytes = 9,
                                 .flags = 10,
                                 .ret = DEMIT_RET_HDRS,
                                 .sender = "",
                                 .envid = NULL,
                                 .recipients = recipients,
                                 .recipient_count = 3,
                                 .attempts = 11,
                                 .next_attempt_us = 12,
                                 .delay_dsn_sent = true};
    demit_queued_t *message = demit_queued_pack(&envelope, (demit_spool_location_t){13, 14});
    assert_int_equal(message->pending, 1);
    assert_int_equal(message->location.block, 14);
    demit_envelope_t *back = demit_queued_envelope(message, pool);
    assert_int_equal(back->id, 7);
    assert_int_equal(back->arrived_us, 8);
    assert_int_equal(back->size_bytes, 9);
    assert_int_equal(back->flags, 10);
    assert_int_equal(back->ret, DEMIT_RET_HDRS);
    assert_string_equal(back->sender, "");
    assert_null(back->envid);
    assert_int_equal(back->attempts, 11);
    assert_int_equal(back->next_attempt_us, 12);
    assert_true(back->delay_dsn_sent);
    for (unsigned i = 0; i < 3; i++) {
        assert_string_equal(back->recipients[i].address, recipients[i].address);
        assert_int_equal(back->recipients[i].notify, recipients[i].notify);
        assert_int_equal(back->recipients[i].state, recipients[i].state);
    }
    assert_string_equal(back->recipients[0].original, "rfc822;o");
    assert_string_equal(back->recipients[0].accepted, "acc@x");
    assert_null(back->recipients[1].original);
    assert_string_equal(back->recipients[2].original, "");
    demit_queued_free(message);
    apr_pool_destroy(pool);
}

static void an_index_finds_what_it_holds(void **state)
{
    (void)state;
    enum { COUNT = 10000 };
    demit_queue_index_t index;
    demit_queued_t *messages = calloc(COUNT, sizeof(*messages));
    assert_int_equal(demit_queue_index_init(&index), APR_SUCCESS);
    for (unsigned i = 0; i < COUNT; i++) {
        messages[i].id = (uint64_t)i << (i % 40);
        if (demit_queue_index_find(&index, messages[i].id) == NULL)
            demit_queue_index_add(&index, &messages[i]);
        else
            messages[i].id = UINT64_MAX;
    }
    for (unsigned i = 0; i < COUNT; i += 2)
        if (messages[i].id != UINT64_MAX)
            demit_queue_index_remove(&index, &messages[i]);
    for (unsigned i = 0; i < COUNT; i++)
        if (messages[i].id != UINT64_MAX)
            assert_ptr_equal(demit_queue_index_find(&index, messages[i].id), i % 2 == 0 ? NULL : &messages[i]);
    demit_queue_index_destroy(&index);
    free(messages);
}

static void notes_are_shared(void **state)
{
    (void)state;
    demit_note_t *one = demit_note_make(NULL, "450 busy");
    demit_note_t *two = demit_note_make(one, "450 busy");
    assert_ptr_equal(one, two);
    demit_note_t *other = demit_note_make(one, "450 bus");
    assert_ptr_not_equal(one, other);
    demit_note_release(one);
    assert_string_equal(two->text, "450 busy");
    demit_note_release(two);
    demit_note_release(other);
    demit_note_release(NULL);
    char lengthy[1000];
    memset(lengthy, 'x', 999);
    lengthy[999] = '\0';
    one = demit_note_make(NULL, lengthy);
    assert_int_equal(strlen(one->text), 255);
    demit_note_release(one);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(intervals_double_up_to_a_limit),
        cmocka_unit_test(the_last_attempt_is_when_it_expires),
        cmocka_unit_test(a_throttle_is_never_exceeded),
        cmocka_unit_test(a_wheel_is_never_early_and_never_late),
        cmocka_unit_test(a_message_is_packed_whole),
        cmocka_unit_test(an_index_finds_what_it_holds),
        cmocka_unit_test(notes_are_shared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
