/*
 * A client that says anything. The first byte chooses the settings, the second how the rest is split. Whole or split,
 * with other threads prompt or slow, the same must be answered and the same mail stored; fake_teardown() sees that
 * nothing is left.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apr_general.h>

#include "tests/unit/smtp/fake.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

typedef struct outcome {
    char *output;
    uint32_t messages;
    uint64_t bytes;
} outcome_t;

static void choose_settings(unsigned char choice)
{
    static const demit_lone_lf_t policies[] = {DEMIT_LONE_LF_REJECT, DEMIT_LONE_LF_IGNORE, DEMIT_LONE_LF_FIX,
                                               DEMIT_LONE_LF_REJECT};

    fake.settings.lone_lf_in_body = policies[choice & 3];
    fake.settings.lone_lf_in_headers = policies[(choice >> 2) & 3];
    fake.settings.max_message_size_bytes = (choice & 16) != 0 ? 50 : 1048576;
    fake.append_waits_every = (choice & 32) != 0 ? 2 : 0;
    fake.append_fails_at = (choice & 64) != 0 ? 3 : 0;
    fake.settings.max_session_errors = (choice & 128) != 0 ? 3 : 0;
}

static void converse(outcome_t *outcome, unsigned char choice, const char *bytes, size_t size, size_t step)
{
    uint32_t order = 0;

    fake_setup();
    choose_settings(choice);
    demit_conn_t *conn = fake_connect("127.0.0.1");
    for (size_t at = 0; at < size; at += step) {
        fake_feed(conn, bytes + at, size - at < step ? size - at : step);
        (void)fake_run_one(order++);
    }
    fake_run();
    *outcome = (outcome_t){.output = strdup(fake_output(conn)), .messages = fake.message_count};
    for (uint32_t i = 0; i < fake.message_count; i++) {
        outcome->bytes += fake.messages[i].body_size;
    }
    fake_teardown();
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    static bool initialized;
    outcome_t whole, split;

    if (!initialized) {
        initialized = apr_initialize() == APR_SUCCESS;
    }
    if (size < 3) {
        return 0;
    }
    /* Which append fails depends on how the text comes in; that is the only thing that may. */
    bool comparable = (data[0] & 64) == 0;
    converse(&whole, data[0], (const char *)data + 2, size - 2, size - 2);
    converse(&split, data[0], (const char *)data + 2, size - 2, (size_t)data[1] % 64 + 1);
    if (comparable &&
        (whole.messages != split.messages || whole.bytes != split.bytes || strcmp(whole.output, split.output) != 0)) {
        (void)fprintf(stderr, "whole:\n%s\nsplit:\n%s\n", whole.output, split.output);
        abort();
    }
    free(whole.output);
    free(split.output);
    return 0;
}
