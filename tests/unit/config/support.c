#include "support.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <apr_general.h>
#include <apr_strings.h>

int fixture_setup(void **state)
{
    fixture_t *fixture = calloc(1, sizeof(*fixture));
    assert_non_null(fixture);
    assert_int_equal(apr_initialize(), APR_SUCCESS);
    assert_int_equal(apr_pool_create(&fixture->pool, NULL), APR_SUCCESS);
    assert_non_null(getcwd(fixture->start, sizeof(fixture->start)));
    strcpy(fixture->directory, "/tmp/demit-config-XXXXXX");
    assert_non_null(mkdtemp(fixture->directory));
    assert_int_equal(chdir(fixture->directory), 0);
    *state = fixture;
    return 0;
}

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *where)
{
    (void)info, (void)type, (void)where;
    return remove(path);
}

int fixture_teardown(void **state)
{
    fixture_t *fixture = *state;
    assert_int_equal(chdir(fixture->start), 0);
    assert_int_equal(nftw(fixture->directory, remove_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
    apr_pool_destroy(fixture->pool);
    apr_terminate();
    free(fixture);
    return 0;
}

void write_file(const char *path, const char *text, size_t size)
{
    char directory[256];
    const char *slash = strrchr(path, '/');
    if (slash != NULL) {
        snprintf(directory, sizeof(directory), "%.*s", (int)(slash - path), path);
        assert_true(mkdir(directory, 0755) == 0 || errno == EEXIST);
    }
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

void write_text(const char *path, const char *text)
{
    write_file(path, text, strlen(text));
}

loaded_t load_file(fixture_t *fixture, const char *file)
{
    loaded_t loaded = {0};
    loaded.status = demit_config_load(&loaded.settings, &loaded.report, file, fixture->pool);
    assert_non_null(loaded.report.errors);
    assert_non_null(loaded.report.warnings);
    assert_true((loaded.settings != NULL) == (loaded.status == APR_SUCCESS));
    assert_true((loaded.report.errors->nelts == 0) == (loaded.status == APR_SUCCESS));
    return loaded;
}

loaded_t load_text(fixture_t *fixture, const char *text)
{
    write_text("test.conf", text);
    return load_file(fixture, "test.conf");
}

const char *report_lines(const apr_array_header_t *lines, apr_pool_t *pool)
{
    const char *text = "";
    for (int i = 0; i < lines->nelts; i++)
        text = apr_pstrcat(pool, text, APR_ARRAY_IDX(lines, i, const char *), "\n", NULL);
    return text;
}

const demit_settings_t *load_good(fixture_t *fixture, const char *text)
{
    loaded_t loaded = load_text(fixture, text);
    assert_string_equal(report_lines(loaded.report.errors, fixture->pool), "");
    return loaded.settings;
}
