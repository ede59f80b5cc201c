/* Commands about the process: what it is, what it does, how it is stopped. */
#include "core/control/command.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <apr_version.h>

#include "demit/build.h"

static int64_t uptime_s(const console_inquiry_t *inquiry)
{
    return (demit_os_monotonic_us() - inquiry->up_since_us) / 1000000;
}

void console_complete_version(console_inquiry_t *inquiry)
{
    static const console_column_t columns[] = {
        {.key = "version", .heading = "demit"},
        {.key = "back_end", .heading = "back end"},
        {.key = "apr", .heading = "APR"},
        {.key = "jansson", .heading = "jansson"},
    };
    static const console_part_t parts[] = {{.kind = CONSOLE_PART_FIELDS, CONSOLE_COLUMNS(columns)}};
    console_answer_t *answer = &inquiry->answer;

    console_answer_init(answer, parts, 1);
    console_put(answer, answer->value, "version", json_string(DEMIT_VERSION));
    console_put(answer, answer->value, "back_end", json_string(DEMIT_OS_NAME));
    console_put(answer, answer->value, "apr", json_string(apr_version_string()));
    console_put(answer, answer->value, "jansson", json_string(JANSSON_VERSION));
}

void console_complete_pid(console_inquiry_t *inquiry)
{
    static const console_part_t parts[] = {{.kind = CONSOLE_PART_LINES, .key = "pid"}};
    console_answer_t *answer = &inquiry->answer;

    console_answer_init(answer, parts, 1);
    console_put(answer, answer->value, "pid", json_integer(getpid()));
}

void console_complete_shutdown(console_inquiry_t *inquiry)
{
    static const console_part_t parts[] = {{.kind = CONSOLE_PART_LINES, .key = "message"}};
    console_answer_t *answer = &inquiry->answer;

    console_answer_init(answer, parts, 1);
    console_put(answer, answer->value, "message",
                json_string("Stopping: transactions under way may finish, the queue is kept."));
}

/* ---- summary -------------------------------------------------------------------------------------------------- */

static const console_column_t server_columns[] = {
    {.key = "hostname", .heading = "host name"},
    {.key = "version", .heading = "version"},
    {.key = "pid", .heading = "process", .cell = CONSOLE_CELL_NUMBER},
    {.key = "uptime_s", .heading = "up for", .cell = CONSOLE_CELL_DURATION},
    {.key = "identity", .heading = "identity"},
};
static const console_column_t queue_columns[] = {
    {.key = "messages", .heading = "messages", .cell = CONSOLE_CELL_NUMBER},
    {.key = "recipients_pending", .heading = "recipients pending", .cell = CONSOLE_CELL_NUMBER},
    {.key = "active", .heading = "being delivered", .cell = CONSOLE_CELL_NUMBER},
    {.key = "deferred", .heading = "deferred", .cell = CONSOLE_CELL_NUMBER},
    {.key = "destinations", .heading = "destinations", .cell = CONSOLE_CELL_NUMBER},
    {.key = "recovering", .heading = "recovering", .cell = CONSOLE_CELL_YES_NO},
};
static const console_column_t since_columns[] = {
    {.key = "received", .heading = "received", .cell = CONSOLE_CELL_NUMBER},
    {.key = "delivered", .heading = "delivered", .cell = CONSOLE_CELL_NUMBER},
    {.key = "deferrals", .heading = "deferrals", .cell = CONSOLE_CELL_NUMBER},
    {.key = "failed", .heading = "failed", .cell = CONSOLE_CELL_NUMBER},
    {.key = "bounced", .heading = "bounced", .cell = CONSOLE_CELL_NUMBER},
};
static const console_column_t smtp_columns[] = {
    {.key = "sessions", .heading = "sessions now", .cell = CONSOLE_CELL_NUMBER},
    {.key = "connections", .heading = "connections", .cell = CONSOLE_CELL_NUMBER},
    {.key = "messages", .heading = "messages", .cell = CONSOLE_CELL_NUMBER},
    {.key = "size_bytes", .heading = "their size", .cell = CONSOLE_CELL_BYTES},
    {.key = "rejected_recipients", .heading = "rejected recipients", .cell = CONSOLE_CELL_NUMBER},
};
static const console_column_t spool_columns[] = {
    {.key = "segments", .heading = "segments", .cell = CONSOLE_CELL_NUMBER},
    {.key = "segments_free", .heading = "free segments", .cell = CONSOLE_CELL_NUMBER},
    {.key = "records", .heading = "records", .cell = CONSOLE_CELL_NUMBER},
    {.key = "batches", .heading = "batches", .cell = CONSOLE_CELL_NUMBER},
    {.key = "syncs", .heading = "syncs", .cell = CONSOLE_CELL_NUMBER},
    {.key = "written_bytes", .heading = "written", .cell = CONSOLE_CELL_BYTES},
    {.key = "buffered_bytes", .heading = "held in memory", .cell = CONSOLE_CELL_BYTES},
    {.key = "commits_failed", .heading = "commits failed", .cell = CONSOLE_CELL_NUMBER},
};
static const console_column_t loop_columns[] = {
    {.key = "loop", .heading = "LOOP", .cell = CONSOLE_CELL_NUMBER},
    {.key = "connections", .heading = "CONNECTIONS", .cell = CONSOLE_CELL_NUMBER},
    {.key = "rounds", .heading = "ROUNDS", .cell = CONSOLE_CELL_NUMBER},
};
static const console_part_t summary_parts[] = {
    {.kind = CONSOLE_PART_FIELDS, .key = "server", .title = "Server", CONSOLE_COLUMNS(server_columns)},
    {.kind = CONSOLE_PART_FIELDS, .key = "queue", .title = "Queue", CONSOLE_COLUMNS(queue_columns)},
    {.kind = CONSOLE_PART_FIELDS, .key = "since_start", .title = "Since the start", CONSOLE_COLUMNS(since_columns)},
    {.kind = CONSOLE_PART_FIELDS, .key = "smtp", .title = "SMTP server", CONSOLE_COLUMNS(smtp_columns)},
    {.kind = CONSOLE_PART_FIELDS, .key = "spool", .title = "Spool", CONSOLE_COLUMNS(spool_columns)},
    {.kind = CONSOLE_PART_TABLE, .key = "loops", .title = "Event loops", CONSOLE_COLUMNS(loop_columns)},
};

void console_look_counts(console_inquiry_t *inquiry)
{
    demit_queue_counts(inquiry->options->queue, &inquiry->counts);
}

static void put_server(console_inquiry_t *inquiry)
{
    console_answer_t *answer = &inquiry->answer;
    json_t *server = console_put_object(answer, answer->value, "server");
    char identity[1024];

    demit_identity_summary(inquiry->options->identity, identity, sizeof(identity));
    console_put(answer, server, "hostname", console_string(inquiry->settings->hostname));
    console_put(answer, server, "version", json_string(DEMIT_VERSION));
    console_put(answer, server, "pid", json_integer(getpid()));
    console_put(answer, server, "uptime_s", json_integer(uptime_s(inquiry)));
    console_put(answer, server, "identity", console_string(identity));
}

static void put_queue(console_inquiry_t *inquiry)
{
    const demit_queue_counts_t *counts = &inquiry->counts;
    console_answer_t *answer = &inquiry->answer;
    json_t *queue = console_put_object(answer, answer->value, "queue");
    json_t *since = console_put_object(answer, answer->value, "since_start");

    console_put(answer, queue, "messages", console_count(counts->messages));
    console_put(answer, queue, "recipients_pending", console_count(counts->recipients_pending));
    console_put(answer, queue, "active", console_count(counts->active));
    console_put(answer, queue, "deferred", console_count(counts->deferred));
    console_put(answer, queue, "destinations", console_count(counts->destinations));
    console_put(answer, queue, "recovering", json_boolean(counts->recovering));
    console_put(answer, since, "received", console_count(counts->received));
    console_put(answer, since, "delivered", console_count(counts->delivered));
    console_put(answer, since, "deferrals", console_count(counts->deferrals));
    console_put(answer, since, "failed", console_count(counts->failed));
    console_put(answer, since, "bounced", console_count(counts->bounced));
}

static void put_smtp(console_inquiry_t *inquiry)
{
    console_answer_t *answer = &inquiry->answer;
    json_t *smtp = console_put_object(answer, answer->value, "smtp");
    demit_smtp_statistics_t statistics;

    demit_smtp_statistics(inquiry->options->server, &statistics);
    console_put(answer, smtp, "sessions", console_count(statistics.sessions));
    console_put(answer, smtp, "connections", console_count(statistics.connections));
    console_put(answer, smtp, "messages", console_count(statistics.messages));
    console_put(answer, smtp, "size_bytes", console_count(statistics.bytes));
    console_put(answer, smtp, "rejected_recipients", console_count(statistics.rejected_recipients));
}

static void put_spool(console_inquiry_t *inquiry)
{
    console_answer_t *answer = &inquiry->answer;
    json_t *spool = console_put_object(answer, answer->value, "spool");
    demit_spool_statistics_t statistics;

    demit_spool_statistics(inquiry->options->spool, &statistics);
    console_put(answer, spool, "segments", console_count(statistics.segments));
    console_put(answer, spool, "segments_free", console_count(statistics.segments_free));
    console_put(answer, spool, "records", console_count(statistics.records));
    console_put(answer, spool, "batches", console_count(statistics.batches));
    console_put(answer, spool, "syncs", console_count(statistics.syncs));
    console_put(answer, spool, "written_bytes", console_count(statistics.bytes_written));
    console_put(answer, spool, "buffered_bytes", console_count(statistics.buffered_bytes));
    console_put(answer, spool, "commits_failed", console_count(statistics.commits_failed));
}

void console_complete_summary(console_inquiry_t *inquiry)
{
    console_answer_t *answer = &inquiry->answer;

    console_answer_init(answer, summary_parts, sizeof(summary_parts) / sizeof(summary_parts[0]));
    put_server(inquiry);
    put_queue(inquiry);
    put_smtp(inquiry);
    put_spool(inquiry);

    json_t *loops = console_put_array(answer, answer->value, "loops");
    for (uint32_t i = 0; i < inquiry->options->loop_count; i++) {
        json_t *loop = json_object();
        console_put(answer, loop, "loop", json_integer(i));
        console_put(answer, loop, "connections", console_count(demit_loop_connections(inquiry->options->loops[i])));
        console_put(answer, loop, "rounds", console_count(demit_loop_rounds(inquiry->options->loops[i])));
        console_append(answer, loops, loop);
    }
}

void console_complete_count(console_inquiry_t *inquiry)
{
    static const console_column_t columns[] = {
        {.key = "messages", .heading = "messages", .cell = CONSOLE_CELL_NUMBER},
        {.key = "recipients_pending", .heading = "recipients pending", .cell = CONSOLE_CELL_NUMBER},
    };
    static const console_part_t parts[] = {{.kind = CONSOLE_PART_FIELDS, CONSOLE_COLUMNS(columns)}};
    console_answer_t *answer = &inquiry->answer;

    console_answer_init(answer, parts, 1);
    console_put(answer, answer->value, "messages", console_count(inquiry->counts.messages));
    console_put(answer, answer->value, "recipients_pending", console_count(inquiry->counts.recipients_pending));
}

/* ---- sysinfo -------------------------------------------------------------------------------------------------- */

static int64_t seconds_of(const struct timeval *time)
{
    return (int64_t)time->tv_sec;
}

void console_complete_sysinfo(console_inquiry_t *inquiry)
{
    static const console_column_t columns[] = {
        {.key = "node", .heading = "node"},
        {.key = "system", .heading = "system"},
        {.key = "machine", .heading = "machine"},
        {.key = "processors", .heading = "processors", .cell = CONSOLE_CELL_NUMBER},
        {.key = "pid", .heading = "process", .cell = CONSOLE_CELL_NUMBER},
        {.key = "uptime_s", .heading = "up for", .cell = CONSOLE_CELL_DURATION},
        {.key = "cpu_user_s", .heading = "CPU time, user", .cell = CONSOLE_CELL_DURATION},
        {.key = "cpu_system_s", .heading = "CPU time, system", .cell = CONSOLE_CELL_DURATION},
        {.key = "descriptors_max", .heading = "descriptor limit", .cell = CONSOLE_CELL_NUMBER, .absent = "none"},
    };
    static const console_part_t parts[] = {{.kind = CONSOLE_PART_FIELDS, CONSOLE_COLUMNS(columns)}};
    console_answer_t *answer = &inquiry->answer;
    struct utsname host;
    struct rusage usage;
    struct rlimit limit;
    char system[sizeof(host.sysname) + sizeof(host.release) + 2];

    if (uname(&host) < 0 || getrusage(RUSAGE_SELF, &usage) < 0 || getrlimit(RLIMIT_NOFILE, &limit) < 0) {
        console_answer_fail(answer, CONSOLE_EXIT_SYSTEM, NULL, "The system does not tell.");
        return;
    }
    snprintf(system, sizeof(system), "%s %s", host.sysname, host.release);
    console_answer_init(answer, parts, 1);
    console_put(answer, answer->value, "node", console_string(host.nodename));
    console_put(answer, answer->value, "system", console_string(system));
    console_put(answer, answer->value, "machine", console_string(host.machine));
    console_put(answer, answer->value, "processors", json_integer(demit_os_processors()));
    console_put(answer, answer->value, "pid", json_integer(getpid()));
    console_put(answer, answer->value, "uptime_s", json_integer(uptime_s(inquiry)));
    console_put(answer, answer->value, "cpu_user_s", json_integer(seconds_of(&usage.ru_utime)));
    console_put(answer, answer->value, "cpu_system_s", json_integer(seconds_of(&usage.ru_stime)));
    console_put(answer, answer->value, "descriptors_max",
                limit.rlim_cur == RLIM_INFINITY ? json_null() : console_count((uint64_t)limit.rlim_cur));
}
