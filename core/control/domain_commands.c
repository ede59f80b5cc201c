/* `active`, `delayed`, `domain`: destinations. */
#include "core/control/command.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the largest few of very many ------------------------------------------------------------------------------ */

typedef struct ranked_domain {
    uint64_t rank;
    json_t *row;
} ranked_domain_t;

/*
 * A heap whose top is the smallest of those kept, so that a queue with a million destinations costs a comparison for
 * each and memory for LIMIT of them only.
 */
typedef struct ranking {
    uint64_t (*rank_of)(const demit_queue_domain_view_t *view); /* 0: does not belong */
    console_answer_t *answer;
    ranked_domain_t *kept;
    size_t count, limit;
    uint64_t matched;
} ranking_t;

static void swap(ranked_domain_t *a, ranked_domain_t *b)
{
    const ranked_domain_t was = *a;

    *a = *b;
    *b = was;
}

static void sift_up(ranked_domain_t *heap, size_t at)
{
    while (at > 0 && heap[(at - 1) / 2].rank > heap[at].rank) {
        swap(&heap[(at - 1) / 2], &heap[at]);
        at = (at - 1) / 2;
    }
}

static void sift_down(ranked_domain_t *heap, size_t count)
{
    for (size_t at = 0;;) {
        size_t least = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < count; child++) {
            least = heap[child].rank < heap[least].rank ? child : least;
        }
        if (least == at) {
            return;
        }
        swap(&heap[least], &heap[at]);
        at = least;
    }
}

static void put_view(console_answer_t *answer, json_t *object, const demit_queue_domain_view_t *view)
{
    console_put(answer, object, "domain", console_string(view->domain));
    console_put(answer, object, "messages", console_count(view->messages));
    console_put(answer, object, "active", console_count(view->active));
    console_put(answer, object, "deferred", console_count(view->deferred));
    console_put(answer, object, "last_error", console_string(view->last_error));
}

static void consider(void *baton, const demit_queue_domain_view_t *view)
{
    ranking_t *ranking = baton;
    const uint64_t rank = ranking->rank_of(view);

    if (rank == 0) {
        return;
    }
    ranking->matched++;
    if (ranking->count == ranking->limit && rank <= ranking->kept[0].rank) {
        return;
    }
    json_t *row = json_object();
    put_view(ranking->answer, row, view);
    if (ranking->count < ranking->limit) {
        ranking->kept[ranking->count] = (ranked_domain_t){.rank = rank, .row = row};
        sift_up(ranking->kept, ranking->count++);
    } else {
        json_decref(ranking->kept[0].row);
        ranking->kept[0] = (ranked_domain_t){.rank = rank, .row = row};
        sift_down(ranking->kept, ranking->count);
    }
}

/* Largest first; the same number of them, by name. */
static int compare_ranks(const void *left, const void *right)
{
    const ranked_domain_t *a = left, *b = right;

    if (a->rank != b->rank) {
        return a->rank < b->rank ? 1 : -1;
    }
    const char *a_name = json_string_value(json_object_get(a->row, "domain"));
    const char *b_name = json_string_value(json_object_get(b->row, "domain"));
    return a_name == NULL || b_name == NULL ? 0 : strcmp(a_name, b_name);
}

/* ---- active, delayed ------------------------------------------------------------------------------------------- */

static const console_column_t list_columns[] = {
    {.key = "domain", .heading = "DOMAIN", .width_max = 60},
    {.key = "messages", .heading = "MESSAGES", .cell = CONSOLE_CELL_NUMBER},
    {.key = "active", .heading = "ACTIVE", .cell = CONSOLE_CELL_NUMBER},
    {.key = "deferred", .heading = "DEFERRED", .cell = CONSOLE_CELL_NUMBER},
    {.key = "last_error", .heading = "LAST ERROR"},
};
static const console_part_t list_parts[] = {
    {.kind = CONSOLE_PART_TABLE, .key = "domains", CONSOLE_COLUMNS(list_columns)},
    {.kind = CONSOLE_PART_LINES, .key = "note"},
};

static void put_ranking(ranking_t *ranking, const char *nothing)
{
    console_answer_t *answer = ranking->answer;
    json_t *rows = console_put_array(answer, answer->value, "domains");
    char note[96];

    qsort(ranking->kept, ranking->count, sizeof(ranking->kept[0]), compare_ranks);
    for (size_t i = 0; i < ranking->count; i++) {
        console_append(answer, rows, ranking->kept[i].row);
    }
    console_put(answer, answer->value, "total", console_count(ranking->matched));
    if (ranking->matched == 0) {
        console_put(answer, answer->value, "note", json_string(nothing));
    } else if (ranking->matched > ranking->count) {
        snprintf(note, sizeof(note), "%zu of %" PRIu64 " destinations are shown; LIMIT may be up to %d.",
                 ranking->count, ranking->matched, CONSOLE_LIMIT_MAX);
        console_put(answer, answer->value, "note", json_string(note));
    }
}

static void look_ranked(console_inquiry_t *inquiry, uint64_t (*rank_of)(const demit_queue_domain_view_t *view),
                        const char *nothing)
{
    ranking_t ranking = {.rank_of = rank_of, .answer = &inquiry->answer, .limit = inquiry->limit};

    console_answer_init(&inquiry->answer, list_parts, sizeof(list_parts) / sizeof(list_parts[0]));
    ranking.kept = calloc(ranking.limit, sizeof(ranking.kept[0]));
    if (ranking.kept == NULL) {
        inquiry->answer.incomplete = true;
        return;
    }
    demit_queue_each_domain(inquiry->options->queue, consider, &ranking);
    put_ranking(&ranking, nothing);
    free(ranking.kept);
}

static uint64_t active_of(const demit_queue_domain_view_t *view)
{
    return view->active;
}

static uint64_t deferred_of(const demit_queue_domain_view_t *view)
{
    return view->deferred;
}

void console_look_active(console_inquiry_t *inquiry)
{
    look_ranked(inquiry, active_of, "Nothing is being delivered.");
}

void console_look_delayed(console_inquiry_t *inquiry)
{
    look_ranked(inquiry, deferred_of, "Nothing is deferred.");
}

/* ---- domain ---------------------------------------------------------------------------------------------------- */

static const console_column_t domain_columns[] = {
    {.key = "domain", .heading = "domain"},
    {.key = "messages", .heading = "messages", .cell = CONSOLE_CELL_NUMBER},
    {.key = "active", .heading = "being delivered", .cell = CONSOLE_CELL_NUMBER},
    {.key = "deferred", .heading = "deferred", .cell = CONSOLE_CELL_NUMBER},
    {.key = "last_error", .heading = "last error"},
};
static const console_column_t route_columns[] = {
    {.key = "scope", .heading = "Domain scope", .absent = "none: the settings for every domain"},
    {.key = "delivery_method", .heading = "Delivery_Method"},
    {.key = "maildir", .heading = "Maildir"},
    {.key = "gateway", .heading = "Gateway"},
    {.key = "port", .heading = "port", .cell = CONSOLE_CELL_NUMBER},
    {.key = "retry_interval_s", .heading = "Retry_Interval", .cell = CONSOLE_CELL_DURATION},
    {.key = "max_retry_interval_s", .heading = "Max_Retry_Interval", .cell = CONSOLE_CELL_DURATION},
    {.key = "message_expiration_s", .heading = "Message_Expiration", .cell = CONSOLE_CELL_DURATION},
    {.key = "max_outbound_connections", .heading = "Max_Outbound_Connections", .cell = CONSOLE_CELL_NUMBER},
};
static const console_part_t domain_parts[] = {
    {.kind = CONSOLE_PART_FIELDS, .title = "Queue", CONSOLE_COLUMNS(domain_columns)},
    {.kind = CONSOLE_PART_FIELDS, .key = "settings", .title = "Settings", CONSOLE_COLUMNS(route_columns)},
    {.kind = CONSOLE_PART_LINES, .key = "note", .title = "Note"},
};

static void take_domain(void *baton, const demit_queue_domain_view_t *view)
{
    console_inquiry_t *inquiry = baton;

    if (strcmp(view->domain, inquiry->domain) == 0) {
        put_view(&inquiry->answer, inquiry->answer.value, view);
    }
}

void console_look_domain(console_inquiry_t *inquiry)
{
    const demit_queue_domain_view_t nothing = {.domain = inquiry->domain};

    console_answer_init(&inquiry->answer, domain_parts, sizeof(domain_parts) / sizeof(domain_parts[0]));
    put_view(&inquiry->answer, inquiry->answer.value, &nothing);
    demit_queue_each_domain(inquiry->options->queue, take_domain, inquiry);
}

static const char *method_name(demit_delivery_method_t method)
{
    switch (method) {
    case DEMIT_DELIVER_ESMTP:
        return "ESMTP";
    case DEMIT_DELIVER_SMTP:
        return "SMTP";
    case DEMIT_DELIVER_LMTP:
        return "LMTP";
    case DEMIT_DELIVER_MAILDIR:
        return "Maildir";
    }
    return "unknown";
}

/* All mail that goes to one gateway is one destination, so a domain's own numbers are zero there. */
static void put_gateway_note(console_answer_t *answer, const demit_domain_settings_t *domain, uint16_t port)
{
    static const char its[] = "Its mail is counted with all that goes to its gateway: domain";
    const bool is_ipv6 = strchr(domain->gateway_host, ':') != NULL;
    char note[384];

    if (domain->gateway_is_path) {
        snprintf(note, sizeof(note), "%s %.255s", its, domain->gateway_host);
    } else {
        snprintf(note, sizeof(note), is_ipv6 ? "%s [%.255s]:%u" : "%s %.255s:%u", its, domain->gateway_host, port);
    }
    console_put(answer, answer->value, "note", console_string(note));
}

/* "relay.example:25", "[2001:db8::1]:25", "/run/lmtp": what a gateway's destination is called. Not "[2001:db8::1]". */
static bool is_gateway_name(const char *name)
{
    return name[0] == '/' || (strchr(name, ':') != NULL && name[strlen(name) - 1] != ']');
}

void console_complete_domain(console_inquiry_t *inquiry)
{
    if (is_gateway_name(inquiry->domain)) {
        return; /* several Domain scopes may share it */
    }
    const demit_domain_settings_t *domain = demit_settings_domain(inquiry->settings, inquiry->domain);
    const bool is_maildir = domain->delivery_method == DEMIT_DELIVER_MAILDIR;
    const uint16_t port = domain->gateway_port != 0 ? domain->gateway_port : domain->remote_smtp_port;
    console_answer_t *answer = &inquiry->answer;
    json_t *settings = console_put_object(answer, answer->value, "settings");

    console_put(answer, settings, "scope", console_string(domain->name));
    console_put(answer, settings, "delivery_method", json_string(method_name(domain->delivery_method)));
    console_put(answer, settings, "maildir", console_string(domain->maildir));
    console_put(answer, settings, "gateway", console_string(domain->gateway_host));
    console_put(answer, settings, "port", is_maildir || domain->gateway_is_path ? json_null() : json_integer(port));
    console_put(answer, settings, "retry_interval_s", json_integer(domain->retry_interval_us / 1000000));
    console_put(answer, settings, "max_retry_interval_s", json_integer(domain->max_retry_interval_us / 1000000));
    console_put(answer, settings, "message_expiration_s", json_integer(domain->message_expiration_us / 1000000));
    console_put(answer, settings, "max_outbound_connections", json_integer(domain->max_outbound_connections));
    if (domain->gateway_host != NULL && json_integer_value(json_object_get(answer->value, "messages")) == 0) {
        put_gateway_note(answer, domain, port);
    }
}
