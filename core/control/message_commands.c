/* `mailq`, `showqueue`, `message details`. Everything here runs in the queue's thread. */
#include "core/control/command.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <apr_time.h>

static bool is_in_domain(const char *address, const char *domain)
{
    const char *at = strrchr(address, '@');
    char ascii[DEMIT_DOMAIN_SIZE];

    if (domain[0] == '\0' || at == NULL) {
        return domain[0] == '\0';
    }
    const bool is_domain = demit_domain_to_ascii(ascii, at + 1, strlen(at + 1)) == NULL;
    return strcasecmp(is_domain ? ascii : at + 1, domain) == 0;
}

static const char *state_of(const demit_queue_message_view_t *view)
{
    if (view->active) {
        return "active";
    }
    return view->envelope->attempts > 0 ? "deferred" : "queued";
}

static json_t *id_string(uint64_t id)
{
    char text[DEMIT_ID_TEXT_SIZE];

    return console_string(demit_id_format(id, text));
}

/* What a list and the details both say. */
static void put_common(console_answer_t *answer, json_t *object, const demit_queue_message_view_t *view)
{
    const demit_envelope_t *envelope = view->envelope;
    const int64_t age_us = apr_time_now() - envelope->arrived_us;

    console_put(answer, object, "id", id_string(envelope->id));
    console_put(answer, object, "state", json_string(state_of(view)));
    console_put(answer, object, "arrived", console_time(envelope->arrived_us));
    console_put(answer, object, "age_s", json_integer(age_us < 0 ? 0 : age_us / 1000000));
    console_put(answer, object, "size_bytes", console_count(envelope->size_bytes));
    console_put(answer, object, "attempts", json_integer(envelope->attempts));
    console_put(answer, object, "next_attempt", console_time(envelope->next_attempt_us));
    console_put(answer, object, "sender", console_string(envelope->sender));
    console_put(answer, object, "last_error", console_string(view->last_error));
}

/* ---- lists ---------------------------------------------------------------------------------------------------- */

static const console_column_t list_columns[] = {
    {.key = "id", .heading = "ID"},
    {.key = "state", .heading = "STATE"},
    {.key = "age_s", .heading = "AGE", .cell = CONSOLE_CELL_DURATION},
    {.key = "size_bytes", .heading = "SIZE", .cell = CONSOLE_CELL_BYTES},
    {.key = "attempts", .heading = "TRIES", .cell = CONSOLE_CELL_NUMBER},
    {.key = "sender", .heading = "SENDER", .width_max = 40, .empty = "<>"},
    {.key = "recipients_pending", .heading = "RCPTS", .cell = CONSOLE_CELL_NUMBER},
    {.key = "recipient", .heading = "FIRST", .width_max = 40},
    {.key = "last_error", .heading = "LAST ERROR"},
};
static const console_part_t list_parts[] = {
    {.kind = CONSOLE_PART_TABLE, .key = "messages", CONSOLE_COLUMNS(list_columns)},
    {.kind = CONSOLE_PART_LINES, .key = "note"},
    {.kind = CONSOLE_PART_LINES, .key = "warning"},
};

/* Counts the pending recipients in DOMAIN ("": in any) and finds the first of them. */
static uint32_t count_pending(const demit_envelope_t *envelope, const char *domain, const char **first)
{
    uint32_t pending = 0;

    *first = NULL;
    for (uint32_t i = 0; i < envelope->recipient_count; i++) {
        const demit_recipient_t *recipient = &envelope->recipients[i];
        if (recipient->state == DEMIT_RECIPIENT_PENDING && is_in_domain(recipient->address, domain)) {
            *first = pending == 0 ? recipient->address : *first;
            pending++;
        }
    }
    return pending;
}

static void append_message(void *baton, const demit_queue_message_view_t *view)
{
    console_inquiry_t *inquiry = baton;
    console_answer_t *answer = &inquiry->answer;
    const char *first;
    uint32_t pending = count_pending(view->envelope, inquiry->domain, &first);
    json_t *row = json_object();

    if (pending == 0) {
        pending = count_pending(view->envelope, "", &first); /* the "domain" is a gateway's name: all go there */
    }
    put_common(answer, row, view);
    console_put(answer, row, "recipients_pending", json_integer(pending));
    console_put(answer, row, "recipient", console_string(first));
    console_append(answer, json_object_get(answer->value, "messages"), row);
}

static void put_note(console_inquiry_t *inquiry)
{
    console_answer_t *answer = &inquiry->answer;
    const size_t shown = json_array_size(json_object_get(answer->value, "messages"));
    char note[160];

    if (shown == 0 && inquiry->domain[0] == '\0') {
        snprintf(note, sizeof(note), "The queue is empty.");
    } else if (shown == 0) {
        snprintf(note, sizeof(note), "Nothing is queued for this domain.");
    } else if (shown < inquiry->limit) {
        snprintf(note, sizeof(note), "%zu message%s.", shown, shown == 1 ? "" : "s");
    } else if (inquiry->domain[0] != '\0') {
        snprintf(note, sizeof(note), "The oldest %zu are shown; a higher LIMIT (at most %d) shows more.", shown,
                 CONSOLE_LIMIT_MAX);
    } else {
        snprintf(note, sizeof(note), "%zu of %" PRIu64 " messages are shown, oldest first; LIMIT may be up to %d.",
                 shown, inquiry->counts.messages, CONSOLE_LIMIT_MAX);
    }
    console_put(answer, answer->value, "note", json_string(note));
    if (inquiry->counts.recovering) {
        console_put(answer, answer->value, "warning",
                    json_string("The spool is still being read after the start: there may be more."));
    }
}

void console_look_mailq(console_inquiry_t *inquiry)
{
    console_answer_t *answer = &inquiry->answer;
    const char *domain = inquiry->domain[0] == '\0' ? NULL : inquiry->domain;

    console_answer_init(answer, list_parts, sizeof(list_parts) / sizeof(list_parts[0]));
    demit_queue_counts(inquiry->options->queue, &inquiry->counts);
    console_put(answer, answer->value, "total", console_count(inquiry->counts.messages));
    console_put(answer, answer->value, "limit", json_integer(inquiry->limit));
    console_put(answer, answer->value, "recovering", json_boolean(inquiry->counts.recovering));
    if (domain != NULL) {
        console_put(answer, answer->value, "domain", console_string(domain));
    }
    (void)console_put_array(answer, answer->value, "messages");
    demit_queue_each_message(inquiry->options->queue, domain, inquiry->limit, append_message, inquiry);
    put_note(inquiry);
}

/* ---- one message ---------------------------------------------------------------------------------------------- */

static const console_column_t message_columns[] = {
    {.key = "id", .heading = "id"},
    {.key = "state", .heading = "state"},
    {.key = "arrived", .heading = "arrived"},
    {.key = "age_s", .heading = "age", .cell = CONSOLE_CELL_DURATION},
    {.key = "size_bytes", .heading = "size", .cell = CONSOLE_CELL_BYTES},
    {.key = "sender", .heading = "sender", .empty = "<>"},
    {.key = "envid", .heading = "envelope id"},
    {.key = "flags", .heading = "flags"},
    {.key = "attempts", .heading = "attempts", .cell = CONSOLE_CELL_NUMBER},
    {.key = "next_attempt", .heading = "next attempt", .absent = "now"},
    {.key = "delay_dsn_sent", .heading = "delay reported", .cell = CONSOLE_CELL_YES_NO},
    {.key = "last_error", .heading = "last error"},
};
static const console_column_t recipient_columns[] = {
    {.key = "state", .heading = "STATE"},          {.key = "address", .heading = "ADDRESS"},
    {.key = "accepted", .heading = "ACCEPTED AS"}, {.key = "notify", .heading = "NOTIFY"},
    {.key = "original", .heading = "ORIGINAL"},
};
static const console_part_t message_parts[] = {
    {.kind = CONSOLE_PART_FIELDS, .title = "Message", CONSOLE_COLUMNS(message_columns)},
    {.kind = CONSOLE_PART_TABLE, .key = "recipients", .title = "Recipients", CONSOLE_COLUMNS(recipient_columns)},
};

typedef struct flag_name {
    uint32_t flag;
    const char *name;
} flag_name_t;

/* The names of the bits that are set in FLAGS, with commas; null for none. */
static json_t *flag_names(uint32_t flags, const flag_name_t *names, size_t count)
{
    char text[256] = "";
    size_t used = 0;

    for (size_t i = 0; i < count; i++) {
        if ((flags & names[i].flag) != 0) {
            const int n = snprintf(text + used, sizeof(text) - used, "%s%s", used == 0 ? "" : ",", names[i].name);
            used += n < 0 ? 0 : (size_t)n;
        }
    }
    return used == 0 ? json_null() : json_string(text);
}

static json_t *message_flags(uint32_t flags)
{
    static const flag_name_t names[] = {
        {DEMIT_MESSAGE_SMTPUTF8, "smtputf8"},       {DEMIT_MESSAGE_8BITMIME, "8bitmime"},
        {DEMIT_MESSAGE_HEADER_8BIT, "header-8bit"}, {DEMIT_MESSAGE_BODY_8BIT, "body-8bit"},
        {DEMIT_MESSAGE_LEADING_DOT, "leading-dot"}, {DEMIT_MESSAGE_LONE_LF, "lone-lf"},
        {DEMIT_MESSAGE_LONG_LINE, "long-line"},     {DEMIT_MESSAGE_NO_FINAL_CRLF, "no-final-crlf"},
        {DEMIT_MESSAGE_BOUNCE, "bounce"},
    };
    return flag_names(flags, names, sizeof(names) / sizeof(names[0]));
}

static json_t *notify_flags(uint32_t flags)
{
    static const flag_name_t names[] = {
        {DEMIT_NOTIFY_NEVER, "never"},
        {DEMIT_NOTIFY_SUCCESS, "success"},
        {DEMIT_NOTIFY_FAILURE, "failure"},
        {DEMIT_NOTIFY_DELAY, "delay"},
    };
    return flag_names(flags, names, sizeof(names) / sizeof(names[0]));
}

static const char *recipient_state(demit_recipient_state_t state)
{
    switch (state) {
    case DEMIT_RECIPIENT_PENDING:
        return "pending";
    case DEMIT_RECIPIENT_DELIVERED:
        return "delivered";
    case DEMIT_RECIPIENT_FAILED:
        return "failed";
    }
    return "unknown";
}

static void put_recipients(console_answer_t *answer, const demit_envelope_t *envelope)
{
    json_t *rows = console_put_array(answer, answer->value, "recipients");

    for (uint32_t i = 0; i < envelope->recipient_count; i++) {
        const demit_recipient_t *recipient = &envelope->recipients[i];
        json_t *row = json_object();
        console_put(answer, row, "state", json_string(recipient_state(recipient->state)));
        console_put(answer, row, "address", console_string(recipient->address));
        console_put(answer, row, "accepted", console_string(recipient->accepted));
        console_put(answer, row, "notify", notify_flags(recipient->notify));
        console_put(answer, row, "original", console_string(recipient->original));
        console_append(answer, rows, row);
    }
}

static void take_message(void *baton, const demit_queue_message_view_t *view)
{
    console_inquiry_t *inquiry = baton;
    console_answer_t *answer = &inquiry->answer;
    const demit_envelope_t *envelope = view->envelope;

    console_answer_init(answer, message_parts, sizeof(message_parts) / sizeof(message_parts[0]));
    put_common(answer, answer->value, view);
    console_put(answer, answer->value, "envid", console_string(envelope->envid));
    console_put(answer, answer->value, "flags", message_flags(envelope->flags));
    console_put(answer, answer->value, "delay_dsn_sent", json_boolean(envelope->delay_dsn_sent));
    put_recipients(answer, envelope);
}

void console_look_message(console_inquiry_t *inquiry)
{
    (void)demit_queue_find_message(inquiry->options->queue, inquiry->id, take_message, inquiry);
    if (inquiry->answer.value == NULL) {
        char id[DEMIT_ID_TEXT_SIZE];
        console_answer_fail(&inquiry->answer, CONSOLE_EXIT_NOT_FOUND, "The log tells what became of it.",
                            "No message %s is in the queue.", demit_id_format(inquiry->id, id));
    }
}
