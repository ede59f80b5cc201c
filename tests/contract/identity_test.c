/* A start as root: what is given up, what is kept, what is refused, against the kernel as it is. Root only. */
#include "tests/contract/harness.h"
#include "tests/contract/powers.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "demit/build.h"

/* ---- from root ---- */

static void extra_groups_body(void)
{
    const gid_t inherited[] = {0, 4, 27};
    CHECK(setgroups(3, inherited) == 0);
    (void)assumed(&stranger);
    CHECK(getuid() == STRANGER && geteuid() == STRANGER); /* the saved one is looked at from outside */
    CHECK(setuid(0) != 0 && seteuid(0) != 0 && setgid(0) != 0 && setegid(0) != 0 && setgroups(1, inherited) != 0);
}

static void extra_groups_look(pid_t child)
{
    assert_held(child, STRANGER, STRANGER, "", 0);
}

static void test_inherited_groups_and_every_power_are_gone(void **state)
{
    (void)state;
    in_child(extra_groups_body, extra_groups_look);
}

static void listed_groups_body(void)
{
    /* Twice the same, and one's own gid: neither may show up. */
    const char *const groups[] = {"44", "27", "44", "64123"};
    demit_identity_request_t request = stranger;
    request.supplemental_groups = groups;
    request.supplemental_group_count = 4;
    (void)assumed(&request);
}

static void listed_groups_look(pid_t child)
{
    assert_held(child, STRANGER, STRANGER, "27 44", 0);
}

static void test_listed_groups_are_exact(void **state)
{
    (void)state;
    in_child(listed_groups_body, listed_groups_look);
}

static void user_only_body(void)
{
    demit_identity_request_t request = {.user = "nobody"};
    (void)assumed(&request);
    CHECK(getgid() != 0 && getegid() != 0);
}

static void user_only_look(pid_t child)
{
    view_t view;
    const struct passwd *nobody = getpwnam("nobody");
    assert_non_null(nobody);
    assert_true(nobody->pw_uid > 1000); /* 65534 or 32767 */
    assert_int_equal(look_at_threads(child, &view, 1), 1);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(view.uid[i], nobody->pw_uid);
        assert_int_not_equal(view.gid[i], 0);
    }
    assert_string_equal(view.groups, "");
}

static void test_a_user_without_a_group_never_keeps_gid_0(void **state)
{
    (void)state;
    in_child(user_only_body, user_only_look);
}

static void low_port_body(void)
{
    const demit_identity_t *identity = assumed(&stranger_binding);
    CHECK((bind_low_port() == 0) == (demit_identity_lowest_port(identity) == 1));
    CHECK((demit_identity_lowest_port(identity) == 1) == (kept(1) != 0));
}

static void low_port_look(pid_t child)
{
    assert_held(child, STRANGER, STRANGER, "", low_port_kept());
}

static void test_exactly_what_was_asked_is_kept_and_works(void **state)
{
    (void)state;
    in_child(low_port_body, low_port_look);
}

static void no_low_port_body(void)
{
    const demit_identity_t *identity = assumed(&stranger);
    CHECK(demit_identity_lowest_port(identity) > 1);
    CHECK(bind_low_port() == EACCES);
}

static void test_without_the_capability_a_low_port_is_refused(void **state)
{
    (void)state;
    in_child(no_low_port_body, NULL);
}

static void summary_body(void)
{
    char line[512];
    const demit_identity_t *identity = assumed(&stranger_binding);
    demit_identity_summary(identity, line, sizeof(line));
    char expected[512];
    const char *held = backend_is("linux") ? "cap_net_bind_service" : backend_is("bsd") ? "-" : "basic,net_privaddr";
    (void)snprintf(expected, sizeof(expected), "user=64123 uid=64123 gid=64123 groups=- kept=%s chroot=- backend=%s",
                   held, DEMIT_OS_NAME);
    CHECK(strcmp(line, expected) == 0);
}

static void test_the_summary_is_one_line(void **state)
{
    (void)state;
    in_child(summary_body, NULL);
}

/* Root may start demitd below a directory that the new identity cannot enter, and "." would be a way into it. */
static void closed_directory_body(void)
{
    char here[64];
    CHECK(chdir(jail) == 0 && chdir("inner") == 0 && chmod(jail, 0700) == 0);
    (void)assumed(&stranger);
    CHECK(getcwd(here, sizeof(here)) != NULL && strcmp(here, "/") == 0);
    CHECK(access(jail, X_OK) != 0);
}

static void test_the_working_directory_is_left(void **state)
{
    (void)state;
    with_jail(closed_directory_body, NULL);
}

/* ---- threads ---- */

static void count_facts_of_threads(void *baton, const demit_identity_fact_t *fact)
{
    *(size_t *)baton += fact->thread != 0;
}

static void later_threads_body(void)
{
    const demit_identity_t *identity = assumed(&stranger_binding);
    pthread_t threads[3];
    for (size_t i = 0; i < 3; i++) {
        CHECK(pthread_create(&threads[i], NULL, sleep_for_ever, NULL) == 0);
    }
    lines_t drift = {0};
    size_t different = 0;
    CHECK(demit_identity_audit(identity, keep_line, &drift) == 0);
    CHECK(demit_identity_report(0, count_facts_of_threads, &different) == 0 && different == 0);
}

static void later_threads_look(pid_t child)
{
    view_t views[8];
    assert_true(look_at_threads(child, views, 8) >= (looks.at_each_thread ? 4 : 1)); /* a sanitizer may have its own */
    assert_held(child, STRANGER, STRANGER, "", low_port_kept());
}

static void test_every_later_thread_holds_the_same(void **state)
{
    (void)state;
    in_child(later_threads_body, later_threads_look);
}

static void second_thread_body(void)
{
    pthread_t thread;
    demit_os_error_t error = {0};
    const demit_identity_t *identity = resolved(&stranger_binding, NULL);
    CHECK(pthread_create(&thread, NULL, sleep_for_ever, NULL) == 0);
    CHECK(demit_identity_assume(identity, &error) != 0);
    CHECK(strcmp(error.step, "threads") == 0);
    CHECK_HOLDS(error.text, "threads");
    CHECK(getuid() == 0 && getgid() == 0); /* refused before anything was changed */
}

static void test_a_second_thread_is_refused(void **state)
{
    (void)state;
    in_child(second_thread_body, NULL);
}

/* ---- chroot ---- */

static void chroot_body(void)
{
    demit_identity_request_t request = jailed();
    const demit_identity_t *identity = assumed(&request);
    struct stat root, parent;
    char here[64];
    lines_t drift = {0};
    CHECK(access("/etc", F_OK) != 0 && access("/mark", F_OK) == 0);
    CHECK(getcwd(here, sizeof(here)) != NULL && strcmp(here, "/") == 0);
    for (size_t i = 0; i < 8; i++) {
        CHECK(chdir("..") == 0);
    }
    CHECK(stat("/", &root) == 0 && stat(".", &parent) == 0 && root.st_ino == parent.st_ino);
    CHECK(chroot("inner") != 0); /* the first step of the classic way out */
    CHECK(demit_identity_audit(identity, keep_line, &drift) == 0);
    CHECK(strcmp(demit_identity_chroot(identity), jail) == 0);
}

static void chroot_look(pid_t child)
{
    assert_held(child, STRANGER, STRANGER, "", low_port_kept());
    assert_jailed(child, jail);
}

static void test_a_jail_has_no_way_out(void **state)
{
    (void)state;
    with_jail(chroot_body, chroot_look);
}

static void plant(const char *relative, const char *text)
{
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/%s", jail, relative);
    if (text == NULL) {
        CHECK(mkdir(path, 0755) == 0);
        return;
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);
    CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    (void)close(fd);
}

/* Whoever can write to the jail can put a directory there that is called /proc, and let it tell what he likes. */
static void false_proc_body(void)
{
    demit_identity_request_t request = jailed();
    demit_identity_t *identity = resolved(&request, NULL);
    demit_os_error_t error = {0};
    plant("proc", NULL);
    plant("proc/self", NULL);
    plant("proc/self/fd", NULL);
    plant("proc/self/task", NULL);
    plant("proc/self/task/7", NULL);
    plant("proc/self/task/7/status", "Name:\tnothing of the kind\n");
    CHECK(demit_identity_assume(identity, &error) == 0);
    int outside = open("/", O_RDONLY | O_DIRECTORY);
    CHECK(outside >= 0);
    CHECK(demit_identity_verify(identity, &error) != 0);
    CHECK_HOLDS(error.text, "is an open directory");
    CHECK(close(outside) == 0);
    CHECK(demit_identity_verify(identity, &error) == 0);
}

static void test_a_false_proc_in_the_jail_is_not_believed(void **state)
{
    (void)state;
    with_jail(false_proc_body, NULL);
}

static void refuses_directory(int fd)
{
    demit_identity_request_t request = jailed();
    demit_os_error_t error = {0};
    char number[24];
    CHECK(fd >= 0);
    const demit_identity_t *identity = resolved(&request, NULL);
    CHECK(demit_identity_assume(identity, &error) != 0);
    CHECK(strcmp(error.step, "descriptors") == 0);
    (void)snprintf(number, sizeof(number), "descriptor %d ", fd);
    CHECK_HOLDS(error.text, number);
    CHECK(getuid() == 0);
    struct stat root, outside;
    CHECK(stat("/", &root) == 0 && fstatat(fd, ".", &outside, 0) == 0 && root.st_ino == outside.st_ino);
}

static void planted_body(void)
{
    refuses_directory(open("/", O_RDONLY | O_DIRECTORY));
}

static void planted_path_body(void)
{
    refuses_directory(open_by_name_alone("/")); /* cannot be read, but fchdir() takes it */
}

static void planted_later_body(void)
{
    demit_identity_request_t request = jailed();
    demit_os_error_t error = {0};
    const demit_identity_t *identity = resolved(&request, NULL);
    CHECK(demit_identity_assume(identity, &error) == 0);
    CHECK(open("/", O_RDONLY | O_DIRECTORY) >= 0);
    CHECK(demit_identity_verify(identity, &error) != 0);
    CHECK_HOLDS(error.text, "open directory");
}

static void test_a_planted_directory_is_refused(void **state)
{
    (void)state;
    with_jail(planted_body, NULL);
    with_jail(planted_later_body, NULL);
}

static void test_a_planted_directory_that_cannot_be_read_is_refused(void **state)
{
    (void)state;
    with_jail(planted_path_body, NULL);
}

/* ---- the host says no ---- */

static void process_limit_body(void)
{
    /* An id of its own, because the kernel counts the processes of a uid. */
    demit_identity_request_t request = {.user = "64199", .group = "64199"};
    const struct rlimit one = {1, 1};
    demit_os_error_t error = {0};
    if (backend_is("solaris")) {
        child_skips("Solaris has no RLIMIT_NPROC");
    }
    const demit_identity_t *identity = resolved(&request, NULL);
    CHECK(setrlimit(RLIMIT_NPROC, &one) == 0);
    CHECK(demit_identity_assume(identity, &error) == EAGAIN);
    CHECK(error.code == EAGAIN);
    CHECK_HOLDS(error.text, "RLIMIT_NPROC allows 64199 1 ");
}

static void test_the_process_limit_is_named(void **state)
{
    (void)state;
    in_child(process_limit_body, NULL);
}

void refused_without(void (*lose_it)(void), const char *step, const char *name)
{
    demit_os_error_t error = {0};
    const demit_identity_t *identity = resolved(&stranger, NULL);
    lose_it();
    CHECK(demit_identity_assume(identity, &error) != 0);
    if (!backend_is("bsd")) {
        /* Solaris has one privilege for both, so the first step that needs it is named. */
        CHECK(strcmp(error.step, backend_is("linux") ? step : "setgroups") == 0);
        CHECK_HOLDS(error.text, backend_is("linux") ? name : "proc_setid");
        CHECK(getgid() == 0); /* predicted, so nothing was changed */
    }
}

static void without_setuid_body(void)
{
    refused_without(lose_setuid, "setresuid", "cap_setuid");
}

static void without_setgid_body(void)
{
    refused_without(lose_setgid, "setgroups", "cap_setgid");
}

static void test_root_without_cap_setuid_is_refused(void **state)
{
    (void)state;
    in_child(without_setuid_body, NULL);
}

static void test_root_without_cap_setgid_is_refused(void **state)
{
    (void)state;
    in_child(without_setgid_body, NULL);
}

static void user_namespace_body(void)
{
    if (backend_is("solaris")) {
        child_skips("Solaris has no user namespaces, and the model of it knows none");
    }
    become_root_of_a_namespace();
    demit_identity_request_t request = {.user = "root", .group = "root"};
    demit_os_error_t error = {0};
    const demit_identity_t *identity = resolved(&request, NULL);
    CHECK(demit_identity_assume(identity, &error) != 0);
    CHECK(strcmp(error.step, "setgroups") == 0);
    CHECK_HOLDS(error.text, "user namespace");
}

static void test_a_user_namespace_that_denies_setgroups_is_named(void **state)
{
    (void)state;
    in_child(user_namespace_body, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_inherited_groups_and_every_power_are_gone),
        cmocka_unit_test(test_listed_groups_are_exact),
        cmocka_unit_test(test_a_user_without_a_group_never_keeps_gid_0),
        cmocka_unit_test(test_exactly_what_was_asked_is_kept_and_works),
        cmocka_unit_test(test_without_the_capability_a_low_port_is_refused),
        cmocka_unit_test(test_the_summary_is_one_line),
        cmocka_unit_test(test_the_working_directory_is_left),
        cmocka_unit_test(test_every_later_thread_holds_the_same),
        cmocka_unit_test(test_a_second_thread_is_refused),
        cmocka_unit_test(test_a_jail_has_no_way_out),
        cmocka_unit_test(test_a_false_proc_in_the_jail_is_not_believed),
        cmocka_unit_test(test_a_planted_directory_is_refused),
        cmocka_unit_test(test_a_planted_directory_that_cannot_be_read_is_refused),
        cmocka_unit_test(test_the_process_limit_is_named),
        cmocka_unit_test(test_root_without_cap_setuid_is_refused),
        cmocka_unit_test(test_root_without_cap_setgid_is_refused),
        cmocka_unit_test(test_a_user_namespace_that_denies_setgroups_is_named),
    };
    if (geteuid() != 0) {
        (void)puts("skipped: giving up root takes root");
        return 77;
    }
    int failed = cmocka_run_group_tests_name("contract: identity", tests, NULL, NULL);
    return failed + run_identity_cases_of_capabilities();
}
