/* What -e says of an attacker's reach, against what the kernel then lets a process of that identity do. Root only. */
#include "tests/contract/harness.h"
#include "tests/contract/scenes.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- reach ---- */

static void keep_reach(void *baton, const demit_identity_reach_t *reach)
{
    char line[1024];
    (void)snprintf(line, sizeof(line), "%s: %s", reach->over, reach->what);
    keep_line(baton, line);
}

/* In the child. */
static lines_t reach_of(const demit_identity_t *identity)
{
    lines_t lines = {0};
    demit_identity_each_reach(identity, keep_reach, &lines);
    return lines;
}

static void ports_body(void)
{
    const demit_identity_t *identity = assumed(&stranger_binding);
    const lines_t lines = reach_of(identity);
    const bool says_every = strstr(lines.text, "ports: every port can be bound") != NULL;
    CHECK(says_every == (bind_low_port() == 0));
    CHECK(says_every == (kept(1) != 0));
    const char *power = backend_is("solaris") ? "power: net_privaddr: binds every port"
                                              : "power: cap_net_bind_service: binds every port";
    CHECK((strstr(lines.text, power) != NULL) == (kept(1) != 0));
}

static void no_ports_body(void)
{
    const lines_t lines = reach_of(assumed(&stranger));
    CHECK(bind_low_port() == EACCES);
    CHECK_HOLDS(lines.text, "ports: ports from 1024 on can be bound, lower ones cannot");
    CHECK(strstr(lines.text, "power: ") == NULL);
}

static void test_the_ports_are_those_that_can_be_bound(void **state)
{
    (void)state;
    in_child(ports_body, NULL);
    in_child(no_ports_body, NULL);
}

static void files_body(void)
{
    const char *const groups[] = {"44", "27"};
    demit_identity_request_t request = jailed();
    request.supplemental_groups = groups;
    request.supplemental_group_count = 2;
    const lines_t lines = reach_of(resolved(&request, NULL));
    CHECK_HOLDS(lines.text,
                "files: what uid 64123 (64123) and gid 64123 (64123) and the groups 27 44 may read and write, "
                "inside the jail /");
}

static void test_the_files_are_those_of_ids_and_groups(void **state)
{
    (void)state;
    with_jail(files_body, NULL);
}

/* A copy of a program that shows its effective uid, with root's set-user-ID bit: what it shows is the truth. */
static char shower[128];

static uid_t effective_uid_of_shower(void)
{
    int ends[2], status = 0;
    char text[32] = "";
    CHECK(pipe(ends) == 0);
    const pid_t pid = fork();
    if (pid == 0) {
        (void)dup2(ends[1], STDOUT_FILENO);
        (void)execl(shower, shower, "-u", (char *)NULL);
        _exit(126);
    }
    (void)close(ends[1]);
    CHECK(pid > 0 && read(ends[0], text, sizeof(text) - 1) > 0);
    CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    (void)close(ends[0]);
    return (uid_t)strtoul(text, NULL, 10);
}

static void programs_body(void)
{
    const lines_t lines = reach_of(assumed(&stranger));
    const bool says_gain =
        strstr(lines.text, "programs: programs can be started, and those with a set-user-ID") != NULL;
    const bool says_none = strstr(lines.text, "programs: programs that are started gain nothing") != NULL;
    const uid_t found = effective_uid_of_shower();
    CHECK(says_gain != says_none);
    CHECK(found == (says_gain ? 0 : STRANGER));
}

static void copy_program(const char *from, const char *to)
{
    char bytes[65536];
    ssize_t size = 0;
    const int in = open(from, O_RDONLY | O_CLOEXEC), out = open(to, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0755);
    assert_true(in >= 0 && out >= 0);
    while ((size = read(in, bytes, sizeof(bytes))) > 0) {
        assert_int_equal(write(out, bytes, (size_t)size), size);
    }
    assert_int_equal(size, 0);
    assert_int_equal(fchmod(out, 04755), 0);
    assert_int_equal(close(out), 0);
    (void)close(in);
}

static void test_set_user_id_programs_give_what_is_said(void **state)
{
    (void)state;
    /* /run often ignores set-user-ID bits. */
    char directory[64];
    (void)snprintf(directory, sizeof(directory), "%s/demit-contract-XXXXXX",
                   access("/var/lib", X_OK) == 0 ? "/var/lib" : "/var/db");
    struct statvfs about;
    struct stat program;
    if (backend_is("solaris")) {
        print_message("skipped: the model of Solaris does not reach beyond exec\n");
        skip();
    }
    if (lstat("/usr/bin/id", &program) != 0 || !S_ISREG(program.st_mode)) {
        print_message("skipped: this host has no /usr/bin/id of its own\n");
        skip();
    }
    assert_non_null(mkdtemp(directory));
    assert_int_equal(chmod(directory, 0755), 0);
    assert_int_equal(statvfs(directory, &about), 0);
    if ((about.f_flag & ST_NOSUID) != 0) {
        remove_directory(directory);
        print_message("skipped: set-user-ID bits are ignored below /var\n");
        skip();
    }
    (void)snprintf(shower, sizeof(shower), "%s/id", directory);
    copy_program("/usr/bin/id", shower);
    in_child(programs_body, NULL);
    remove_directory(directory);
}

/* A uid that no other test uses: processes of STRANGER come and go while tests run side by side. */
static void count_body(void)
{
    char uid[24];
    const demit_identity_request_t alone = {.user = uid, .group = "64123"};
    (void)snprintf(uid, sizeof(uid), "%ld", 10000000L + (long)getpid());
    const lines_t before = reach_of(resolved(&alone, NULL));
    const pid_t pid = fork();
    if (pid == 0) {
        CHECK(setuid((uid_t)strtoul(uid, NULL, 10)) == 0);
        (void)raise(SIGSTOP);
        _exit(0);
    }
    int status = 0;
    CHECK(pid > 0 && waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
    const lines_t after = reach_of(resolved(&alone, NULL));
    CHECK(kill(pid, SIGKILL) == 0 && waitpid(pid, &status, 0) == pid);
    CHECK_HOLDS(before.text, "can be signalled and stopped");
    if (strstr(before.text, "run now") != NULL) { /* where the system is asked at all */
        CHECK_HOLDS(before.text, "stopped: 0 run now");
        CHECK_HOLDS(after.text, "stopped: 1 runs now");
    }
}

static void test_processes_of_the_same_user_are_counted(void **state)
{
    (void)state;
    in_child(count_body, NULL);
}

/* ---- advice ---- */

static const demit_port_use_t smtp = {.port = 25, .by = "demit.conf:4:3: Listen \"*:25\""};
static const demit_port_use_t submission = {.port = 2525, .by = "demit.conf:5:3: Listen \"*:2525\""};

static lines_t advice_for(const demit_identity_request_t *request, const demit_port_use_t *port)
{
    lines_t lines = {0};
    demit_identity_advise(resolved(request, NULL), port, 1, keep_line, &lines);
    return lines;
}

static void missing_body(void)
{
    const lines_t low = advice_for(&stranger, &smtp), high = advice_for(&stranger, &submission);
    CHECK(low.count == 1 && high.count == 0);
    CHECK_HOLDS(low.text, "demit.conf:4:3: Listen \"*:25\": port 25 cannot be bound again at a reload; ");
    CHECK_HOLDS(low.text, backend_is("linux")     ? "Capabilities = \"cap_net_bind_service+ep\" in Security"
                          : backend_is("solaris") ? "Privileges = \"basic net_privaddr\" in Security"
                                                  : "restart");
}

static void test_a_port_that_a_reload_could_not_bind_is_told(void **state)
{
    (void)state;
    in_child(missing_body, NULL);
}

static void kept_in_vain_body(void)
{
    demit_identity_request_t request = stranger_binding;
    const lines_t used = advice_for(&request, &smtp), unused = advice_for(&request, &submission);
    request.capabilities = "cap_net_bind_service,cap_net_raw+ep";
    request.privileges = "basic net_privaddr net_rawaccess";
    const lines_t raw = advice_for(&request, &smtp);
    CHECK(used.count == 0 && unused.count == 1 && raw.count == 1);
    if (backend_is("solaris")) {
        CHECK_HOLDS(unused.text, "net_privaddr is kept and nothing in this configuration uses it (no Listen");
        CHECK_HOLDS(raw.text, "net_rawaccess is kept and nothing in this configuration uses it: take it out of Priv");
        return;
    }
    CHECK_HOLDS(unused.text, "cap_net_bind_service is kept and nothing in this configuration uses it (no Listen");
    CHECK_HOLDS(raw.text, "cap_net_raw is kept and nothing in this configuration uses it: take it out of Capabilities");
}

static void test_what_is_kept_in_vain_is_told(void **state)
{
    (void)state;
    if (backend_is("bsd")) {
        print_message("skipped: this back end keeps nothing but root\n");
        skip();
    }
    in_child(kept_in_vain_body, NULL);
}

static void root_body(void)
{
    const demit_identity_request_t request = {.user = "root", .group = "0"};
    const lines_t advice = advice_for(&request, &smtp);
    CHECK(advice.count == 1);
    CHECK_HOLDS(advice.text, "root is kept and nothing in this configuration uses it");
    CHECK_HOLDS(reach_of(resolved(&request, NULL)).text, "power: root: does everything, which is as good as root");
}

static void test_root_is_never_needed(void **state)
{
    (void)state;
    in_child(root_body, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_ports_are_those_that_can_be_bound),
        cmocka_unit_test(test_the_files_are_those_of_ids_and_groups),
        cmocka_unit_test(test_set_user_id_programs_give_what_is_said),
        cmocka_unit_test(test_processes_of_the_same_user_are_counted),
        cmocka_unit_test(test_a_port_that_a_reload_could_not_bind_is_told),
        cmocka_unit_test(test_what_is_kept_in_vain_is_told),
        cmocka_unit_test(test_root_is_never_needed),
    };
    if (geteuid() != 0) {
        (void)puts("skipped: a start as root is what is tried");
        return 77;
    }
    return cmocka_run_group_tests_name("contract: reach", tests, NULL, NULL);
}
