/* The log: what a line looks like, what peers cannot do to it, where it goes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <apr_general.h>
#include <apr_thread_proc.h>

#include "demit/log.h"

static char directory[] = "/tmp/demit-log-XXXXXX";
static apr_pool_t *pool;

static int set_up(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(directory));
    assert_int_equal(apr_initialize(), APR_SUCCESS);
    return apr_pool_create(&pool, NULL);
}

static int tear_down(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof(command), "rm -rf %s", directory);
    return system(command); /* NOLINT: a fixed command on our own directory */
}

static const char *path_of(const char *name)
{
    static char path[128];

    snprintf(path, sizeof(path), "%s/%s", directory, name);
    return path;
}

static char *contents(const char *name)
{
    static char text[4 * 1024 * 1024];
    FILE *file = fopen(path_of(name), "r");

    assert_non_null(file);
    text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
    fclose(file);
    return text;
}

static void quoting(void **state)
{
    static const struct {
        const char *in, *out;
    } rows[] = {
        {"plain", "plain"},
        {"", "\"\""},
        {NULL, "-"},
        {"two words", "\"two words\""},
        {"a=b", "\"a=b\""},
        {"say \"x\"", "\"say \\\"x\\\"\""},
        {"back\\slash", "back\\\\slash"},
        {"line\r\nevent=delivered", "\"line\\x0d\\x0aevent=delivered\""},
        {"\x1b[2J", "\\x1b[2J"},
        {"\x7f", "\\x7f"},
        {"gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f"},
        {"\xe2\x82\xac\xf0\x9f\x93\xac", "\xe2\x82\xac\xf0\x9f\x93\xac"},
        {"\xc3", "\\xc3"},                   /* cut short */
        {"\xc0\x80", "\\xc0\\x80"},          /* overlong */
        {"\xed\xa0\x80", "\\xed\\xa0\\x80"}, /* a surrogate */
        {"\xc2\x9b"
         "31m",
         "\\xc2\\x9b31m"}, /* U+009B: a terminal's CSI */
        {"\xff\xfe", "\\xff\\xfe"},
    };
    char buffer[DEMIT_LOG_VALUE_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_string_equal(demit_log_quote(buffer, sizeof(buffer), rows[i].in), rows[i].out);
    }
}

static void quoting_cuts_whole_characters(void **state)
{
    char text[2000], buffer[64];

    (void)state;
    memset(text, '\x01', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    for (size_t size = 1; size <= sizeof(buffer); size++) {
        demit_log_quote(buffer, size, text);
        assert_true(strlen(buffer) < size);
        /* Only whole \x01 and the ellipsis. */
        const size_t body = strlen(buffer) >= 3 ? strlen(buffer) - 3 : 0;
        assert_int_equal(body % 4, 0);
    }
}

static void lines_go_to_a_file(void **state)
{
    (void)state;
    assert_int_equal(demit_log_open(DEMIT_LOG_FILE, path_of("a.log")), APR_SUCCESS);
    demit_log(DEMIT_LOG_INFO, "first", "n=%d", 1);
    demit_log(DEMIT_LOG_INFO, "bare", "%s", "");
    demit_log(DEMIT_LOG_INFO, "sly", "x=%s", "a\nevent=forged");
    demit_log(DEMIT_LOG_DEBUG, "hidden", "%s", "");
    const char *text = contents("a.log");
    assert_non_null(strstr(text, "Z event=first n=1\n"));
    assert_non_null(strstr(text, "event=bare\n"));
    assert_non_null(strstr(text, "event=sly x=a?event=forged\n"));
    assert_null(strstr(text, "hidden"));

    struct stat status;
    assert_int_equal(stat(path_of("a.log"), &status), 0);
    assert_int_equal(status.st_mode & 0777 & ~0640U, 0);
    assert_int_equal(demit_log_open(DEMIT_LOG_STDERR, NULL), APR_SUCCESS);
}

static void a_link_is_not_followed(void **state)
{
    char target[128];

    (void)state;
    snprintf(target, sizeof(target), "%s", path_of("victim"));
    assert_int_equal(symlink(target, path_of("link.log")), 0);
    assert_int_not_equal(demit_log_open(DEMIT_LOG_FILE, path_of("link.log")), APR_SUCCESS);
    assert_int_equal(access(target, F_OK), -1);
}

/* With and without a reader: to wait for one would hold up whoever opens the log. */
static void a_fifo_is_refused(void **state)
{
    (void)state;
    assert_int_equal(mkfifo(path_of("fifo"), 0600), 0);
    assert_true(APR_STATUS_IS_EINVAL(demit_log_open(DEMIT_LOG_FILE, path_of("fifo"))));
    const int reader = open(path_of("fifo"), O_RDONLY | O_NONBLOCK);
    assert_true(reader >= 0);
    assert_true(APR_STATUS_IS_EINVAL(demit_log_open(DEMIT_LOG_FILE, path_of("fifo"))));
    close(reader);
    assert_true(APR_STATUS_IS_EINVAL(demit_log_open(DEMIT_LOG_FILE, "/dev/null")));
}

static void a_failed_reopening_keeps_the_old_file(void **state)
{
    char moved[128];

    (void)state;
    assert_int_equal(demit_log_open(DEMIT_LOG_FILE, path_of("b.log")), APR_SUCCESS);
    snprintf(moved, sizeof(moved), "%s", path_of("b.log.1"));
    assert_int_equal(rename(path_of("b.log"), moved), 0);
    assert_int_equal(symlink("/nonexistent/x", path_of("b.log")), 0);
    assert_int_not_equal(demit_log_reopen(), APR_SUCCESS);
    demit_log(DEMIT_LOG_INFO, "after_failure", "%s", "");
    assert_non_null(strstr(contents("b.log.1"), "after_failure"));

    assert_int_equal(unlink(path_of("b.log")), 0);
    assert_int_equal(demit_log_reopen(), APR_SUCCESS);
    demit_log(DEMIT_LOG_INFO, "after_rotation", "%s", "");
    assert_non_null(strstr(contents("b.log"), "after_rotation"));
    assert_null(strstr(contents("b.log.1"), "after_rotation"));
    assert_int_equal(demit_log_open(DEMIT_LOG_STDERR, NULL), APR_SUCCESS);
}

enum { THREADS = 4, LINES = 2000 };

static void *APR_THREAD_FUNC chatter(apr_thread_t *thread, void *baton)
{
    (void)thread;
    for (int i = 0; i < LINES; i++) {
        demit_log(DEMIT_LOG_INFO, "chat", "who=%d n=%d", *(int *)baton, i);
    }
    return NULL;
}

static void threads_share_the_log(void **state)
{
    apr_thread_t *threads[THREADS];
    int names[THREADS];
    apr_status_t ignored;

    (void)state;
    assert_int_equal(demit_log_open(DEMIT_LOG_FILE, path_of("c.log")), APR_SUCCESS);
    assert_int_equal(demit_log_start(pool), APR_SUCCESS);
    for (int i = 0; i < THREADS; i++) {
        names[i] = i;
        assert_int_equal(apr_thread_create(&threads[i], NULL, chatter, &names[i], pool), APR_SUCCESS);
    }
    for (int i = 0; i < THREADS; i++) {
        apr_thread_join(&ignored, threads[i]);
    }
    demit_log_stop();
    assert_int_equal(demit_log_open(DEMIT_LOG_STDERR, NULL), APR_SUCCESS);

    int next[THREADS] = {0}, who, n, count = 0;
    for (char *line = strtok(contents("c.log"), "\n"); line != NULL; line = strtok(NULL, "\n")) {
        assert_int_equal(sscanf(strstr(line, "who="), "who=%d n=%d", &who, &n), 2); /* NOLINT */
        assert_int_equal(n, next[who]); /* nothing lost, nothing out of order */
        next[who]++;
        count++;
    }
    assert_int_equal(count, THREADS * LINES);
}

/* A reader that does not read: the log's thread hangs in write(2), callers must not. */
static void what_was_dropped_is_counted(void **state)
{
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    const int saved = dup(STDERR_FILENO);
    assert_int_equal(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
    assert_int_equal(demit_log_start(pool), APR_SUCCESS);
    for (int i = 0; i < 60000; i++) {
        demit_log(DEMIT_LOG_INFO, "flood", "n=%d padding=%s", i, "0123456789012345678901234567890123456789");
    }
    close(ends[1]);
    /* Read everything until the report of the dropped lines has come. */
    static char text[8 * 1024 * 1024];
    size_t size = 0;
    while (strstr(text, "event=log_dropped lines=") == NULL) {
        const ssize_t n = read(ends[0], text + size, sizeof(text) - 1 - size);
        assert_true(n > 0);
        size += (size_t)n;
        text[size] = '\0';
    }
    demit_log_stop();
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(ends[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quoting),
        cmocka_unit_test(quoting_cuts_whole_characters),
        cmocka_unit_test(lines_go_to_a_file),
        cmocka_unit_test(a_link_is_not_followed),
        cmocka_unit_test(a_fifo_is_refused),
        cmocka_unit_test(a_failed_reopening_keeps_the_old_file),
        cmocka_unit_test(threads_share_the_log),
        cmocka_unit_test(what_was_dropped_is_counted),
    };
    return cmocka_run_group_tests_name("log", tests, set_up, tear_down);
}
