/* The spool by hand: messages are kept in memory, answers come when the test lets them. */
#include "tests/unit/smtp/fake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>

#include <cmocka.h>

#include "demit/spool.h"
#include "tests/unit/smtp/fake_priv.h"

struct demit_spool_writer {
    demit_spool_writer_t *next; /* in the list of all */
    fake_buffer_t text;
    uint32_t appends, eagains;
    void (*on_room)(void *baton);
    void *room_baton;
    bool room_owed;
    bool committing;
    demit_envelope_t *envelope;
    demit_spool_done_fn *on_done;
    void *done_baton;
};

static demit_spool_writer_t *writers;

uint64_t demit_spool_next_id(demit_spool_t *spool)
{
    (void)spool;
    return ++fake.next_id;
}

const char *demit_id_format(uint64_t id, char text[DEMIT_ID_TEXT_SIZE])
{
    (void)snprintf(text, DEMIT_ID_TEXT_SIZE, "%013llu", (unsigned long long)id);
    return text;
}

apr_status_t demit_spool_begin(demit_spool_writer_t **writer, demit_spool_t *spool, void (*on_room)(void *baton),
                               void *baton)
{
    (void)spool;
    if (fake.begin_status != APR_SUCCESS) {
        return fake.begin_status;
    }
    demit_spool_writer_t *made = calloc(1, sizeof *made);
    assert_non_null(made);
    made->on_room = on_room;
    made->room_baton = baton;
    made->next = writers;
    writers = made;
    fake.open_writers++;
    *writer = made;
    return APR_SUCCESS;
}

apr_status_t demit_spool_append(demit_spool_writer_t *writer, const void *bytes, size_t size)
{
    assert_false(writer->committing);
    assert_false(writer->room_owed); /* must wait for on_room */
    if (fake.append_waits_every != 0 && (writer->appends + writer->eagains + 1) % fake.append_waits_every == 0) {
        writer->eagains++;
        writer->room_owed = true;
        return APR_EAGAIN;
    }
    writer->appends++;
    if (fake.append_fails_at != 0 && writer->appends >= fake.append_fails_at) {
        return fake.append_status;
    }
    fake_buffer_add(&writer->text, bytes, size);
    return APR_SUCCESS;
}

static void forget(demit_spool_writer_t *writer)
{
    demit_spool_writer_t **link = &writers;

    while (*link != writer) {
        assert_non_null(*link);
        link = &(*link)->next;
    }
    *link = writer->next;
    fake_buffer_free(&writer->text);
    free(writer);
    fake.open_writers--;
}

void demit_spool_discard(demit_spool_writer_t *writer)
{
    assert_false(writer->committing);
    forget(writer);
}

void demit_spool_commit(demit_spool_writer_t *writer, demit_envelope_t *envelope, const demit_spool_outcome_t *reports,
                        demit_spool_done_fn *on_done, void *baton)
{
    assert_null(reports);
    assert_false(writer->committing);
    assert_false(writer->room_owed);
    writer->committing = true;
    writer->envelope = envelope;
    writer->on_done = on_done;
    writer->done_baton = baton;
    envelope->size_bytes = writer->text.size;
}

static const char *copy(const char *text)
{
    return text != NULL ? apr_pstrdup(fake.pool, text) : NULL;
}

static void keep_message(const demit_spool_writer_t *writer)
{
    fake.messages = realloc(fake.messages, (fake.message_count + 1) * sizeof *fake.messages);
    assert_non_null(fake.messages);
    fake_message_t *message = &fake.messages[fake.message_count++];
    demit_envelope_t *envelope = &message->envelope;

    *envelope = *writer->envelope;
    envelope->sender = copy(envelope->sender);
    envelope->envid = copy(envelope->envid);
    envelope->recipients =
        apr_pmemdup(fake.pool, envelope->recipients, envelope->recipient_count * sizeof *envelope->recipients);
    for (uint32_t i = 0; i < envelope->recipient_count; i++) {
        demit_recipient_t *recipient = &envelope->recipients[i];
        recipient->address = copy(recipient->address);
        recipient->original = copy(recipient->original);
        recipient->accepted = copy(recipient->accepted);
    }
    message->size = writer->text.size;
    message->text = apr_pstrmemdup(fake.pool, writer->text.bytes, writer->text.size);
    /* The trace header: one field, folded. */
    const char *body = message->text;
    do {
        body = strstr(body, "\r\n") + 2;
    } while (*body == '\t');
    message->body = body;
    message->body_size = message->size - (size_t)(body - message->text);
}

static void commit(demit_spool_writer_t *writer)
{
    apr_status_t status = fake.commit_status;

    if (status == APR_SUCCESS) {
        keep_message(writer);
    }
    writer->on_done(writer->done_baton, status, (demit_spool_location_t){1, fake.message_count});
    forget(writer);
}

bool fake_spool_run(void)
{
    if (fake.hold_spool) {
        return false;
    }
    for (demit_spool_writer_t *writer = writers; writer != NULL; writer = writer->next) {
        if (writer->room_owed) {
            writer->room_owed = false;
            writer->on_room(writer->room_baton);
            return true;
        }
        if (writer->committing) {
            commit(writer);
            return true;
        }
    }
    return false;
}

void fake_spool_setup(void)
{
    writers = NULL;
}

void fake_spool_teardown(void)
{
    assert_null(writers);
    assert_int_equal(fake.open_writers, 0);
    free(fake.messages);
}
