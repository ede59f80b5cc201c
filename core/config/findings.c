#include "core/config/findings.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>

typedef struct demit_config_finding {
    demit_source_t where;
    int file_order, order; /* of the file's first reading; of the finding itself */
    const char *text;
} demit_config_finding_t;

typedef struct demit_config_findings_list {
    apr_array_header_t *shown; /* demit_config_finding_t */
    int left_off;
} demit_config_findings_list_t;

struct demit_config_findings {
    apr_pool_t *pool;
    apr_array_header_t *files; /* const char * */
    demit_config_findings_list_t errors, warnings;
};

demit_config_findings_t *demit_config_findings_create(apr_pool_t *pool)
{
    demit_config_findings_t *findings = apr_pcalloc(pool, sizeof(*findings));
    findings->pool = pool;
    findings->files = apr_array_make(pool, 4, sizeof(const char *));
    findings->errors.shown = apr_array_make(pool, 4, sizeof(demit_config_finding_t));
    findings->warnings.shown = apr_array_make(pool, 4, sizeof(demit_config_finding_t));
    return findings;
}

static int file_order(const demit_config_findings_t *findings, const char *file)
{
    for (int i = 0; i < findings->files->nelts; i++) {
        const char *known = APR_ARRAY_IDX(findings->files, i, const char *);
        if (file != NULL && strcmp(known, file) == 0) {
            return i;
        }
    }
    return findings->files->nelts;
}

const char *demit_config_findings_begin_file(demit_config_findings_t *findings, const char *file)
{
    int order = file_order(findings, file);
    if (order == findings->files->nelts) {
        APR_ARRAY_PUSH(findings->files, const char *) = apr_pstrdup(findings->pool, file);
    }
    return APR_ARRAY_IDX(findings->files, order, const char *);
}

const apr_array_header_t *demit_config_findings_files(const demit_config_findings_t *findings)
{
    return findings->files;
}

static void add(demit_config_findings_t *findings, demit_config_findings_list_t *list, const demit_source_t *where,
                const char *format, va_list arguments)
{
    if (list->shown->nelts >= DEMIT_CONFIG_FINDINGS_MAX) {
        list->left_off++;
        return;
    }
    const char *text = apr_pvsprintf(findings->pool, format, arguments);
    demit_config_finding_t *finding = apr_array_push(list->shown);
    *finding = (demit_config_finding_t){
        .where = *where, .file_order = file_order(findings, where->file), .order = list->shown->nelts, .text = text};
}

void demit_config_error(demit_config_findings_t *findings, const demit_source_t *where, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    add(findings, &findings->errors, where, format, arguments);
    va_end(arguments);
}

void demit_config_warning(demit_config_findings_t *findings, const demit_source_t *where, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    add(findings, &findings->warnings, where, format, arguments);
    va_end(arguments);
}

bool demit_config_errors_full(const demit_config_findings_t *findings)
{
    return findings->errors.shown->nelts >= DEMIT_CONFIG_FINDINGS_MAX;
}

bool demit_config_has_errors(const demit_config_findings_t *findings)
{
    return findings->errors.shown->nelts > 0;
}

static int by_place(const void *left, const void *right)
{
    const demit_config_finding_t *a = left, *b = right;
    if (a->file_order != b->file_order) {
        return a->file_order < b->file_order ? -1 : 1;
    }
    if (a->where.line != b->where.line) {
        return a->where.line < b->where.line ? -1 : 1;
    }
    if (a->where.column != b->where.column) {
        return a->where.column < b->where.column ? -1 : 1;
    }
    return a->order < b->order ? -1 : a->order > b->order;
}

static apr_array_header_t *lines_of(const demit_config_findings_list_t *list, const char *what, apr_pool_t *pool)
{
    apr_array_header_t *lines = apr_array_make(pool, list->shown->nelts + 1, sizeof(char *));
    if (list->shown->nelts > 0) {
        qsort(list->shown->elts, (size_t)list->shown->nelts, sizeof(demit_config_finding_t), by_place);
    }
    for (int i = 0; i < list->shown->nelts; i++) {
        const demit_config_finding_t *finding = &APR_ARRAY_IDX(list->shown, i, demit_config_finding_t);
        const demit_source_t *where = &finding->where;
        char *line;
        if (where->file == NULL) {
            line = apr_pstrdup(pool, finding->text);
        } else if (where->line == 0) { /* the file as a whole */
            line = apr_psprintf(pool, "%s: %s", where->file, finding->text);
        } else {
            line = apr_psprintf(pool, "%s:%u:%u: %s", where->file, where->line, where->column, finding->text);
        }
        APR_ARRAY_PUSH(lines, char *) = line;
    }
    if (list->left_off > 0) {
        APR_ARRAY_PUSH(lines, char *) = apr_psprintf(pool, "%d more %s not shown", list->left_off, what);
    }
    return lines;
}

void demit_config_findings_report(const demit_config_findings_t *findings, demit_config_report_t *report,
                                  apr_pool_t *pool)
{
    report->errors = lines_of(&findings->errors, "errors are", pool);
    report->warnings = lines_of(&findings->warnings, "warnings are", pool);
}

const char *demit_config_cut(const char *text, apr_pool_t *pool)
{
    enum { SHOWN_BYTES = 72 };
    size_t size = strlen(text);
    if (size <= SHOWN_BYTES) {
        return text;
    }
    size = SHOWN_BYTES;
    while (size > 0 && ((unsigned char)text[size] & 0xc0) == 0x80) { /* not within a character */
        size--;
    }
    return apr_psprintf(pool, "%.*s…", (int)size, text);
}

const char *demit_config_quote(const char *text, apr_pool_t *pool)
{
    return apr_psprintf(pool, "\"%s\"", demit_config_cut(text, pool));
}

const char *demit_config_place(const demit_source_t *where, const demit_source_t *from, apr_pool_t *pool)
{
    if (where->file == NULL || from->file == NULL || strcmp(where->file, from->file) == 0) {
        return apr_psprintf(pool, "line %u", where->line);
    }
    return apr_psprintf(pool, "%s:%u", where->file, where->line);
}
