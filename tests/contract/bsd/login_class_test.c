/*
 * os/bsd/login_class.c over a model of login_cap(3) and of the limits of a process: a class narrows, and never widens.
 * The account's shell plays the part of its class, for Linux has none in its account database. Root only.
 */
#include "tests/contract/harness.h"

#include <errno.h>
#include <login_cap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/bsd/login_class.h"

/* ---- the model ---- */

static struct {
    const char *missing; /* the class that login.conf does not have */
    bool falls_back;     /* as FreeBSD: "default" instead of nothing */
    rlim_t processes_soft, processes_hard, core, descriptors;
    long long priority;
    int failure;
    unsigned flags; /* as setusercontext() was called */
    uid_t uid;
    unsigned calls, open;
    struct rlimit limits[RLIM_NLIMITS];
    int nice;
    bool lies; /* setrlimit() says 0 and does nothing, once the class is set */
} model;

int __wrap_getrlimit(int resource, struct rlimit *limit);
int __wrap_getrlimit(int resource, struct rlimit *limit)
{
    *limit = model.limits[resource];
    return 0;
}

int __wrap_setrlimit(int resource, const struct rlimit *limit);
int __wrap_setrlimit(int resource, const struct rlimit *limit)
{
    CHECK(limit->rlim_cur <= limit->rlim_max);
    if (!model.lies || model.calls == 0) {
        model.limits[resource] = *limit;
    }
    return 0;
}

int __wrap_getpriority(int which, id_t who);
int __wrap_getpriority(int which, id_t who)
{
    CHECK(which == PRIO_PROCESS && who == 0);
    return model.nice;
}

login_cap_t *login_getclass(char *name)
{
    bool missing = model.missing != NULL && strcmp(model.missing, name) == 0;
    if (missing && !model.falls_back) {
        return NULL;
    }
    login_cap_t *class = calloc(1, sizeof(*class));
    CHECK(class != NULL);
    static char standard[] = LOGIN_DEFCLASS;
    class->lc_class = missing ? standard : name;
    model.open++;
    return class;
}

void login_close(login_cap_t *class)
{
    model.open--;
    free(class);
}

long long login_getcapnum(login_cap_t *class, char *capability, long long none, long long error)
{
    (void)none, (void)error;
    CHECK(class != NULL && strcmp(capability, "priority") == 0);
    return model.priority;
}

static void set(int resource, rlim_t soft, rlim_t hard)
{
    model.limits[resource] = (struct rlimit){soft, hard};
}

int setusercontext(login_cap_t *class, struct passwd *account, uid_t uid, unsigned flags)
{
    CHECK(class != NULL && account == NULL);
    model.flags = flags;
    model.uid = uid;
    model.calls++;
    if (model.failure != 0) {
        errno = model.failure;
        return -1;
    }
    if ((flags & LOGIN_SETRESOURCES) != 0) {
        set(RLIMIT_NPROC, model.processes_soft, model.processes_hard);
        set(RLIMIT_CORE, model.core, model.core);
        set(RLIMIT_NOFILE, model.descriptors, model.descriptors);
    }
    if ((flags & LOGIN_SETPRIORITY) != 0) {
        model.nice = (int)model.priority;
    }
    return 0;
}

/* ---- what there is before ---- */

static void start_with(rlim_t processes, rlim_t descriptors, int nice)
{
    set(RLIMIT_NPROC, processes, processes);
    set(RLIMIT_CORE, 0, 1000000);
    set(RLIMIT_NOFILE, descriptors, descriptors);
    model.nice = nice;
    (void)umask(077);
}

static void assert_limit(int resource, rlim_t soft, rlim_t hard)
{
    CHECK(model.limits[resource].rlim_cur == soft && model.limits[resource].rlim_max == hard);
}

static demit_identity_t *with_class(const char *user, const char *group)
{
    demit_os_error_t error = {0};
    const demit_identity_request_t request = {.user = user, .group = group};
    demit_identity_t *identity = resolved(&request, NULL);
    CHECK(os_class_resolve(identity, NULL, &error) == 0);
    return identity;
}

static void assert_class(const demit_identity_t *identity, const char *class)
{
    char what[OS_TEXT_MAX] = "", why_not[OS_REASON_MAX] = "", quoted[64];
    CHECK(os_class_applies(identity));
    CHECK(strcmp(identity->native->login_class, class) == 0);
    os_class_describe(identity, what, sizeof(what));
    (void)snprintf(quoted, sizeof(quoted), "\"%s\"", class);
    CHECK_HOLDS(what, quoted);
    CHECK(os_class_check(identity, why_not, sizeof(why_not)) && why_not[0] == '\0');
    CHECK(model.calls == 0 && model.open == 0);
}

/* ---- cases ---- */

static void narrows_body(void)
{
    start_with(500, 2048, 0);
    model.processes_soft = 100;
    model.processes_hard = 200;
    model.core = 0;
    model.descriptors = 128;
    model.priority = 5;
    demit_identity_t *identity = with_class("64123", "64123");
    assert_class(identity, "default"); /* no account, so no class of its own */
    CHECK(os_class_run(identity) == 0);
    CHECK(model.calls == 1 && model.open == 0 && model.uid == STRANGER);
    CHECK(model.flags == (LOGIN_SETRESOURCES | LOGIN_SETPRIORITY));
    assert_limit(RLIMIT_NPROC, 100, 200);
    assert_limit(RLIMIT_CORE, 0, 0);
    assert_limit(RLIMIT_NOFILE, 2048, 2048); /* Server_Max_File_Descriptors' affair */
    CHECK(model.nice == 5);
    CHECK(umask(0) == 077);
    CHECK(getuid() == 0 && getgid() == 0);
}

static void test_a_class_narrows(void **state)
{
    (void)state;
    in_child(narrows_body, NULL);
}

static void widens_body(void)
{
    start_with(500, 2048, 10);
    model.processes_soft = 100;
    model.processes_hard = RLIM_INFINITY;
    model.core = RLIM_INFINITY;
    model.descriptors = 1 << 16;
    model.priority = -5;
    demit_identity_t *identity = with_class("64123", "64123");
    CHECK(os_class_run(identity) == 0);
    CHECK(model.flags == LOGIN_SETRESOURCES);
    assert_limit(RLIMIT_NPROC, 100, 500);
    assert_limit(RLIMIT_CORE, 0, 1000000);
    assert_limit(RLIMIT_NOFILE, 2048, 2048);
    CHECK(model.nice == 10);
}

static void test_a_class_never_widens(void **state)
{
    (void)state;
    in_child(widens_body, NULL);
}

/* What would take back the widening does nothing: read back, not believed. */
static void lying_body(void)
{
    start_with(500, 2048, 0);
    model.processes_soft = 500;
    model.processes_hard = 501;
    model.descriptors = 2048;
    model.lies = true;
    CHECK(os_class_run(with_class("64123", "64123")) == EPERM);
    model.processes_hard = 500;
    model.calls = 0;
    start_with(500, 2048, 0);
    CHECK(os_class_run(with_class("64123", "64123")) == 0);
}

static void test_a_kernel_that_does_not_narrow_is_found_out(void **state)
{
    (void)state;
    in_child(lying_body, NULL);
}

static void account_body(void)
{
    demit_identity_t *identity = with_class("nobody", NULL);
    assert_class(identity, "/usr/sbin/nologin");
}

static void test_the_class_is_the_accounts(void **state)
{
    (void)state;
    in_child(account_body, NULL);
}

static void missing_body(void)
{
    char why_not[OS_REASON_MAX] = "";
    demit_identity_t *identity = with_class("64123", "64123");
    model.missing = "default";
    CHECK(!os_class_check(identity, why_not, sizeof(why_not)));
    CHECK_HOLDS(why_not, "\"default\" of 64123 is not in /etc/login.conf");
    CHECK(os_class_run(identity) == ENOENT && model.calls == 0);
}

static void fallen_back_body(void)
{
    char why_not[OS_REASON_MAX] = "";
    model.missing = "/usr/sbin/nologin";
    model.falls_back = true;
    demit_identity_t *identity = with_class("nobody", NULL);
    CHECK(!os_class_check(identity, why_not, sizeof(why_not)));
    CHECK_HOLDS(why_not, "\"/usr/sbin/nologin\" of nobody");
    CHECK(model.open == 0);
    CHECK(os_class_run(identity) == ENOENT && model.calls == 0 && model.open == 0);
}

static void test_a_missing_class_stops_the_start(void **state)
{
    (void)state;
    in_child(missing_body, NULL);
    in_child(fallen_back_body, NULL);
}

static void failing_body(void)
{
    demit_identity_t *identity = with_class("64123", "64123");
    model.failure = EINVAL;
    CHECK(os_class_run(identity) == EINVAL && model.open == 0);
}

static void test_a_failing_call_stops_the_start(void **state)
{
    (void)state;
    in_child(failing_body, NULL);
}

static void root_body(void)
{
    CHECK(!os_class_applies(with_class("root", "root")));
}

static void test_root_that_stays_root_gets_no_class(void **state)
{
    (void)state;
    in_child(root_body, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_class_narrows),
        cmocka_unit_test(test_a_class_never_widens),
        cmocka_unit_test(test_a_kernel_that_does_not_narrow_is_found_out),
        cmocka_unit_test(test_the_class_is_the_accounts),
        cmocka_unit_test(test_a_missing_class_stops_the_start),
        cmocka_unit_test(test_a_failing_call_stops_the_start),
        cmocka_unit_test(test_root_that_stays_root_gets_no_class),
    };
    return cmocka_run_group_tests_name("login_class", tests, NULL, NULL);
}
