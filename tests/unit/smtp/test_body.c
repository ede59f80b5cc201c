/*
 * The text of a message against a model that is too simple to be wrong: every string over a small, nasty alphabet, with
 * every policy, whole and in pieces. Then the header watch and the trace header.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <apr_general.h>
#include <apr_strings.h>

#include <cmocka.h>

#include "core/smtp/body.h"
#include "core/smtp/headers.h"
#include "core/smtp/trace.h"
#include "demit/envelope.h"

enum { LONGEST = 64 };

typedef struct outcome {
    char stored[LONGEST * 2 + 16];
    size_t size;
    size_t consumed; /* up to and including the end */
    bool ended, refused, had_lone;
} outcome_t;

static void store(outcome_t *outcome, const char *bytes, size_t size)
{
    memcpy(outcome->stored + outcome->size, bytes, size);
    outcome->size += size;
}

/* Whether what is stored holds the empty line that ends the header section. */
static bool header_is_over(const outcome_t *outcome)
{
    const char *s = outcome->stored;

    for (size_t i = 0; i + 2 <= outcome->size; i++) {
        if (memcmp(s + i, "\r\n", 2) == 0 && (i == 0 || (i >= 2 && memcmp(s + i - 2, "\r\n", 2) == 0))) {
            return true;
        }
    }
    return false;
}

/* ---- the model --------------------------------------------------------------------------------------------------- */

static void model_lone(outcome_t *outcome, char byte, const demit_settings_t *settings)
{
    demit_lone_lf_t policy = header_is_over(outcome) ? settings->lone_lf_in_body : settings->lone_lf_in_headers;

    outcome->had_lone = true;
    if (policy == DEMIT_LONE_LF_REJECT) {
        outcome->refused = true;
    } else if (policy == DEMIT_LONE_LF_FIX) {
        store(outcome, "\r\n", 2);
    } else {
        store(outcome, &byte, 1);
    }
}

static void model(outcome_t *outcome, const char *wire, size_t size, bool dots, const demit_settings_t *settings)
{
    bool line_start = true;

    *outcome = (outcome_t){.size = 0};
    for (size_t i = 0; i < size;) {
        if (dots && line_start && wire[i] == '.') {
            if (size - i >= 3 && memcmp(wire + i, ".\r\n", 3) == 0) {
                outcome->ended = true;
                outcome->consumed = i + 3;
                return;
            }
            line_start = false;
            i++;
        } else if (size - i >= 2 && memcmp(wire + i, "\r\n", 2) == 0) {
            store(outcome, "\r\n", 2);
            line_start = true;
            i += 2;
        } else if (wire[i] == '\r' || wire[i] == '\n') {
            model_lone(outcome, wire[i], settings);
            line_start = false;
            i++;
        } else {
            store(outcome, wire + i, 1);
            line_start = false;
            i++;
        }
    }
    outcome->consumed = size;
}

/* What the flags must be, seen from what is stored. */
static uint32_t model_flags(const outcome_t *outcome, bool dots)
{
    const char *s = outcome->stored;
    uint32_t flags = 0;

    for (size_t i = 0; i < outcome->size; i++) {
        bool line_start = i == 0 || (i >= 2 && memcmp(s + i - 2, "\r\n", 2) == 0);
        if (line_start && s[i] == '.') {
            flags |= DEMIT_MESSAGE_LEADING_DOT;
        }
        bool in_crlf =
            (s[i] == '\r' && i + 1 < outcome->size && s[i + 1] == '\n') || (s[i] == '\n' && i > 0 && s[i - 1] == '\r');
        if ((s[i] == '\r' || s[i] == '\n') && !in_crlf) {
            flags |= DEMIT_MESSAGE_LONE_LF;
        }
    }
    bool whole = outcome->size == 0 || (outcome->size >= 2 && memcmp(s + outcome->size - 2, "\r\n", 2) == 0);
    return flags | (dots || whole ? 0U : (uint32_t)DEMIT_MESSAGE_NO_FINAL_CRLF);
}

/* ---- the real thing ---------------------------------------------------------------------------------------------- */

static void feed(outcome_t *outcome, demit_body_t *body, const char *bytes, size_t size)
{
    for (size_t done = 0; done < size && !outcome->ended;) {
        demit_body_piece_t piece;
        demit_body_next(body, bytes + done, size - done, &piece);
        assert_true(piece.consumed > 0 || piece.size > 0);
        store(outcome, piece.bytes, piece.size);
        done += piece.consumed;
        outcome->consumed += piece.consumed;
        outcome->ended = piece.end;
    }
}

static void real(outcome_t *outcome, demit_body_t *body, const char *wire, size_t size, size_t split)
{
    *outcome = (outcome_t){.size = 0};
    feed(outcome, body, wire, split);
    if (split < size) {
        for (size_t i = split; i < size && !outcome->ended; i++) {
            feed(outcome, body, wire + i, 1);
        }
    }
    if (!body->dots) {
        demit_body_piece_t piece;
        demit_body_finish(body, &piece);
        store(outcome, piece.bytes, piece.size);
    }
    outcome->refused = body->refused;
}

static void compare(const char *wire, size_t size, bool dots, const demit_settings_t *settings)
{
    outcome_t expected;

    model(&expected, wire, size, dots, settings);
    for (size_t split = 0; split <= size; split++) {
        demit_body_t body;
        outcome_t got;
        demit_body_init(&body, dots, settings);
        real(&got, &body, wire, size, split);
        assert_int_equal(got.ended, expected.ended);
        assert_int_equal(got.consumed, expected.consumed);
        assert_int_equal(got.refused, expected.refused);
        if (expected.refused) {
            continue;
        }
        assert_int_equal(got.size, expected.size);
        assert_memory_equal(got.stored, expected.stored, got.size);
        assert_int_equal(body.flags, model_flags(&expected, dots));
    }
}

static void every_string(size_t length, const char *alphabet, bool dots, const demit_settings_t *settings)
{
    static const char tail[] = "\r\n.\r\n";
    size_t letters = strlen(alphabet), count = 1;

    for (size_t i = 0; i < length; i++) {
        count *= letters;
    }
    for (size_t n = 0; n < count; n++) {
        char wire[LONGEST];
        size_t rest = n;
        for (size_t i = 0; i < length; i++, rest /= letters) {
            wire[i] = alphabet[rest % letters];
        }
        memcpy(wire + length, tail, sizeof tail - 1);
        compare(wire, length + (dots ? sizeof tail - 1 : 0), dots, settings);
    }
}

static void test_every_string(void **state)
{
    static const demit_lone_lf_t policies[] = {DEMIT_LONE_LF_REJECT, DEMIT_LONE_LF_IGNORE, DEMIT_LONE_LF_FIX};

    (void)state;
    for (size_t i = 0; i < 9; i++) {
        demit_settings_t settings = {.lone_lf_in_headers = policies[i / 3], .lone_lf_in_body = policies[i % 3]};
        for (size_t length = 0; length <= 6; length++) {
            every_string(length, "\r\n.x", true, &settings);
            every_string(length, "\r\n.x", false, &settings);
        }
    }
}

static void test_long_strings(void **state)
{
    (void)state;
    srand(1);
    for (int round = 0; round < 2000; round++) {
        static const char alphabet[] = "\r\n\r\n\r\n..xy\x80";
        demit_settings_t settings = {.lone_lf_in_headers = (demit_lone_lf_t)(round % 3),
                                     .lone_lf_in_body = (demit_lone_lf_t)(round / 3 % 3)};
        char wire[LONGEST];
        for (size_t i = 0; i < sizeof wire; i++) {
            wire[i] = alphabet[(size_t)rand() % (sizeof alphabet - 1)];
        }
        memcpy(wire + sizeof wire - 5, "\r\n.\r\n", 5); /* what is held at the end is not to be seen otherwise */
        compare(wire, sizeof wire, (round & 1) != 0, &settings);
    }
}

/* ---- lines ------------------------------------------------------------------------------------------------------- */

static uint32_t flags_of_line(size_t length, size_t step)
{
    demit_settings_t settings = {.lone_lf_in_body = DEMIT_LONE_LF_REJECT};
    demit_body_t body;
    char *wire = malloc(length + 2);

    assert_non_null(wire);
    memset(wire, 'x', length);
    memcpy(wire + length, "\r\n", 2);
    demit_body_init(&body, true, &settings);
    for (size_t at = 0; at < length + 2;) {
        demit_body_piece_t piece;
        size_t size = length + 2 - at < step ? length + 2 - at : step;
        demit_body_next(&body, wire + at, size, &piece);
        at += piece.consumed;
    }
    free(wire);
    return body.flags;
}

static void test_long_lines(void **state)
{
    (void)state;
    for (size_t step = 1; step < 2000; step += 333) {
        assert_int_equal(flags_of_line(998, step), 0);
        assert_int_equal(flags_of_line(999, step), DEMIT_MESSAGE_LONG_LINE);
        assert_int_equal(flags_of_line(300000, step), DEMIT_MESSAGE_LONG_LINE);
    }
}

/* Special bytes on every side of the place up to which a run looks ahead. */
static void test_far_ahead(void **state)
{
    enum { SIZE = 3 * 4096 };
    static const struct {
        const char *text;
        size_t size, pieces; /* that are not empty */
        bool refused, has_nul;
    } rows[] = {
        {"\r\n", 2, 1, false, false}, {"\r", 1, 2, true, false}, {"\n", 1, 2, true, false}, {"\0", 1, 2, false, true}};
    static char wire[SIZE + 2];
    demit_settings_t settings = {.lone_lf_in_body = DEMIT_LONE_LF_REJECT};

    (void)state;
    for (size_t row = 0; row < sizeof rows / sizeof rows[0]; row++) {
        for (size_t where = 4090; where < 4100; where++) {
            demit_body_t body;
            size_t pieces = 0, stored = 0;
            memset(wire, 'x', SIZE);
            memcpy(wire + SIZE, "\r\n", 2);
            memcpy(wire + where, rows[row].text, rows[row].size);
            demit_body_init(&body, true, &settings);
            for (size_t at = 0; at < SIZE + 2;) {
                demit_body_piece_t piece;
                demit_body_next(&body, wire + at, SIZE + 2 - at, &piece);
                at += piece.consumed;
                pieces += piece.size > 0 ? 1 : 0;
                stored += piece.size;
            }
            assert_int_equal(pieces, rows[row].pieces);
            assert_int_equal(body.refused, rows[row].refused);
            assert_int_equal(body.has_nul, rows[row].has_nul);
            assert_int_equal(stored, SIZE + 2 - (rows[row].size == 1 ? 1 : 0));
        }
    }
}

/* ---- headers ----------------------------------------------------------------------------------------------------- */

typedef struct header_row {
    const char *text;
    uint32_t flags, received, own;
} header_row_t;

static const header_row_t header_rows[] = {
    {"", 0, 0, 0},
    {"Subject: x\r\n\r\nbody\r\n", 0, 0, 0},
    {"Subject: \xc3\xb6\r\n\r\nbody\r\n", DEMIT_MESSAGE_HEADER_8BIT, 0, 0},
    {"Subject: x\r\n\r\nb\xc3\xb6"
     "dy\r\n",
     DEMIT_MESSAGE_BODY_8BIT, 0, 0},
    {"Subject: x\r\n \xc3\xb6\r\n\r\n\xff\r\n", DEMIT_MESSAGE_HEADER_8BIT | DEMIT_MESSAGE_BODY_8BIT, 0, 0},
    {"no header \xc3\xb6\r\n", DEMIT_MESSAGE_BODY_8BIT, 0, 0},
    {"no header \xc3\xb6", DEMIT_MESSAGE_BODY_8BIT, 0, 0},
    {"A: b\r\nno header\r\nReceived: x\r\n\xff", DEMIT_MESSAGE_BODY_8BIT, 1 - 1, 0},
    {"\r\nReceived: x\r\n", 0, 0, 0},
    {"Received: x\r\nRECEIVED: y\r\n\r\nReceived: z\r\n", 0, 2, 0},
    {"Received: x", 0, 1, 0},
    {"Received: from a by mx.test with SMTP\r\n", 0, 1, 1},
    {"Received: from a\r\n\tby MX.TEST; date\r\n", 0, 1, 1},
    {"Received: from a by mx.test", 0, 1, 1},
    {"Received:by mx.test (x)\r\n", 0, 1, 1},
    {"Received: from a by mx.test2\r\n", 0, 1, 0},
    {"Received: from a by other by mx.test\r\n", 0, 1, 0},
    {"Received: from by mx.tes\r\n", 0, 1, 0},
    {"Receivedx: from a by mx.test\r\n X-Y: by mx.test\r\n", 0, 0, 0},
    {"Received: a\r\n b\r\n\tc\r\nTo: x\r\nReceived: by\r\n mx.test\r\n\r\n", 0, 2, 1},
    {"A: \xff\r\nB: c\r\n", DEMIT_MESSAGE_HEADER_8BIT, 0, 0},
    {"A: \xff", DEMIT_MESSAGE_HEADER_8BIT, 0, 0},
};

static void watch(demit_headers_t *headers, const char *text, size_t first, size_t step)
{
    size_t size = strlen(text);

    demit_headers_init(headers, "mx.test");
    for (size_t at = 0, next = first; at < size; at = next, next += step) {
        size_t end = next < size ? next : size;
        demit_headers_feed(headers, text + at, end - at);
    }
    demit_headers_finish(headers);
}

static void test_headers(void **state)
{
    static demit_headers_t headers;

    (void)state;
    for (size_t i = 0; i < sizeof header_rows / sizeof header_rows[0]; i++) {
        const header_row_t *row = &header_rows[i];
        for (size_t first = 1; first <= strlen(row->text) + 1; first++) {
            for (size_t step = 1; step < 100; step += 98) {
                watch(&headers, row->text, first, step);
                if (headers.flags != row->flags || headers.received != row->received ||
                    headers.received_own != row->own) {
                    fail_msg("%s split at %zu: flags %u, received %u, own %u", row->text, first, headers.flags,
                             headers.received, headers.received_own);
                }
            }
        }
    }
}

static void test_8bit(void **state)
{
    char bytes[40];

    (void)state;
    memset(bytes, 0x7f, sizeof bytes);
    for (size_t from = 0; from < 9; from++) {
        for (size_t size = 0; from + size < sizeof bytes; size++) {
            assert_false(demit_has_8bit(bytes + from, size));
            for (size_t at = 0; at < size; at++) {
                bytes[from + at] = (char)0x80;
                assert_true(demit_has_8bit(bytes + from, size));
                bytes[from + at] = 0x7f;
            }
        }
    }
}

/* ---- the trace header -------------------------------------------------------------------------------------------- */

static void test_trace(void **state)
{
    apr_pool_t *pool;

    (void)state;
    assert_int_equal(apr_pool_create(&pool, NULL), APR_SUCCESS);
    demit_trace_t trace = {.helo = "client.test",
                           .client = "[192.0.2.1]",
                           .hostname = "mx.test",
                           .protocol = "ESMTP",
                           .id = "0123456789ABC",
                           .recipient = "joe@local.test",
                           .arrived = apr_time_from_sec(1700000000)};
    demit_slice_t text = demit_trace_format(&trace, pool);
    const char *expected = "Received: from client.test ([192.0.2.1])\r\n\tby mx.test with ESMTP id 0123456789ABC\r\n"
                           "\tfor <joe@local.test>;\r\n\tTue, 14 Nov 2023 22:13:20 +0000\r\n";
    assert_string_equal(text.text, expected);
    assert_int_equal(text.size, strlen(expected));
    trace.recipient = NULL;
    trace.helo = "bad_name:[x";
    expected = "Received: from bad_name??x ([192.0.2.1])\r\n\tby mx.test with ESMTP id 0123456789ABC;\r\n"
               "\tTue, 14 Nov 2023 22:13:20 +0000\r\n";
    assert_string_equal(demit_trace_format(&trace, pool).text, expected);
    apr_pool_destroy(pool);
}

static void test_client_format(void **state)
{
    static const struct {
        const char *address, *text;
    } rows[] = {
        {"192.0.2.1", "[192.0.2.1]"}, {"2001:db8::1", "[IPv6:2001:db8::1]"}, {"::ffff:192.0.2.1", "[192.0.2.1]"}};
    apr_pool_t *pool;
    char text[DEMIT_CLIENT_TEXT_SIZE];

    (void)state;
    assert_int_equal(apr_pool_create(&pool, NULL), APR_SUCCESS);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        apr_sockaddr_t *address;
        assert_int_equal(apr_sockaddr_info_get(&address, rows[i].address, APR_UNSPEC, 1, 0, pool), APR_SUCCESS);
        assert_string_equal(demit_client_format(address, text), rows[i].text);
    }
    assert_string_equal(demit_client_format(NULL, text), "[local]");
    apr_pool_destroy(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_string), cmocka_unit_test(test_long_strings),  cmocka_unit_test(test_long_lines),
        cmocka_unit_test(test_far_ahead),    cmocka_unit_test(test_headers),       cmocka_unit_test(test_8bit),
        cmocka_unit_test(test_trace),        cmocka_unit_test(test_client_format),
    };
    /* The trace header shows local time. */
    setenv("TZ", "UTC", 1);
    apr_initialize();
    int failures = cmocka_run_group_tests(tests, NULL, NULL);
    apr_terminate();
    return failures;
}
