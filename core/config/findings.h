/*
 * What is wrong with a configuration, collected while it is read and checked, and given back sorted by place.
 * Main thread.
 */
#ifndef DEMIT_CORE_CONFIG_FINDINGS_H
#define DEMIT_CORE_CONFIG_FINDINGS_H

#include <stdbool.h>

#include <apr_pools.h>

#include "demit/config.h"

typedef struct demit_config_findings demit_config_findings_t;

/* More errors, or more warnings, than these are counted and not shown: nobody reads the 101st. */
enum { DEMIT_CONFIG_FINDINGS_MAX = 100 };

/* Lives in POOL, with the texts. */
demit_config_findings_t *demit_config_findings_create(apr_pool_t *pool);

/*
 * Says that FILE is read now: findings are sorted by the order of these calls, then by line and column. Returns a copy
 * of FILE for sources, in the pool of the findings.
 */
const char *demit_config_findings_begin_file(demit_config_findings_t *findings, const char *file);

/* const char *: every file that was begun, in order; in the pool of the findings. */
const apr_array_header_t *demit_config_findings_files(const demit_config_findings_t *findings);

/* Something that makes the configuration unusable. The form is "what is wrong; what would be right". */
void demit_config_error(demit_config_findings_t *findings, const demit_source_t *where, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Something that works and is probably not meant. */
void demit_config_warning(demit_config_findings_t *findings, const demit_source_t *where, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Whether a further error would only be counted, so that its text need not be thought out. */
bool demit_config_errors_full(const demit_config_findings_t *findings);

bool demit_config_has_errors(const demit_config_findings_t *findings);

/* Fills REPORT with arrays and texts of POOL. */
void demit_config_findings_report(const demit_config_findings_t *findings, demit_config_report_t *report,
                                  apr_pool_t *pool);

/* TEXT, cut where it is too long for a message. */
const char *demit_config_cut(const char *text, apr_pool_t *pool);

/* The same, in double quotes. */
const char *demit_config_quote(const char *text, apr_pool_t *pool);

/* "line 3", or "FILE:3" when WHERE lies in another file than FROM. */
const char *demit_config_place(const demit_source_t *where, const demit_source_t *from, apr_pool_t *pool);

#endif
