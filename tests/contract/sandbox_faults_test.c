/*
 * Kernels that this machine does not run: older ones, which have less of Landlock, and one that says yes and does
 * nothing. The linker leads syscall(2) and libseccomp's last call through here (--wrap).
 */
#include "tests/contract/scenes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { CREATE_RULESET = 444, ADD_RULE = 445, RESTRICT_SELF = 446, VERSION_QUESTION = 1, RULE_PORT = 2 };

/* How this kernel differs from the real one; all zero: it does not. */
static struct kernel {
    long abi;       /* it has no newer Landlock; -1: the errno LACKS instead */
    int lacks;      /* ENOSYS: no Landlock at all; EOPNOTSUPP: it is switched off */
    bool only_says; /* RESTRICT_SELF and the filter succeed and confine nobody */
    bool forgets_ports, forgets_scopes;
    bool lacks_kinds; /* of sockets */
} kernel;

/* What it was asked to take away. */
static struct asked {
    uint64_t files, net, scoped;
} asked;

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);
long __wrap_syscall(long number, ...)
{
    long a[5]; /* nobody here passes more, and AddressSanitizer would see a sixth read from a stack that has none */
    va_list arguments;
    va_start(arguments, number);
    for (size_t i = 0; i < 5; i++) {
        a[i] = va_arg(arguments, long);
    }
    va_end(arguments);
    if (number == CREATE_RULESET && kernel.lacks != 0) {
        errno = kernel.lacks;
        return -1;
    }
    if (number == CREATE_RULESET && a[2] == VERSION_QUESTION && kernel.abi != 0) {
        return kernel.abi;
    }
    if (number == CREATE_RULESET && a[2] == 0) {
        memcpy(&asked, (const void *)a[0], sizeof(asked));
        asked.net = kernel.forgets_ports ? 0 : asked.net;
        asked.scoped = kernel.forgets_scopes ? 0 : asked.scoped;
        a[0] = (long)&asked;
    }
    if ((number == RESTRICT_SELF && kernel.only_says) ||
        (number == ADD_RULE && a[1] == RULE_PORT && kernel.forgets_ports)) {
        return 0;
    }
    return __real_syscall(number, a[0], a[1], a[2], a[3], a[4]);
}

#if defined(TEST_WITH_SECCOMP)
int __real_seccomp_load(const void *filter);
int __wrap_seccomp_load(const void *filter);
int __wrap_seccomp_load(const void *filter)
{
    return kernel.only_says ? 0 : __real_seccomp_load(filter);
}
#endif

/* As on i386, on s390x, and in a build without libseccomp. */
bool __real_os_seccomp_can_sockets(char *why_not, size_t size);
bool __wrap_os_seccomp_can_sockets(char *why_not, size_t size);
bool __wrap_os_seccomp_can_sockets(char *why_not, size_t size)
{
    if (kernel.lacks_kinds) {
        (void)snprintf(why_not, size, "made to lack");
        return false;
    }
    return __real_os_seccomp_can_sockets(why_not, size);
}

/* "+file system", "-TCP bind: why", … */
static void keep_part(void *lines, const demit_sandbox_part_t *part)
{
    char line[512];
    (void)snprintf(line, sizeof(line), "%s%s%s%s", part->enforced ? "+" : "-", part->name,
                   part->why_not[0] == '\0' ? "" : ": ", part->why_not);
    keep_line(lines, line);
}

static const demit_sandbox_request_t nothing;

static lines_t entered_here(void)
{
    lines_t lines = {0};
    demit_os_error_t error = {0};
    (void)assumed(&stranger);
    if (demit_sandbox_enter(&nothing, false, keep_part, &lines, &error) != 0) {
        child_failed(__FILE__, __LINE__, error.text);
    }
    return lines;
}

static void verify_here(void)
{
    demit_os_error_t error = {0};
    if (demit_sandbox_verify(&nothing, &error) != 0) {
        child_failed(__FILE__, __LINE__, error.text);
    }
}

/* ---- older kernels ---- */

static void no_landlock_body(void)
{
    kernel = (struct kernel){.lacks = ENOSYS};
    const lines_t lines = entered_here();
    CHECK_HOLDS(lines.text, "-file system: this kernel has no Landlock");
    CHECK_HOLDS(lines.text, "-TCP bind: this kernel has no Landlock");
    CHECK_HOLDS(lines.text, "-other processes: this kernel has no Landlock");
    CHECK(close(open("/", O_RDONLY | O_DIRECTORY)) == 0);
    verify_here();
}

static void switched_off_body(void)
{
    kernel = (struct kernel){.lacks = EOPNOTSUPP};
    const lines_t lines = entered_here();
    CHECK_HOLDS(lines.text, "-file system: Landlock is switched off");
}

/* Version 1 would let nobody rename from tmp to new. */
static void version_1_body(void)
{
    kernel = (struct kernel){.abi = 1};
    const lines_t lines = entered_here();
    CHECK_HOLDS(lines.text, "-file system: this kernel's Landlock is version 1; version 2 comes with Linux 5.19");
    CHECK(asked.files == 0 && close(open("/", O_RDONLY | O_DIRECTORY)) == 0);
    verify_here();
}

static void version_3_body(void)
{
    kernel = (struct kernel){.abi = 3};
    const lines_t lines = entered_here();
    CHECK_HOLDS(lines.text,
                "+file system\n-TCP bind: this kernel's Landlock is version 3; version 4 comes with Linux 6.7");
    CHECK(asked.files == (1U << 15) - 1 && asked.net == 0 && asked.scoped == 0);
    verify_here();
}

static void version_2_body(void)
{
    kernel = (struct kernel){.abi = 2};
    (void)entered_here();
    CHECK(asked.files == (1U << 14) - 1);
    verify_here();
}

static void version_5_body(void)
{
    kernel = (struct kernel){.abi = 5};
    const lines_t lines = entered_here();
    CHECK_HOLDS(lines.text, "+file system\n+TCP bind");
    CHECK_HOLDS(lines.text, "\n-other processes: ");
    CHECK(asked.files == (1U << 16) - 1 && asked.net == 1 && asked.scoped == 0);
    verify_here();
}

/* Sockets of TCP by another name are kept away by their kind, or not at all. */
static void no_kinds_body(void)
{
    kernel = (struct kernel){.abi = 5, .lacks_kinds = true};
    const lines_t lines = entered_here();
    CHECK_HOLDS(lines.text, "+TCP bind: MPTCP and SCTP sockets get around it");
    CHECK_HOLDS(lines.text, "-socket kinds: made to lack");
}

/* One from the future: what is not known here is not asked for. */
static void version_99_body(void)
{
    kernel = (struct kernel){.abi = 99};
    (void)entered_here();
    CHECK(asked.files == (1U << 16) - 1 && asked.net == 1 && asked.scoped == 3);
    verify_here();
}

static long real_version(void)
{
    const long version = __real_syscall(CREATE_RULESET, 0L, 0L, (long)VERSION_QUESTION);
    return version > 0 ? version : 0;
}

static void older_kernel(long version, void (*body)(void))
{
    if (real_version() < version) {
        skip(); /* it cannot play a newer one */
    }
    in_child(body, NULL);
}

static void test_without_landlock_all_is_told_and_the_start_goes_on(void **state)
{
    (void)state;
    in_child(no_landlock_body, NULL);
    in_child(switched_off_body, NULL);
}

static void test_the_first_version_is_not_used(void **state)
{
    (void)state;
    in_child(version_1_body, NULL);
}

static void test_what_a_version_lacks_is_not_asked_for(void **state)
{
    (void)state;
    older_kernel(2, version_2_body);
    older_kernel(3, version_3_body);
    older_kernel(5, version_5_body);
    older_kernel(5, no_kinds_body);
    older_kernel(6, version_99_body);
}

/* ---- required ---- */

static void required_body(void)
{
    lines_t lines = {0};
    demit_os_error_t error = {0};
    (void)assumed(&stranger);
    kernel = (struct kernel){.lacks = ENOSYS};
    CHECK(demit_sandbox_enter(&nothing, true, keep_part, &lines, &error) == ENOTSUP && lines.count == 0);
    CHECK_HOLDS(error.text, "Sandbox = required, and \"file system\" cannot be enforced: this kernel has no Landlock");
    CHECK(close(open("/", O_RDONLY | O_DIRECTORY)) == 0);
    CHECK(fork() >= 0); /* no list of system calls either: the start failed with everything as it was */
}

static void test_required_names_what_is_missing(void **state)
{
    (void)state;
    in_child(required_body, NULL);
}

/* ---- a kernel that only says so ---- */

static void landlock_lies_body(void)
{
    demit_os_error_t error = {0};
    kernel = (struct kernel){.only_says = true};
    (void)entered_here();
    CHECK(demit_sandbox_verify(&nothing, &error) != 0);
    CHECK_HOLDS(error.text, "opening / succeeded");
}

static void ports_lie_body(void)
{
    demit_os_error_t error = {0};
    kernel = (struct kernel){.forgets_ports = true};
    (void)entered_here();
    CHECK(demit_sandbox_verify(&nothing, &error) != 0);
    CHECK_HOLDS(error.text, "binding TCP port 65535");
}

static void scopes_lie_body(void)
{
    demit_os_error_t error = {0};
    kernel = (struct kernel){.forgets_scopes = true};
    (void)entered_here();
    CHECK(demit_sandbox_verify(&nothing, &error) != 0);
    CHECK_HOLDS(error.text, "connecting to an abstract socket outside succeeded");
}

#if defined(TEST_WITH_SECCOMP)
static void seccomp_lies_body(void)
{
    demit_os_error_t error = {0};
    kernel = (struct kernel){.lacks = ENOSYS, .only_says = true};
    (void)entered_here();
    CHECK(demit_sandbox_verify(&nothing, &error) == EPERM);
    CHECK_HOLDS(error.text, "setuid(2) is not refused");
}
#endif

static void test_a_sandbox_that_does_not_hold_is_found_out(void **state)
{
    (void)state;
    older_kernel(2, landlock_lies_body);
    older_kernel(4, ports_lie_body);
    older_kernel(6, scopes_lie_body);
#if defined(TEST_WITH_SECCOMP)
    in_child(seccomp_lies_body, NULL);
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_landlock_all_is_told_and_the_start_goes_on),
        cmocka_unit_test(test_the_first_version_is_not_used),
        cmocka_unit_test(test_what_a_version_lacks_is_not_asked_for),
        cmocka_unit_test(test_required_names_what_is_missing),
        cmocka_unit_test(test_a_sandbox_that_does_not_hold_is_found_out),
    };
    if (geteuid() != 0) {
        (void)puts("skipped: an identity to confine takes root");
        return 77;
    }
    return cmocka_run_group_tests_name("contract: sandbox on other kernels", tests, NULL, NULL);
}
