/* OpenBSD: pledge(2), unveil(2). */
#include "tests/contract/kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

kernel_t this_kernel(void)
{
    return (kernel_t){.groups_hold_gid = false, .cwd_stays_outside = true, .descriptor_leads_outside = true};
}

/* In a child that promises PROMISES: what ACT returns, or -1 if it ended by SIGABRT. */
static int under(const char *promises, int (*act)(void))
{
    int status = 0;
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        CHECK(pledge(promises, NULL) == 0);
        _exit(act());
    }
    CHECK(waitpid(child, &status, 0) == child);
    if (WIFSIGNALED(status)) {
        CHECK(WTERMSIG(status) == SIGABRT);
        return -1;
    }
    return WEXITSTATUS(status);
}

static int act_nothing(void)
{
    return 0;
}

static int act_open(void)
{
    return open("/", O_RDONLY) >= 0 ? 0 : errno;
}

static int act_setuid(void)
{
    return setuid(0) == 0 ? 0 : errno;
}

static int act_promise_more(void)
{
    return pledge("stdio rpath inet", NULL) == 0 ? 0 : errno;
}

/* So the attempts to regain come before the sandbox: under it they would end the process. */
static void pledge_body(void)
{
    become_stranger();
    CHECK(under("stdio", act_nothing) == 0);
    CHECK(under("stdio", act_open) == -1);
    CHECK(under("stdio", act_setuid) == -1);
    CHECK(under("stdio rpath", act_open) == 0);
    CHECK(under("stdio error", act_open) == ENOSYS);
    CHECK(under("stdio rpath", act_promise_more) == EPERM);
}

static void test_promises_are_for_good(void **state)
{
    (void)state;
    in_child(pledge_body, NULL);
}

static void unveil_body(void)
{
    become_stranger();
    CHECK(unveil(jail, "r") == 0 && unveil(NULL, NULL) == 0);
    CHECK(open(jail, O_RDONLY) >= 0);
    CHECK(open("/etc", O_RDONLY) < 0 && errno == ENOENT);
    CHECK(unveil("/etc", "r") != 0 && errno == EPERM);
}

static void test_what_is_not_unveiled_is_not_there(void **state)
{
    (void)state;
    with_jail(unveil_body, NULL);
}

int run_cases_of_this_kernel(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_promises_are_for_good),
        cmocka_unit_test(test_what_is_not_unveiled_is_not_there),
    };
    return cmocka_run_group_tests_name("contract: kernel, OpenBSD", tests, NULL, NULL);
}
