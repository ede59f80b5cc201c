/* The commands of the console: one constant table, and what a command in progress consists of. */
#ifndef DEMIT_CONTROL_COMMAND_H
#define DEMIT_CONTROL_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/control/answer.h"
#include "core/control/exit_code.h"
#include "core/control/request.h"
#include "demit/control.h"
#include "demit/domain.h"

/* How many lines of a list are shown unless LIMIT says otherwise, and at most: what is asked for is held in memory. */
enum { CONSOLE_LIMIT_DEFAULT = 1000, CONSOLE_LIMIT_MAX = 10000 };

/*
 * One command being answered. It belongs to one thread at a time: the main thread's, then the queue's while look()
 * runs, then the main thread's again. While the roll is called it belongs to nobody. Handing it over is what orders the
 * accesses.
 */
typedef struct console_inquiry {
    const demit_control_options_t *options;
    const demit_settings_t *settings; /* those in force when the client came; held */
    int64_t up_since_us;              /* monotonic */
    const char *const *arguments;
    size_t argument_count;
    console_answer_t answer;
    /* Between prepare(), look() and answer(). */
    char domain[DEMIT_DOMAIN_SIZE]; /* "": none was named */
    uint64_t id;
    uint32_t limit;
    demit_queue_counts_t counts;
    demit_roll_t roll; /* its pool is NULL: it was not called */
    bool roll_is_late; /* it was not called, because the one before has not come back */
} console_inquiry_t;

enum {
    CONSOLE_COMMAND_STOPS = 1,   /* when the answer is out, the daemon is asked to stop */
    CONSOLE_COMMAND_CHANGES = 2, /* the daemon is another afterwards: worth a line in the log */
    CONSOLE_COMMAND_ROLL = 4     /* complete() wants what every thread holds */
};

typedef struct console_command {
    const char *name;      /* lower-case words, one space between them */
    const char *arguments; /* for help: "[LIMIT]", or "" */
    const char *help;      /* one line, no full stop */
    size_t arguments_min, arguments_max;
    unsigned flags;                               /* CONSOLE_COMMAND_* */
    bool (*prepare)(console_inquiry_t *inquiry);  /* reads the arguments; false: the answer is an error. May be NULL */
    void (*look)(console_inquiry_t *inquiry);     /* in the queue's thread; NULL: no need to go there */
    void (*complete)(console_inquiry_t *inquiry); /* in the main thread; may be NULL if look() said it all */
} console_command_t;

/* The table, in the order of the help. */
extern const console_command_t console_commands[];
extern const size_t console_command_count;

/*
 * Finds what REQUEST names, however it is written, and sets the inquiry's arguments to the words behind the name. NULL:
 * the answer is an error that names the nearest command.
 */
const console_command_t *console_command_find(console_inquiry_t *inquiry, const console_request_t *request);

/* How many edits (insert, drop, replace, swap neighbours) lead from A to B, letters' case ignored. Up to 32 bytes. */
size_t console_distance(const char *a, const char *b);

/* Lower case of an ASCII letter; other bytes as they are, whatever the locale. */
char console_lower(char c);

/* ---- what is in the table -------------------------------------------------------------------------------------- */

void console_complete_summary(console_inquiry_t *inquiry);
void console_complete_privileges(console_inquiry_t *inquiry);
void console_complete_version(console_inquiry_t *inquiry);
void console_complete_sysinfo(console_inquiry_t *inquiry);
void console_complete_pid(console_inquiry_t *inquiry);
void console_complete_shutdown(console_inquiry_t *inquiry);
void console_complete_reload(console_inquiry_t *inquiry);
void console_complete_show(console_inquiry_t *inquiry);
void console_complete_count(console_inquiry_t *inquiry);
void console_complete_help(console_inquiry_t *inquiry);

void console_look_counts(console_inquiry_t *inquiry);

bool console_prepare_limit(console_inquiry_t *inquiry);
bool console_prepare_domain(console_inquiry_t *inquiry);
bool console_prepare_domain_limit(console_inquiry_t *inquiry);
bool console_prepare_id(console_inquiry_t *inquiry);

void console_look_mailq(console_inquiry_t *inquiry);
void console_look_message(console_inquiry_t *inquiry);
void console_look_active(console_inquiry_t *inquiry);
void console_look_delayed(console_inquiry_t *inquiry);
void console_look_domain(console_inquiry_t *inquiry);
void console_complete_domain(console_inquiry_t *inquiry);

#endif
