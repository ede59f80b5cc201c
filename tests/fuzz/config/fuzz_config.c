/*
 * The configuration: any bytes give a tree, the same one however they are cut, and the checker and the settings survive
 * it. Includes are not followed.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <apr_general.h>
#include <apr_pools.h>

#include "core/config/build.h"
#include "core/config/check.h"
#include "core/config/findings.h"
#include "core/config/lexer.h"
#include "core/config/parser.h"
#include "tests/unit/config/tree_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t whole(void *baton, size_t left)
{
    (void)baton;
    return left;
}

/* Cuts where the text itself says, so that the fuzzer chooses. */
static size_t as_the_text_says(void *baton, size_t left)
{
    const uint8_t **at = baton;
    size_t piece = 1 + **at % 5;
    if (piece > left)
        piece = left;
    *at += piece;
    return piece;
}

static void no_include(void *baton, demit_config_node_t *scope, const char *path, const demit_source_t *where)
{
    (void)baton, (void)scope, (void)path, (void)where;
}

/* The settings of FIRST and TEXT; whether they are right is what FINDINGS say. */
static const demit_settings_t *settings_of(const char *first, const char *text, size_t size,
                                           demit_config_findings_t *findings, apr_pool_t *pool)
{
    demit_config_node_t *root = demit_config_root_create(pool);
    demit_config_parser_t *parser = demit_config_parser_create(root, no_include, NULL, findings, pool);
    demit_config_lexer_t *lexer = demit_config_lexer_create("f", demit_config_parser_token, parser, findings, pool);
    (void)demit_config_lexer_feed(lexer, first, strlen(first));
    (void)demit_config_lexer_feed(lexer, text, size);
    demit_config_lexer_finish(lexer);
    demit_config_check(root, findings, pool, pool);
    const demit_settings_t *settings = demit_config_build(root, findings, pool, pool);
    demit_config_check_together(settings, root, findings, pool);
    return settings;
}

/* What settings say as a text must be a configuration that says the same. */
static void read_back(const demit_settings_t *settings, apr_pool_t *pool)
{
    demit_config_findings_t *findings = demit_config_findings_create(pool);
    const demit_settings_t *again = settings_of("", settings->text, strlen(settings->text), findings, pool);
    if (demit_config_has_errors(findings) || strcmp(again->text, settings->text) != 0 ||
        demit_config_differences(settings, again, pool)->nelts != 0)
        abort();
}

static void try_settings(const char *text, size_t size, apr_pool_t *pool)
{
    /* Without it the name of this host would be looked for in a file, each time. */
    static const char hostname[] = "Hostname = mail.example.com\n";
    demit_config_findings_t *findings = demit_config_findings_create(pool);
    const demit_settings_t *settings = settings_of(hostname, text, size, findings, pool);
    if (demit_settings_domain(settings, "a.example.com") == NULL)
        abort();
    demit_config_report_t report;
    demit_config_findings_report(findings, &report, pool);
    if (demit_config_has_errors(findings) != (report.errors->nelts > 0))
        abort();
    if (!demit_config_has_errors(findings))
        read_back(settings, pool);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool initialized;
    if (!initialized && apr_initialize() != APR_SUCCESS)
        abort();
    initialized = true;
    apr_pool_t *pool;
    if (apr_pool_create(&pool, NULL) != APR_SUCCESS)
        abort();
    const char *text = (const char *)data;
    const uint8_t *at = data;
    const char *at_once = tree_text(text, size, whole, NULL, pool);
    if (strcmp(tree_text(text, size, as_the_text_says, &at, pool), at_once) != 0)
        abort();
    try_settings(text, size, pool);
    apr_pool_destroy(pool);
    return 0;
}
