/* Files: opening below a directory, writing many parts, syncing. Takes no privilege. */
#include "tests/contract/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/posix/backend.h"

typedef int (*open_below_t)(int directory_fd, const char *relative, int flags, mode_t mode, int *fd);

static char base[64];
static int base_fd = -1;

static const char *inside(const char *name)
{
    static char path[2][128];
    static size_t next;
    char *chosen = path[next++ % 2];
    (void)snprintf(chosen, sizeof(path[0]), "%s/%s", base, name);
    return chosen;
}

static int set_up(void **state)
{
    (void)state;
    (void)snprintf(base, sizeof(base), "/tmp/demit-files-XXXXXX");
    assert_non_null(mkdtemp(base));
    assert_int_equal(mkdir(inside("a"), 0755), 0);
    assert_int_equal(mkdir(inside("a/b"), 0755), 0);
    assert_int_equal(close(open(inside("a/b/file"), O_CREAT | O_WRONLY, 0644)), 0);
    assert_int_equal(symlink("a", inside("link")), 0);
    assert_int_equal(symlink("b/file", inside("a/link")), 0);
    assert_int_equal(symlink("/etc/passwd", inside("absolute")), 0);
    assert_int_equal(symlink("nowhere", inside("dangling")), 0);
    base_fd = open(base, O_RDONLY | O_DIRECTORY);
    assert_true(base_fd >= 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    (void)close(base_fd);
    remove_directory(base);
    return 0;
}

static int try(open_below_t open_below, const char *relative, int flags)
{
    int fd = -1;
    int code = open_below(base_fd, relative, flags, 0640, &fd);
    if (code == 0) {
        assert_true(fd >= 0);
        assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
        (void)close(fd);
    }
    return code;
}

static void opens_below(open_below_t open_below)
{
    struct stat about;
    mode_t old = umask(0);
    assert_int_equal(try(open_below, "a/b/file", O_RDONLY), 0);
    assert_int_equal(try(open_below, "a//b///file", O_RDONLY), 0);
    assert_int_equal(try(open_below, "./a/./b/file", O_RDONLY), 0);
    assert_int_equal(try(open_below, "a/b", O_RDONLY | O_DIRECTORY), 0);
    assert_int_equal(try(open_below, "a/b/", O_RDONLY), 0);
    assert_int_equal(try(open_below, "a/b/new", O_CREAT | O_EXCL | O_WRONLY), 0);
    assert_int_equal(stat(inside("a/b/new"), &about), 0);
    assert_int_equal(about.st_mode & 07777, 0640);
    (void)umask(old);
    assert_int_equal(try(open_below, "a/b/new", O_CREAT | O_EXCL | O_WRONLY), EEXIST);
    assert_int_equal(try(open_below, "link", O_RDONLY), ELOOP);
    assert_int_equal(try(open_below, "link/b/file", O_RDONLY), ELOOP);
    assert_int_equal(try(open_below, "link", O_RDONLY | O_DIRECTORY), ELOOP);
    assert_int_equal(try(open_below, "a/link", O_RDONLY), ELOOP);
    assert_int_equal(try(open_below, "absolute", O_RDONLY), ELOOP);
    assert_int_equal(try(open_below, "absolute", O_CREAT | O_WRONLY), ELOOP);
    assert_int_equal(try(open_below, "dangling", O_CREAT | O_WRONLY), ELOOP);
    assert_int_not_equal(access(inside("nowhere"), F_OK), 0);
    assert_int_equal(try(open_below, "missing", O_RDONLY), ENOENT);
    assert_int_equal(try(open_below, "a/missing/file", O_RDONLY), ENOENT);
    assert_int_equal(try(open_below, "a/b/file/more", O_RDONLY), ENOTDIR);
    assert_int_equal(try(open_below, "a/b/file/", O_RDONLY), ENOTDIR);
    assert_int_equal(try(open_below, "a/b/file", O_RDONLY | O_DIRECTORY), ENOTDIR);
}

static void test_opens_below(void **state)
{
    (void)state;
    opens_below(demit_os_open_below);
}

static void test_the_walk_opens_below_alike(void **state)
{
    (void)state;
    opens_below(os_open_below_by_walk);
}

static void test_nothing_leads_outside(void **state)
{
    (void)state;
    static const char *const bad[] = {"",     "/",         "/etc/passwd", "..",          "../x", "a/../x",  "a/b/..",
                                      "a/..", "a/../../x", "../../",      "a//..//..//", "./..", "link/..", "..//etc"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(try(demit_os_open_below, bad[i], O_RDONLY), EINVAL);
        assert_int_equal(try(demit_os_open_below, bad[i], O_CREAT | O_WRONLY), EINVAL);
    }
    /* Names that only look like it. */
    assert_int_equal(try(demit_os_open_below, "..a", O_RDONLY), ENOENT);
    assert_int_equal(try(demit_os_open_below, "a/...", O_RDONLY), ENOENT);
    char too_long[400];
    memset(too_long, 'x', sizeof(too_long) - 1);
    too_long[sizeof(too_long) - 1] = '\0';
    assert_int_equal(try(demit_os_open_below, too_long, O_RDONLY), ENAMETOOLONG);
    assert_int_equal(try(os_open_below_by_walk, too_long, O_RDONLY), ENAMETOOLONG);
}

static size_t open_descriptors(void)
{
    size_t count = 0;
    for (int fd = 0; fd < 256; fd++) {
        count += fcntl(fd, F_GETFD) >= 0;
    }
    return count;
}

static void test_the_walk_leaves_nothing_open(void **state)
{
    (void)state;
    size_t before = open_descriptors();
    assert_int_equal(try(os_open_below_by_walk, "a/b/file", O_RDONLY), 0);
    assert_int_equal(try(os_open_below_by_walk, "a/b/missing/x", O_RDONLY), ENOENT);
    assert_int_equal(try(os_open_below_by_walk, "a/link/x", O_RDONLY), ELOOP);
    assert_int_equal(open_descriptors(), before);
}

/* ---- writing: a kernel that writes as little as the test wants ---- */

static size_t write_at_most; /* 0: no limit */
static int interruptions, error_to_give;
static size_t writes;

ssize_t __real_pwritev(int fd, const struct iovec *parts, int count, off_t offset);
ssize_t __wrap_pwritev(int fd, const struct iovec *parts, int count, off_t offset);
ssize_t __wrap_pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
    writes++;
    if (interruptions > 0) {
        interruptions--;
        errno = EINTR;
        return -1;
    }
    if (error_to_give != 0) {
        errno = error_to_give;
        return -1;
    }
    if (write_at_most == 0) {
        return __real_pwritev(fd, parts, count, offset);
    }
    size_t want = parts[0].iov_len < write_at_most ? parts[0].iov_len : write_at_most;
    return pwrite(fd, parts[0].iov_base, want, offset);
}

static void write_and_compare(int count, size_t limit)
{
    enum { PARTS_MAX = 2500, BYTES_MAX = 16384, OFFSET = 4096 };
    static struct iovec parts[PARTS_MAX];
    static char bytes[BYTES_MAX], found[BYTES_MAX];
    size_t total = 0;
    for (int i = 0; i < count; i++) {
        size_t length = (size_t)i % 7; /* empty ones, too */
        for (size_t j = 0; j < length; j++) {
            bytes[total + j] = (char)('a' + (total + j) % 23);
        }
        parts[i] = (struct iovec){bytes + total, length};
        total += length;
    }
    int fd = open(inside("written"), O_CREAT | O_TRUNC | O_RDWR, 0644);
    assert_true(fd >= 0);
    write_at_most = limit;
    assert_int_equal(demit_os_pwritev(fd, parts, count, OFFSET), 0);
    write_at_most = 0;
    assert_int_equal(pread(fd, found, sizeof(found), OFFSET), total);
    assert_memory_equal(found, bytes, total);
    assert_int_equal(demit_os_datasync(fd), 0);
    (void)close(fd);
}

static void test_everything_is_written(void **state)
{
    (void)state;
    static const int counts[] = {0, 1, 2, 7, 8, 1023, 1024, 1025, 2500};
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        for (size_t limit = 0; limit <= 4; limit++) {
            write_and_compare(counts[i], limit);
        }
        interruptions = 3;
        write_and_compare(counts[i], 0);
        interruptions = 0;
    }
}

static void test_one_call_is_enough_for_a_batch(void **state)
{
    (void)state;
    writes = 0;
    write_and_compare(1000, 0);
    assert_int_equal(writes, 1);
}

static void test_a_failed_write_is_told(void **state)
{
    (void)state;
    char byte = 'x';
    const struct iovec part = {&byte, 1};
    static const int codes[] = {ENOSPC, EIO, EDQUOT, EBADF};
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        error_to_give = codes[i];
        assert_int_equal(demit_os_pwritev(base_fd, &part, 1, 0), codes[i]);
    }
    error_to_give = 0;
    assert_int_equal(demit_os_pwritev(-1, &part, 1, 0), EBADF);
    assert_int_equal(demit_os_datasync(-1), EBADF);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_opens_below, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_walk_opens_below_alike, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nothing_leads_outside, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_walk_leaves_nothing_open, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_everything_is_written, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_one_call_is_enough_for_a_batch, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_failed_write_is_told, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("contract: files", tests, NULL, NULL);
}
