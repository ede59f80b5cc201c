/* A look as the daemon's user, and all mistakes of a request at once. Root only. */
#include "tests/contract/harness.h"
#include "tests/contract/scenes.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- the trial ---- */

typedef struct scene {
    lines_t lines;
    pid_t caller;
} scene_t;

static void keep_scene_line(void *baton, const char *line)
{
    scene_t *scene = baton;
    keep_line(&scene->lines, line);
}

static void look_around(void *baton, void (*tell)(void *to, const char *line), void *to)
{
    const scene_t *scene = baton;
    char line[128];
    struct stat about;
    (void)snprintf(line, sizeof(line), "uid %lu gid %lu groups %zu", (unsigned long)getuid(), (unsigned long)getegid(),
                   count_groups());
    tell(to, line);
    tell(to, getpid() != scene->caller ? "another process" : "the caller itself");
    tell(to, access("/mark", F_OK) == 0 && access("/etc", F_OK) != 0 ? "in the jail" : "not in the jail");
    tell(to, open("/new", O_CREAT | O_WRONLY, 0600) < 0 && errno == EACCES ? "no right of root's" : "root's rights");
    struct rlimit core = {1, 1};
    tell(to,
         getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_max == 0 ? "no core file" : "root's memory in a core file");
    for (int fd = 4; fd < 64; fd++) {
        if (fstat(fd, &about) == 0) {
            tell(to, "something from outside is open");
        }
    }
}

static void trial_body(void)
{
    demit_identity_request_t request = jailed();
    scene_t scene = {.caller = getpid()};
    const demit_identity_trial_t trial = {.check = look_around, .each = keep_scene_line, .baton = &scene};
    demit_os_error_t error = {0};
    const gid_t inherited[] = {4, 27};
    CHECK(setgroups(2, inherited) == 0);
    CHECK(open("/", O_RDONLY | O_DIRECTORY) >= 0); /* a start closes it; so does the child */
    const demit_identity_t *identity = resolved(&request, NULL);
    const uint64_t before = permitted_now();
    const size_t groups = count_groups();
    int code = demit_identity_try(identity, &trial, &error);
    if (code != 0) {
        child_failed(__FILE__, __LINE__, error.text);
    }
    CHECK(strcmp(scene.lines.text,
                 "uid 64123 gid 64123 groups 0\nanother process\nin the jail\nno right of root's\nno core file\n") ==
          0);
    CHECK(getuid() == 0 && groups > 0 && count_groups() == groups && permitted_now() == before &&
          access("/etc", F_OK) == 0);
}

static void test_a_child_looks_as_the_daemon_would(void **state)
{
    (void)state;
    with_jail(trial_body, NULL);
}

static void must_not_run(void *baton, void (*tell)(void *to, const char *line), void *to)
{
    (void)baton;
    tell(to, "looked as somebody else");
}

static void refused_body(void)
{
    scene_t scene = {0};
    const demit_identity_trial_t trial = {.check = must_not_run, .each = keep_scene_line, .baton = &scene};
    demit_os_error_t error = {0};
    const demit_identity_t *identity = resolved(&stranger, NULL);
    lose_setuid();
    CHECK(demit_identity_try(identity, &trial, &error) != 0 && scene.lines.count == 0);
    CHECK(strcmp(error.step, backend_is("solaris") ? "setgroups" : "setresuid") == 0 && error.text[0] != '\0');
}

static void dies(void *baton, void (*tell)(void *to, const char *line), void *to)
{
    (void)baton;
    tell(to, "so far");
    (void)raise(SIGKILL);
}

static void dying_body(void)
{
    scene_t scene = {0};
    const demit_identity_trial_t trial = {.check = dies, .each = keep_scene_line, .baton = &scene};
    demit_os_error_t error = {0};
    const demit_identity_t *identity = resolved(&stranger, NULL);
    CHECK(demit_identity_try(identity, &trial, &error) != 0 && scene.lines.count == 1);
    CHECK_HOLDS(error.text, "ended with status 0x9");
}

static void test_a_trial_without_the_identity_is_none(void **state)
{
    (void)state;
    in_child(refused_body, NULL);
}

static void test_a_trial_that_did_not_end_proves_nothing(void **state)
{
    (void)state;
    in_child(dying_body, NULL);
}

/* ---- mistakes ---- */

static void keep_step_and_text(void *baton, const demit_os_error_t *error)
{
    char line[600];
    (void)snprintf(line, sizeof(line), "%s|%s", error->step, error->text);
    keep_line(baton, line);
}

static void test_every_mistake_is_told(void **state)
{
    (void)state;
    static const char *const groups[] = {"no-such-one", "27", "no-such-two"};
    const demit_identity_request_t request = {.user = "no-such-user",
                                              .group = "no-such-group",
                                              .supplemental_groups = groups,
                                              .supplemental_group_count = 3,
                                              .chroot_directory = "/no/such/jail",
                                              .capabilities = "cap_no_such+ep"};
    static const char *const told[] = {"user|user = \"no-such-user\"", "group|group = \"no-such-group\"",
                                       "Supplemental_Groups|Supplemental_Groups = \"no-such-one\"",
                                       "Supplemental_Groups|Supplemental_Groups = \"no-such-two\"",
                                       "chroot|chroot = \"/no/such/jail\""};
    lines_t lines = {0};
    size_t count = demit_identity_mistakes(&request, keep_step_and_text, &lines);
    assert_int_equal(count, backend_is("linux") ? 6 : 5);
    assert_int_equal(lines.count, count);
    for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++) {
        assert_non_null(strstr(lines.text, told[i]));
    }
    assert_true(!backend_is("linux") || strstr(lines.text, "\nCapabilities|") != NULL);
    lines = (lines_t){0};
    assert_int_equal(demit_identity_mistakes(&stranger_binding, keep_step_and_text, &lines), 0);
    assert_int_equal(lines.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_child_looks_as_the_daemon_would),
        cmocka_unit_test(test_a_trial_without_the_identity_is_none),
        cmocka_unit_test(test_a_trial_that_did_not_end_proves_nothing),
        cmocka_unit_test(test_every_mistake_is_told),
    };
    if (geteuid() != 0) {
        (void)puts("skipped: giving up root takes root");
        return 77;
    }
    return cmocka_run_group_tests_name("contract: trial", tests, NULL, NULL);
}
