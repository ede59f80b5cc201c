/* What the steps of the assumption rely on, tried on the kernel itself, without the code under test. Root only. */
#include "tests/contract/kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- groups ---- */

static bool has_group(gid_t wanted)
{
    gid_t groups[64];
    int count = getgroups(64, groups);
    CHECK(count >= 0);
    for (int i = 0; i < count; i++) {
        if (groups[i] == wanted) {
            return true;
        }
    }
    return false;
}

static void setgroups_body(void)
{
    const gid_t groups[] = {2001, 6};
    CHECK(getegid() == 0);
    CHECK(setgroups(2, groups) == 0);
    CHECK(getegid() == (this_kernel().groups_hold_gid ? 2001 : 0));
    CHECK(getgid() == 0 && has_group(6));
}

static void test_setgroups_and_the_effective_gid(void **state)
{
    (void)state;
    in_child(setgroups_body, NULL);
}

/* A daemon that sets only its ids: whether root's group stays is the difference, and why all three calls are made. */
static void left_over_body(void)
{
    const gid_t roots[] = {0, 5};
    CHECK(setgroups(2, roots) == 0);
    CHECK(setgid(STRANGER) == 0 && setuid(STRANGER) == 0);
    CHECK(has_group(0) == !this_kernel().groups_hold_gid);
    CHECK(has_group(5));
}

static void test_ids_alone_leave_the_groups(void **state)
{
    (void)state;
    in_child(left_over_body, NULL);
}

static void empty_groups_body(void)
{
    const gid_t roots[] = {0, 5};
    CHECK(setgroups(2, roots) == 0 && setgroups(0, NULL) == 0);
    CHECK(setgid(STRANGER) == 0 && setuid(STRANGER) == 0);
    CHECK(!has_group(0) && !has_group(5));
}

static void empty_groups_look(pid_t child)
{
    view_t view;
    assert_int_equal(look_at_threads(child, &view, 1), 1);
    assert_string_equal(view.groups, "");
}

static void test_no_groups_are_no_groups(void **state)
{
    (void)state;
    in_child(empty_groups_body, empty_groups_look);
}

/* ---- ids ---- */

static void all_ids_body(void)
{
    CHECK(setgroups(0, NULL) == 0 && setgid(STRANGER) == 0 && setuid(STRANGER) == 0);
    CHECK(setuid(0) != 0 && seteuid(0) != 0 && setgid(0) != 0 && setegid(0) != 0);
}

static void all_ids_look(pid_t child)
{
    view_t view;
    assert_int_equal(look_at_threads(child, &view, 1), 1);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(view.uid[i], STRANGER);
        assert_int_equal(view.gid[i], STRANGER);
    }
}

static void test_setuid_of_root_sets_all_three(void **state)
{
    (void)state;
    in_child(all_ids_body, all_ids_look);
}

static void saved_body(void)
{
    CHECK(seteuid(STRANGER) == 0 && geteuid() == STRANGER && getuid() == 0);
    CHECK(seteuid(0) == 0 && geteuid() == 0);
}

static void test_seteuid_alone_gives_nothing_up(void **state)
{
    (void)state;
    in_child(saved_body, NULL);
}

static void powerless_body(void)
{
    const gid_t root = 0;
    become_stranger();
    CHECK(setgroups(1, &root) != 0 && errno == EPERM);
    CHECK(chroot("/") != 0 && errno == EPERM);
    CHECK(chown("/", STRANGER, STRANGER) != 0);
}

static void test_an_ordinary_user_may_not(void **state)
{
    (void)state;
    in_child(powerless_body, NULL);
}

/* ---- ports ---- */

static void low_port_body(void)
{
    CHECK(bind_low_port() == 0);
    become_stranger();
    int code = bind_low_port();
    if (code == 0) {
        child_skips("this host reserves no ports for root");
    }
    CHECK(code == EACCES);
}

static void test_low_ports_are_roots(void **state)
{
    (void)state;
    in_child(low_port_body, NULL);
}

/* ---- chroot ---- */

/* Whether "." leads to a place that has no file "mark", as the jail has, however far one climbs. */
static bool climbs_out(void)
{
    struct stat mark;
    for (int i = 0; i < 32; i++) {
        CHECK(chdir("..") == 0);
    }
    return stat("mark", &mark) != 0;
}

static void chroot_alone_body(void)
{
    CHECK(chdir("/") == 0 && chroot(jail) == 0);
    CHECK(climbs_out() == this_kernel().cwd_stays_outside);
}

static void chroot_whole_body(void)
{
    CHECK(chroot(jail) == 0 && chdir("/") == 0);
    CHECK(!climbs_out());
    become_stranger();
    CHECK(!climbs_out());
}

static void test_chroot_without_chdir(void **state)
{
    (void)state;
    with_jail(chroot_alone_body, NULL);
    with_jail(chroot_whole_body, NULL);
}

static void kept_directory_body(void)
{
    int outside = open("/", O_RDONLY | O_DIRECTORY);
    CHECK(outside >= 0);
    if (chroot(jail) != 0) { /* FreeBSD refuses, if kern.chroot_allow_open_directories says so */
        CHECK(errno == EPERM);
        child_skips("this host takes no process into a jail that has a directory open");
    }
    CHECK(chdir("/") == 0);
    become_stranger();
    bool out = fchdir(outside) == 0 && climbs_out();
    CHECK(out == this_kernel().descriptor_leads_outside);
}

static void test_a_kept_directory_and_the_jail(void **state)
{
    (void)state;
    with_jail(kept_directory_body, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_setgroups_and_the_effective_gid),
        cmocka_unit_test(test_ids_alone_leave_the_groups),
        cmocka_unit_test(test_no_groups_are_no_groups),
        cmocka_unit_test(test_setuid_of_root_sets_all_three),
        cmocka_unit_test(test_seteuid_alone_gives_nothing_up),
        cmocka_unit_test(test_an_ordinary_user_may_not),
        cmocka_unit_test(test_low_ports_are_roots),
        cmocka_unit_test(test_chroot_without_chdir),
        cmocka_unit_test(test_a_kept_directory_and_the_jail),
    };
    if (geteuid() != 0) {
        (void)puts("skipped: giving up root takes root");
        return 77;
    }
    int failed = cmocka_run_group_tests_name("contract: kernel", tests, NULL, NULL);
    return failed + run_cases_of_this_kernel();
}
