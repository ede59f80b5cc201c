/*
 * For the tests of the configuration: files in a directory of one's own, which is the working directory, so that
 * messages begin with a known name.
 */
#ifndef DEMIT_TESTS_UNIT_CONFIG_SUPPORT_H
#define DEMIT_TESTS_UNIT_CONFIG_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <apr_pools.h>

#include "demit/config.h"

typedef struct fixture {
    apr_pool_t *pool;
    char start[4096];   /* the working directory before */
    char directory[64]; /* and now */
} fixture_t;

/* cmocka's set-up and tear-down of one test: *STATE is a fixture_t. */
int fixture_setup(void **state);
int fixture_teardown(void **state);

/* Writes SIZE bytes of TEXT to PATH below the working directory; makes the directory that PATH lies in. */
void write_file(const char *path, const char *text, size_t size);
void write_text(const char *path, const char *text);

typedef struct loaded {
    apr_status_t status;
    const demit_settings_t *settings; /* NULL unless successful */
    demit_config_report_t report;
} loaded_t;

/* Loads FILE; loads TEXT as the file test.conf. */
loaded_t load_file(fixture_t *fixture, const char *file);
loaded_t load_text(fixture_t *fixture, const char *text);

/* The lines of a report's errors or warnings, each with its line end. */
const char *report_lines(const apr_array_header_t *lines, apr_pool_t *pool);

/* Loads TEXT, which must be right. */
const demit_settings_t *load_good(fixture_t *fixture, const char *text);

#endif
