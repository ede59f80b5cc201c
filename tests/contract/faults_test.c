/*
 * A kernel that fails, and a kernel that lies. Every system call of the assumption is failed in turn, with every errno:
 * assume must stop and name it. Then every one of them is made to do nothing and say 0: verify must notice. At last the
 * attempts to regain are made to succeed: verify must notice that, too. Root only.
 */
#include "tests/contract/faults.h"
#include "tests/contract/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* Which call misbehaves. The NTH wrapped call since arming, from 1 on; 0: none. */
static struct {
    unsigned nth, seen;
    int code; /* 0: lie */
    char name[32];
} fault;

static void arm(unsigned nth, int code)
{
    fault.nth = nth;
    fault.seen = 0;
    fault.code = code;
    fault.name[0] = '\0';
}

bool misbehaves(const char *name, int *result)
{
    if (fault.nth == 0 || ++fault.seen != fault.nth) {
        return false;
    }
    (void)snprintf(fault.name, sizeof(fault.name), "%s", name);
    errno = fault.code;
    *result = fault.code != 0 ? -1 : 0;
    return true;
}

WRAP(setuid, (uid_t uid), (uid))
WRAP(seteuid, (uid_t uid), (uid))
WRAP(setgid, (gid_t gid), (gid))
WRAP(chroot, (const char *path), (path))
WRAP(chdir, (const char *path), (path))

pid_t __real_fork(void);
pid_t __wrap_fork(void);
pid_t __wrap_fork(void)
{
    int result = 0;
    /* Its lie would be that this is the child. */
    return fault.code != 0 && misbehaves("fork", &result) ? result : __real_fork();
}

static char jail[64];
static unsigned nth;
static int code_to_give;

static demit_identity_request_t request_of_everything(void)
{
    static const char *const groups[] = {"27"};
    return (demit_identity_request_t){.user = "64123",
                                      .group = "64123",
                                      .supplemental_groups = groups,
                                      .supplemental_group_count = 1,
                                      .chroot_directory = jail,
                                      .capabilities = "cap_net_bind_service+ep",
                                      .privileges = "basic net_privaddr"};
}

enum { NO_MORE_CALLS = 3 };

static const gid_t inherited[] = {0, 4};

/* ---- fails ---- */

static void failing_body(void)
{
    demit_identity_request_t request = request_of_everything();
    demit_os_error_t error = {0};
    CHECK(setgroups(2, inherited) == 0);
    const demit_identity_t *identity = resolved(&request, NULL);
    arm(nth, code_to_give);
    int code = demit_identity_assume(identity, &error);
    if (fault.name[0] == '\0') {
        CHECK(code == 0);
        _exit(NO_MORE_CALLS);
    }
    CHECK(code == code_to_give && error.code == code_to_give);
    CHECK(error.step[0] != '\0');
    CHECK_HOLDS(error.text, strerror(code_to_give));
    if (strcmp(fault.name, "setusercontext") == 0) {
        CHECK(strcmp(error.step, "login class") == 0);
    } else if (strncmp(fault.name, "set", 3) == 0 || strncmp(fault.name, "ch", 2) == 0 ||
               strcmp(fault.name, "cap_set_proc") == 0) {
        CHECK(strcmp(error.step, fault.name) == 0);
    }
    if (code_to_give == EAGAIN && strcmp(fault.name, "setresuid") == 0) {
        CHECK_HOLDS(error.text, "RLIMIT_NPROC");
    }
}

/* Runs BODY in a child and returns its exit code. */
static int run(void (*body)(void))
{
    int status = 0;
    arm(0, 0);
    pid_t child = __real_fork();
    assert_true(child >= 0);
    if (child == 0) {
        body();
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void test_every_failing_call_stops_the_start(void **state)
{
    (void)state;
    /* What setresuid(2), chroot(2), capset(2), prctl(2) and their like name; and one that nobody names. */
    static const int codes[] = {EPERM, EINVAL, EAGAIN, ENOMEM, EACCES, EIO, ELOOP, ENOENT, ENOTDIR, EFAULT, ENOSYS};
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        int exit_code = 0;
        code_to_give = codes[i];
        for (nth = 1; exit_code == 0; nth++) {
            exit_code = run(failing_body);
        }
        assert_int_equal(exit_code, NO_MORE_CALLS);
        /* Each capability dropped is a call of its own. */
        assert_true(nth > (backend_is("linux") ? 40 : backend_is("bsd") ? 6 : 12));
    }
}

/* ---- lies ---- */

static void lying_body(void)
{
    demit_identity_request_t request = request_of_everything();
    demit_os_error_t error = {0};
    CHECK(setgroups(2, inherited) == 0);
    const demit_identity_t *identity = resolved(&request, NULL);
    arm(nth, 0);
    int code = demit_identity_assume(identity, &error);
    bool lied = fault.name[0] != '\0';
    bool harmless = is_harmless(fault.name, nth);
    char name[32];
    (void)snprintf(name, sizeof(name), "%s", fault.name);
    arm(0, 0);
    if (code == 0) {
        code = demit_identity_verify(identity, &error);
    }
    if (!lied) {
        CHECK(code == 0);
        _exit(NO_MORE_CALLS);
    }
    if ((code == 0) != harmless) {
        child_failed(__FILE__, __LINE__, name);
    }
}

static void test_every_lying_call_is_found_out(void **state)
{
    (void)state;
    int exit_code = 0;
    for (nth = 1; exit_code == 0; nth++) {
        exit_code = run(lying_body);
    }
    assert_int_equal(exit_code, NO_MORE_CALLS);
    assert_true(nth > (backend_is("linux") ? 40 : backend_is("bsd") ? 5 : 11));
}

/* ---- gives back ---- */

/* One process for all: what lies or fails changes nothing, so the next attempt finds it as it was. */
static void generous_body(void)
{
    demit_identity_request_t request = request_of_everything();
    demit_os_error_t error = {0};
    unsigned number = 0, right_answers = 0;
    char tried[256] = "";
    const demit_identity_t *identity = resolved(&request, NULL);
    CHECK(demit_identity_assume(identity, &error) == 0);
    for (;;) {
        arm(++number, code_to_give);
        int code = demit_identity_verify(identity, &error);
        if (fault.name[0] == '\0') {
            CHECK(code == 0);
            break;
        }
        if (code == 0) {
            CHECK(code_to_give == EINVAL && strcmp(fault.name, "prctl") == 0);
            right_answers++;
            continue;
        }
        CHECK(strcmp(error.step, "regain") == 0);
        CHECK_HOLDS(error.text, code_to_give == 0 ? "could be taken back" : "proves nothing");
        if (strstr(tried, fault.name) == NULL) {
            size_t used = strlen(tried);
            (void)snprintf(tried + used, sizeof(tried) - used, "%s,", fault.name);
        }
    }
    /* Of all attempts, clearing no_new_privs alone is refused with EINVAL. */
    CHECK(right_answers == (code_to_give == EINVAL && backend_is("linux") ? 1 : 0));
    CHECK(number > (backend_is("bsd") ? 7 : 40)); /* each capability or privilege is tried alone */
    CHECK(strcmp(tried, calls_that_regain()) == 0);
}

static void try_every_probe(int code)
{
    code_to_give = code;
    assert_int_equal(run(generous_body), 0);
}

static void test_every_regained_power_is_found_out(void **state)
{
    (void)state;
    try_every_probe(0);
}

static void test_a_probe_that_fails_for_another_reason_proves_nothing(void **state)
{
    (void)state;
    try_every_probe(EAGAIN);
    try_every_probe(EINVAL); /* where it is not for want of privilege, either */
}

static int set_up(void **state)
{
    (void)state;
    make_private_directory(jail, sizeof(jail));
    return chmod(jail, 0755);
}

static int tear_down(void **state)
{
    (void)state;
    remove_directory(jail);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_failing_call_stops_the_start),
        cmocka_unit_test(test_every_lying_call_is_found_out),
        cmocka_unit_test(test_every_regained_power_is_found_out),
        cmocka_unit_test(test_a_probe_that_fails_for_another_reason_proves_nothing),
    };
    if (geteuid() != 0) {
        (void)puts("skipped: giving up root takes root");
        return 77;
    }
    return cmocka_run_group_tests_name("contract: faults", tests, set_up, tear_down);
}
