/*
 * NetBSD: no setresuid(2), so setuid(2) must do it all; and its chroot(2) and fchdir(2) look after directories outside:
 * the first moves a working directory that is not below the new root to it, the second refuses one (EPERM).
 */
#include "tests/contract/kernel.h"

#include <unistd.h>

kernel_t this_kernel(void)
{
    return (kernel_t){.groups_hold_gid = false, .cwd_stays_outside = false, .descriptor_leads_outside = false};
}

/* What is there instead: setreuid(2) of both changes the saved uid with them. */
static void setreuid_body(void)
{
    CHECK(setgroups(0, NULL) == 0 && setregid(STRANGER, STRANGER) == 0 && setreuid(STRANGER, STRANGER) == 0);
    CHECK(seteuid(0) != 0 && setegid(0) != 0);
}

static void setreuid_look(pid_t child)
{
    view_t view;
    assert_int_equal(look_at_threads(child, &view, 1), 1);
    assert_int_equal(view.uid[2], STRANGER);
    assert_int_equal(view.gid[2], STRANGER);
}

static void test_setreuid_changes_the_saved_uid(void **state)
{
    (void)state;
    in_child(setreuid_body, setreuid_look);
}

int run_cases_of_this_kernel(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_setreuid_changes_the_saved_uid),
    };
    return cmocka_run_group_tests_name("contract: kernel, NetBSD", tests, NULL, NULL);
}
