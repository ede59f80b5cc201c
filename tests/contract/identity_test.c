/* The identity, against the kernel as it is. Root only. */
#include "tests/contract/harness.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define BIT(capability) (UINT64_C(1) << (capability))

static const demit_identity_request_t stranger = {.user = "64123", .group = "64123"};
static const demit_identity_request_t stranger_binding = {
    .user = "64123", .group = "64123", .capabilities = "cap_net_bind_service+ep"};

/* What a kept cap_net_bind_service looks like: the plain back end keeps nothing. */
static uint64_t kept(uint64_t capabilities)
{
    return backend_is("linux") ? capabilities : 0;
}

/* Raw, so that the suite needs no libcap. */
static void set_capabilities(uint64_t permitted, uint64_t inheritable)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];
    for (size_t i = 0; i < 2; i++) {
        data[i].permitted = data[i].effective = (uint32_t)(permitted >> 32 * i);
        data[i].inheritable = (uint32_t)(inheritable >> 32 * i);
    }
    CHECK(syscall(SYS_capset, &header, data) == 0);
}

static uint64_t permitted_now(void)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];
    CHECK(syscall(SYS_capget, &header, data) == 0);
    return (uint64_t)data[1].permitted << 32 | data[0].permitted;
}

static void become_stranger(void)
{
    CHECK(setgroups(0, NULL) == 0);
    CHECK(setresgid(STRANGER, STRANGER, STRANGER) == 0);
    CHECK(setresuid(STRANGER, STRANGER, STRANGER) == 0);
}

/* ---- from root ---- */

static void extra_groups_body(void)
{
    const gid_t inherited[] = {0, 4, 27};
    uid_t real = 0, effective = 0, saved = 0;
    CHECK(setgroups(3, inherited) == 0);
    (void)assumed(&stranger);
    CHECK(getresuid(&real, &effective, &saved) == 0);
    CHECK(real == STRANGER && effective == STRANGER && saved == STRANGER);
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
    assert_int_equal(look_at_threads(child, &view, 1), 1);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(view.uid[i], 65534);
        assert_int_not_equal(view.gid[i], 0);
    }
    assert_string_equal(view.groups, "");
}

static void test_a_user_without_a_group_never_keeps_gid_0(void **state)
{
    (void)state;
    in_child(user_only_body, user_only_look);
}

static int bind_low_port(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0), code = EADDRINUSE;
    CHECK(fd >= 0);
    for (uint16_t port = 1; port < 1024 && code == EADDRINUSE; port++) {
        struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        code = bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 ? 0 : errno;
    }
    (void)close(fd);
    return code;
}

static void low_port_body(void)
{
    const demit_identity_t *identity = assumed(&stranger_binding);
    CHECK((bind_low_port() == 0) == demit_identity_can_bind_low(identity));
    CHECK(demit_identity_can_bind_low(identity) == (kept(1) != 0));
}

static void low_port_look(pid_t child)
{
    assert_held(child, STRANGER, STRANGER, "", kept(BIT(CAP_NET_BIND_SERVICE)));
}

static void test_exactly_what_was_asked_is_kept_and_works(void **state)
{
    (void)state;
    in_child(low_port_body, low_port_look);
}

static void no_low_port_body(void)
{
    const demit_identity_t *identity = assumed(&stranger);
    CHECK(!demit_identity_can_bind_low(identity));
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
    const char *expected = backend_is("linux")
                               ? "user=64123 uid=64123 gid=64123 groups=- kept=cap_net_bind_service chroot=- "
                                 "backend=linux"
                               : "user=64123 uid=64123 gid=64123 groups=- kept=- chroot=- backend=bsd";
    CHECK(strcmp(line, expected) == 0);
}

static void test_the_summary_is_one_line(void **state)
{
    (void)state;
    in_child(summary_body, NULL);
}

/* ---- threads ---- */

static void *sleep_for_ever(void *baton)
{
    (void)baton;
    for (;;) {
        (void)pause();
    }
    return NULL;
}

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
    assert_true(look_at_threads(child, views, 8) >= 4); /* a sanitizer may have one of its own */
    assert_held(child, STRANGER, STRANGER, "", kept(BIT(CAP_NET_BIND_SERVICE)));
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

static char jail[64];

static demit_identity_request_t jailed(void)
{
    demit_identity_request_t request = stranger_binding;
    request.chroot_directory = jail;
    return request;
}

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
    char path[64], target[256] = "";
    assert_held(child, STRANGER, STRANGER, "", kept(BIT(CAP_NET_BIND_SERVICE)));
    (void)snprintf(path, sizeof(path), "/proc/%ld/root", (long)child);
    assert_true(readlink(path, target, sizeof(target) - 1) > 0);
    assert_string_equal(target, jail);
    (void)snprintf(path, sizeof(path), "/proc/%ld/cwd", (long)child);
    (void)memset(target, 0, sizeof(target));
    assert_true(readlink(path, target, sizeof(target) - 1) > 0);
    assert_string_equal(target, jail);
}

static void with_jail(void (*body)(void), void (*look)(pid_t child))
{
    char path[128];
    make_private_directory(jail, sizeof(jail));
    assert_int_equal(chmod(jail, 0755), 0);
    (void)snprintf(path, sizeof(path), "%s/inner", jail);
    assert_int_equal(mkdir(path, 0755), 0);
    (void)snprintf(path, sizeof(path), "%s/mark", jail);
    assert_int_equal(close(open(path, O_CREAT | O_WRONLY, 0644)), 0);
    in_child(body, look);
    remove_directory(jail);
}

static void test_a_jail_has_no_way_out(void **state)
{
    (void)state;
    with_jail(chroot_body, chroot_look);
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
    refuses_directory(open("/", O_PATH | O_DIRECTORY)); /* cannot be read, but fchdir() takes it */
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
    with_jail(planted_path_body, NULL);
    with_jail(planted_later_body, NULL);
}

/* ---- the host says no ---- */

static void process_limit_body(void)
{
    /* An id of its own, because the kernel counts the processes of a uid. */
    demit_identity_request_t request = {.user = "64199", .group = "64199"};
    const struct rlimit one = {1, 1};
    demit_os_error_t error = {0};
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

static void refused_without(int capability, const char *step, const char *name)
{
    demit_os_error_t error = {0};
    const demit_identity_t *identity = resolved(&stranger, NULL);
    CHECK(prctl(PR_CAPBSET_DROP, (unsigned long)capability, 0, 0, 0) == 0);
    set_capabilities(permitted_now() & ~BIT(capability), 0);
    CHECK(demit_identity_assume(identity, &error) != 0);
    if (backend_is("linux")) {
        CHECK(strcmp(error.step, step) == 0);
        CHECK_HOLDS(error.text, name);
        CHECK(getgid() == 0); /* predicted, so nothing was changed */
    }
}

static void without_setuid_body(void)
{
    refused_without(CAP_SETUID, "setresuid", "cap_setuid");
}

static void without_setgid_body(void)
{
    refused_without(CAP_SETGID, "setgroups", "cap_setgid");
}

static void without_setpcap_body(void)
{
    refused_without(CAP_SETPCAP, "bounding set", "cap_setpcap");
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

static void test_root_without_cap_setpcap_is_refused(void **state)
{
    (void)state;
    in_child(without_setpcap_body, NULL);
}

static void missing_capability_body(void)
{
    demit_identity_request_t request = {
        .user = "64123",
        .group = "64123",
        .capabilities = "cap_net_admin+ep cap_net_bind_service+ep cap_net_raw+ep cap_sys_resource+ep"};
    demit_os_error_t error = {0};
    set_capabilities(permitted_now() & ~(BIT(CAP_SYS_RESOURCE) | BIT(CAP_NET_RAW)), 0);
    const demit_identity_t *identity = resolved(&request, NULL);
    CHECK(demit_identity_assume(identity, &error) != 0);
    CHECK(strcmp(error.step, "cap_set_proc") == 0);
    CHECK_HOLDS(error.text, "cap_net_raw,cap_sys_resource");
    CHECK(getuid() == 0 && getgid() == 0);
}

static void test_each_missing_capability_is_named(void **state)
{
    (void)state;
    in_child(missing_capability_body, NULL);
}

static void write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY);
    CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    (void)close(fd);
}

static void user_namespace_body(void)
{
    become_stranger();
    CHECK(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0); /* or /proc/self belongs to root */
    if (unshare(CLONE_NEWUSER) != 0) {
        child_skips("this host allows no user namespaces");
    }
    write_text("/proc/self/setgroups", "deny");
    write_text("/proc/self/uid_map", "0 64123 1");
    write_text("/proc/self/gid_map", "0 64123 1");
    CHECK(geteuid() == 0);
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

/* ---- root that stays root ---- */

static char foreign_file[96];

static void root_with_capabilities_body(void)
{
    demit_identity_request_t request = {.user = "root", .group = "root", .capabilities = "cap_net_bind_service+ep"};
    (void)assumed(&request);
    CHECK(setresuid(1, 1, 1) != 0 && open(foreign_file, O_RDONLY) < 0 && errno == EACCES);
    /* What exec gives back to uid 0: without SECBIT_NOROOT it is everything. */
    int ends[2];
    char line[128] = "";
    CHECK(pipe(ends) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        (void)dup2(ends[1], STDOUT_FILENO);
        (void)execl("/bin/grep", "grep", "CapPrm", "/proc/self/status", (char *)NULL);
        _exit(1);
    }
    (void)close(ends[1]);
    CHECK(read(ends[0], line, sizeof(line) - 1) > 0);
    (void)waitpid(child, NULL, 0);
    CHECK_HOLDS(line, "0000000000000000");
}

static void root_with_capabilities_look(pid_t child)
{
    assert_held(child, 0, 0, "", BIT(CAP_NET_BIND_SERVICE));
}

static void test_root_with_capabilities_has_these_only(void **state)
{
    (void)state;
    make_private_directory(jail, sizeof(jail));
    (void)snprintf(foreign_file, sizeof(foreign_file), "%s/foreign", jail);
    int fd = open(foreign_file, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0 && fchown(fd, STRANGER, STRANGER) == 0 && close(fd) == 0);
    in_child(root_with_capabilities_body, root_with_capabilities_look);
    remove_directory(jail);
}

static void root_without_capabilities_body(void)
{
    const gid_t inherited[] = {4, 27};
    demit_identity_request_t request = {.user = "root", .group = "root"};
    lines_t warnings = {0};
    demit_os_error_t error = {0};
    uint64_t before = permitted_now();
    CHECK(setgroups(2, inherited) == 0);
    const demit_identity_t *identity = resolved(&request, &warnings);
    CHECK_HOLDS(warnings.text, "is root: not recommended");
    CHECK(demit_identity_assume(identity, &error) == 0 && demit_identity_verify(identity, &error) == 0);
    CHECK(permitted_now() == before && getgroups(0, NULL) == 0);
    CHECK(demit_identity_can_bind_low(identity) && bind_low_port() == 0);
}

static void test_root_without_capabilities_keeps_all(void **state)
{
    (void)state;
    in_child(root_without_capabilities_body, NULL);
}

/* ---- not from root ---- */

static void ordinary_body(void)
{
    const demit_identity_request_t request = {.capabilities = "cap_net_bind_service+ep"};
    lines_t warnings = {0};
    demit_os_error_t error = {0};
    become_stranger();
    const demit_identity_t *identity = resolved(&request, &warnings);
    CHECK_HOLDS(warnings.text, backend_is("linux") ? "runs without" : "ignored");
    CHECK(demit_identity_assume(identity, &error) == 0);
    CHECK(demit_identity_verify(identity, &error) == 0);
    CHECK(demit_identity_uid(identity) == STRANGER && demit_identity_gid(identity) == STRANGER);
}

static void ordinary_look(pid_t child)
{
    view_t view;
    assert_int_equal(look_at_threads(child, &view, 1), 1);
    assert_int_equal(view.uid[2], STRANGER);
    assert_int_equal(view.permitted | view.ambient | view.inheritable, 0);
    assert_int_equal(view.no_new_privs, kept(1));
}

static void test_an_ordinary_user_runs_as_himself(void **state)
{
    (void)state;
    in_child(ordinary_body, ordinary_look);
}

static void saved_root_body(void)
{
    /* Real and effective uid gone, the saved one forgotten: what seteuid() in a launcher leaves behind. */
    CHECK(setgroups(0, NULL) == 0 && setresgid(STRANGER, STRANGER, 0) == 0 && setresuid(STRANGER, STRANGER, 0) == 0);
    (void)assumed(&stranger);
    CHECK(seteuid(0) != 0 && setegid(0) != 0);
}

static void test_a_saved_root_is_closed(void **state)
{
    (void)state;
    in_child(saved_root_body, ordinary_look);
}

static void configured_body(void)
{
    const gid_t leftover = 27;
    const char *const missing[] = {"44"};
    lines_t warnings = {0};
    demit_os_error_t error = {0};
    demit_identity_t *identity = NULL;
    demit_identity_request_t request = stranger;
    CHECK(setgroups(1, &leftover) == 0 && setresgid(STRANGER, STRANGER, STRANGER) == 0);
    CHECK(setresuid(STRANGER, STRANGER, STRANGER) == 0);
    request.supplemental_groups = missing;
    request.supplemental_group_count = 1;
    CHECK(demit_identity_resolve(&identity, &request, NULL, NULL, &error) != 0);
    CHECK_HOLDS(error.text, "group 44");
    identity = resolved(&stranger, &warnings);
    CHECK_HOLDS(warnings.text, "group 27 stays");
    CHECK(demit_identity_assume(identity, &error) == 0 && demit_identity_verify(identity, &error) == 0);
}

static void test_a_start_as_the_configured_user_trims(void **state)
{
    (void)state;
    in_child(configured_body, NULL);
}

static void refuse_others_body(void)
{
    demit_identity_request_t request = {.user = "nobody"};
    demit_identity_t *identity = NULL;
    demit_os_error_t error = {0};
    become_stranger();
    CHECK(demit_identity_resolve(&identity, &request, NULL, NULL, &error) != 0);
    CHECK_HOLDS(error.text, "start it as root");
    request = (demit_identity_request_t){.user = "root"};
    CHECK(demit_identity_resolve(&identity, &request, NULL, NULL, &error) != 0);
    request = (demit_identity_request_t){.user = "64123", .group = "27"};
    CHECK(demit_identity_resolve(&identity, &request, NULL, NULL, &error) != 0);
    CHECK(strcmp(error.step, "group") == 0);
}

static void test_an_ordinary_user_cannot_become_another(void **state)
{
    (void)state;
    in_child(refuse_others_body, NULL);
}

static void ambient_body(void)
{
    const uint64_t given = BIT(CAP_NET_BIND_SERVICE) | BIT(CAP_NET_RAW);
    CHECK(setgroups(0, NULL) == 0 && setresgid(STRANGER, STRANGER, STRANGER) == 0);
    CHECK(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0 && setresuid(STRANGER, STRANGER, STRANGER) == 0);
    set_capabilities(given, given);
    CHECK(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_BIND_SERVICE, 0, 0) == 0);
    CHECK(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_RAW, 0, 0) == 0);
    (void)assumed(&stranger_binding);
}

static void ambient_look(pid_t child)
{
    view_t view;
    assert_int_equal(look_at_threads(child, &view, 1), 1);
    assert_int_equal(view.permitted, BIT(CAP_NET_BIND_SERVICE));
    assert_int_equal(view.effective, BIT(CAP_NET_BIND_SERVICE));
    assert_int_equal(view.inheritable | view.ambient, 0);
    assert_int_equal(view.no_new_privs, 1);
}

static void test_ambient_capabilities_are_trimmed(void **state)
{
    (void)state;
    in_child(ambient_body, ambient_look);
}

/* ---- telling ---- */

typedef struct steps {
    char names[512];
    size_t failing;
} steps_t;

static void keep_step(void *baton, const demit_identity_step_t *step)
{
    steps_t *steps = baton;
    size_t used = strlen(steps->names);
    (void)snprintf(steps->names + used, sizeof(steps->names) - used, "%s,", step->name);
    CHECK(step->what[0] != '\0' && step->would_succeed == (step->why_not[0] == '\0'));
    steps->failing += !step->would_succeed;
}

static void explain_body(void)
{
    demit_identity_request_t request = jailed();
    steps_t steps = {0};
    uint64_t before = permitted_now();
    const demit_identity_t *identity = resolved(&request, NULL);
    demit_identity_explain(identity, keep_step, &steps);
    const char *linux_order =
        "threads,descriptors,setgroups,setresgid,chroot,chdir,bounding set,ambient set,securebits,"
        "keepcaps,setresuid,cap_set_proc,keepcaps off,no_new_privs,process limit,";
    const char *bsd_order = "threads,descriptors,setgroups,setresgid,chroot,chdir,setresuid,process limit,";
    CHECK(strcmp(steps.names, backend_is("linux") ? linux_order : bsd_order) == 0);
    CHECK(steps.failing == 0);
    CHECK(getuid() == 0 && getgid() == 0 && access("/etc", F_OK) == 0 && permitted_now() == before);
    CHECK(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0);
    CHECK(open("/", O_RDONLY | O_DIRECTORY) >= 0);
    demit_identity_explain(identity, keep_step, &steps);
    CHECK(steps.failing == 1);
}

static void test_explain_changes_nothing(void **state)
{
    (void)state;
    with_jail(explain_body, NULL);
}

typedef struct seen {
    char uid[80], permitted[256], order[512];
} seen_t;

static void keep_fact(void *baton, const demit_identity_fact_t *fact)
{
    seen_t *seen = baton;
    size_t used = strlen(seen->order);
    (void)snprintf(seen->order + used, sizeof(seen->order) - used, "%s,", fact->name);
    if (strcmp(fact->name, "uid") == 0) {
        (void)snprintf(seen->uid, sizeof(seen->uid), "%s", fact->value);
    } else if (strcmp(fact->name, "cap_permitted") == 0) {
        (void)snprintf(seen->permitted, sizeof(seen->permitted), "%s", fact->value);
    }
}

static void report_body(void)
{
    seen_t seen = {0};
    (void)assumed(&stranger_binding);
    CHECK(demit_os_protect_memory() == 0); /* from here on /proc/self is root's */
    CHECK(demit_identity_report(0, keep_fact, &seen) == 0);
    CHECK(strncmp(seen.uid, "64123 64123 64123", 17) == 0);
    CHECK(strncmp(seen.order, "pid,threads,uid,gid,groups,", 27) == 0);
}

static void report_look(pid_t child)
{
    seen_t seen = {0};
    int code = demit_identity_report(child, keep_fact, &seen);
    if (backend_is("bsd")) {
        assert_int_equal(code, ENOTSUP);
        return;
    }
    assert_int_equal(code, 0);
    assert_string_equal(seen.uid, "64123 64123 64123 64123");
    assert_string_equal(seen.permitted, "cap_net_bind_service");
    assert_int_equal(demit_identity_report(0x3fffffff, keep_fact, &seen), ESRCH);
}

static void test_report_tells_of_oneself_and_of_others(void **state)
{
    (void)state;
    in_child(report_body, report_look);
}

static void audit_body(void)
{
    lines_t drift = {0};
    const demit_identity_t *identity = assumed(&stranger_binding);
    CHECK(demit_identity_audit(identity, keep_line, &drift) == 0 && drift.count == 0);
    if (backend_is("linux")) {
        set_capabilities(0, 0);
        CHECK(demit_identity_audit(identity, keep_line, &drift) == 2 && drift.count == 2);
        CHECK_HOLDS(drift.text, "the permitted set lacks cap_net_bind_service");
    }
}

static void audit_before_body(void)
{
    lines_t drift = {0};
    const demit_identity_t *identity = resolved(&stranger, NULL);
    int differences = demit_identity_audit(identity, keep_line, &drift);
    CHECK(differences >= 6 && drift.count == (size_t)differences);
    CHECK_HOLDS(drift.text, "saved uid is 0, should be 64123");
}

static void *drop_in_one_thread(void *baton)
{
    set_capabilities(0, 0); /* this thread's own: capabilities belong to threads */
    return sleep_for_ever(baton);
}

static void audit_thread_body(void)
{
    lines_t drift = {0};
    pthread_t thread;
    const demit_identity_t *identity = assumed(&stranger_binding);
    CHECK(pthread_create(&thread, NULL, drop_in_one_thread, NULL) == 0);
    for (int i = 0; i < 500 && demit_identity_audit(identity, keep_line, &drift) == 0; i++) {
        (void)usleep(10000);
    }
    CHECK(drift.count >= 1);
    CHECK_HOLDS(drift.text, "thread ");
    size_t different = 0;
    CHECK(demit_identity_report(0, count_facts_of_threads, &different) == 0 && different == 2);
}

static const demit_identity_t *shared_identity;
static lines_t shared_drift;

static void *audit_in_another_thread(void *baton)
{
    (void)baton;
    return demit_identity_audit(shared_identity, keep_line, &shared_drift) < 0 ? &shared_drift : NULL;
}

/* The jail has no /proc: what the first thread holds is told by the descriptor from before. */
static void audit_in_jail_body(void)
{
    demit_identity_request_t request = jailed();
    pthread_t thread;
    shared_identity = assumed(&request);
    CHECK(pthread_create(&thread, NULL, audit_in_another_thread, NULL) == 0 && pthread_join(thread, NULL) == 0);
    CHECK(shared_drift.count == 0);
    set_capabilities(0, 0);
    CHECK(demit_identity_audit(shared_identity, keep_line, &shared_drift) == 4); /* seen twice: first, and calling */
}

static pthread_barrier_t barrier;

static void *audit_after_barrier(void *baton)
{
    (void)pthread_barrier_wait(&barrier);
    return audit_in_another_thread(baton);
}

static void audit_first_thread_in_jail_body(void)
{
    demit_identity_request_t request = jailed();
    pthread_t thread;
    shared_identity = assumed(&request);
    CHECK(pthread_barrier_init(&barrier, NULL, 2) == 0);
    CHECK(pthread_create(&thread, NULL, audit_after_barrier, NULL) == 0);
    set_capabilities(0, 0); /* the first thread drifts, another one looks */
    (void)pthread_barrier_wait(&barrier);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK_HOLDS(shared_drift.text, "the permitted set lacks cap_net_bind_service");
}

static void test_audit_finds_drift_in_a_jail(void **state)
{
    (void)state;
    with_jail(audit_in_jail_body, NULL);
    with_jail(audit_first_thread_in_jail_body, NULL);
}

static void inheritable_body(void)
{
    demit_identity_request_t request = stranger;
    request.capabilities = "cap_net_bind_service+eip";
    set_capabilities(permitted_now(), BIT(CAP_NET_RAW));
    (void)assumed(&request);
}

static void free_ports_body(void)
{
    lines_t warnings = {0};
    if (unshare(CLONE_NEWNET) != 0) {
        child_skips("this host lets a test have no network of its own");
    }
    write_text("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0");
    (void)resolved(&stranger_binding, &warnings);
    CHECK_HOLDS(warnings.text, "not needed here");
    CHECK(demit_identity_can_bind_low(resolved(&stranger, NULL)));
}

static void test_a_needless_capability_is_told(void **state)
{
    (void)state;
    in_child(free_ports_body, NULL);
}

static void test_nothing_is_ever_inheritable(void **state)
{
    (void)state;
    in_child(inheritable_body, low_port_look);
}

static void test_audit_finds_drift(void **state)
{
    (void)state;
    in_child(audit_body, NULL);
    in_child(audit_before_body, NULL);
}

static void test_audit_finds_drift_of_one_thread(void **state)
{
    (void)state;
    in_child(audit_thread_body, NULL);
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
        cmocka_unit_test(test_every_later_thread_holds_the_same),
        cmocka_unit_test(test_a_second_thread_is_refused),
        cmocka_unit_test(test_a_jail_has_no_way_out),
        cmocka_unit_test(test_a_planted_directory_is_refused),
        cmocka_unit_test(test_the_process_limit_is_named),
        cmocka_unit_test(test_root_without_cap_setuid_is_refused),
        cmocka_unit_test(test_root_without_cap_setgid_is_refused),
        cmocka_unit_test(test_a_user_namespace_that_denies_setgroups_is_named),
        cmocka_unit_test(test_root_without_capabilities_keeps_all),
        cmocka_unit_test(test_an_ordinary_user_runs_as_himself),
        cmocka_unit_test(test_a_saved_root_is_closed),
        cmocka_unit_test(test_a_start_as_the_configured_user_trims),
        cmocka_unit_test(test_an_ordinary_user_cannot_become_another),
        cmocka_unit_test(test_explain_changes_nothing),
        cmocka_unit_test(test_report_tells_of_oneself_and_of_others),
        cmocka_unit_test(test_audit_finds_drift),
    };
    /* What only capabilities can do: the plain back end has no such promise to keep. */
    const struct CMUnitTest with_capabilities[] = {
        cmocka_unit_test(test_root_without_cap_setpcap_is_refused),
        cmocka_unit_test(test_each_missing_capability_is_named),
        cmocka_unit_test(test_root_with_capabilities_has_these_only),
        cmocka_unit_test(test_ambient_capabilities_are_trimmed),
        cmocka_unit_test(test_audit_finds_drift_of_one_thread),
        cmocka_unit_test(test_audit_finds_drift_in_a_jail),
        cmocka_unit_test(test_a_needless_capability_is_told),
        cmocka_unit_test(test_nothing_is_ever_inheritable),
    };
    if (geteuid() != 0) {
        (void)puts("skipped: giving up root takes root");
        return 77;
    }
    int failed = cmocka_run_group_tests_name("contract: identity", tests, NULL, NULL);
    if (backend_is("linux")) {
        failed += cmocka_run_group_tests_name("contract: capabilities", with_capabilities, NULL, NULL);
    }
    return failed;
}
