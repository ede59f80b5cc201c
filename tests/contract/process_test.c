/* The rest of os.h: a tidy process, detaching, limits, signals, the supervisor, files. */
#include "tests/contract/scenes.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static char directory[64];

static const char *inside(const char *name)
{
    static char path[4][128];
    static size_t next;
    char *chosen = path[next++ % 4];
    (void)snprintf(chosen, sizeof(path[0]), "%s/%s", directory, name);
    return chosen;
}

/* ---- tidy ---- */

/* In the child of a shell that has a terminal, which is its descriptor 0; 1 tells the shell that it is ready. */
static _Noreturn void in_terminal(void)
{
    CHECK(signal(SIGINT, SIG_DFL) != SIG_ERR);
    CHECK(open("/dev/tty", O_RDWR) >= 0);
    CHECK(demit_os_tidy_process(NULL) == 0);
    CHECK(open("/dev/tty", O_RDWR) < 0 && errno == ENXIO);
    CHECK(setgid(STRANGER) == 0 && setuid(STRANGER) == 0);
#if defined(TIOCSTI) /* OpenBSD has none */
    CHECK(ioctl(0, TIOCSTI, "x") != 0);
#endif
    CHECK(write(1, "R", 1) == 1);
    (void)pause();
    _exit(1);
}

/* Root's shell reads what a process types into its terminal (TIOCSTI), whatever uid that process has by then. */
static void terminal_body(void)
{
    int ends[2], status = 0;
    char ready = 0;
    int keyboard = posix_openpt(O_RDWR | O_NOCTTY);
    CHECK(keyboard >= 0 && grantpt(keyboard) == 0 && unlockpt(keyboard) == 0);
    CHECK(setsid() > 0 && pipe(ends) == 0 && signal(SIGINT, SIG_IGN) != SIG_ERR);
    int terminal = open(ptsname(keyboard), O_RDWR | O_NOCTTY);
    CHECK(terminal >= 0 && ioctl(terminal, TIOCSCTTY, NULL) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        CHECK(dup2(terminal, 0) == 0 && dup2(ends[1], 1) == 1);
        in_terminal();
    }
    (void)close(ends[1]);
    CHECK(read(ends[0], &ready, 1) == 1);
    CHECK(write(keyboard, "\x03", 1) == 1); /* Ctrl-C still ends it */
    CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGINT);
}

static void test_the_terminal_is_not_controlled(void **state)
{
    (void)state;
    in_child(terminal_body, NULL);
}

static void tidy_body(void)
{
    sigset_t blocked;
    struct stat about, null_device;
    CHECK(setenv("LD_LIBRARY_PATH", "/tmp", 1) == 0 && setenv("TZ", "UTC", 1) == 0 && setenv("LC_ALL", "C", 1) == 0);
    CHECK(setenv("NOTIFY_SOCKET", "@x", 1) == 0 && setenv("PATHOLOGY", "x", 1) == 0 &&
          setenv("LISTEN_FDS", "1", 1) == 0);
    allow_descriptors(1024);
    CHECK(dup2(STDERR_FILENO, 900) == 900 && dup2(STDERR_FILENO, 5) == 5);
    (void)close(0);
    (void)close(1);
    CHECK(sigfillset(&blocked) == 0 && sigprocmask(SIG_SETMASK, &blocked, NULL) == 0);
    CHECK(signal(SIGCHLD, SIG_IGN) != SIG_ERR);
    int code = demit_os_tidy_process(NULL);
    CHECK(code == 0);
    CHECK(stat("/dev/null", &null_device) == 0);
    for (int fd = 0; fd <= 1; fd++) {
        CHECK(fstat(fd, &about) == 0 && about.st_rdev == null_device.st_rdev);
    }
    for (int fd = 3; fd < 1024; fd++) {
        CHECK(fcntl(fd, F_GETFD) < 0);
    }
    CHECK(getenv("LD_LIBRARY_PATH") == NULL && getenv("PATHOLOGY") == NULL && getenv("LISTEN_FDS") == NULL);
    CHECK(getenv("TZ") != NULL && getenv("LC_ALL") != NULL && getenv("NOTIFY_SOCKET") != NULL);
    CHECK(getenv("PATH") != NULL);
    CHECK(umask(0) == 077);
    CHECK(sigprocmask(SIG_SETMASK, NULL, &blocked) == 0 && sigismember(&blocked, SIGTERM) == 0);
    int ends[2];
    CHECK(pipe(ends) == 0 && close(ends[0]) == 0 && write(ends[1], "x", 1) < 0 && errno == EPIPE);
    pid_t child = fork();
    int status = 0;
    if (child == 0) {
        _exit(5);
    }
    CHECK(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 5);
}

static void test_a_tidy_process_has_nothing_inherited(void **state)
{
    (void)state;
    in_child(tidy_body, NULL);
}

/* ---- detach ---- */

/* Runs BODY, which detaches, in a child; returns the exit code that a shell would see. */
static int code_of(void (*body)(void))
{
    int status = 0;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        body();
        _exit(99);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int mark_fd = -1;

static void dies_early(void)
{
    demit_os_detach_t detach;
    if (demit_os_detach_begin(&detach) == 0) {
        _exit(78);
    }
}

static void is_killed_early(void)
{
    demit_os_detach_t detach;
    if (demit_os_detach_begin(&detach) == 0) {
        (void)raise(SIGKILL);
    }
}

static void becomes_ready(void)
{
    demit_os_detach_t detach;
    struct stat null_device, about;
    if (demit_os_detach_begin(&detach) != 0) {
        _exit(98);
    }
    /* The session is its own before anything that a sandbox could take: setsid(2) breaks a pledge(2). */
    bool right = getsid(0) == getpid() && demit_os_detach_finish(&detach) == 0 && getsid(0) == getpid();
    for (int fd = 0; fd <= 2; fd++) {
        right = right && fstat(fd, &about) == 0 && stat("/dev/null", &null_device) == 0 &&
                about.st_rdev == null_device.st_rdev;
    }
    (void)usleep(50000); /* the parent is gone by now, and this one lives on */
    (void)!write(mark_fd, right ? "R" : "W", 1);
    _exit(42);
}

static void test_the_parent_exits_with_the_childs_code(void **state)
{
    (void)state;
    assert_int_equal(code_of(dies_early), 78);
    assert_int_equal(code_of(is_killed_early), 71);
}

static void test_the_parent_exits_0_when_the_child_is_ready(void **state)
{
    (void)state;
    int ends[2];
    char mark = 0;
    assert_int_equal(pipe(ends), 0);
    mark_fd = ends[1];
    assert_int_equal(code_of(becomes_ready), 0);
    (void)close(ends[1]);
    assert_int_equal(read(ends[0], &mark, 1), 1);
    assert_int_equal(mark, 'R');
    (void)close(ends[0]);
}

/* ---- limits ---- */

static void limits_body(void)
{
    struct rlimit small = {64, 128}, now;
    uint32_t granted = 0;
    CHECK(setrlimit(RLIMIT_NOFILE, &small) == 0);
    CHECK(demit_os_limit_descriptors(32, &granted) == 0 && granted == 64); /* never lowered */
    CHECK(demit_os_limit_descriptors(100, &granted) == 0 && granted == 100);
    CHECK(setuid(STRANGER) == 0);
    CHECK(demit_os_limit_descriptors(5000, &granted) == 0 && granted == 128); /* as far as the host allows */
    CHECK(getrlimit(RLIMIT_NOFILE, &now) == 0 && now.rlim_cur == 128);
    CHECK(demit_os_protect_memory() == 0);
    CHECK(getrlimit(RLIMIT_CORE, &now) == 0 && now.rlim_cur == 0 && now.rlim_max == 0);
    check_own_memory_is_closed();
}

static void test_limits_and_memory(void **state)
{
    (void)state;
    in_child(limits_body, NULL);
}

/* ---- signals ---- */

static char next_byte(int fd)
{
    char byte = 0;
    return read(fd, &byte, 1) == 1 ? byte : '\0';
}

static void signals_body(void)
{
    int fd = -1;
    CHECK(demit_os_signals(&fd) == 0);
    CHECK(raise(SIGHUP) == 0 && next_byte(fd) == '\0' && errno == EAGAIN); /* a loop must not block on it */
    CHECK(demit_os_hear_signals() == 0 && next_byte(fd) == 'H');           /* it has waited */
    CHECK(raise(SIGHUP) == 0 && next_byte(fd) == 'H');
    CHECK(raise(SIGUSR1) == 0 && next_byte(fd) == 'U');
    CHECK(raise(SIGTERM) == 0 && next_byte(fd) == 'T');
    CHECK(raise(SIGINT) == 0 && next_byte(fd) == 'T');
    for (int i = 0; i < 100000; i++) {
        CHECK(raise(SIGHUP) == 0); /* a full pipe must not stop the process */
    }
    CHECK(next_byte(fd) == 'H' && (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
}

static void test_signals_become_bytes(void **state)
{
    (void)state;
    in_child(signals_body, NULL);
}

/* ---- supervisor ---- */

static int listen_for_notices(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(name);
    memcpy(address.sun_path, name, length);
    if (name[0] == '@') {
        address.sun_path[0] = '\0';
    }
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    CHECK(fd >= 0);
    CHECK(bind(fd, (const struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)) ==
          0);
    return fd;
}

static void notice_arrives(const char *name)
{
    char text[64] = "";
    int fd = listen_for_notices(name);
    CHECK(setenv("NOTIFY_SOCKET", name, 1) == 0);
    CHECK(demit_os_notify_open() == 0);
    demit_os_notify("READY=1");
    CHECK(recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT) == 7 && strcmp(text, "READY=1") == 0);
    (void)close(fd);
    demit_os_notify("STOPPING=1"); /* a supervisor that is gone is nobody's fault */
}

static void notify_path_body(void)
{
    notice_arrives(inside("notify"));
}

static void notify_abstract_body(void)
{
    char name[64];
    need_abstract_sockets();
    (void)snprintf(name, sizeof(name), "@demit-contract-%ld", (long)getpid());
    notice_arrives(name);
}

static void notify_refused_body(void)
{
    char too_long[256];
    demit_os_notify("READY=1"); /* without a supervisor: nothing */
    CHECK(unsetenv("NOTIFY_SOCKET") == 0 && demit_os_notify_open() == 0);
    CHECK(setenv("NOTIFY_SOCKET", "", 1) == 0 && demit_os_notify_open() == 0);
    CHECK(setenv("NOTIFY_SOCKET", "relative", 1) == 0 && demit_os_notify_open() == EAFNOSUPPORT);
    CHECK(setenv("NOTIFY_SOCKET", "/", 1) == 0 && demit_os_notify_open() == EINVAL);
    CHECK(setenv("NOTIFY_SOCKET", inside("nobody"), 1) == 0 && demit_os_notify_open() == ENOENT);
    memset(too_long, 'x', sizeof(too_long) - 1);
    too_long[0] = '/';
    too_long[sizeof(too_long) - 1] = '\0';
    CHECK(setenv("NOTIFY_SOCKET", too_long, 1) == 0 && demit_os_notify_open() == ENAMETOOLONG);
}

static void test_the_supervisor_is_told(void **state)
{
    (void)state;
    in_child(notify_path_body, NULL);
    in_child(notify_refused_body, NULL);
}

static void test_the_supervisor_is_told_without_a_file(void **state)
{
    (void)state;
    in_child(notify_abstract_body, NULL);
}

static void syslog_body(void)
{
    demit_os_syslog_open();
    for (int level = -1; level <= 9; level++) {
        demit_os_syslog(level, "a line with a %s and a %n"); /* no format */
    }
}

static void test_syslog_takes_any_line(void **state)
{
    (void)state;
    in_child(syslog_body, NULL);
}

/* ---- peers ---- */

static void test_the_peer_of_a_socket_is_known(void **state)
{
    (void)state;
    int pair[2];
    demit_peer_t peer = {0};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_int_equal(demit_os_peer(pair[0], &peer), 0);
    assert_int_equal(peer.uid, geteuid());
    assert_int_equal(peer.gid, getegid());
    assert_true(peer.pid == 0 || peer.pid == getpid());
    (void)close(pair[0]);
    (void)close(pair[1]);
    int alone = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_not_equal(demit_os_peer(alone, &peer), 0);
    (void)close(alone);
    assert_int_equal(demit_os_peer(-1, &peer), EBADF);
}

/* ---- clock, processors, names ---- */

static void test_small_things(void **state)
{
    (void)state;
    int64_t before = demit_os_monotonic_us();
    (void)usleep(2000);
    assert_true(demit_os_monotonic_us() >= before + 2000);
    assert_in_range(demit_os_processors(), 1, 65536);
    demit_os_name_thread("contract");
    demit_os_name_thread("a name that is longer than any kernel keeps");
}

/* ---- the frame ---- */

static int set_up(void **state)
{
    (void)state;
    make_private_directory(directory, sizeof(directory));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    remove_directory(directory);
    return 0;
}

#define WITH_DIRECTORY(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_tidy_process_has_nothing_inherited),
        cmocka_unit_test(test_the_terminal_is_not_controlled),
        cmocka_unit_test(test_the_parent_exits_with_the_childs_code),
        cmocka_unit_test(test_the_parent_exits_0_when_the_child_is_ready),
        cmocka_unit_test(test_limits_and_memory),
        cmocka_unit_test(test_signals_become_bytes),
        WITH_DIRECTORY(test_the_supervisor_is_told),
        cmocka_unit_test(test_the_supervisor_is_told_without_a_file),
        cmocka_unit_test(test_syslog_takes_any_line),
        cmocka_unit_test(test_the_peer_of_a_socket_is_known),
        cmocka_unit_test(test_small_things),
    };
    if (geteuid() != 0) {
        (void)puts("skipped: what root opens and makes takes root");
        return 77;
    }
    return cmocka_run_group_tests_name("contract: process", tests, NULL, NULL);
}
