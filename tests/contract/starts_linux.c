/*
 * Other starts that only Linux knows: capabilities without root, of root, of one thread; and user namespaces, where
 * setgroups(2) may be denied and peers have no number.
 */
#include "tests/contract/powers.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

const char *steps_in_order(void)
{
    return backend_is("linux")
               ? "threads,descriptors,setgroups,setresgid,chroot,chdir,bounding set,ambient set,securebits,"
                 "keepcaps,setresuid,session keyring,cap_set_proc,keepcaps off,no_new_privs,process limit,"
           : backend_is("bsd")
               ? "threads,descriptors,setgroups,setresgid,chroot,chdir,setresuid,process limit,"
               : "threads,descriptors,setppriv Permitted,setppriv Effective,setgroups,setgid,chroot,chdir,setuid,"
                 "process limit,setppriv Permitted,setppriv Limit,setppriv Effective,setppriv Inheritable,";
}

/* ---- root that stays root ---- */

static char foreign_file[96];
static const char SHOW_PERMITTED[] = "DEMIT_CONTRACT_SHOW_PERMITTED";

/* Before main: this program is also what root executes, to see what it gets back. A bare directory has no other. */
__attribute__((constructor)) static void show_permitted(void)
{
    if (getenv(SHOW_PERMITTED) != NULL) {
        (void)printf("CapPrm:\t%016llx\n", (unsigned long long)permitted_now());
        (void)fflush(stdout);
        _exit(0);
    }
}

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
        (void)setenv(SHOW_PERMITTED, "1", 1);
        (void)execl("/proc/self/exe", "self", (char *)NULL);
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

/* ---- capabilities without root ---- */

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

/* ---- a user namespace that denies setgroups ---- */

enum { FOREIGN = 65300, NOBODY = 65534 }; /* without a number inside */

static void skip_without_namespaces(void)
{
    if (backend_is("solaris")) {
        child_skips("Solaris has no user namespaces, and the model of it knows none");
    }
}

/*
 * In the child: enters a user namespace where ids up to 64999 are those of the host, and nobody may call setgroups.
 * Its maps are written from outside, as newuidmap does, so that it may become another user all the same.
 */
static void enter_namespace_without_setgroups(void)
{
    skip_without_namespaces();
    const gid_t groups[] = {27, 44};
    char path[64];
    int ends[2], status = 0;
    char byte = 0;
    CHECK(setgroups(2, groups) == 0 && pipe(ends) == 0);
    pid_t self = getpid(), writer = fork();
    CHECK(writer >= 0);
    if (writer == 0) {
        CHECK(read(ends[0], &byte, 1) == 1);
        static const char *const lines[][2] = {
            {"setgroups", "deny"}, {"uid_map", "0 0 65000"}, {"gid_map", "0 0 65000"}};
        for (size_t i = 0; i < 3; i++) {
            (void)snprintf(path, sizeof(path), "/proc/%ld/%s", (long)self, lines[i][0]);
            write_text(path, lines[i][1]);
        }
        _exit(0);
    }
    if (unshare(CLONE_NEWUSER) != 0) {
        child_skips("this host allows no user namespaces");
    }
    CHECK(write(ends[1], "G", 1) == 1);
    CHECK(waitpid(writer, &status, 0) == writer && status == 0);
    CHECK(close(ends[0]) == 0 && close(ends[1]) == 0);
}

static void keep_kept_groups(void *baton, const demit_identity_step_t *step)
{
    if (strcmp(step->name, "inherited groups") == 0) {
        keep_line(baton, step->what);
    }
    CHECK(strcmp(step->name, "setgroups") != 0);
}

static void waived_groups_body(void)
{
    demit_identity_request_t request = stranger;
    lines_t warnings = {0}, steps = {0}, drift = {0};
    demit_os_error_t error = {0};
    char summary[512];
    enter_namespace_without_setgroups();
    request.allow_inherited_groups = true;
    const demit_identity_t *identity = resolved(&request, &warnings);
    CHECK_HOLDS(warnings.text, "Allow_Inherited_Groups");
    CHECK_HOLDS(warnings.text, "group 27 stays");
    demit_identity_explain(identity, keep_kept_groups, &steps);
    CHECK_HOLDS(steps.text, "27 44");
    CHECK(demit_identity_assume(identity, &error) == 0);
    if (demit_identity_verify(identity, &error) != 0) {
        child_failed(__FILE__, __LINE__, error.text);
    }
    demit_identity_summary(identity, summary, sizeof(summary));
    CHECK_HOLDS(summary, "groups=inherited:27,44 ");
    CHECK(demit_identity_audit(identity, keep_line, &drift) == 0);
}

static void waived_groups_look(pid_t child)
{
    assert_held(child, STRANGER, STRANGER, "27 44", 0);
}

static void unwaived_groups_body(void)
{
    demit_os_error_t error = {0};
    enter_namespace_without_setgroups();
    const demit_identity_t *identity = resolved(&stranger, NULL);
    CHECK(demit_identity_assume(identity, &error) != 0);
    CHECK(strcmp(error.step, "setgroups") == 0 && getuid() == 0);
    CHECK_HOLDS(error.text, "Allow_Inherited_Groups = true");
}

/* A group that is asked for and was not inherited cannot be had. */
static void waiver_has_limits_body(void)
{
    static const char *const missing[] = {"29"};
    demit_identity_request_t request = stranger;
    demit_identity_t *identity = NULL;
    demit_os_error_t error = {0};
    enter_namespace_without_setgroups();
    request.allow_inherited_groups = true;
    request.supplemental_groups = missing;
    request.supplemental_group_count = 1;
    CHECK(demit_identity_resolve(&identity, &request, NULL, NULL, &error) != 0);
    CHECK_HOLDS(error.text, "group 29");
}

static void test_inherited_groups_stay_by_an_explicit_waiver_only(void **state)
{
    (void)state;
    in_child(waived_groups_body, waived_groups_look);
    in_child(unwaived_groups_body, NULL);
    in_child(waiver_has_limits_body, NULL);
}

/* ---- peers from outside the user namespace ---- */

/* In the child: an abstract Unix socket that no other run has. */
static struct sockaddr_un meeting_point;

static int listen_at_meeting_point(void)
{
    meeting_point = (struct sockaddr_un){.sun_family = AF_UNIX};
    (void)snprintf(meeting_point.sun_path + 1, sizeof(meeting_point.sun_path) - 1, "demit-contract-%ld",
                   (long)getpid());
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK(listener >= 0);
    CHECK(bind(listener, (const struct sockaddr *)&meeting_point, sizeof(meeting_point)) == 0);
    CHECK(listen(listener, 5) == 0);
    return listener;
}

/* In a child of the host's: connects as UID and GID, when told to, and waits for the end. */
static _Noreturn void connect_as(int go_fd, uid_t uid, gid_t gid)
{
    char byte = 0;
    CHECK(setgroups(0, NULL) == 0 && setresgid(gid, gid, gid) == 0 && setresuid(uid, uid, uid) == 0);
    CHECK(prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0); /* a case that fails must not wait for its peers */
    CHECK(read(go_fd, &byte, 1) == 1);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK(fd >= 0 && connect(fd, (const struct sockaddr *)&meeting_point, sizeof(meeting_point)) == 0);
    (void)!read(fd, &byte, 1);
    _exit(0);
}

static demit_peer_t peer_as(int listener, int go_fd)
{
    demit_peer_t peer = {0};
    CHECK(write(go_fd, "G", 1) == 1);
    int fd = accept(listener, NULL, NULL);
    CHECK(fd >= 0 && demit_os_peer(fd, &peer) == 0);
    (void)close(fd);
    return peer;
}

/* 65534 is what the kernel shows of those who have no number here, and "nobody" is an account like any other. */
static void unmapped_peer_body(void)
{
    static const struct {
        uid_t uid, shown_uid;
        gid_t gid, shown_gid;
    } peers[] = {
        {STRANGER, STRANGER, STRANGER, STRANGER},
        {FOREIGN, (uid_t)-1, FOREIGN, (gid_t)-1},
        {STRANGER, STRANGER, FOREIGN, (gid_t)-1},
        {NOBODY, (uid_t)-1, NOBODY, (gid_t)-1}, /* cannot be told from the others */
    };
    enum { PEERS = sizeof(peers) / sizeof(peers[0]) };
    int go[PEERS][2];
    skip_without_namespaces();
    int listener = listen_at_meeting_point();
    for (size_t i = 0; i < PEERS; i++) {
        CHECK(pipe(go[i]) == 0);
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            connect_as(go[i][0], peers[i].uid, peers[i].gid);
        }
    }
    enter_namespace_without_setgroups();
    for (size_t i = 0; i < PEERS; i++) {
        demit_peer_t peer = peer_as(listener, go[i][1]);
        CHECK(peer.uid == peers[i].shown_uid && peer.gid == peers[i].shown_gid);
    }
}

static bool host_maps_everybody(void)
{
    char line[128] = "";
    unsigned long inside = 1, outside = 1, count = 0;
    int fd = open("/proc/self/uid_map", O_RDONLY);
    CHECK(fd >= 0 && read(fd, line, sizeof(line) - 1) > 0);
    CHECK(sscanf(line, "%lu %lu %lu", &inside, &outside, &count) == 3);
    return count == UINT32_MAX;
}

/* In the host's own namespace it is an account that may be allowed like every other. */
static void mapped_nobody_body(void)
{
    int go[2];
    int listener = listen_at_meeting_point();
    CHECK(pipe(go) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        connect_as(go[0], NOBODY, NOBODY);
    }
    demit_peer_t peer = peer_as(listener, go[1]);
    if (host_maps_everybody()) {
        CHECK(peer.uid == NOBODY && peer.gid == NOBODY);
    } else {
        CHECK(peer.uid == (uid_t)-1 && peer.gid == (gid_t)-1);
    }
}

static void test_a_peer_without_a_number_here_is_nobody(void **state)
{
    (void)state;
    in_child(unmapped_peer_body, NULL);
    in_child(mapped_nobody_body, NULL);
}

/* ---- drift ---- */

static void *drop_in_one_thread(void *baton)
{
    set_capabilities(0, 0); /* this thread's own: capabilities belong to threads */
    return sleep_for_ever(baton);
}

static void count_facts_of_threads(void *baton, const demit_identity_fact_t *fact)
{
    *(size_t *)baton += fact->thread != 0;
}

static void audit_thread_body(void)
{
    lines_t drift = {0};
    pthread_t thread;
    const demit_identity_t *identity = assumed(&stranger_binding);
    CHECK(pthread_create(&thread, NULL, drop_in_one_thread, NULL) == 0);
    for (int i = 0; i < 12000 && demit_identity_audit(identity, keep_line, &drift) == 0; i++) {
        (void)usleep(10000);
    }
    CHECK(drift.count >= 1);
    CHECK_HOLDS(drift.text, "thread ");
    size_t different = 0;
    CHECK(demit_identity_report(0, count_facts_of_threads, &different) == 0 && different == 2);
}

/* The jail has no /proc, and nothing from outside stays open: system calls tell of the calling thread. */
static void audit_in_jail_body(void)
{
    demit_identity_request_t request = jailed();
    lines_t drift = {0};
    const demit_identity_t *identity = assumed(&request);
    CHECK(demit_identity_audit(identity, keep_line, &drift) == 0);
    set_capabilities(0, 0);
    CHECK(demit_identity_audit(identity, keep_line, &drift) == 2);
    CHECK_HOLDS(drift.text, "the permitted set lacks cap_net_bind_service");
}

static void audit_in_jail_look(pid_t child)
{
    for (int fd = 0; fd < 64; fd++) {
        char path[64], target[256] = "";
        (void)snprintf(path, sizeof(path), "/proc/%ld/fd/%d", (long)child, fd);
        assert_true(readlink(path, target, sizeof(target) - 1) < 0 || strncmp(target, "/proc/", 6) != 0);
    }
}

static void second_thread_in_jail_body(void)
{
    demit_identity_request_t request = jailed();
    demit_os_error_t error = {0};
    pthread_t thread;
    const demit_identity_t *identity = resolved(&request, NULL);
    CHECK(demit_identity_assume(identity, &error) == 0);
    CHECK(pthread_create(&thread, NULL, sleep_for_ever, NULL) == 0);
    CHECK(demit_identity_verify(identity, &error) != 0);
    CHECK_HOLDS(error.text, "threads run");
}

static void resolved_before_fork_body(void)
{
    demit_identity_request_t request = jailed();
    demit_os_error_t error = {0};
    int status = 0;
    const demit_identity_t *identity = resolved(&request, NULL);
    pid_t child = fork();
    if (child == 0) {
        bool refused = demit_identity_assume(identity, &error) == 0 && demit_identity_verify(identity, &error) == ESRCH;
        _exit(refused ? 0 : 1);
    }
    CHECK(waitpid(child, &status, 0) == child && status == 0);
}

static void test_a_jail_without_proc_is_looked_at_all_the_same(void **state)
{
    (void)state;
    with_jail(audit_in_jail_body, audit_in_jail_look);
    with_jail(second_thread_in_jail_body, NULL);
    with_jail(resolved_before_fork_body, NULL);
}

static void test_audit_finds_drift_of_one_thread(void **state)
{
    (void)state;
    in_child(audit_thread_body, NULL);
}

int run_starts_cases_of_linux(void)
{
    const struct CMUnitTest of_namespaces[] = {
        cmocka_unit_test(test_inherited_groups_stay_by_an_explicit_waiver_only),
        cmocka_unit_test(test_a_peer_without_a_number_here_is_nobody),
    };
    /* What only capabilities can do: the plain back end has no such promise to keep. */
    const struct CMUnitTest with_capabilities[] = {
        cmocka_unit_test(test_root_with_capabilities_has_these_only),
        cmocka_unit_test(test_ambient_capabilities_are_trimmed),
        cmocka_unit_test(test_audit_finds_drift_of_one_thread),
        cmocka_unit_test(test_a_jail_without_proc_is_looked_at_all_the_same),
    };
    int failed = cmocka_run_group_tests_name("contract: starts, namespaces", of_namespaces, NULL, NULL);
    if (backend_is("linux")) {
        failed += cmocka_run_group_tests_name("contract: starts, with capabilities", with_capabilities, NULL, NULL);
    }
    return failed;
}
