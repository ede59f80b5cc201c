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

/* `demitd --help-config`: every option, its scope, type, unit, bounds, default and meaning, from the option table. */
void demit_config_print_help(apr_file_t *out);

/* The option list of demit.conf(5) as mdoc(7) text, from the same table; the build makes the manual page with it. */
void demit_config_print_mdoc(apr_file_t *out);

#endif
