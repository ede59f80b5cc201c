/* What root makes on the way: the pid file, and directories that are missing. */
#include "tests/contract/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[64];

static const char *inside(const char *name)
{
    static char path[4][384];
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
    (void)snprintf(holder, sizeof(holder), "pid %ld, ", (long)getppid());
    CHECK_HOLDS(error.text, holder);
    CHECK_HOLDS(error.text, "perhaps a child of it");
    /* Whoever took the file away would have two demitds then. */
    CHECK(chmod(inside("pid.lock"), 0644) == 0);
    CHECK(demit_os_pid_file_look(inside("pid"), &error) != 0 && strstr(error.text, "remove") == NULL);
    CHECK(demit_os_pid_file(inside("pid"), &file, &error) == EWOULDBLOCK);
    CHECK_HOLDS(error.text, "mode 0644");
    CHECK(strstr(error.text, "remove") == NULL);
    CHECK(chmod(inside("pid.lock"), 0600) == 0);
}

/* Who takes the process over writes nothing: not another number, nor the file system full. */
static void check_lock(int fd)
{
    struct stat about;
    assert_int_equal(fstat(fd, &about), 0);
    assert_int_equal(about.st_mode & 07777, 0600);
    assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    /* Locks of Oracle's Solaris, which has no flock(3C), want a descriptor that can write. */
    const int mode = fcntl(fd, F_GETFL) & O_ACCMODE;
    assert_true(mode == O_RDONLY || (backend_is("solaris") && mode == O_RDWR));
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
    check_lock(file.lock_fd);
    demit_os_pid_file_close(&file);
    assert_int_not_equal(access(inside("pid.new"), F_OK), 0);
    assert_int_equal(try_pid_file(inside("pid"), &error), 0);
}

/* Holds whatever of the pid file an ordinary user can get hold of: a lock of either kind. */
static void outsider_body(void)
{
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
    CHECK(setgid(STRANGER) == 0 && setuid(STRANGER) == 0);
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
        assert_non_null(strstr(error.text, i == 0 ? "chmod 0600 it" : "remove it"));
    }
    demit_os_pid_file_t file;
    assert_int_not_equal(demit_os_pid_file_look(inside("link"), &error), 0);
    assert_int_not_equal(demit_os_pid_file(inside("link"), &file, &error), 0);
    assert_file_says(inside("precious"), "precious");
}

/* What would go wrong only once the start is under way. */
static void test_no_room_for_the_files_beside_the_pid_file(void **state)
{
    (void)state;
    demit_os_error_t error;
    char name[256];
    memset(name, 'n', sizeof(name) - 1);
    name[250] = '\0';
    assert_int_equal(try_pid_file(inside(name), &error), 0);
    name[250] = 'n';
    name[252] = '\0';
    assert_int_equal(try_pid_file(inside(name), &error), ENAMETOOLONG);
    assert_int_equal(mkdir(inside("pid.new"), 0700), 0);
    assert_int_not_equal(try_pid_file(inside("pid"), &error), 0);
    assert_non_null(strstr(error.text, "pid.new\" is a directory; remove it"));
    assert_int_equal(access(inside("pid.lock"), F_OK) | access(inside("pid"), F_OK), -1);
    assert_int_equal(rmdir(inside("pid.new")), 0);
    assert_int_equal(try_pid_file(inside("pid"), &error), 0);
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
    CHECK(setgid(STRANGER) == 0 && setuid(STRANGER) == 0);
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
    char root[128], target[128];
    (void)snprintf(root, sizeof(root), "%s", inside("jail"));
    assert_int_equal(mkdir(inside("host"), 0755) | mkdir(inside("jail"), 0755) | mkdir(inside("jail/real"), 0755), 0);
    assert_int_equal(symlink("/real", inside("jail/var")), 0);
    assert_int_equal(symlink("../../../real", inside("jail/up")), 0);
    (void)snprintf(target, sizeof(target), "%s", inside("host"));
    assert_int_equal(symlink(target, inside("jail/host")), 0);
    assert_int_equal(symlink(target, inside("jail/there")), 0);
    assert_int_equal(demit_os_make_directory(root, "/var/one", 0700, STRANGER, STRANGER, &error), 0);
    assert_int_equal(demit_os_make_directory(root, "/up/two", 0700, STRANGER, STRANGER, &error), 0);
    assert_int_equal(demit_os_make_directory(root, "/../../three", 0700, STRANGER, STRANGER, &error), 0);
    assert_int_equal(access(inside("jail/real/one"), F_OK) | access(inside("jail/real/two"), F_OK), 0);
    assert_int_equal(access(inside("jail/three"), F_OK), 0);
    /* The link's target is a directory of the host's, and no directory of the jail's: it neither counts nor changes. */
    assert_int_equal(demit_os_make_directory(root, "/host/four", 0700, STRANGER, STRANGER, &error), ENOENT);
    assert_int_not_equal(demit_os_make_directory(root, "/there", 0700, STRANGER, STRANGER, &error), 0);
    assert_int_equal(rmdir(inside("host")), 0); /* still empty */
    /* One that is there already, below a directory of the service user's. */
    assert_int_equal(mkdir(inside("jail/theirs"), 0755) | mkdir(inside("jail/theirs/spool"), 0755), 0);
    assert_int_equal(chown(inside("jail/theirs"), STRANGER, STRANGER), 0);
    assert_int_equal(demit_os_make_directory(root, "/theirs/spool", 0700, STRANGER, STRANGER, &error), 0);
    assert_int_not_equal(demit_os_make_directory(root, "/theirs/new", 0700, STRANGER, STRANGER, &error), 0);
    assert_int_not_equal(demit_os_make_directory(inside("jail/theirs"), "/new", 0700, STRANGER, STRANGER, &error), 0);
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
        WITH_DIRECTORY(test_the_pid_file_is_written_locked_and_then_only_read),
        WITH_DIRECTORY(test_nobody_else_can_block_a_start),
        WITH_DIRECTORY(test_a_lock_that_others_could_hold_is_refused),
        WITH_DIRECTORY(test_no_room_for_the_files_beside_the_pid_file),
        WITH_DIRECTORY(test_a_planted_pid_file_changes_nothing),
        WITH_DIRECTORY(test_no_pid_file_where_others_can_write),
        WITH_DIRECTORY(test_a_link_of_roots_own_is_followed_on_the_way),
        WITH_DIRECTORY(test_an_ordinary_user_trusts_himself_and_root),
        WITH_DIRECTORY(test_a_directory_is_made_for_the_service_user),
        WITH_DIRECTORY(test_no_directory_where_others_can_write),
        WITH_DIRECTORY(test_a_directory_of_a_jail_is_made_in_the_jail),
    };
    if (geteuid() != 0) {
        (void)puts("skipped: what root opens and makes takes root");
        return 77;
    }
    return cmocka_run_group_tests_name("contract: pid file", tests, NULL, NULL);
}
