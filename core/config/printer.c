/* A tool of the build: prints the option table as help or for the manual page, or checks a configuration. */
#include <stdio.h>
#include <string.h>

#include <apr_general.h>

#include "demit/config.h"

static int check(const char *file, apr_pool_t *pool)
{
    const demit_settings_t *settings;
    demit_config_report_t report = {0};
    apr_status_t status = demit_config_load(&settings, &report, file, pool);
    for (int i = 0; i < report.errors->nelts; i++) {
        printf("%s\n", APR_ARRAY_IDX(report.errors, i, const char *));
    }
    for (int i = 0; i < report.warnings->nelts; i++) {
        printf("warning: %s\n", APR_ARRAY_IDX(report.warnings, i, const char *));
    }
    return status == APR_SUCCESS ? 0 : 78;
}

/* Copies the manual page FILE and puts the option table where it says so. */
static int page(const char *file, apr_file_t *out, apr_pool_t *pool)
{
    apr_file_t *in;
    char line[1024];
    if (apr_file_open(&in, file, APR_FOPEN_READ | APR_FOPEN_BUFFERED, APR_FPROT_OS_DEFAULT, pool) != APR_SUCCESS) {
        fprintf(stderr, "%s: cannot be read\n", file);
        return 66;
    }
    while (apr_file_gets(line, sizeof(line), in) == APR_SUCCESS) {
        if (strcmp(line, ".\\\" OPTIONS\n") == 0) {
            demit_config_print_mdoc(out);
        } else if (apr_file_puts(line, out) != APR_SUCCESS) {
            return 74;
        }
    }
    return 0;
}

int main(int argc, char **argv)
{
    apr_pool_t *pool;
    apr_file_t *out;
    if (apr_initialize() != APR_SUCCESS || apr_pool_create(&pool, NULL) != APR_SUCCESS ||
        apr_file_open_stdout(&out, pool) != APR_SUCCESS) {
        return 71;
    }
    int code = 0;
    if (argc == 2 && strcmp(argv[1], "help") == 0) {
        demit_config_print_help(out);
    } else if (argc == 2 && strcmp(argv[1], "mdoc") == 0) {
        demit_config_print_mdoc(out);
    } else if (argc == 3 && strcmp(argv[1], "page") == 0) {
        code = page(argv[2], out, pool);
    } else if (argc == 3 && strcmp(argv[1], "check") == 0) {
        code = check(argv[2], pool);
    } else {
        fprintf(stderr, "usage: %s help | mdoc | page FILE | check FILE\n", argv[0]);
        code = 64;
    }
    apr_terminate();
    return code;
}
