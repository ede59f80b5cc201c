#include "demit/config.h"

#include "core/config/build.h"
#include "core/config/check.h"
#include "core/config/findings.h"
#include "core/config/reader.h"

apr_status_t demit_config_load(const demit_settings_t **settings, demit_config_report_t *report, const char *file,
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
