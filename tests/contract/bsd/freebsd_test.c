/*
 * os/bsd/sandbox_freebsd.c over a model of Capsicum: which rights each use keeps, what is told, and that the proof
 * notices a kernel that takes none.
 */
#include "tests/contract/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/capsicum.h>
#include <unistd.h>

/* ---- the model ---- */

enum { DESCRIPTORS = 64 };

static struct {
    bool absent, lies;
    int failure;
    bool limited[DESCRIPTORS];
    uint64_t rights[DESCRIPTORS];
    uint32_t commands[DESCRIPTORS];
} model;

int feature_present(const char *feature)
{
    return strcmp(feature, "security_capabilities") == 0 && !model.absent;
}

cap_rights_t *model_rights_init(cap_rights_t *rights, ...)
{
    va_list arguments;
    va_start(arguments, rights);
    rights->bits = 0;
    for (uint64_t right = va_arg(arguments, uint64_t); right != 0; right = va_arg(arguments, uint64_t)) {
        rights->bits |= right;
    }
    va_end(arguments);
    return rights;
}

int cap_rights_limit(int fd, const cap_rights_t *rights)
{
    assert_true(fd >= 0 && fd < DESCRIPTORS);
    errno = model.failure;
    model.limited[fd] = !model.lies;
    model.rights[fd] = rights->bits;
    return model.failure == 0 ? 0 : -1;
}

int cap_fcntls_limit(int fd, uint32_t commands)
{
    model.commands[fd] = commands;
    return 0;
}

int __real_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...)
{
    if (fd >= 0 && fd < DESCRIPTORS && model.limited[fd] && (model.rights[fd] & CAP_FCNTL) == 0) {
        errno = ENOTCAPABLE;
        return -1;
    }
    return __real_fcntl(fd, command, 0);
}

static int set_up(void **state)
{
    (void)state;
    memset(&model, 0, sizeof(model));
    return 0;
}

/* ---- cases ---- */

static void test_each_use_keeps_what_it_needs(void **state)
{
    const uint64_t connection = CAP_READ | CAP_WRITE | CAP_SHUTDOWN | CAP_GETPEERNAME | CAP_GETSOCKNAME |
                                CAP_GETSOCKOPT | CAP_SETSOCKOPT | CAP_EVENT | CAP_FCNTL;
    (void)state;
    assert_int_equal(demit_os_limit_descriptor(10, DEMIT_DESCRIPTOR_LISTENER), 0);
    assert_int_equal(model.rights[10], connection | CAP_ACCEPT | CAP_LISTEN);
    assert_int_equal(model.commands[10], CAP_FCNTL_GETFL | CAP_FCNTL_SETFL);
    assert_int_equal(demit_os_limit_descriptor(11, DEMIT_DESCRIPTOR_PID_FILE), 0);
    assert_int_equal(model.rights[11], 0);
    assert_int_equal(demit_os_limit_descriptor(12, DEMIT_DESCRIPTOR_LOG), 0);
    assert_int_equal(model.rights[12], CAP_WRITE | CAP_FSYNC | CAP_FSTAT);
    assert_int_equal(demit_os_limit_descriptor(13, DEMIT_DESCRIPTOR_NOTIFY), 0);
    assert_int_equal(model.rights[13], CAP_WRITE);
}

static void test_a_failure_is_told(void **state)
{
    (void)state;
    model.failure = EBADF;
    assert_int_equal(demit_os_limit_descriptor(10, DEMIT_DESCRIPTOR_LOG), EBADF);
    model.absent = true;
    assert_int_equal(demit_os_limit_descriptor(10, DEMIT_DESCRIPTOR_LOG), ENOTSUP);
}

static void keep_part(void *baton, const demit_sandbox_part_t *part)
{
    char line[512];
    assert_true(part->name[0] != '\0' && part->what[0] != '\0' && part->enforced == (part->why_not[0] == '\0'));
    (void)snprintf(line, sizeof(line), "%s=%d", part->name, part->enforced);
    keep_line(baton, line);
}

static int enter(bool required, const char *parts_expected, demit_os_error_t *error)
{
    const demit_sandbox_request_t nothing = {0};
    lines_t parts = {0};
    int code = demit_sandbox_enter(&nothing, required, keep_part, &parts, error);
    assert_string_equal(parts.text, parts_expected);
    return code;
}

static void test_descriptors_are_what_is_enforced(void **state)
{
    const demit_sandbox_request_t nothing = {0};
    demit_os_error_t error = {0};
    (void)state;
    assert_int_equal(enter(false, "file system=0\nTCP bind=0\nsystem calls=0\ndescriptors=1\n", &error), 0);
    assert_int_equal(demit_sandbox_verify(&nothing, &error), 0);
}

static void test_required_names_what_is_missing(void **state)
{
    demit_os_error_t error = {0};
    (void)state;
    assert_int_equal(enter(true, "", &error), ENOTSUP);
    assert_non_null(strstr(error.text, "\"file system\""));
    assert_non_null(strstr(error.text, "capability mode"));
}

static void test_a_kernel_without_capsicum_claims_nothing(void **state)
{
    const demit_sandbox_request_t nothing = {0};
    demit_os_error_t error = {0};
    (void)state;
    model.absent = true;
    assert_int_equal(enter(false, "file system=0\nTCP bind=0\nsystem calls=0\ndescriptors=0\n", &error), 0);
    assert_int_equal(demit_sandbox_verify(&nothing, &error), 0);
}

static void test_a_kernel_that_takes_no_right_is_found_out(void **state)
{
    const demit_sandbox_request_t nothing = {0};
    demit_os_error_t error = {0};
    (void)state;
    model.lies = true;
    assert_int_equal(demit_sandbox_verify(&nothing, &error), EPERM);
    assert_non_null(strstr(error.text, "lost the right"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_each_use_keeps_what_it_needs, set_up),
        cmocka_unit_test_setup(test_a_failure_is_told, set_up),
        cmocka_unit_test_setup(test_descriptors_are_what_is_enforced, set_up),
        cmocka_unit_test_setup(test_required_names_what_is_missing, set_up),
        cmocka_unit_test_setup(test_a_kernel_without_capsicum_claims_nothing, set_up),
        cmocka_unit_test_setup(test_a_kernel_that_takes_no_right_is_found_out, set_up),
    };
    return cmocka_run_group_tests_name("freebsd", tests, NULL, NULL);
}
