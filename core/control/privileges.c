/* `privileges`: what the configuration asks for against what the kernel says, on every thread. */
#include "core/control/command.h"

#include <stdio.h>
#include <string.h>

static const console_column_t fact_columns[] = {
    {.key = "thread", .heading = "THREAD", .cell = CONSOLE_CELL_NUMBER, .absent = "all"},
    {.key = "name", .heading = "FACT"},
    {.key = "value", .heading = "VALUE", .absent = "(cannot be read)"},
};
static const console_part_t parts[] = {
    {.kind = CONSOLE_PART_FIELDS, .key = "configured", .title = "Configured"},
    {.kind = CONSOLE_PART_TABLE,
     .key = "actual",
     .title = "Actual, as the kernel tells",
     CONSOLE_COLUMNS(fact_columns)},
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
static int judge(int differences, int report_error, char *verdict, size_t size)
{
    if (differences > 0) {
        snprintf(verdict, size, "DRIFT: %d difference%s. Restart demitd, and find out who changed it.", differences,
                 differences == 1 ? "" : "s");
        return CONSOLE_EXIT_DIFFERENT;
    }
    if (differences < 0 || report_error != 0) {
        snprintf(verdict, size, "Unknown: the kernel would not tell everything (is /proc mounted?).");
        return CONSOLE_EXIT_SYSTEM;
    }
    snprintf(verdict, size, "No drift: every thread holds what is configured, and nothing else.");
    return CONSOLE_EXIT_OK;
}

void console_complete_privileges(console_inquiry_t *inquiry)
{
    console_answer_t *answer = &inquiry->answer;
    char verdict[128];

    console_answer_init(answer, parts, sizeof(parts) / sizeof(parts[0]));
    put_configured(inquiry);
    (void)console_put_array(answer, answer->value, "actual");
    (void)console_put_array(answer, answer->value, "drift");
    const int report_error = demit_identity_report(0, put_fact, answer);
    const int differences = demit_identity_audit(inquiry->options->identity, put_drift, answer);
    answer->exit_code = judge(differences, report_error, verdict, sizeof(verdict));
    console_put(answer, answer->value, "drift_count", json_integer(differences));
    console_put(answer, answer->value, "verdict", json_string(verdict));
}
