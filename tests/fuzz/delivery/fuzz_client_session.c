/*
 * A server that says anything, to a client with two messages for it. The rooms below the client are faked at the
 * linker's seam: a connection, a loop, workers and a spool, in one thread. Whatever the server says, the session ends,
 * each delivery is reported once or was never touched, nobody is said to have a message that was not sent whole, and
 * what goes out is lines in which no message ends but where it ends.
 *
 * An input is: a byte that chooses the settings, a byte that says how the replies are cut, the recipients' number, the
 * message up to a NUL, the server's words.
 */
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "demit/delivery.h"
#include "demit/log.h"

#include "core/delivery/client_session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { OUTPUT_MAX = 4 * 1024 * 1024, DELIVERIES = 2, RECIPIENTS_MAX = 3 };

#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            abort();                                                                                                   \
    } while (0)

/* A delivery, and what became of it. */
typedef struct delivery_case {
    demit_delivery_t delivery;
    demit_envelope_t envelope;
    demit_recipient_t recipients[RECIPIENTS_MAX];
    demit_delivery_recipient_t results[RECIPIENTS_MAX];
    unsigned given, reported, ends_before;
} delivery_case_t;

struct demit_conn {
    const demit_conn_handler_t *handler;
    void *baton;
    bool closing;
    demit_conn_end_t end;
    char *output;
    size_t output_size;
    char kept[DEMIT_CONN_INPUT_MAX];
    size_t kept_size;
};

static struct {
    apr_pool_t *pool;
    demit_conn_t conn;
    demit_task_t *first_task, **last_task;
    const char *message;
    size_t message_size;
    bool message_damaged;
    int open_readers;
    demit_client_session_t *session;
    delivery_case_t cases[DELIVERIES];
    unsigned next_case, lost, ready;
} world;

/* ---- the rooms below --------------------------------------------------------------------------------------------- */

struct demit_spool_reader {
    int nothing;
};

/* A line is made and nobody reads it, but one line it must be. */
void demit_log(demit_log_level_t level, const char *event, const char *format, ...)
{
    char line[2 * DEMIT_LOG_VALUE_MAX];
    va_list arguments;
    (void)level, (void)event;
    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    for (const char *at = line; *at != '\0'; at++)
        REQUIRE((unsigned char)*at >= 0x20 && *at != 0x7f);
}

static void add_task(demit_task_t *task)
{
    task->next = NULL;
    *world.last_task = task;
    world.last_task = &task->next;
}

static void run_tasks(void)
{
    while (world.first_task != NULL) {
        demit_task_t *task = world.first_task;
        world.first_task = task->next;
        if (world.first_task == NULL)
            world.last_task = &world.first_task;
        task->run(task);
    }
}

void demit_loop_post(demit_loop_t *loop, demit_task_t *task)
{
    (void)loop;
    add_task(task);
}

void demit_workers_submit(demit_workers_t *workers, demit_task_t *task)
{
    (void)workers;
    add_task(task);
}

void demit_timer_start(demit_loop_t *loop, demit_timer_t *timer, int64_t duration_us)
{
    (void)loop;
    timer->due_us = duration_us;
}

void demit_timer_stop(demit_timer_t *timer)
{
    timer->due_us = 0;
}

apr_status_t demit_conn_connect(demit_conn_t **conn, demit_loop_t *loop, const demit_connect_t *target)
{
    (void)loop;
    world.conn.handler = target->handler;
    world.conn.baton = target->baton;
    *conn = &world.conn;
    return APR_SUCCESS;
}

apr_sockaddr_t *demit_conn_peer(const demit_conn_t *conn)
{
    (void)conn;
    return NULL;
}

apr_sockaddr_t *demit_conn_local(const demit_conn_t *conn)
{
    (void)conn;
    return NULL;
}

size_t demit_conn_backlog(const demit_conn_t *conn)
{
    (void)conn;
    return 0;
}

void demit_conn_write(demit_conn_t *conn, const void *bytes, size_t size)
{
    if (conn->closing)
        return;
    REQUIRE(size < OUTPUT_MAX - conn->output_size);
    memcpy(conn->output + conn->output_size, bytes, size);
    conn->output_size += size;
}

void demit_conn_printf(demit_conn_t *conn, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    const char *text = apr_pvsprintf(world.pool, format, arguments);
    va_end(arguments);
    demit_conn_write(conn, text, strlen(text));
}

void demit_conn_close(demit_conn_t *conn)
{
    if (!conn->closing)
        conn->end = DEMIT_CONN_CLOSED_BY_US;
    conn->closing = true;
}

void demit_conn_abort(demit_conn_t *conn)
{
    conn->closing = true;
    conn->end = DEMIT_CONN_FAILED;
}

apr_status_t demit_spool_reader_open(demit_spool_reader_t **reader, demit_envelope_t **envelope, demit_spool_t *spool,
                                     demit_spool_location_t location, apr_pool_t *pool)
{
    (void)envelope, (void)spool, (void)location;
    *reader = apr_pcalloc(pool, sizeof(**reader));
    world.open_readers++;
    return APR_SUCCESS;
}

apr_status_t demit_spool_reader_read(demit_spool_reader_t *reader, uint64_t offset, void *bytes, size_t *size)
{
    (void)reader;
    REQUIRE(offset <= world.message_size);
    size_t left = world.message_size - (size_t)offset;
    *size = *size < left ? *size : left;
    memcpy(bytes, world.message + offset, *size);
    return APR_SUCCESS;
}

uint64_t demit_spool_reader_size(const demit_spool_reader_t *reader)
{
    (void)reader;
    return world.message_size;
}

apr_status_t demit_spool_reader_verify(demit_spool_reader_t *reader)
{
    (void)reader;
    return world.message_damaged ? APR_EINVAL : APR_SUCCESS;
}

void demit_spool_reader_close(demit_spool_reader_t *reader)
{
    (void)reader;
    world.open_readers--;
}

/* ---- the rooms above --------------------------------------------------------------------------------------------- */

/* How many messages ended in what was said: a dot alone in a line. No line of a message is one. */
static unsigned count_ends(void)
{
    const char *at = world.conn.output, *end = at + world.conn.output_size;
    unsigned count = 0;
    for (; (at = memchr(at, '.', (size_t)(end - at))) != NULL; at++)
        count += (at - world.conn.output < 2 || memcmp(at - 2, "\r\n", 2) == 0) && end - at >= 3 &&
                 memcmp(at + 1, "\r\n", 2) == 0;
    return count;
}

static void report(demit_client_context_t *context, demit_delivery_t *delivery)
{
    delivery_case_t *over = DEMIT_CONTAINER_OF(delivery, delivery_case_t, delivery);
    (void)context;
    REQUIRE(over->given == 1 && over->reported == 0);
    over->reported++;
    bool sent = count_ends() > over->ends_before;
    for (uint32_t i = 0; i < delivery->recipient_count; i++) {
        const demit_delivery_recipient_t *recipient = &delivery->recipients[i];
        REQUIRE(recipient->result != DEMIT_RESULT_NONE && recipient->status != NULL);
        bool taken = recipient->result == DEMIT_RESULT_DELIVERED || recipient->result == DEMIT_RESULT_RELAYED;
        REQUIRE(!taken || (sent && recipient->status[0] == '2'));
        REQUIRE((recipient->result == DEMIT_RESULT_FAILED) == (recipient->status[0] == '5'));
    }
}

static void quiet(demit_client_context_t *context)
{
    (void)context;
}

static void give_next(void *baton, demit_client_session_t *session)
{
    (void)baton;
    world.ready++;
    while (world.next_case < DELIVERIES) {
        delivery_case_t *next = &world.cases[world.next_case++];
        next->given++;
        next->ends_before = count_ends();
        if (demit_client_session_deliver(session, &next->delivery))
            return;
        REQUIRE(next->reported == 1);
    }
    demit_client_session_quit(session);
}

static void on_lost(void *baton, demit_client_session_t *session, const demit_client_loss_t *loss)
{
    (void)baton;
    REQUIRE(session == world.session && loss->status != NULL && loss->diagnostic != NULL);
    world.lost++;
    if (loss->untouched) { /* RSET was refused: the delivery is ours again, and can be tried elsewhere */
        delivery_case_t *ours = &world.cases[world.next_case - 1];
        REQUIRE(ours->reported == 0 && count_ends() == ours->ends_before);
        ours->given--;
    }
}

static const demit_client_owner_t owner = {give_next, give_next, on_lost};

/* ---- one input --------------------------------------------------------------------------------------------------- */

/* What the server that took the message would have found in it. */
static uint32_t flags_of(const char *text, size_t size)
{
    uint32_t flags = 0;
    for (size_t i = 0; i < size; i++) {
        bool after_crlf = i == 0 || (i >= 2 && text[i - 1] == '\n' && text[i - 2] == '\r');
        flags |= text[i] == '.' && after_crlf ? DEMIT_MESSAGE_LEADING_DOT : 0;
        flags |= ((unsigned char)text[i] & 0x80) != 0 ? DEMIT_MESSAGE_BODY_8BIT : 0;
        bool alone = (text[i] == '\n' && (i == 0 || text[i - 1] != '\r')) ||
                     (text[i] == '\r' && (i + 1 == size || text[i + 1] != '\n'));
        flags |= alone ? DEMIT_MESSAGE_LONE_LF : 0;
    }
    return flags;
}

static void make_case(delivery_case_t *made, uint8_t choice, uint32_t recipients)
{
    static const char *const addresses[RECIPIENTS_MAX] = {"a@peer.example", "\"b c\"@peer.example",
                                                          "\xc3\xa4@peer.example"};
    memset(made, 0, sizeof(*made));
    made->envelope.sender = (choice & 8) != 0 ? "sender@demit.example" : "";
    made->envelope.flags =
        flags_of(world.message, world.message_size) | ((choice & 16) != 0 ? DEMIT_MESSAGE_SMTPUTF8 : 0);
    made->envelope.size_bytes = world.message_size;
    made->envelope.envid = (choice & 32) != 0 ? "envelope+2Bid" : NULL;
    made->envelope.recipients = made->recipients;
    made->envelope.recipient_count = recipients;
    for (uint32_t i = 0; i < recipients; i++) {
        made->recipients[i].address = addresses[i];
        made->results[i].recipient = &made->recipients[i];
        made->results[i].index = i;
    }
    made->delivery.pool = world.pool;
    made->delivery.envelope = &made->envelope;
    made->delivery.domain = "peer.example";
    made->delivery.recipients = made->results;
    made->delivery.recipient_count = recipients;
}

static void offer(const char *bytes, size_t size)
{
    demit_conn_t *conn = &world.conn;
    REQUIRE(size <= sizeof(conn->kept) - conn->kept_size); /* a reply is read as it comes: little is kept */
    memcpy(conn->kept + conn->kept_size, bytes, size);
    conn->kept_size += size;
    char *exact = malloc(conn->kept_size); /* a sanitizer sees a look beyond */
    REQUIRE(exact != NULL);
    memcpy(exact, conn->kept, conn->kept_size);
    size_t used = conn->handler->on_input(conn, conn->baton, exact, conn->kept_size);
    free(exact);
    REQUIRE(used <= conn->kept_size);
    conn->kept_size -= used;
    memmove(conn->kept, conn->kept + used, conn->kept_size);
    run_tasks();
}

static void converse(const char *words, size_t size, size_t step)
{
    demit_conn_t *conn = &world.conn;
    conn->handler->on_connected(conn, conn->baton);
    run_tasks();
    for (size_t at = 0; at < size && !conn->closing; at += step)
        offer(words + at, size - at < step ? size - at : step);
    conn->handler->on_close(conn, conn->baton, conn->closing ? conn->end : DEMIT_CONN_CLOSED_BY_PEER, APR_EOF);
    run_tasks();
}

/* Lines, and no CR or LF that stands alone. */
static void check_output(unsigned ends_max)
{
    const char *text = world.conn.output;
    size_t size = world.conn.output_size;
    for (size_t i = 0; i < size; i++) {
        REQUIRE(text[i] != '\n' || (i > 0 && text[i - 1] == '\r'));
        REQUIRE(text[i] != '\r' || i + 1 == size || text[i + 1] == '\n');
    }
    REQUIRE(count_ends() <= ends_max);
}

static void open_session(uint8_t choice)
{
    static demit_client_context_t context;
    demit_settings_t *settings = apr_pcalloc(world.pool, sizeof(*settings));
    demit_domain_settings_t *domain = apr_pcalloc(world.pool, sizeof(*domain));
    demit_hop_t hop = {.host = "peer.example", .ip = "192.0.2.1"};
    demit_client_target_t target = {
        .hop = &hop, .settings = domain, .server_settings = settings, .key = "peer.example"};
    context = (demit_client_context_t){.pool = world.pool, .report = report, .quiet = quiet};
    settings->hostname = "demit.example";
    settings->listeners = apr_array_make(world.pool, 1, sizeof(demit_listen_settings_t));
    domain->delivery_method = (choice & 1) != 0   ? DEMIT_DELIVER_LMTP
                              : (choice & 2) != 0 ? DEMIT_DELIVER_SMTP
                                                  : DEMIT_DELIVER_ESMTP;
    REQUIRE(apr_sockaddr_info_get(&hop.address, "192.0.2.1", APR_INET, 25, 0, world.pool) == APR_SUCCESS);
    REQUIRE(demit_client_session_open(&world.session, &context, &target) == APR_SUCCESS);
    demit_client_session_own(world.session, &owner, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char *output;
    if (output == NULL) {
        REQUIRE(apr_initialize() == APR_SUCCESS && (output = malloc(OUTPUT_MAX)) != NULL);
    }
    const uint8_t *message_end = size < 3 ? NULL : memchr(data + 3, '\0', size - 3);
    if (message_end == NULL)
        return 0;
    memset(&world, 0, sizeof(world));
    world.last_task = &world.first_task;
    world.conn.output = output;
    REQUIRE(apr_pool_create(&world.pool, NULL) == APR_SUCCESS);
    world.message = (const char *)data + 3;
    world.message_size = (size_t)(message_end - (data + 3));
    world.message_damaged = (data[0] & 4) != 0;
    for (unsigned i = 0; i < DELIVERIES; i++)
        make_case(&world.cases[i], data[0], 1 + data[2] % RECIPIENTS_MAX);
    open_session(data[0]);
    converse((const char *)message_end + 1, (size_t)(data + size - message_end - 1), 1 + data[1] % 64);
    REQUIRE(world.lost == 1 && world.open_readers == 0);
    for (unsigned i = 0; i < DELIVERIES; i++)
        REQUIRE(world.cases[i].given == world.cases[i].reported);
    check_output(DELIVERIES);
    apr_pool_destroy(world.pool);
    return 0;
}
