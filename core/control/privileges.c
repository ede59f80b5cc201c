/* `privileges`: what the configuration asks for against what the kernel says, on every thread. */
#include "core/control/command.h"

#include <stdio.h>
#include <string.h>

static const console_column_t fact_columns[] = {
    {.key = "thread", .heading = "THREAD", .cell = CONSOLE_CELL_NUMBER, .absent = "all"},
    {.key = "name", .heading = "FACT"},
    {.key = "value", .heading = "VALUE", .absent = "(cannot be read)"},
};
static const console_column_t sandbox_columns[] = {
    {.key = "part", .heading = "PART"},
    {.key = "enforced", .heading = "ENFORCED"},
    {.key = "why", .heading = "WHY NOT"},
};
static const console_part_t parts[] = {
    {.kind = CONSOLE_PART_FIELDS, .key = "configured", .title = "Configured"},
    {.kind = CONSOLE_PART_TABLE,
     .key = "actual",
     .title = "Actual, as the kernel tells",
     CONSOLE_COLUMNS(fact_columns)},
    {.kind = CONSOLE_PART_TABLE, .key = "sandbox", .title = "Sandbox", CONSOLE_COLUMNS(sandbox_columns)},
    {.kind = CONSOLE_PART_LINES, .key = "drift", .title = "Drift"},
    {.kind = CONSOLE_PART_LINES, .key = "verdict", .title = "Verdict"},
};

/* Cuts the `key=value key=value` of demit_identity_summary() into members. */
static void put_configured(console_inquiry_t *inquiry)
{
    console_answer_t *answer = &inquiry->answer;
    json_t *configured = console_put_object(answer, answer->value, "configured");
    char line[1024];
    char *rest = line;

    demit_identity_summary(inquiry->options->identity, line, sizeof(line));
    while (*rest != '\0') {
        char *key = rest;
        rest += strcspn(rest, " ");
        if (*rest != '\0') {
            *rest++ = '\0';
        }
        char *equals = strchr(key, '=');
        if (equals != NULL) {
            *equals = '\0';
            console_put(answer, configured, key, console_string(equals + 1));
        }
    }
}

static void put_fact(void *baton, const demit_identity_fact_t *fact)
{
    console_answer_t *answer = baton;
    json_t *row = json_object();

    console_put(answer, row, "thread", fact->thread == 0 ? json_null() : json_integer(fact->thread));
    console_put(answer, row, "name", console_string(fact->name));
    console_put(answer, row, "value", console_string(fact->value));
    console_append(answer, json_object_get(answer->value, "actual"), row);
}

static void put_drift(void *baton, const char *line)
{
    console_answer_t *answer = baton;

    console_append(answer, json_object_get(answer->value, "drift"), console_string(line));
}

/* An audit that could not be made is no proof of anything, so it is not 0. */
static int judge(const console_inquiry_t *inquiry, int differences, const char *who, char *verdict, size_t size)
{
    if (differences > 0) {
        snprintf(verdict, size, "DRIFT: %d difference%s. Restart demitd, and find out who changed it.", differences,
                 differences == 1 ? "" : "s");
        return CONSOLE_EXIT_DIFFERENT;
    }
    if (inquiry->roll_is_late) { /* so the others were not */
        snprintf(verdict, size,
                 "Unknown: only the thread that answers was looked at, and shows no drift. The last roll "
                 "of all threads has not come back: one of them hangs, or somebody asks now, too.");
        return CONSOLE_EXIT_UNAVAILABLE;
    }
    if (differences < 0) {
        snprintf(verdict, size, "Unknown: the kernel would not tell everything (is /proc mounted?).");
        return CONSOLE_EXIT_SYSTEM;
    }
    snprintf(verdict, size, "No drift: %s", who);
    return CONSOLE_EXIT_OK;
}

/* Compares, tells the drift, and says in WHO whose word it is. The number of differences, or -1. */
static int compare(console_inquiry_t *inquiry, char *who, size_t size)
{
    const demit_roll_t *roll = &inquiry->roll;

    if (roll->pool == NULL) {
        const int differences = demit_identity_audit(inquiry->options->identity, put_drift, &inquiry->answer);
        snprintf(who, size, "%s",
                 demit_identity_sees_threads()
                     ? "every thread holds what is configured, and nothing else."
                     : "the thread that answers holds what is configured; the kernel shows no other one here.");
        return differences == 0 && inquiry->roll_is_late ? -1 : differences;
    }
    for (int i = 0; i < roll->lines->nelts; i++) {
        put_drift(&inquiry->answer, APR_ARRAY_IDX(roll->lines, i, const char *));
    }
    snprintf(who, size,
             "each of the %u threads that serve finds that it holds what is configured, and nothing else. The "
             "kernel, which would show others, lists none here (a jail without /proc).",
             (unsigned)roll->threads);
    return roll->differences;
}

static void put_sandbox(console_inquiry_t *inquiry)
{
    console_answer_t *answer = &inquiry->answer;
    json_t *rows = console_put_array(answer, answer->value, "sandbox");
    const apr_array_header_t *told = inquiry->options->sandbox_parts;

    for (int i = 0; told != NULL && i < told->nelts; i++) {
        const demit_sandbox_part_t *part = &APR_ARRAY_IDX(told, i, demit_sandbox_part_t);
        json_t *row = json_object();
        console_put(answer, row, "part", console_string(part->name));
        console_put(answer, row, "enforced", console_string(part->enforced ? "yes" : "no"));
        console_put(answer, row, "why", console_string(part->why_not));
        console_append(answer, rows, row);
    }
}

void console_complete_privileges(console_inquiry_t *inquiry)
{
    console_answer_t *answer = &inquiry->answer;
    char who[224], verdict[256];

    console_answer_init(answer, parts, sizeof(parts) / sizeof(parts[0]));
    put_configured(inquiry);
    (void)console_put_array(answer, answer->value, "actual");
    put_sandbox(inquiry);
    (void)console_put_array(answer, answer->value, "drift");
    const int report_error = demit_identity_report(0, put_fact, answer);
    const int differences = compare(inquiry, who, sizeof(who));
    const int judged = report_error != 0 && differences == 0 ? -1 : differences;
    answer->exit_code = judge(inquiry, judged, who, verdict, sizeof(verdict));
    console_put(answer, answer->value, "drift_count", json_integer(differences));
    console_put(answer, answer->value, "verdict", json_string(verdict));
}
