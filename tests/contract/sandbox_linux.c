/* System calls that the sandbox of Linux takes, tried by their numbers. */
#include "tests/contract/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static void calls_body(void)
{
    const told_t told = entered();
    char *const none[] = {NULL};
    if (!told.calls) {
        child_skips("this back end takes no system calls");
    }
    CHECK(code_of((int)syscall(SYS_setuid, STRANGER)) == EPERM && code_of((int)syscall(SYS_setgid, STRANGER)) == EPERM);
    CHECK(code_of((int)syscall(SYS_setgroups, 0, NULL)) == EPERM);
    CHECK(fork() < 0 && errno == EPERM);
    CHECK(execve("/bin/true", none, none) < 0 && errno == EPERM);
    CHECK(unshare(0) < 0 && errno == EPERM);
    CHECK(kill(getpid(), 0) < 0 && errno == EPERM);
    CHECK(raise(0) == 0); /* what abort(3) needs */
    CHECK(syscall(SYS_tgkill, getppid(), getppid(), 0) < 0 && errno == EPERM);
    CHECK(syscall(SYS_setfsuid, 0) < 0 && errno == EPERM);
    CHECK(syscall(SYS_setfsuid, -1) == STRANGER); /* what the audit asks */
}

static void test_system_calls_are_refused(void **state)
{
    (void)state;
    with_scene(calls_body);
}

static int socket_code(int family, int type, int protocol)
{
    int fd = socket(family, type, protocol);
    int code = fd >= 0 ? 0 : errno;
    if (fd >= 0) {
        (void)close(fd);
    }
    return code;
}

/* What one argument makes of a call that is needed otherwise. */
static void arguments_body(void)
{
    enum { FAMILY_ALG = 38, FAMILY_SMC = 43, FAMILY_BEYOND = 77, DCCP = 6, MPTCP = 262 };
    char letter = 'x';
    const told_t told = entered();
    if (!told.calls) {
        child_skips("this back end takes no system calls");
    }
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(fd >= 0 && fcntl(fd, F_GETFL) >= 0 && socket_code(AF_INET6, SOCK_DGRAM, 0) != EPERM);
    CHECK(socket_code(AF_UNIX, SOCK_STREAM, 0) == 0 && socket_code(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0) == 0);
    CHECK(ioctl(fd, TIOCSTI, &letter) < 0 && errno == EPERM); /* ENOTTY otherwise */
    CHECK(syscall(SYS_ioctl, fd, TIOCSTI | UINT64_C(1) << 32, &letter) < 0 && errno == EPERM);
    CHECK(fcntl(fd, F_SETOWN, getpid()) < 0 && errno == EPERM);
#if defined(SYS_socketcall)
    CHECK(!told.kinds); /* in memory, where no filter sees them */
#else
    CHECK(told.kinds && socket_code(AF_INET, SOCK_STREAM, MPTCP) == EPERM);
    CHECK(socket_code(AF_INET, SOCK_SEQPACKET, 0) == EPERM && socket_code(AF_INET, DCCP, 0) == EPERM);
    CHECK(socket_code(FAMILY_SMC, SOCK_STREAM, 0) == EPERM && socket_code(FAMILY_ALG, SOCK_SEQPACKET, 0) == EPERM);
    CHECK(socket_code(FAMILY_BEYOND, SOCK_STREAM, 0) == EPERM);
#endif
    (void)close(fd);
}

static void test_arguments_are_refused(void **state)
{
    (void)state;
    with_scene(arguments_body);
}

int run_sandbox_cases_of_linux(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_system_calls_are_refused),
        cmocka_unit_test(test_arguments_are_refused),
    };
    return cmocka_run_group_tests_name("contract: sandbox, system calls", tests, NULL, NULL);
}
