/* The command line of demitd. */
#ifndef DEMIT_CORE_OPTIONS_H
#define DEMIT_CORE_OPTIONS_H

#include <stdbool.h>

#include <apr_pools.h>

typedef enum demit_task_kind {
    DEMIT_DO_RUN,
    DEMIT_DO_TEST,        /* -t */
    DEMIT_DO_EXPLAIN,     /* -e */
    DEMIT_DO_VERSION,     /* -V */
    DEMIT_DO_HELP_CONFIG, /* --help-config */
    DEMIT_DO_HELP         /* -h, --help */
} demit_task_kind_t;

typedef struct demit_options {
    demit_task_kind_t what;
    const char *config_file;
    bool foreground; /* -d */
    bool debug;      /* --debug: log dialogues too */
} demit_options_t;

/* Reads ARGV. Returns 0, or EX_USAGE after having said on standard error what is wrong. */
int demit_options_read(demit_options_t *options, int argc, const char *const *argv, apr_pool_t *pool)
    __attribute__((warn_unused_result));

/* Prints how demitd is called. */
void demit_options_print_help(void);
/* Prints version, back end and libraries. */
void demit_options_print_version(void);

#endif
