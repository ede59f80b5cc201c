#include "demit/config.h"

#include <apr_allocator.h>
#include <apr_strings.h>

#include "core/config/build.h"
#include "core/config/check.h"
#include "core/config/findings.h"
#include "core/config/life.h"
#include "core/config/reader.h"

/* Settings have addresses that may be used again after them; this they have for themselves. */
static uint64_t last_serial;

static apr_status_t load(demit_settings_t **settings, demit_config_report_t *report, const char *file,
                         apr_pool_t *result_pool)
{
    demit_config_findings_t *findings = demit_config_findings_create(result_pool);
    apr_pool_t *pool;
    apr_status_t status = apr_pool_create(&pool, result_pool);
    if (status != APR_SUCCESS) {
        demit_config_findings_report(findings, report, result_pool);
        return status;
    }
    apr_pool_tag(pool, "config");
    demit_config_node_t *root;
    status = demit_config_read(&root, file, findings, pool);
    if (status == APR_SUCCESS) {
        demit_config_check(root, findings, result_pool, pool);
        demit_settings_t *built = demit_config_build(root, findings, result_pool, pool);
        built->files = demit_config_findings_files(findings);
        built->serial = ++last_serial;
        if (!demit_config_has_errors(findings)) { /* else what is missing would only seem to be at odds with the rest */
            demit_config_check_together(built, root, findings, pool);
        }
        if (demit_config_has_errors(findings)) {
            status = APR_EINVAL;
        } else {
            *settings = built;
        }
    }
    demit_config_findings_report(findings, report, result_pool);
    apr_pool_destroy(pool);
    return status;
}

apr_status_t demit_config_load(const demit_settings_t **settings, demit_config_report_t *report, const char *file,
                               apr_pool_t *result_pool)
{
    demit_settings_t *built;
    const apr_status_t status = load(&built, report, file, result_pool);
    if (status == APR_SUCCESS) {
        *settings = built;
    }
    return status;
}

static apr_array_header_t *copy_lines(const apr_array_header_t *lines, apr_pool_t *pool)
{
    apr_array_header_t *copy = apr_array_make(pool, lines->nelts, sizeof(char *));
    for (int i = 0; i < lines->nelts; i++) {
        APR_ARRAY_PUSH(copy, char *) = apr_pstrdup(pool, APR_ARRAY_IDX(lines, i, const char *));
    }
    return copy;
}

/*
 * A pool whose memory goes back to malloc() with it: the next load may be months away, and a sanitizer sees who uses
 * settings that are gone. Its allocator needs no lock: one thread makes the settings, and one, at last, frees them.
 */
static apr_status_t make_pool(apr_pool_t **pool)
{
    apr_allocator_t *allocator;
    apr_status_t status = apr_allocator_create(&allocator);
    if (status != APR_SUCCESS) {
        return status;
    }
    apr_allocator_max_free_set(allocator, 1);
    status = apr_pool_create_ex(pool, NULL, NULL, allocator);
    if (status != APR_SUCCESS) {
        apr_allocator_destroy(allocator);
        return status;
    }
    apr_allocator_owner_set(allocator, *pool);
    apr_pool_tag(*pool, "settings");
    return APR_SUCCESS;
}

apr_status_t demit_config_load_shared(const demit_settings_t **settings, demit_config_report_t *report,
                                      const char *file, apr_pool_t *report_pool)
{
    apr_pool_t *pool;
    apr_status_t status = make_pool(&pool);
    if (status != APR_SUCCESS) {
        report->errors = report->warnings = apr_array_make(report_pool, 1, sizeof(char *));
        return status;
    }
    demit_settings_t *built = NULL;
    demit_config_report_t found = {0};
    status = load(&built, &found, file, pool);
    report->errors = copy_lines(found.errors, report_pool);
    report->warnings = copy_lines(found.warnings, report_pool);
    if (status != APR_SUCCESS) {
        apr_pool_destroy(pool);
        return status;
    }
    demit_settings_begin_life(built, pool);
    *settings = built;
    return APR_SUCCESS;
}
