/* The rest of os.h: a tidy process, detaching, limits, the pid file, directories, signals, the supervisor, files. */
#include "tests/contract/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
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

static void make_file(const char *path, const char *text)
{
    int fd = open(path, O_CREAT | O_WRONLY | O_EXCL, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    (void)close(fd);
}

static void assert_file_says(const char *path, const char *text)
{
    char found[64] = "";
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    assert_true(read(fd, found, sizeof(found) - 1) >= 0);
    (void)close(fd);
    assert_string_equal(found, text);
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
    CHECK(ioctl(0, TIOCSTI, "x") != 0);
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
    CHECK(terminal >= 0 && ioctl(terminal, TIOCSCTTY, 0) == 0);
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
    CHECK(setresuid(STRANGER, STRANGER, STRANGER) == 0);
    CHECK(demit_os_limit_descriptors(5000, &granted) == 0 && granted == 128); /* as far as the host allows */
    CHECK(getrlimit(RLIMIT_NOFILE, &now) == 0 && now.rlim_cur == 128);
    CHECK(demit_os_protect_memory() == 0);
    CHECK(getrlimit(RLIMIT_CORE, &now) == 0 && now.rlim_cur == 0 && now.rlim_max == 0);
    CHECK(open("/proc/self/mem", O_RDONLY) < 0); /* not even one's own: nobody's with this uid */
}

static void test_limits_and_memory(void **state)
{
    (void)state;
    in_child(limits_body, NULL);
}

/* ---- pid file ---- */

static int try_pid_file(const char *path, demit_os_error_t *error)
{
    demit_os_pid_file_t file;
    demit_os_error_t beforehand = {0};
    *error = (demit_os_error_t){0};
    int looked = demit_os_pid_file_look(path, &beforehand);
    int code = demit_os_pid_file(path, &file, error);
    assert_true((code == 0) == (file.number_fd >= 0) && (code == 0) == (file.lock_fd >= 0));
    assert_true(code == 0 || (strcmp(error->step, "pidfile") == 0 && strstr(error->text, path) != NULL));
    /* The look beforehand refuses what the start refuses, and nothing else. */
    assert_int_equal(looked, code);
    assert_string_equal(beforehand.text, error->text);
    demit_os_pid_file_close(&file);
    return code;
}

static void second_pid_file_body(void)
{
    demit_os_error_t error = {0};
    demit_os_pid_file_t file;
    char holder[24];
    CHECK(demit_os_pid_file_look(inside("pid"), &error) == 0);
    CHECK(demit_os_pid_file(inside("pid"), &file, &error) == EWOULDBLOCK && error.code == EWOULDBLOCK);
    CHECK(file.number_fd == -1 && file.lock_fd == -1);
    (void)snprintf(holder, sizeof(holder), "pid %ld)", (long)getppid());
    CHECK_HOLDS(error.text, holder);
}

static void test_the_pid_file_is_written_locked_and_then_only_read(void **state)
{
    (void)state;
    demit_os_error_t error = {0};
    struct stat about;
    demit_os_pid_file_t file;
    char expected[24];
    make_file(inside("pid"), "4711 and more than the new one\n");
    make_file(inside("pid.new"), "what a start that was cut off has left\n");
    assert_int_equal(demit_os_pid_file(inside("pid"), &file, &error), 0);
    const int fd = file.number_fd;
    /* First of all, because where locks belong to processes one that closes the file once more gives its lock up. */
    in_child(second_pid_file_body, NULL);
    (void)snprintf(expected, sizeof(expected), "%ld\n", (long)getpid());
    assert_file_says(inside("pid"), expected);
    assert_int_equal(fstat(fd, &about), 0);
    assert_int_equal(about.st_mode & 07777, 0644);
    assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    /* Who takes the process over after the drop cannot put another number there for root's scripts to kill. */
    assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
    assert_int_equal(pwrite(fd, "1\n", 2, 0), -1);
    assert_int_equal(ftruncate(fd, 0), -1);
    assert_int_equal(fstat(file.lock_fd, &about), 0);
    assert_int_equal(about.st_mode & 07777, 0600);
    assert_int_equal(fcntl(file.lock_fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    demit_os_pid_file_close(&file);
    assert_int_not_equal(access(inside("pid.new"), F_OK), 0);
    assert_int_equal(try_pid_file(inside("pid"), &error), 0);
}

/* Holds whatever of the pid file an ordinary user can get hold of: a lock of either kind. */
static void outsider_body(void)
{
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
    CHECK(setresgid(STRANGER, STRANGER, STRANGER) == 0 && setresuid(STRANGER, STRANGER, STRANGER) == 0);
    int fd = open(inside("pid"), O_RDONLY);
    CHECK(fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 && fcntl(fd, F_SETLK, &lock) == 0);
    CHECK(open(inside("pid.lock"), O_RDONLY) < 0 && errno == EACCES);
}

static void start_beside_the_outsider(pid_t outsider)
{
    (void)outsider;
    demit_os_error_t error;
    assert_int_equal(try_pid_file(inside("pid"), &error), 0);
}

/* Everybody may read the pid file, and a lock takes no more. */
static void test_nobody_else_can_block_a_start(void **state)
{
    (void)state;
    demit_os_error_t error;
    assert_int_equal(chmod(directory, 0755), 0);
    assert_int_equal(try_pid_file(inside("pid"), &error), 0);
    in_child(outsider_body, start_beside_the_outsider);
    /* On many systems whoever can name a file can give it one more name. */
    assert_int_equal(link(inside("pid"), inside("theirs")), 0);
    assert_int_equal(try_pid_file(inside("pid"), &error), 0);
}

/* The lock's file, where others can open it or could have put it there. */
static void test_a_lock_that_others_could_hold_is_refused(void **state)
{
    (void)state;
    demit_os_error_t error;
    make_file(inside("readable.lock"), "");
    make_file(inside("foreign.lock"), "");
    assert_int_equal(chmod(inside("foreign.lock"), 0600), 0);
    assert_int_equal(chown(inside("foreign.lock"), STRANGER, STRANGER), 0);
    assert_int_equal(mkfifo(inside("fifo.lock"), 0600), 0);
    make_file(inside("precious"), "precious");
    assert_int_equal(symlink(inside("precious"), inside("link.lock")), 0);
    static const char *const names[] = {"readable", "foreign", "fifo"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        assert_int_not_equal(try_pid_file(inside(names[i]), &error), 0);
        assert_int_not_equal(access(inside(names[i]), F_OK), 0);
        assert_non_null(strstr(error.text, "remove it"));
    }
    demit_os_pid_file_t file;
    assert_int_not_equal(demit_os_pid_file_look(inside("link"), &error), 0);
    assert_int_not_equal(demit_os_pid_file(inside("link"), &file, &error), 0);
    assert_file_says(inside("precious"), "precious");
}

static void test_a_planted_pid_file_changes_nothing(void **state)
{
    (void)state;
    demit_os_error_t error;
    make_file(inside("precious"), "precious");
    assert_int_equal(symlink(inside("precious"), inside("link")), 0);
    assert_int_equal(link(inside("precious"), inside("hard")), 0);
    assert_int_equal(link(inside("precious"), inside("hard.new")), 0);
    assert_int_equal(symlink(inside("new"), inside("dangling")), 0);
    assert_int_equal(mkfifo(inside("fifo"), 0644), 0);
    assert_int_equal(mkdir(inside("sub"), 0755), 0);
    make_file(inside("foreign"), "x");
    assert_int_equal(chown(inside("foreign"), STRANGER, STRANGER), 0);
    static const char *const planted[] = {"link", "dangling", "fifo", "sub", "foreign"};
    for (size_t i = 0; i < sizeof(planted) / sizeof(planted[0]); i++) {
        assert_int_not_equal(try_pid_file(inside(planted[i]), &error), 0);
    }
    assert_int_equal(try_pid_file(inside("hard"), &error), 0); /* another file takes its place */
    assert_file_says(inside("precious"), "precious");
    assert_int_not_equal(access(inside("new"), F_OK), 0);
    assert_int_not_equal(try_pid_file("relative", &error), 0);
    assert_int_not_equal(try_pid_file(inside("sub/.."), &error), 0);
    assert_int_not_equal(try_pid_file(inside("missing/pid"), &error), 0);
}

/* Directories in which somebody else could have planted something, by mode or by owner, anywhere on the way. */
static void make_untrusted(void)
{
    assert_int_equal(mkdir(inside("open"), 0755), 0);
    assert_int_equal(chmod(inside("open"), 01777), 0);
    assert_int_equal(mkdir(inside("open/below"), 0755), 0);
    assert_int_equal(mkdir(inside("group"), 0755), 0);
    assert_int_equal(chmod(inside("group"), 0775), 0);
    assert_int_equal(mkdir(inside("theirs"), 0755), 0);
    assert_int_equal(chown(inside("theirs"), STRANGER, STRANGER), 0);
    assert_int_equal(mkdir(inside("theirs/below"), 0755), 0);
    assert_int_equal(symlink(inside("theirs"), inside("to-theirs")), 0);
    assert_int_equal(symlink("loop", inside("loop")), 0);
}

static const char *const untrusted[] = {"open/x",         "open/below/x", "group/x", "theirs/x",
                                        "theirs/below/x", "to-theirs/x",  "loop/x"};

static void test_no_pid_file_where_others_can_write(void **state)
{
    (void)state;
    make_untrusted();
    for (size_t i = 0; i < sizeof(untrusted) / sizeof(untrusted[0]); i++) {
        demit_os_error_t error;
        assert_int_not_equal(try_pid_file(inside(untrusted[i]), &error), 0);
        assert_int_not_equal(access(inside(untrusted[i]), F_OK), 0);
    }
}

static void test_a_link_of_roots_own_is_followed_on_the_way(void **state)
{
    (void)state;
    demit_os_error_t error;
    assert_int_equal(mkdir(inside("real"), 0755), 0);
    assert_int_equal(symlink("real", inside("relative")), 0);
    assert_int_equal(symlink(inside("real"), inside("absolute")), 0);
    assert_int_equal(try_pid_file(inside("relative/one"), &error), 0);
    assert_int_equal(try_pid_file(inside("absolute/two"), &error), 0);
    assert_int_equal(access(inside("real/one"), F_OK) | access(inside("real/two"), F_OK), 0);
}

static void ordinary_pid_file_body(void)
{
    demit_os_error_t error = {0};
    demit_os_pid_file_t file;
    CHECK(setresgid(STRANGER, STRANGER, STRANGER) == 0 && setresuid(STRANGER, STRANGER, STRANGER) == 0);
    CHECK(demit_os_pid_file(inside("theirs/pid"), &file, &error) == 0);
    CHECK(demit_os_make_directory(NULL, inside("theirs/spool"), 0700, STRANGER, STRANGER, &error) == 0);
    CHECK(demit_os_pid_file("/tmp/demit-contract-pid", &file, &error) != 0);
    CHECK_HOLDS(error.text, "root or oneself");
    CHECK(demit_os_pid_file_look(inside("roots"), &error) == EACCES);
    CHECK(demit_os_pid_file(inside("roots"), &file, &error) == EACCES);
    CHECK(demit_os_make_directory(NULL, inside("group/x"), 0700, STRANGER, STRANGER, &error) != 0);
}

static void test_an_ordinary_user_trusts_himself_and_root(void **state)
{
    (void)state;
    make_untrusted();
    assert_int_equal(chmod(directory, 0755), 0);
    in_child(ordinary_pid_file_body, NULL);
}

/* ---- directories ---- */

static void test_a_directory_is_made_for_the_service_user(void **state)
{
    (void)state;
    demit_os_error_t error = {0};
    struct stat about;
    mode_t old = umask(077);
    assert_int_equal(demit_os_make_directory(NULL, inside("spool"), 0750, STRANGER, STRANGER, &error), 0);
    (void)umask(old);
    assert_int_equal(stat(inside("spool"), &about), 0);
    assert_int_equal(about.st_mode & 07777, 0750);
    assert_int_equal(about.st_uid, STRANGER);
    assert_int_equal(about.st_gid, STRANGER);
    /* One that exists keeps its owner and mode. */
    assert_int_equal(demit_os_make_directory(NULL, inside("spool"), 0700, 0, 0, &error), 0);
    assert_int_equal(stat(inside("spool"), &about), 0);
    assert_int_equal(about.st_mode & 07777, 0750);
    assert_int_equal(about.st_uid, STRANGER);
}

static void test_no_directory_where_others_can_write(void **state)
{
    (void)state;
    make_untrusted();
    for (size_t i = 0; i < sizeof(untrusted) / sizeof(untrusted[0]); i++) {
        demit_os_error_t error = {0};
        assert_int_not_equal(demit_os_make_directory(NULL, inside(untrusted[i]), 0755, STRANGER, STRANGER, &error), 0);
        assert_non_null(strstr(error.text, inside(untrusted[i])));
        assert_int_not_equal(access(inside(untrusted[i]), F_OK), 0);
    }
    demit_os_error_t error = {0};
    make_file(inside("file"), "");
    assert_int_equal(symlink(inside("nowhere"), inside("dangling")), 0);
    assert_int_equal(demit_os_make_directory(NULL, inside("file"), 0755, 0, 0, &error), ENOTDIR);
    assert_int_equal(demit_os_make_directory(NULL, inside("dangling"), 0755, 0, 0, &error), EEXIST);
    assert_int_not_equal(access(inside("nowhere"), F_OK), 0);
}

/* Links that are harmless inside a jail and lead all over the host from outside. */
static void test_a_directory_of_a_jail_is_made_in_the_jail(void **state)
{
    (void)state;
    demit_os_error_t error = {0};
    char jail[128], target[128];
    (void)snprintf(jail, sizeof(jail), "%s", inside("jail"));
    assert_int_equal(mkdir(inside("host"), 0755) | mkdir(inside("jail"), 0755) | mkdir(inside("jail/real"), 0755), 0);
    assert_int_equal(symlink("/real", inside("jail/var")), 0);
    assert_int_equal(symlink("../../../real", inside("jail/up")), 0);
    (void)snprintf(target, sizeof(target), "%s", inside("host"));
    assert_int_equal(symlink(target, inside("jail/host")), 0);
    assert_int_equal(symlink(target, inside("jail/there")), 0);
    assert_int_equal(demit_os_make_directory(jail, "/var/one", 0700, STRANGER, STRANGER, &error), 0);
    assert_int_equal(demit_os_make_directory(jail, "/up/two", 0700, STRANGER, STRANGER, &error), 0);
    assert_int_equal(demit_os_make_directory(jail, "/../../three", 0700, STRANGER, STRANGER, &error), 0);
    assert_int_equal(access(inside("jail/real/one"), F_OK) | access(inside("jail/real/two"), F_OK), 0);
    assert_int_equal(access(inside("jail/three"), F_OK), 0);
    /* The link's target is a directory of the host's, and no directory of the jail's: it neither counts nor changes. */
    assert_int_equal(demit_os_make_directory(jail, "/host/four", 0700, STRANGER, STRANGER, &error), ENOENT);
    assert_int_not_equal(demit_os_make_directory(jail, "/there", 0700, STRANGER, STRANGER, &error), 0);
    assert_int_equal(rmdir(inside("host")), 0); /* still empty */
    /* One that is there already, below a directory of the service user's. */
    assert_int_equal(mkdir(inside("jail/theirs"), 0755) | mkdir(inside("jail/theirs/spool"), 0755), 0);
    assert_int_equal(chown(inside("jail/theirs"), STRANGER, STRANGER), 0);
    assert_int_equal(demit_os_make_directory(jail, "/theirs/spool", 0700, STRANGER, STRANGER, &error), 0);
    assert_int_not_equal(demit_os_make_directory(jail, "/theirs/new", 0700, STRANGER, STRANGER, &error), 0);
    assert_int_not_equal(demit_os_make_directory(inside("jail/theirs"), "/new", 0700, STRANGER, STRANGER, &error), 0);
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
    in_child(notify_abstract_body, NULL);
    in_child(notify_refused_body, NULL);
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
        WITH_DIRECTORY(test_the_pid_file_is_written_locked_and_then_only_read),
        WITH_DIRECTORY(test_nobody_else_can_block_a_start),
        WITH_DIRECTORY(test_a_lock_that_others_could_hold_is_refused),
        WITH_DIRECTORY(test_a_planted_pid_file_changes_nothing),
        WITH_DIRECTORY(test_no_pid_file_where_others_can_write),
        WITH_DIRECTORY(test_a_link_of_roots_own_is_followed_on_the_way),
        WITH_DIRECTORY(test_an_ordinary_user_trusts_himself_and_root),
        WITH_DIRECTORY(test_a_directory_is_made_for_the_service_user),
        WITH_DIRECTORY(test_no_directory_where_others_can_write),
        WITH_DIRECTORY(test_a_directory_of_a_jail_is_made_in_the_jail),
        cmocka_unit_test(test_signals_become_bytes),
        WITH_DIRECTORY(test_the_supervisor_is_told),
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
