/* The identity contract as far as it is the same on every system: from root, to STRANGER. Root only. */
#include "tests/contract/scenes.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void assert_stranger(pid_t child, const char *groups)
{
    view_t views[8];
    size_t count = look_at_threads(child, views, 8);
    assert_in_range(count, 1, 8);
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < 4; j++) {
            assert_int_equal(views[i].uid[j], STRANGER);
            assert_int_equal(views[i].gid[j], STRANGER);
        }
        assert_string_equal(views[i].groups, groups);
    }
}

static void assert_stranger_alone(pid_t child)
{
    assert_stranger(child, "");
}

/* Root's group among the groups, first and last, and the gid still 0. */
static void left_over_body(void)
{
    const gid_t roots[] = {0, 5, 0};
    lines_t drift = {0};
    CHECK(setgroups(3, roots) == 0);
    const demit_identity_t *identity = assumed(&stranger);
    CHECK(setuid(0) != 0 && seteuid(0) != 0 && setgid(0) != 0 && setegid(0) != 0 && setgroups(1, roots) != 0);
    CHECK(demit_identity_audit(identity, keep_line, &drift) == 0);
}

static void test_no_group_of_roots_is_left(void **state)
{
    (void)state;
    in_child(left_over_body, assert_stranger_alone);
}

static void listed_groups_body(void)
{
    /* Root's group may be asked for. One's own gid and what comes twice show up once. */
    const char *const groups[] = {"44", "27", "44", "64123", "0"};
    demit_identity_request_t request = stranger;
    request.supplemental_groups = groups;
    request.supplemental_group_count = 5;
    (void)assumed(&request);
    CHECK(getgid() == STRANGER && getegid() == STRANGER);
}

static void listed_groups_look(pid_t child)
{
    assert_stranger(child, "0 27 44");
}

static void test_listed_groups_are_exact(void **state)
{
    (void)state;
    in_child(listed_groups_body, listed_groups_look);
}

static void saved_root_body(void)
{
    CHECK(setegid(STRANGER) == 0 && seteuid(STRANGER) == 0 && getuid() == 0); /* what a careless launcher does */
    CHECK(seteuid(0) == 0 && setegid(0) == 0);                                /* and how it is undone */
    (void)assumed(&stranger);
    CHECK(seteuid(0) != 0 && setegid(0) != 0);
}

static void test_a_saved_root_is_closed(void **state)
{
    (void)state;
    in_child(saved_root_body, assert_stranger_alone);
}

static void low_port_body(void)
{
    (void)assumed(&stranger);
    int code = bind_low_port();
    if (code == 0) {
        child_skips("this host reserves no ports for root");
    }
    CHECK(code == EACCES);
}

static void test_a_low_port_is_out_of_reach(void **state)
{
    (void)state;
    in_child(low_port_body, NULL);
}

static void jail_body(void)
{
    demit_identity_request_t request = stranger;
    struct stat root, top;
    char here[64];
    request.chroot_directory = jail;
    CHECK(chdir("/") == 0);
    (void)assumed(&request);
    CHECK(access("/mark", F_OK) == 0 && access("/etc", F_OK) != 0);
    CHECK(getcwd(here, sizeof(here)) != NULL && strcmp(here, "/") == 0);
    for (int i = 0; i < 16; i++) {
        CHECK(chdir("..") == 0);
    }
    CHECK(stat("/", &root) == 0 && stat(".", &top) == 0 && root.st_ino == top.st_ino && root.st_dev == top.st_dev);
    CHECK(chroot("inner") != 0);
}

static void test_a_jail_has_no_way_out(void **state)
{
    (void)state;
    with_jail(jail_body, assert_stranger_alone);
}

static void planted_body(void)
{
    demit_identity_request_t request = stranger;
    demit_os_error_t error = {0};
    request.chroot_directory = jail;
    CHECK(open("/", O_RDONLY | O_DIRECTORY) >= 0);
    const demit_identity_t *identity = resolved(&request, NULL);
    CHECK(demit_identity_assume(identity, &error) != 0);
    CHECK(strcmp(error.step, "descriptors") == 0 && getuid() == 0 && access("/etc", F_OK) == 0);
}

static void test_a_planted_directory_is_refused(void **state)
{
    (void)state;
    with_jail(planted_body, NULL);
}

static void second_thread_body(void)
{
    pthread_t thread;
    demit_os_error_t error = {0};
    const demit_identity_t *identity = resolved(&stranger, NULL);
    CHECK(pthread_create(&thread, NULL, sleep_for_ever, NULL) == 0);
    CHECK(demit_identity_assume(identity, &error) != 0);
    CHECK(strcmp(error.step, "threads") == 0 && getuid() == 0 && getgid() == 0);
}

static void test_a_second_thread_is_refused(void **state)
{
    (void)state;
    in_child(second_thread_body, NULL);
}

static void later_threads_body(void)
{
    lines_t drift = {0};
    const demit_identity_t *identity = assumed(&stranger);
    for (int i = 0; i < 3; i++) {
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, sleep_for_ever, NULL) == 0);
    }
    CHECK(demit_identity_audit(identity, keep_line, &drift) == 0);
}

static void test_every_later_thread_holds_the_same(void **state)
{
    (void)state;
    in_child(later_threads_body, assert_stranger_alone);
}

static void before_body(void)
{
    lines_t drift = {0};
    demit_os_error_t error = {0};
    const demit_identity_t *identity = resolved(&stranger, NULL);
    CHECK(demit_identity_audit(identity, keep_line, &drift) >= 6);
    CHECK(demit_identity_verify(identity, &error) != 0);
    CHECK(getuid() == 0 && getgid() == 0); /* telling changes nothing */
}

static void test_a_root_that_was_kept_is_found(void **state)
{
    (void)state;
    in_child(before_body, NULL);
}

/* The order of those that there are: groups, gid, root directory, uid. */
static void keep_place(void *baton, const demit_identity_step_t *step)
{
    static const char *const order[] = {"setgroups", "set*gid", "chroot", "chdir", "set*uid"};
    unsigned *next = baton;
    const char *name = *next < 5 ? order[*next] : "";
    const char *star = strchr(name, '*');
    bool same = strcmp(name, step->name) == 0 ||
                (star != NULL && strncmp(step->name, "set", 3) == 0 && strstr(step->name, star + 1) != NULL);
    *next += same;
    CHECK(step->would_succeed);
}

static void order_body(void)
{
    demit_identity_request_t request = stranger;
    unsigned next = 0;
    request.chroot_directory = jail;
    demit_identity_explain(resolved(&request, NULL), keep_place, &next);
    CHECK(next == 5);
    CHECK(getuid() == 0 && getgid() == 0 && access("/etc", F_OK) == 0);
}

static void test_the_steps_come_in_order(void **state)
{
    (void)state;
    with_jail(order_body, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_group_of_roots_is_left),     cmocka_unit_test(test_listed_groups_are_exact),
        cmocka_unit_test(test_a_saved_root_is_closed),        cmocka_unit_test(test_a_low_port_is_out_of_reach),
        cmocka_unit_test(test_a_jail_has_no_way_out),         cmocka_unit_test(test_a_planted_directory_is_refused),
        cmocka_unit_test(test_a_second_thread_is_refused),    cmocka_unit_test(test_every_later_thread_holds_the_same),
        cmocka_unit_test(test_a_root_that_was_kept_is_found), cmocka_unit_test(test_the_steps_come_in_order),
    };
    if (geteuid() != 0) {
        (void)puts("skipped: giving up root takes root");
        return 77;
    }
    return cmocka_run_group_tests_name("contract: anywhere", tests, NULL, NULL);
}
