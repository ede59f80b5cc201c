/* The table of commands, how one is found in it, and the help that comes from it. */
#include "core/control/command.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

const console_command_t console_commands[] = {
    {.name = "summary",
     .arguments = "",
     .help = "the server at a glance: queue, sessions, spool",
     .look = console_look_counts,
     .complete = console_complete_summary},
    {.name = "mailq",
     .arguments = "[LIMIT]",
     .help = "messages in the queue, oldest first (1000 unless LIMIT says otherwise)",
     .arguments_max = 1,
     .prepare = console_prepare_limit,
     .look = console_look_mailq},
    {.name = "showqueue",
     .arguments = "DOMAIN [LIMIT]",
     .help = "messages that wait for recipients of one domain",
     .arguments_min = 1,
     .arguments_max = 2,
     .prepare = console_prepare_domain_limit,
     .look = console_look_mailq},
    {.name = "message details",
     .arguments = "ID",
     .help = "everything about one message and each of its recipients",
     .arguments_min = 1,
     .arguments_max = 1,
     .prepare = console_prepare_id,
     .look = console_look_message},
    {.name = "domain",
     .arguments = "DOMAIN",
     .help = "one destination: what waits for it, and how it is delivered to",
     .arguments_min = 1,
     .arguments_max = 1,
     .prepare = console_prepare_domain,
     .look = console_look_domain,
     .complete = console_complete_domain},
    {.name = "active",
     .arguments = "[LIMIT]",
     .help = "destinations that are being delivered to, busiest first",
     .arguments_max = 1,
     .prepare = console_prepare_limit,
     .look = console_look_active},
    {.name = "delayed",
     .arguments = "[LIMIT]",
     .help = "destinations with deferred mail and why, most deferred first",
     .arguments_max = 1,
     .prepare = console_prepare_limit,
     .look = console_look_delayed},
    {.name = "count",
     .arguments = "",
     .help = "how many messages and recipients are in the queue",
     .look = console_look_counts,
     .complete = console_complete_count},
    {.name = "privileges",
     .arguments = "",
     .help = "what the process may do, as configured and as the kernel tells; exit code 1 if they differ",
     .flags = CONSOLE_COMMAND_ROLL,
     .complete = console_complete_privileges},
    {.name = "sysinfo",
     .arguments = "",
     .help = "the host and this process on it",
     .complete = console_complete_sysinfo},
    {.name = "pid", .arguments = "", .help = "the daemon's process id", .complete = console_complete_pid},
    {.name = "version",
     .arguments = "",
     .help = "version, back end and libraries",
     .complete = console_complete_version},
    {.name = "config reload",
     .arguments = "",
     .help = "read the configuration again and bring it into force, all of it or nothing",
     .flags = CONSOLE_COMMAND_CHANGES,
     .complete = console_complete_reload},
    {.name = "config show",
     .arguments = "",
     .help = "the configuration in force: what is written, with included files in their places",
     .complete = console_complete_show},
    {.name = "shutdown",
     .arguments = "",
     .help = "stop gracefully: finish transactions, keep the queue",
     .flags = CONSOLE_COMMAND_STOPS,
     .complete = console_complete_shutdown},
    {.name = "help",
     .arguments = "[COMMAND]",
     .help = "this list, or one command of it",
     .arguments_max = 2,
     .complete = console_complete_help},
};

const size_t console_command_count = sizeof(console_commands) / sizeof(console_commands[0]);

/* ---- finding -------------------------------------------------------------------------------------------------- */

enum { NAME_MAX_BYTES = 32 };

/* How many words NAME has if WORDS begin with them, else 0. */
static size_t match(const char *name, const char *const *words, size_t count)
{
    for (size_t used = 0; used < count; used++) {
        const size_t length = strcspn(name, " ");
        if (strlen(words[used]) != length || strncasecmp(words[used], name, length) != 0) {
            return 0;
        }
        if (name[length] == '\0') {
            return used + 1;
        }
        name += length + 1;
    }
    return 0;
}

static const console_command_t *find(const char *const *words, size_t count, size_t *used)
{
    for (size_t i = 0; i < console_command_count; i++) {
        *used = match(console_commands[i].name, words, count);
        if (*used > 0) {
            return &console_commands[i];
        }
    }
    return NULL;
}

char console_lower(char c)
{
    if (c < 'A' || c > 'Z') {
        return c;
    }
    return (char)(c + ('a' - 'A'));
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

size_t console_distance(const char *a, const char *b)
{
    size_t rows[3][NAME_MAX_BYTES + 1]; /* of the usual matrix, the one being made and the two above it */
    const size_t a_size = least(strlen(a), NAME_MAX_BYTES), b_size = least(strlen(b), NAME_MAX_BYTES);

    for (size_t j = 0; j <= b_size; j++) {
        rows[0][j] = j;
    }
    for (size_t i = 1; i <= a_size; i++) {
        size_t *row = rows[i % 3];
        const size_t *above = rows[(i + 2) % 3], *two_above = rows[(i + 1) % 3];

        row[0] = i;
        for (size_t j = 1; j <= b_size; j++) {
            const size_t replace = above[j - 1] + (console_lower(a[i - 1]) == console_lower(b[j - 1]) ? 0 : 1);
            row[j] = least(replace, least(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && console_lower(a[i - 1]) == console_lower(b[j - 2]) &&
                console_lower(a[i - 2]) == console_lower(b[j - 1])) {
                row[j] = least(row[j], two_above[j - 2] + 1);
            }
        }
    }
    return rows[a_size % 3][b_size];
}

static size_t word_count(const char *name)
{
    size_t count = 1;

    for (; *name != '\0'; name++) {
        count += *name == ' ' ? 1 : 0;
    }
    return count;
}

/* The first as many of WORDS as NAME has, with single spaces, cut to what fits. */
static void join_like(char joined[NAME_MAX_BYTES + 1], const char *name, const char *const *words, size_t count)
{
    const size_t wanted = least(count, word_count(name));
    size_t used = 0;

    joined[0] = '\0';
    for (size_t word = 0; word < wanted && used < NAME_MAX_BYTES; word++) {
        const int n = snprintf(joined + used, NAME_MAX_BYTES + 1 - used, "%s%s", word == 0 ? "" : " ", words[word]);
        used += n < 0 ? 0 : (size_t)n;
    }
}

/* The command that was meant most likely, or NULL when nothing is near. */
static const console_command_t *nearest(const char *const *words, size_t count)
{
    const console_command_t *best = NULL;
    size_t best_distance = SIZE_MAX;

    for (size_t i = 0; i < console_command_count; i++) {
        const char *name = console_commands[i].name;
        char joined[NAME_MAX_BYTES + 1];

        join_like(joined, name, words, count);
        const size_t size = strlen(joined);
        size_t distance = console_distance(joined, name);
        if (size >= 3 && strncasecmp(joined, name, size) == 0) {
            distance = 0; /* a beginning of the name */
        }
        if (distance <= strlen(name) / 3 && distance < best_distance) {
            best = &console_commands[i];
            best_distance = distance;
        }
    }
    return best;
}

static void fail_unknown(console_inquiry_t *inquiry, const char *const *words, size_t count)
{
    static const char hint[] = "\"help\" lists the commands.";
    const console_command_t *near = nearest(words, count);

    if (near != NULL) {
        console_answer_fail(&inquiry->answer, CONSOLE_EXIT_USAGE, hint,
                            "Unknown command \"%.64s\"; did you mean \"%s\"?", words[0], near->name);
    } else {
        console_answer_fail(&inquiry->answer, CONSOLE_EXIT_USAGE, hint, "Unknown command \"%.64s\".", words[0]);
    }
}

const console_command_t *console_command_find(console_inquiry_t *inquiry, const console_request_t *request)
{
    size_t used = 0;
    const console_command_t *command = find(request->words, request->word_count, &used);

    if (command == NULL) {
        fail_unknown(inquiry, request->words, request->word_count);
        return NULL;
    }
    inquiry->arguments = request->words + used;
    inquiry->argument_count = request->word_count - used;
    if (inquiry->argument_count < command->arguments_min || inquiry->argument_count > command->arguments_max) {
        console_answer_fail(&inquiry->answer, CONSOLE_EXIT_USAGE, NULL, "Usage: %s%s%s", command->name,
                            command->arguments[0] == '\0' ? "" : " ", command->arguments);
        return NULL;
    }
    return command;
}

/* ---- help ----------------------------------------------------------------------------------------------------- */

static json_t *describe(console_answer_t *answer, const console_command_t *command)
{
    char usage[64];
    json_t *row = json_object();

    snprintf(usage, sizeof(usage), "%s%s%s", command->name, command->arguments[0] == '\0' ? "" : " ",
             command->arguments);
    console_put(answer, row, "command", json_string(command->name));
    console_put(answer, row, "arguments", json_string(command->arguments));
    console_put(answer, row, "usage", json_string(usage));
    console_put(answer, row, "help", json_string(command->help));
    return row;
}

void console_complete_help(console_inquiry_t *inquiry)
{
    static const console_column_t columns[] = {
        {.key = "usage", .heading = "COMMAND"},
        {.key = "help", .heading = "MEANING"},
    };
    static const console_part_t parts[] = {
        {.kind = CONSOLE_PART_TABLE, .key = "commands", CONSOLE_COLUMNS(columns)},
    };
    console_answer_t *answer = &inquiry->answer;
    const console_command_t *only = NULL;
    size_t used = 0;

    if (inquiry->argument_count > 0) {
        only = find(inquiry->arguments, inquiry->argument_count, &used);
        if (only == NULL) {
            fail_unknown(inquiry, inquiry->arguments, inquiry->argument_count);
            return;
        }
    }
    console_answer_init(answer, parts, 1);
    json_t *rows = console_put_array(answer, answer->value, "commands");
    for (size_t i = 0; i < console_command_count; i++) {
        if (only == NULL || only == &console_commands[i]) {
            console_append(answer, rows, describe(answer, &console_commands[i]));
        }
    }
}
