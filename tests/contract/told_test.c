/*
 * What Linux tells a process about itself, and what is made of it: by an older kernel, by a text that is cut, by
 * somebody else's file in the kernel's place; and whom an error names as the one who took a privilege away. The linker
 * leads access(2), getenv(3) and cap_get_bound(3) through here (--wrap).
 */
#include "tests/contract/scenes.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/linux/native.h"

/* The host as it is to look; all false: as it is. */
static struct host {
    bool pretended, in_container, in_pod, bounding_lacks;
} host;

int __real_access(const char *path, int mode);
int __wrap_access(const char *path, int mode);
int __wrap_access(const char *path, int mode)
{
    if (!host.pretended) {
        return __real_access(path, mode);
    }
    errno = ENOENT;
    return host.in_container && strcmp(path, "/run/.containerenv") == 0 ? 0 : -1;
}

char *__real_getenv(const char *name);
char *__wrap_getenv(const char *name);
char *__wrap_getenv(const char *name)
{
    static char address[] = "192.0.2.1";
    if (!host.pretended || strcmp(name, "KUBERNETES_SERVICE_HOST") != 0) {
        return __real_getenv(name);
    }
    return host.in_pod ? address : NULL;
}

int __real_cap_get_bound(cap_value_t capability);
int __wrap_cap_get_bound(cap_value_t capability);
int __wrap_cap_get_bound(cap_value_t capability)
{
    return host.pretended ? !host.bounding_lacks : __real_cap_get_bound(capability);
}

/* ---- /proc/PID/status ---- */

/* A descriptor of a file that holds TEXT. */
static int file_of(const char *text)
{
    int fd = memfd_create("status", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    return fd;
}

static int read_status(const char *text, os_status_t *status)
{
    int fd = file_of(text);
    int code = os_status_from_fd(fd, status);
    assert_int_equal(close(fd), 0);
    return code;
}

#define NEEDED                                                                                                         \
    "Name:\tdemitd\nTgid:\t7\nPid:\t8\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\nGroups:\t30 10 20 \nThreads:\t2\n"          \
    "CapInh:\t0000000000000000\nCapPrm:\t0000000000000400\nCapEff:\t0000000000000400\nCapBnd:\t00000000000004ff\n"

static void test_a_status_is_read_whole(void **state)
{
    (void)state;
    os_status_t status;
    assert_int_equal(
        read_status(NEEDED "CapAmb:\t0000000000000400\nNoNewPrivs:\t1\nSeccomp:\t2\nFDSize:\t64\n", &status), 0);
    assert_int_equal(status.tgid, 7);
    assert_int_equal(status.pid, 8);
    assert_int_equal(status.threads, 2);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(status.uid[i], 1 + i);
        assert_int_equal(status.gid[i], 5 + i);
    }
    assert_int_equal(status.caps.permitted, 0x400);
    assert_int_equal(status.bounding, 0x4ff);
    assert_int_equal(status.ambient, 0x400);
    assert_true(status.has_no_new_privs && status.no_new_privs);
    assert_int_equal(status.seccomp, 2);
    assert_int_equal(status.fd_table, 64);
    assert_int_equal(status.groups.count, 3);
    assert_int_equal(status.groups.ids[0], 10); /* sorted */
    os_status_free(&status);
}

/* No ambient set before Linux 4.3, no word about new privileges before 4.10. What is not told is not made up. */
static void test_an_older_kernel_tells_less(void **state)
{
    (void)state;
    os_status_t status;
    assert_int_equal(read_status(NEEDED, &status), 0);
    assert_int_equal(status.ambient, 0);
    assert_false(status.has_no_new_privs || status.no_new_privs);
    assert_int_equal(status.seccomp, -1);
    assert_int_equal(status.fd_table, 0);
    os_status_free(&status);
}

/* A line of NEEDED that is not there, or holds no number, must not read as zero: zero is root. */
static void test_a_missing_line_is_no_zero(void **state)
{
    (void)state;
    static const char *const names[] = {"Tgid",    "Pid",    "Uid",    "Gid",    "Groups",
                                        "Threads", "CapInh", "CapPrm", "CapEff", "CapBnd"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char text[] = NEEDED, name[16];
        os_status_t status;
        (void)snprintf(name, sizeof(name), "\n%s:", names[i]);
        char *line = strstr(text, name);
        assert_non_null(line);
        line[1] = 'x';
        assert_int_equal(read_status(text, &status), EPROTO);
        assert_null(status.groups.ids);
        line[1] = names[i][0];
        if (strcmp(names[i], "Groups") != 0) { /* of which there may be none */
            line[strlen(name) + 1] = 'x';
            assert_int_equal(read_status(text, &status), EPROTO);
        }
    }
    os_status_t status;
    assert_int_equal(read_status("", &status), EPROTO);
    assert_int_equal(os_status_from_fd(-1, &status), EBADF);
}

static void test_many_groups_are_read_to_the_last(void **state)
{
    (void)state;
    enum { COUNT = 4000 };
    char *text = malloc(sizeof(NEEDED) + COUNT * 8 + 64), *at = text;
    assert_non_null(text);
    at += sprintf(at, "Groups:\t");
    for (unsigned i = 0; i < COUNT; i++) {
        at += sprintf(at, "%u ", 100000 + i);
    }
    (void)sprintf(at, "\n%s", NEEDED);
    os_status_t status;
    assert_int_equal(read_status(text, &status), 0);
    assert_int_equal(status.groups.count, COUNT);
    assert_int_equal(status.groups.ids[COUNT - 1], 100000 + COUNT - 1);
    os_status_free(&status);
    free(text);
}

/* Who can write to a jail can put anything at /proc, a FIFO too, which waits for whom opens it. */
static void test_only_the_kernel_s_files_are_believed(void **state)
{
    (void)state;
    char directory[64], path[96], text[64];
    int fd = -1;
    make_private_directory(directory, sizeof(directory));
    (void)snprintf(path, sizeof(path), "%s/status", directory);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(os_proc_open(path, 0, &fd), ENOENT);
    assert_int_equal(fd, -1);
    assert_false(os_host_read(path, text, sizeof(text)));
    assert_string_equal(text, "");
    assert_int_equal(os_proc_open(directory, O_DIRECTORY, &fd), ENOENT);
    assert_false(os_host_read("/proc/self", text, sizeof(text))); /* opens, and has no bytes */
    assert_int_equal(os_proc_open("/proc/self/nothing", 0, &fd), ENOENT);
    assert_true(os_host_read("/proc/self/comm", text, sizeof(text)));
    assert_null(strchr(text, '\n'));
    remove_directory(directory);
}

/* ---- who took it away ---- */

static void blames(const char *whom)
{
    char text[512] = "";
    os_host_blame(CAP_NET_BIND_SERVICE, text, sizeof(text));
    CHECK_HOLDS(text, whom);
    CHECK_HOLDS(text, "cap_net_bind_service");
}

static void blame_body(void)
{
    host = (struct host){.pretended = true};
    blames("demitd was started without it");
    host.bounding_lacks = true;
    host.in_container = true;
    blames("the container takes");
    host.in_container = false;
    host.in_pod = true;
    blames("Kubernetes");
    host.in_pod = false;
    char text[512] = "";
    os_host_blame(CAP_NET_BIND_SERVICE, text, sizeof(text));
    CHECK(strstr(text, "container") == NULL);
}

static void blame_in_namespace_body(void)
{
    become_stranger();
    CHECK(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0); /* or /proc/self belongs to root */
    if (unshare(CLONE_NEWUSER) != 0) {
        child_skips("this host allows no user namespaces");
    }
    host = (struct host){.pretended = true, .bounding_lacks = true};
    blames("user namespace");
    CHECK(!os_host_maps_uid(STRANGER) && !os_host_maps_gid(STRANGER)); /* an empty map */
    write_text("/proc/self/setgroups", "deny");
    write_text("/proc/self/uid_map", "5 64123 1");
    write_text("/proc/self/gid_map", "5 64123 1");
    blames("user namespace");
    CHECK(os_host_maps_uid(5) && !os_host_maps_uid(4) && !os_host_maps_uid(6) && !os_host_maps_uid(STRANGER));
    CHECK(os_host_maps_gid(5) && !os_host_maps_gid(4) && !os_host_maps_gid(6));
}

static void test_an_error_names_who_took_it_away(void **state)
{
    (void)state;
    in_child(blame_body, NULL);
    in_child(blame_in_namespace_body, NULL);
}

/* As long as a kernel takes it, user_namespaces(7): each id by itself. Written from outside, as newuidmap does. */
static void write_long_map(pid_t whose)
{
    enum { LINES = 340 };
    char path[64], text[4096] = "";
    size_t length = 0;
    for (int i = 0; i < LINES; i++) {
        length += (size_t)snprintf(text + length, sizeof(text) - length, "%d %d 1\n", i, i);
    }
    (void)snprintf(path, sizeof(path), "/proc/%ld/uid_map", (long)whose);
    write_text(path, text);
}

static void long_map_body(void)
{
    int ends[2], status = 0;
    char byte = 0;
    CHECK(pipe(ends) == 0);
    const pid_t self = getpid(), writer = fork();
    CHECK(writer >= 0);
    if (writer == 0) {
        CHECK(read(ends[0], &byte, 1) == 1);
        write_long_map(self);
        _exit(0);
    }
    if (unshare(CLONE_NEWUSER) != 0) {
        child_skips("this host allows no user namespaces");
    }
    CHECK(write(ends[1], "G", 1) == 1);
    CHECK(waitpid(writer, &status, 0) == writer && status == 0);
    CHECK(os_host_maps_uid(0) && os_host_maps_uid(339) && !os_host_maps_uid(340));
}

static void test_a_long_map_is_read_to_the_last(void **state)
{
    (void)state;
    in_child(long_map_body, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_status_is_read_whole),
        cmocka_unit_test(test_an_older_kernel_tells_less),
        cmocka_unit_test(test_a_missing_line_is_no_zero),
        cmocka_unit_test(test_many_groups_are_read_to_the_last),
        cmocka_unit_test(test_only_the_kernel_s_files_are_believed),
        cmocka_unit_test(test_a_long_map_is_read_to_the_last),
        cmocka_unit_test(test_an_error_names_who_took_it_away),
    };
    if (geteuid() != 0) {
        (void)puts("skipped: these take root");
        return 77;
    }
    return cmocka_run_group_tests_name("contract: what Linux tells", tests, NULL, NULL);
}
