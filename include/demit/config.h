/*
 * Configuration: text → tree → typed settings. The language is described in demit.conf(5).
 * Everything here runs in the main thread.
 */
#ifndef DEMIT_CONFIG_H
#define DEMIT_CONFIG_H

#include <stdbool.h>

#include <apr_file_io.h>
#include <apr_pools.h>

#include "demit/settings.h"

/* All that is wrong with a configuration: every error of every file, in order, not only the first. */
typedef struct demit_config_report {
    apr_array_header_t *errors;   /* char *: "FILE:LINE:COLUMN: what is wrong; what would be right" */
    apr_array_header_t *warnings; /* char *: the same form; read and ignored here, and why */
} demit_config_report_t;

/*
 * Reads FILE and all that it includes, checks it against the option table and gives the settings.
 * APR_SUCCESS; APR_ENOENT and other apr_file_open() errors when FILE itself cannot be read (REPORT says so too);
 * APR_EINVAL when REPORT holds errors. *SETTINGS is set only on success.
 */
apr_status_t demit_config_load(const demit_settings_t **settings, demit_config_report_t *report, const char *file,
                               apr_pool_t *result_pool) __attribute__((warn_unused_result));

/*
 * The same, with settings that have a life of their own (demit_settings_hold()): the caller is the first holder. REPORT
 * is made in REPORT_POOL.
 */
apr_status_t demit_config_load_shared(const demit_settings_t **settings, demit_config_report_t *report,
                                      const char *file, apr_pool_t *report_pool) __attribute__((warn_unused_result));

/* ---- two configurations ----------------------------------------------------------------------------------------- */

/* One thing that the newer of two configurations says otherwise. */
typedef struct demit_config_difference {
    const char *name;      /* of an option, or of a scope with its title: Domain "example.com" */
    bool needs_restart;    /* a reload cannot bring it into force */
    demit_source_t source; /* where the newer says it; line 0: it does not any more, FILE is its main file */
} demit_config_difference_t;

/*
 * What NEWER says otherwise than OLDER, in the order of the option table, then of domains; what is only written in
 * another way does not count. Listeners, which are compared by address, are left out.
 */
apr_array_header_t *demit_config_differences(const demit_settings_t *older, const demit_settings_t *newer,
                                             apr_pool_t *pool);

/* Whether LEFT and RIGHT are one address, so that both cannot be bound at a time. */
bool demit_listen_same_address(const demit_listen_settings_t *left, const demit_listen_settings_t *right);
/* Whether one of them is every address of a family, and the other one of these, with one port. */
bool demit_listen_overlaps(const demit_listen_settings_t *left, const demit_listen_settings_t *right);
/* Whether what is set for them is the same, addresses and titles apart; of the console, or of mail. */
bool demit_listen_same_options(const demit_listen_settings_t *left, const demit_listen_settings_t *right,
                               bool is_console);

/* `demitd --help-config`: every option, its scope, type, unit, bounds, default and meaning, from the option table. */
void demit_config_print_help(apr_file_t *out);

/* The option list of demit.conf(5) as mdoc(7) text, from the same table; the build makes the manual page with it. */
void demit_config_print_mdoc(apr_file_t *out);

#endif
