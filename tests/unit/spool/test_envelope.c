/* Envelopes and ids: what is written is read back; what was not written is refused. */
#include "support.h"

#include <stdlib.h>
#include <string.h>

#include <apr_general.h>

#include "demit/envelope.h"

static apr_pool_t *pool;

static int setup(void **state)
{
    (void)state;
    return apr_initialize() == APR_SUCCESS && apr_pool_create(&pool, NULL) == APR_SUCCESS ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    apr_pool_destroy(pool);
    return 0;
}

static demit_envelope_t *full_envelope(void)
{
    static demit_recipient_t recipients[] = {
        {"a@example.org", "rfc822;a+40example.org", "alias@example.org", DEMIT_NOTIFY_SUCCESS | DEMIT_NOTIFY_DELAY,
         DEMIT_RECIPIENT_DELIVERED},
        {"", NULL, NULL, 0, DEMIT_RECIPIENT_PENDING},
        {"b@example.org", "", NULL, DEMIT_NOTIFY_NEVER, DEMIT_RECIPIENT_FAILED},
    };
    static demit_envelope_t envelope = {.id = 0x0123456789abcdef,
                                        .arrived_us = -5,
                                        .size_bytes = UINT64_MAX,
                                        .flags = DEMIT_MESSAGE_BOUNCE | DEMIT_MESSAGE_SMTPUTF8,
                                        .ret = DEMIT_RET_HDRS,
                                        .sender = "",
                                        .envid = "QQ314159",
                                        .recipients = recipients,
                                        .recipient_count = 3,
                                        .attempts = 7,
                                        .next_attempt_us = INT64_MIN,
                                        .delay_dsn_sent = true};

    return &envelope;
}

static void assert_same_text(const char *a, const char *b)
{
    if (a == NULL || b == NULL)
        assert_ptr_equal(a, b);
    else
        assert_string_equal(a, b);
}

static void assert_same(const demit_envelope_t *a, const demit_envelope_t *b)
{
    assert_int_equal(a->id, b->id);
    assert_int_equal(a->arrived_us, b->arrived_us);
    assert_int_equal(a->size_bytes, b->size_bytes);
    assert_int_equal(a->flags, b->flags);
    assert_int_equal(a->ret, b->ret);
    assert_same_text(a->sender, b->sender);
    assert_same_text(a->envid, b->envid);
    assert_int_equal(a->attempts, b->attempts);
    assert_int_equal(a->next_attempt_us, b->next_attempt_us);
    assert_int_equal(a->delay_dsn_sent, b->delay_dsn_sent);
    assert_int_equal(a->recipient_count, b->recipient_count);
    for (uint32_t i = 0; i < a->recipient_count; i++) {
        assert_same_text(a->recipients[i].address, b->recipients[i].address);
        assert_same_text(a->recipients[i].original, b->recipients[i].original);
        assert_same_text(a->recipients[i].accepted, b->recipients[i].accepted);
        assert_int_equal(a->recipients[i].notify, b->recipients[i].notify);
        assert_int_equal(a->recipients[i].state, b->recipients[i].state);
    }
}

static unsigned char *encode(const demit_envelope_t *envelope, size_t *size)
{
    unsigned char *bytes;

    *size = demit_envelope_encoded_size(envelope);
    bytes = malloc(*size); /* exactly, so that a sanitizer sees a byte too many */
    demit_envelope_encode(envelope, bytes);
    return bytes;
}

static void test_round_trip(void **state)
{
    demit_envelope_t *envelope = full_envelope(), *back;
    size_t size;
    unsigned char *bytes = encode(envelope, &size);

    (void)state;
    assert_int_equal(demit_envelope_decode(&back, bytes, size, pool), APR_SUCCESS);
    assert_same(envelope, back);
    free(bytes);
}

/* Every shorter or longer input is refused, whatever it is cut through. */
static void test_cut_anywhere(void **state)
{
    demit_envelope_t *back;
    size_t size;
    unsigned char *bytes = encode(full_envelope(), &size);

    (void)state;
    for (size_t cut = 0; cut < size; cut++) {
        unsigned char *part = malloc(cut + 1);

        memcpy(part, bytes, cut);
        assert_int_equal(demit_envelope_decode(&back, part, cut, pool), APR_EINVAL);
        assert_null(back);
        free(part);
    }
    bytes = realloc(bytes, size + 1);
    bytes[size] = 'x';
    assert_int_equal(demit_envelope_decode(&back, bytes, size + 1, pool), APR_EINVAL);
    free(bytes);
}

/* Any byte may be anything: the answer is an envelope that can be written again to the same bytes, or EINVAL. */
static void test_any_byte(void **state)
{
    static const unsigned char values[] = {0, 1, 2, 3, 127, 128, 255};
    size_t size;
    unsigned char *bytes = encode(full_envelope(), &size);

    (void)state;
    for (size_t at = 0; at < size; at++)
        for (size_t i = 0; i < sizeof values; i++) {
            unsigned char old = bytes[at];
            demit_envelope_t *back;

            bytes[at] = values[i];
            if (demit_envelope_decode(&back, bytes, size, pool) == APR_SUCCESS)
                assert_int_equal(demit_envelope_encoded_size(back), size);
            bytes[at] = old;
            apr_pool_clear(pool);
        }
    free(bytes);
}

static void test_nul_in_a_string(void **state)
{
    demit_envelope_t *back;
    size_t size;
    unsigned char *bytes = encode(full_envelope(), &size);

    (void)state;
    bytes[size - 1] = '\0';
    assert_int_equal(demit_envelope_decode(&back, bytes, size, pool), APR_EINVAL);
    free(bytes);
}

static void test_ids(void **state)
{
    static const uint64_t ids[] = {0, 1, 31, 32, 0x10000000001, UINT64_MAX, 0x0123456789abcdef};
    static const char *const bad[] = {
        "", "000000000000", "00000000000000", "G000000000000", "00000000000U0", "000000000000 ", "00000 0000000"};
    char text[DEMIT_ID_TEXT_SIZE];
    uint64_t id;

    (void)state;
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        assert_int_equal(strlen(demit_id_format(ids[i], text)), DEMIT_ID_TEXT_SIZE - 1);
        assert_true(demit_id_parse(text, &id));
        assert_int_equal(id, ids[i]);
    }
    assert_string_equal(demit_id_format(UINT64_MAX, text), "FZZZZZZZZZZZZ");
    assert_true(demit_id_parse("00000000000oi", &id)); /* o for 0, i for 1, small letters */
    assert_int_equal(id, 1);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(demit_id_parse(bad[i], &id));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),      cmocka_unit_test(test_cut_anywhere), cmocka_unit_test(test_any_byte),
        cmocka_unit_test(test_nul_in_a_string), cmocka_unit_test(test_ids),
    };

    return cmocka_run_group_tests_name("envelope", tests, setup, teardown);
}
