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

/* ---- who is told what: every NOTIFY with every result ------------------------------------------------------------ */

typedef struct told {
    demit_result_t result;
    demit_delivery_method_t method;
    bool generate_bounces, generate_delay_dsn;
    const char *success, *failure, *delay, *none, *never; /* action that NOTIFY=… gets, NULL: no notification */
    bool peer_notifies;
} told_t;

static const told_t told[] = {
    {DEMIT_RESULT_FAILED, DEMIT_DELIVER_ESMTP, true, false, NULL, "failed", NULL, "failed", NULL, false},
    {DEMIT_RESULT_FAILED, DEMIT_DELIVER_ESMTP, false, true, NULL, NULL, NULL, NULL, NULL, false},
    {DEMIT_RESULT_DELIVERED, DEMIT_DELIVER_MAILDIR, true, true, "delivered", NULL, NULL, NULL, NULL, false},
    {DEMIT_RESULT_DELIVERED, DEMIT_DELIVER_MAILDIR, false, false, "delivered", NULL, NULL, NULL, NULL, false},
    {DEMIT_RESULT_DELIVERED, DEMIT_DELIVER_ESMTP, true, true, NULL, NULL, NULL, NULL, NULL, false},
    {DEMIT_RESULT_RELAYED, DEMIT_DELIVER_ESMTP, true, true, "relayed", NULL, NULL, NULL, NULL, false},
    {DEMIT_RESULT_RELAYED, DEMIT_DELIVER_SMTP, true, true, "relayed", NULL, NULL, NULL, NULL, false},
    {DEMIT_RESULT_RELAYED, DEMIT_DELIVER_LMTP, true, true, "delivered", NULL, NULL, NULL, NULL, false},
    {DEMIT_RESULT_DELIVERED, DEMIT_DELIVER_LMTP, true, true, "delivered", NULL, NULL, NULL, NULL, false},
    {DEMIT_RESULT_DELIVERED, DEMIT_DELIVER_LMTP, true, true, NULL, NULL, NULL, NULL, NULL, true},
    {DEMIT_RESULT_DEFERRED, DEMIT_DELIVER_ESMTP, true, true, NULL, NULL, "delayed", "delayed", NULL, false},
    {DEMIT_RESULT_DEFERRED, DEMIT_DELIVER_ESMTP, true, false, NULL, NULL, NULL, NULL, NULL, false},
};

static const char *expected_action(const told_t *row, uint8_t notify)
{
    if (notify == DEMIT_NOTIFY_NEVER)
        return row->never;
    if (notify == 0)
        return row->none;
    if ((notify & DEMIT_NOTIFY_SUCCESS) != 0 && row->success != NULL)
        return row->success;
    if ((notify & DEMIT_NOTIFY_FAILURE) != 0 && row->failure != NULL)
        return row->failure;
    return (notify & DEMIT_NOTIFY_DELAY) != 0 ? row->delay : NULL;
}

static void try_one(const told_t *row, uint8_t notify)
{
    fixture_t *f = fixture_make();
    f->any.delivery_method = row->method;
    f->any.generate_bounces = row->generate_bounces;
    f->any.generate_delay_dsn = row->generate_delay_dsn;
    demit_recipient_t recipient = {.address = "a@x.example", .notify = notify};
    demit_envelope_t envelope = {.sender = "s@from.example",
                                 .arrived_us = f->wall_us - 5 * HOUR,
                                 .recipients = &recipient,
                                 .recipient_count = 1};
    fixture_send_envelope(f, &envelope, "Subject: x\r\n\r\nbody\r\n");
    f->held[0]->peer_notifies = row->peer_notifies;
    fixture_report(f, 0, row->result, "2.0.0", "text");
    const char *expected = expected_action(row, notify);
    assert_int_equal(fake_spool.message_count, expected != NULL ? 2 : 1);
    assert_int_equal(fixture_counts(f).bounced, expected != NULL ? 1 : 0);
    if (expected != NULL) {
        const char *action = strstr(fake_spool_last()->bytes, "\r\nAction: ");
        assert_non_null(action);
        assert_memory_equal(action + 10, expected, strlen(expected));
        assert_true(fake_spool.outcomes[0].with_commit);
        assert_int_equal(fake_spool.outcomes[0].delay_dsn_sent, row->result == DEMIT_RESULT_DEFERRED);
    }
    fixture_free(f);
}

static void who_is_told_what(void **state)
{
    (void)state;
    for (size_t row = 0; row < sizeof(told) / sizeof(told[0]); row++) {
        try_one(&told[row], DEMIT_NOTIFY_NEVER);
        for (uint8_t notify = 0; notify <= 14; notify = (uint8_t)(notify + 2))
            try_one(&told[row], notify);
    }
}

/* ---- delays ------------------------------------------------------------------------------------------------------ */

static void delay_is_told_once(void **state)
{
    (void)state;
    fixture_t *f = fixture_make();
    f->any.generate_delay_dsn = true;
    f->any.retry_interval_us = f->any.max_retry_interval_us = HOUR;
    fixture_send_one(f, "a@x.example");
    unsigned notices = 0;
    for (unsigned hour = 0; hour < 10; hour++) {
        uint32_t before = fake_spool.message_count;
        assert_string_equal(f->held[0]->domain, "x.example");
        fixture_report(f, 0, DEMIT_RESULT_DEFERRED, "4.2.0", "450 later");
        if (fake_spool.message_count > before) {
            notices++;
            assert_int_equal(hour, 4);
            assert_non_null(strstr(fake_spool_last()->bytes, "Will-Retry-Until: "));
            fixture_report(f, 0, DEMIT_RESULT_DELIVERED, "2.0.0", "ok");
        }
        fixture_pass(f, HOUR + SECOND);
    }
    assert_int_equal(notices, 1);
    fixture_free(f);
}

/* ---- what of the original is returned ---------------------------------------------------------------------------- */

static void what_is_returned(void **state)
{
    static const struct {
        demit_ret_t ret;
        uint64_t size;
        demit_dsn_action_t action;
        demit_dsn_return_t what;
        uint32_t recipients; /* of the original */
    } table[] = {
        {DEMIT_RET_FULL, DEMIT_DSN_FULL_TOTAL_MAX, DEMIT_DSN_FAILED, DEMIT_DSN_RETURN_FULL, 1},
        {DEMIT_RET_FULL, DEMIT_DSN_FULL_TOTAL_MAX + 1, DEMIT_DSN_FAILED, DEMIT_DSN_RETURN_HEADER, 1},
        {DEMIT_RET_FULL, DEMIT_DSN_FULL_TOTAL_MAX / 8, DEMIT_DSN_FAILED, DEMIT_DSN_RETURN_FULL, 8},
        {DEMIT_RET_FULL, DEMIT_DSN_FULL_TOTAL_MAX / 8, DEMIT_DSN_FAILED, DEMIT_DSN_RETURN_HEADER, 9},
        {DEMIT_RET_DEFAULT, DEMIT_DSN_FULL_MAX, DEMIT_DSN_FAILED, DEMIT_DSN_RETURN_HEADER, 1000},
        {DEMIT_RET_DEFAULT, 10, DEMIT_DSN_FAILED, DEMIT_DSN_RETURN_FULL, 1},
        {DEMIT_RET_DEFAULT, DEMIT_DSN_FULL_MAX + 1, DEMIT_DSN_FAILED, DEMIT_DSN_RETURN_HEADER, 1},
        {DEMIT_RET_FULL, DEMIT_DSN_FULL_MAX + 1, DEMIT_DSN_FAILED, DEMIT_DSN_RETURN_FULL, 1},
        {DEMIT_RET_HDRS, 10, DEMIT_DSN_FAILED, DEMIT_DSN_RETURN_HEADER, 1},
        {DEMIT_RET_FULL, 10, DEMIT_DSN_DELAYED, DEMIT_DSN_RETURN_HEADER, 1},
        {DEMIT_RET_FULL, 10, DEMIT_DSN_DELIVERED, DEMIT_DSN_RETURN_HEADER, 1},
        {DEMIT_RET_DEFAULT, 10, DEMIT_DSN_RELAYED, DEMIT_DSN_RETURN_HEADER, 1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        demit_envelope_t original = {
            .ret = table[i].ret, .size_bytes = table[i].size, .recipient_count = table[i].recipients};
        demit_dsn_recipient_t recipient = {.action = table[i].action};
        demit_dsn_t dsn = {.original = &original, .recipients = &recipient, .recipient_count = 1};
        assert_int_equal(demit_dsn_choose_return(&dsn), table[i].what);
    }
}

static void where_the_header_ends(void **state)
{
    static const struct {
        const char *bytes;
        size_t size;
    } table[] = {{"", 0},      {"a: b\r\n\r\nbody", 6}, {"a: b\r\nc: d\r\n", 12}, {"a: b\r\nc: cut", 6},
                 {"\r\nx", 0}, {"no line end", 0},      {"a: b\n\nbody", 5},      {"a: b\r\n\r", 6}};
    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        assert_int_equal(demit_dsn_header_size(table[i].bytes, strlen(table[i].bytes)), table[i].size);
}

/* A large original goes through several pieces, and the spool makes it wait in between. */
static void large_originals(void **state)
{
    (void)state;
    fixture_t *f = fixture_make();
    demit_recipient_t recipient = {.address = "a@x.example"};
    demit_envelope_t envelope = {
        .sender = "s@from.example", .ret = DEMIT_RET_FULL, .recipients = &recipient, .recipient_count = 1};
    char *bytes = apr_palloc(f->pool, 300001);
    for (unsigned i = 0; i < 300000; i++)
        bytes[i] = (char)('a' + i % 26);
    memcpy(bytes, "Subject: large\r\n\r\n", 18);
    bytes[300000] = '\0';
    fixture_send_envelope(f, &envelope, bytes);
    fake_spool.busy_appends = 3;
    fixture_report(f, 0, DEMIT_RESULT_FAILED, "5.0.0", "no");
    const fake_message_t *dsn = fake_spool_last();
    const char *part = strstr(dsn->bytes, "Content-Type: message/rfc822\r\n\r\n");
    assert_non_null(part);
    assert_memory_equal(part + 32, bytes, 300000);
    assert_memory_equal(part + 32 + 300000, "\r\n--=_", 6);
    assert_int_equal(dsn->envelope.size_bytes, dsn->size);
    fixture_free(f);
}

static void an_unreadable_original_is_left_out(void **state)
{
    (void)state;
    fixture_t *f = fixture_make();
    fixture_send_one(f, "a@x.example");
    fake_spool.open_status = APR_EINVAL;
    fixture_report(f, 0, DEMIT_RESULT_FAILED, "5.0.0", "no");
    fake_spool.open_status = APR_SUCCESS;
    assert_int_equal(fixture_counts(f).bounced, 1);
    assert_null(strstr(fake_spool_last()->bytes, "rfc822\r\n"));
    assert_int_equal(fake_log_count("original_unreadable"), 1);

    fixture_free(f);

    /* It opens, and then its body is not what was written. */
    f = fixture_make();
    fixture_send_one(f, "a@x.example");
    fake_spool.verify_status = APR_EINVAL;
    fixture_report(f, 0, DEMIT_RESULT_FAILED, "5.0.0", "no");
    fake_spool.verify_status = APR_SUCCESS;
    assert_int_equal(fixture_counts(f).bounced, 1);
    assert_null(strstr(fake_spool_last()->bytes, "rfc822\r\n"));
    assert_int_equal(fake_log_count("original_unreadable"), 1);
    fixture_free(f);
}

/* ---- flags: how the next hop must treat it ----------------------------------------------------------------------- */

static void flags_of_the_notification(void **state)
{
    enum {
        BOUNCE = DEMIT_MESSAGE_BOUNCE,
        MIME8 = DEMIT_MESSAGE_8BITMIME,
        BODY8 = DEMIT_MESSAGE_BODY_8BIT,
        HEAD8 = DEMIT_MESSAGE_HEADER_8BIT,
        UTF8 = DEMIT_MESSAGE_SMTPUTF8,
        DOT = DEMIT_MESSAGE_LEADING_DOT
    };
    static const struct {
        const char *sender, *to;
        uint32_t original;
        demit_dsn_return_t what;
        uint32_t flags;
    } table[] = {
        {"s@x.example", "a@x.example", 0, DEMIT_DSN_RETURN_FULL, BOUNCE},
        {"s@x.example", "a@x.example", BODY8, DEMIT_DSN_RETURN_FULL, BOUNCE | BODY8 | MIME8},
        {"s@x.example", "a@x.example", BODY8 | MIME8, DEMIT_DSN_RETURN_HEADER, BOUNCE},
        {"s@x.example", "a@x.example", HEAD8, DEMIT_DSN_RETURN_HEADER, BOUNCE | BODY8 | MIME8},
        {"s@x.example", "a@x.example", UTF8, DEMIT_DSN_RETURN_FULL, BOUNCE},
        {"s@x.example", "\303\244@x.example", UTF8, DEMIT_DSN_RETURN_HEADER, BOUNCE | BODY8 | MIME8},
        {"\303\266@x.example", "a@x.example", UTF8, DEMIT_DSN_RETURN_HEADER, BOUNCE | BODY8 | MIME8 | HEAD8 | UTF8},
        {"s@x.example", "a@x.example", DOT, DEMIT_DSN_RETURN_FULL, BOUNCE | DOT},
        {"s@x.example", "a@x.example", DOT | BODY8 | HEAD8, DEMIT_DSN_RETURN_NOTHING, BOUNCE},
    };
    (void)state;
    apr_pool_t *pool;
    assert_int_equal(apr_pool_create(&pool, NULL), APR_SUCCESS);
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        demit_envelope_t original = {.sender = table[i].sender, .flags = table[i].original};
        demit_recipient_t recipient = {.address = table[i].to};
        demit_dsn_recipient_t told_recipient = {
            .recipient = &recipient, .action = DEMIT_DSN_FAILED, .status = "5.0.0", .diagnostic = "\377 no"};
        demit_dsn_t dsn = {.original = &original,
                           .hostname = "h.example",
                           .boundary = "b",
                           .what = table[i].what,
                           .recipients = &told_recipient,
                           .recipient_count = 1};
        uint32_t flags = 0;
        assert_non_null(demit_dsn_head(&dsn, &flags, pool));
        assert_int_equal(flags, table[i].flags);
    }
    apr_pool_destroy(pool);
}

static void boundaries_differ(void **state)
{
    (void)state;
    apr_pool_t *pool;
    assert_int_equal(apr_pool_create(&pool, NULL), APR_SUCCESS);
    assert_string_not_equal(demit_dsn_boundary(1, pool), demit_dsn_boundary(1, pool));
    assert_true(strlen(demit_dsn_boundary(UINT64_MAX, pool)) <= 70); /* RFC 2046 section 5.1.1 */
    apr_pool_destroy(pool);
}

int main(void)
{
    apr_initialize();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_is_told_what),          cmocka_unit_test(delay_is_told_once),
        cmocka_unit_test(what_is_returned),          cmocka_unit_test(where_the_header_ends),
        cmocka_unit_test(large_originals),           cmocka_unit_test(an_unreadable_original_is_left_out),
        cmocka_unit_test(flags_of_the_notification), cmocka_unit_test(boundaries_differ),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    apr_terminate();
    return failed;
}
