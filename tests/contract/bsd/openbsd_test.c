/*
 * os/bsd/sandbox_openbsd.c over a model of pledge(2) and unveil(2): in which order it is entered, what is unveiled,
 * what is promised; and that the proof notices a kernel that enforces nothing.
 */
#include "tests/contract/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "os/bsd/sandbox_openbsd.h"
#include "tests/contract/bsd/model/openbsd.h"

/* ---- the model ---- */

static struct {
    char calls[1024];
    char promises[256];
    bool veiled, locked, pledged;
    bool ignores_unveil, ignores_pledge;
    const char *absent; /* a path, a directory of which is missing */
    int unveil_failure;
    bool killed; /* a call beyond the promises, without "error" among them */
} model;

static void note(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void note(const char *format, ...)
{
    size_t used = strlen(model.calls);
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(model.calls + used, sizeof(model.calls) - used, format, arguments);
    va_end(arguments);
}

static bool promised(const char *word)
{
    size_t length = strlen(word);
    for (const char *at = model.promises; *at != '\0'; at += strspn(at, " ")) {
        size_t here = strcspn(at, " ");
        if (here == length && strncmp(at, word, length) == 0) {
            return true;
        }
        at += here;
    }
    return false;
}

int unveil(const char *path, const char *permissions)
{
    if (path == NULL) {
        note("lock;");
        model.locked = true;
        return 0;
    }
    note("%s=%s;", path, permissions);
    errno = model.absent != NULL && strcmp(path, model.absent) == 0 ? ENOENT : model.locked ? EPERM : 0;
    errno = errno == 0 ? model.unveil_failure : errno;
    model.veiled = !model.ignores_unveil;
    return errno == 0 ? 0 : -1;
}

int pledge(const char *promises, const char *promises_after_exec)
{
    CHECK(promises_after_exec == NULL);
    note("pledge;");
    model.pledged = !model.ignores_pledge;
    (void)snprintf(model.promises, sizeof(model.promises), "%s", promises);
    return 0;
}

/* setuid(2) breaks the promises unless "id" is one of them. */
int __real_setuid(uid_t uid);
int __wrap_setuid(uid_t uid);
int __wrap_setuid(uid_t uid)
{
    if (!model.pledged || promised("id")) {
        return __real_setuid(uid);
    }
    model.killed = model.killed || !promised("error");
    errno = ENOSYS;
    return -1;
}

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
    if (model.veiled && strcmp(path, "/") == 0) {
        errno = ENOENT;
        return -1;
    }
    return __real_open(path, flags, 0);
}

/* ---- cases ---- */

static const demit_sandbox_path_t paths[] = {
    {"/var/spool/demit", DEMIT_SANDBOX_WRITE, "SpoolBase"},
    {"/etc/demit", DEMIT_SANDBOX_READ, "the configuration"},
};
static const uint16_t ports[] = {25};
static const demit_sandbox_request_t request = {paths, 2, ports, 1};

static void keep_part(void *baton, const demit_sandbox_part_t *part)
{
    char line[512];
    CHECK(part->name[0] != '\0' && part->what[0] != '\0' && part->enforced == (part->why_not[0] == '\0'));
    (void)snprintf(line, sizeof(line), "%s=%d", part->name, part->enforced);
    keep_line(baton, line);
}

static int set_up(void **state)
{
    (void)state;
    memset(&model, 0, sizeof(model));
    return 0;
}

static void enter(void)
{
    lines_t parts = {0};
    demit_os_error_t error = {0};
    assert_int_equal(demit_sandbox_enter(&request, false, keep_part, &parts, &error), 0);
    assert_string_equal(parts.text, "file system=1\nTCP bind=0\npromises=1\n");
}

static void test_explain_changes_nothing(void **state)
{
    lines_t parts = {0};
    demit_os_error_t error = {0};
    (void)state;
    assert_int_equal(demit_sandbox_explain(&request, keep_part, &parts, &error), 0);
    assert_string_equal(parts.text, "file system=1\nTCP bind=0\npromises=1\n");
    assert_string_equal(model.calls, "");
}

static void test_what_is_asked_for_is_unveiled_and_then_promised(void **state)
{
    demit_os_error_t error = {0};
    (void)state;
    enter();
    assert_string_equal(model.calls, "/var/spool/demit=rwc;/etc/demit=r;lock;pledge;");
    assert_true(os_openbsd_has_pledged());
    assert_true(promised("error"));
    assert_int_equal(demit_sandbox_verify(&request, &error), 0);
    assert_false(model.killed);
    /* From now on breaking a promise is the end. */
    assert_string_equal(model.promises, "stdio rpath wpath cpath fattr flock inet unix");
}

static void test_no_path_at_all_hides_everything(void **state)
{
    const demit_sandbox_request_t nothing = {0};
    demit_os_error_t error = {0};
    lines_t parts = {0};
    (void)state;
    assert_int_equal(demit_sandbox_enter(&nothing, false, keep_part, &parts, &error), 0);
    assert_string_equal(model.calls, "/=;lock;pledge;");
    assert_int_equal(demit_sandbox_verify(&nothing, &error), 0);
}

static void test_a_missing_path_is_passed_over(void **state)
{
    (void)state;
    model.absent = "/var/spool/demit";
    enter();
    assert_string_equal(model.calls, "/var/spool/demit=rwc;/etc/demit=r;lock;pledge;");
}

static void test_a_path_that_cannot_be_unveiled_stops_the_start(void **state)
{
    lines_t parts = {0};
    demit_os_error_t error = {0};
    (void)state;
    model.unveil_failure = E2BIG;
    assert_int_equal(demit_sandbox_enter(&request, false, keep_part, &parts, &error), E2BIG);
    assert_non_null(strstr(error.text, "\"/var/spool/demit\" (SpoolBase) cannot be unveiled"));
    assert_string_equal(model.calls, "/var/spool/demit=rwc;");
}

static void test_required_fails_for_want_of_ports(void **state)
{
    lines_t parts = {0};
    demit_os_error_t error = {0};
    (void)state;
    assert_int_equal(demit_sandbox_enter(&request, true, keep_part, &parts, &error), ENOTSUP);
    assert_non_null(strstr(error.text, "\"TCP bind\""));
    assert_non_null(strstr(error.text, "pledge(2) does not know ports"));
    assert_string_equal(model.calls, "");
}

static void test_a_kernel_that_hides_nothing_is_found_out(void **state)
{
    demit_os_error_t error = {0};
    (void)state;
    model.ignores_unveil = true;
    enter();
    assert_int_equal(demit_sandbox_verify(&request, &error), EPERM);
    assert_non_null(strstr(error.text, "could be opened"));
}

static void test_a_kernel_that_keeps_no_promise_is_found_out(void **state)
{
    demit_os_error_t error = {0};
    (void)state;
    model.ignores_pledge = true;
    enter();
    assert_int_equal(demit_sandbox_verify(&request, &error), EPERM);
    assert_non_null(strstr(error.text, "setuid(2) succeeded"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_explain_changes_nothing, set_up),
        cmocka_unit_test_setup(test_what_is_asked_for_is_unveiled_and_then_promised, set_up),
        cmocka_unit_test_setup(test_no_path_at_all_hides_everything, set_up),
        cmocka_unit_test_setup(test_a_missing_path_is_passed_over, set_up),
        cmocka_unit_test_setup(test_a_path_that_cannot_be_unveiled_stops_the_start, set_up),
        cmocka_unit_test_setup(test_required_fails_for_want_of_ports, set_up),
        cmocka_unit_test_setup(test_a_kernel_that_hides_nothing_is_found_out, set_up),
        cmocka_unit_test_setup(test_a_kernel_that_keeps_no_promise_is_found_out, set_up),
    };
    return cmocka_run_group_tests_name("openbsd", tests, NULL, NULL);
}
