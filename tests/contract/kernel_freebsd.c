/* FreeBSD: procctl(2), capsicum(4). */
#include "tests/contract/kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/capsicum.h>
#include <sys/procctl.h>
#include <sys/socket.h>
#include <sys/sysctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* The kernel's own release, not that of the headers: until 14 the effective gid is the first of the groups. */
static bool before_15(void)
{
    int release = 0;
    size_t size = sizeof(release);
    CHECK(sysctlbyname("kern.osreldate", &release, &size, NULL, 0) == 0);
    return release < 1500000;
}

kernel_t this_kernel(void)
{
    return (kernel_t){.groups_hold_gid = before_15(), .cwd_stays_outside = true, .descriptor_leads_outside = true};
}

static void no_new_privs_body(void)
{
    int mode = PROC_NO_NEW_PRIVS_ENABLE, now = 0;
    become_stranger();
    CHECK(procctl(P_PID, getpid(), PROC_NO_NEW_PRIVS_CTL, &mode) == 0);
    CHECK(procctl(P_PID, getpid(), PROC_NO_NEW_PRIVS_STATUS, &now) == 0 && now == PROC_NO_NEW_PRIVS_ENABLE);
    mode = PROC_NO_NEW_PRIVS_DISABLE;
    CHECK(procctl(P_PID, getpid(), PROC_NO_NEW_PRIVS_CTL, &mode) != 0);
    CHECK(procctl(P_PID, getpid(), PROC_NO_NEW_PRIVS_STATUS, &now) == 0 && now == PROC_NO_NEW_PRIVS_ENABLE);
}

static void test_no_new_privileges_is_for_good(void **state)
{
    (void)state;
    in_child(no_new_privs_body, NULL);
}

static void tracing_body(void)
{
    int mode = PROC_TRACE_CTL_DISABLE, now = 0;
    become_stranger();
    CHECK(procctl(P_PID, getpid(), PROC_TRACE_CTL, &mode) == 0);
    CHECK(procctl(P_PID, getpid(), PROC_TRACE_STATUS, &now) == 0 && now == -1);
}

static void test_tracing_can_be_denied(void **state)
{
    (void)state;
    in_child(tracing_body, NULL);
}

static void rights_body(void)
{
    cap_rights_t listener, reader;
    const struct sockaddr_in address = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM, 0), ends[2];
    CHECK(fd >= 0 && pipe(ends) == 0);
    CHECK(cap_rights_limit(fd, cap_rights_init(&listener, CAP_ACCEPT, CAP_LISTEN, CAP_EVENT)) == 0);
    CHECK(bind(fd, (const struct sockaddr *)&address, sizeof(address)) != 0 && errno == ENOTCAPABLE);
    CHECK(listen(fd, 1) == 0);
    CHECK(cap_rights_limit(ends[1], cap_rights_init(&reader, CAP_READ)) == 0);
    CHECK(write(ends[1], "x", 1) != 1 && errno == ENOTCAPABLE);
    /* Rights only ever shrink. */
    CHECK(cap_rights_limit(ends[1], cap_rights_init(&reader, CAP_READ, CAP_WRITE)) != 0 && errno == ENOTCAPABLE);
}

static void test_rights_of_descriptors_are_limited(void **state)
{
    (void)state;
    in_child(rights_body, NULL);
}

static void capability_mode_body(void)
{
    CHECK(cap_enter() == 0);
    CHECK(open("/", O_RDONLY) < 0 && errno == ECAPMODE);
}

static void test_capability_mode_has_no_names(void **state)
{
    (void)state;
    in_child(capability_mode_body, NULL);
}

int run_cases_of_this_kernel(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_new_privileges_is_for_good),
        cmocka_unit_test(test_tracing_can_be_denied),
        cmocka_unit_test(test_rights_of_descriptors_are_limited),
        cmocka_unit_test(test_capability_mode_has_no_names),
    };
    return cmocka_run_group_tests_name("contract: kernel, FreeBSD", tests, NULL, NULL);
}
