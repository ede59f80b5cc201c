/* Linux: capabilities(7), prctl(2). */
#include "tests/contract/kernel.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <unistd.h>

kernel_t this_kernel(void)
{
    return (kernel_t){.groups_hold_gid = false, .cwd_stays_outside = true, .descriptor_leads_outside = true};
}

static void no_new_privs_body(void)
{
    become_stranger();
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0) != 0 && errno == EINVAL);
    CHECK(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
}

static void test_no_new_privileges_is_for_good(void **state)
{
    (void)state;
    in_child(no_new_privs_body, NULL);
}

static void keepcaps_body(void)
{
    CHECK(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0);
    become_stranger();
    CHECK(permitted_now() != 0); /* so a drop of the uid is not enough */
    set_capabilities(0, 0);
    CHECK(permitted_now() == 0 && prctl(PR_CAPBSET_DROP, CAP_CHOWN, 0, 0, 0) != 0 && errno == EPERM);
}

static void test_kept_capabilities_outlive_the_uid(void **state)
{
    (void)state;
    in_child(keepcaps_body, NULL);
}

int run_cases_of_this_kernel(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_new_privileges_is_for_good),
        cmocka_unit_test(test_kept_capabilities_outlive_the_uid),
    };
    return cmocka_run_group_tests_name("contract: kernel, Linux", tests, NULL, NULL);
}
