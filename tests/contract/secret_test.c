/* Keys: what is read, what is refused and why, and what becomes of the memory. Root only. */
#include "tests/contract/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const char key[] = "-----BEGIN PRIVATE KEY-----\n";
static char directory[64];

static const char *inside(const char *name)
{
    static char path[2][128];
    static size_t next;
    char *chosen = path[next++ % 2];
    (void)snprintf(chosen, sizeof(path[0]), "%s/%s", directory, name);
    return chosen;
}

static int set_up(void **state)
{
    (void)state;
    make_private_directory(directory, sizeof(directory));
    return chmod(directory, 0755);
}

static int tear_down(void **state)
{
    (void)state;
    remove_directory(directory);
    return 0;
}

static const char *make_key(const char *name, mode_t mode, uid_t owner)
{
    const char *path = inside(name);
    int fd = open(path, O_CREAT | O_WRONLY | O_EXCL, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, key, strlen(key)), strlen(key));
    assert_int_equal(fchown(fd, owner, owner) | fchmod(fd, mode) | close(fd), 0);
    return path;
}

static void refused(const char *path, const char *says)
{
    demit_os_secret_t *secret = NULL;
    demit_os_error_t error = {0};
    assert_int_not_equal(demit_os_secret_read(&secret, path, STRANGER, &error), 0);
    assert_null(secret);
    assert_string_equal(error.step, "key");
    assert_non_null(strstr(error.text, path));
    if (strstr(error.text, says) == NULL) {
        fail_msg("\"%s\" should hold \"%s\"", error.text, says);
    }
}

/* ---- munmap(2) as os/ calls it ---- */

static const unsigned char *watched;
static size_t watched_size, left_over;
static bool unmapped;

int __real_munmap(void *start, size_t size);
int __wrap_munmap(void *start, size_t size);

int __wrap_munmap(void *start, size_t size)
{
    if (start == watched) {
        unmapped = true;
        for (size_t i = 0; i < watched_size; i++) {
            left_over += watched[i] != 0;
        }
    }
    return __real_munmap(start, size);
}

/* ---- cases ---- */

static void test_a_key_is_read_and_wiped(void **state)
{
    (void)state;
    static const struct {
        mode_t mode;
        uid_t owner;
    } right[] = {{0400, 0}, {0600, 0}, {0400, STRANGER}, {0600, STRANGER}};
    for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++) {
        demit_os_secret_t *secret = NULL;
        demit_os_error_t error = {0};
        const char *path = make_key("key", right[i].mode, right[i].owner);
        assert_int_equal(demit_os_secret_read(&secret, path, STRANGER, &error), 0);
        watched = demit_os_secret_bytes(secret, &watched_size);
        assert_int_equal(watched_size, strlen(key));
        assert_memory_equal(watched, key, strlen(key));
        unmapped = false;
        left_over = 0;
        demit_os_secret_free(secret);
        assert_true(unmapped);
        assert_int_equal(left_over, 0);
        assert_int_equal(unlink(path), 0);
    }
    demit_os_secret_free(NULL);
}

/* The mlock() of a sanitizer says 0 and locks nothing. gcc tells of one by a macro, clang by a feature. */
#if defined(__has_feature)
#define HAS_SANITIZER (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HAS_SANITIZER 1
#else
#define HAS_SANITIZER 0
#endif
enum { SANITIZER_LOCKS_NOTHING = HAS_SANITIZER };

static void test_a_key_is_neither_dumped_nor_swapped(void **state)
{
    (void)state;
    demit_os_secret_t *secret = NULL;
    demit_os_error_t error = {0};
    bool not_dumped = false, locked = false;
    size_t size = 0;
    assert_int_equal(demit_os_secret_read(&secret, make_key("key", 0400, 0), STRANGER, &error), 0);
    bool told = look_at_mapping(demit_os_secret_bytes(secret, &size), &not_dumped, &locked);
    demit_os_secret_free(secret);
    if (!told) {
        print_message("skipped: this kernel does not tell of mappings what it dumps and what it swaps\n");
        skip();
    }
    assert_true(not_dumped);
    assert_true(SANITIZER_LOCKS_NOTHING || locked);
}

static void test_a_key_that_others_could_use_is_refused(void **state)
{
    (void)state;
    refused(make_key("public", 0644, 0), "mode 0400 or 0600 would be right");
    refused(inside("public"), "has mode 0644 and owner 0");
    refused(inside("public"), "owner 64123 if a reload is to read it");
    refused(make_key("group", 0440, 0), "has mode 0440");
    refused(make_key("writable", 0602, 0), "has mode 0602");
    refused(make_key("theirs", 0400, 1), "belongs to uid 1");
}

static void test_what_is_no_key_is_refused(void **state)
{
    (void)state;
    (void)make_key("key", 0400, 0);
    assert_int_equal(symlink("key", inside("link")) | symlink("nowhere", inside("dangling")), 0);
    assert_int_equal(mkfifo(inside("fifo"), 0400) | mkdir(inside("directory"), 0700), 0);
    assert_int_equal(close(open(inside("empty"), O_CREAT | O_WRONLY, 0400)), 0);
    (void)make_key("huge", 0400, 0);
    assert_int_equal(truncate(inside("huge"), DEMIT_SECRET_MAX_BYTES + 1), 0);
    refused(inside("link"), "it is a symbolic link");
    refused(inside("dangling"), "it is a symbolic link");
    refused(inside("fifo"), "is not a regular file");
    refused(inside("directory"), "is not a regular file");
    refused(inside("empty"), "is empty");
    refused(inside("huge"), "is larger than");
    refused(inside("missing"), "cannot be opened");
    if (access("/dev/zero", F_OK) == 0) { /* not where nothing is but this program */
        refused("/dev/zero", "is not a regular file");
    }
    refused("key", "must be an absolute path");
}

/* In a directory of somebody else's the name could lead to any file of root's. */
static void test_a_key_where_others_can_write_is_refused(void **state)
{
    (void)state;
    assert_int_equal(mkdir(inside("theirs"), 0755), 0);
    (void)make_key("theirs/key", 0400, 0);
    assert_int_equal(chown(inside("theirs"), STRANGER, STRANGER), 0);
    refused(inside("theirs/key"), "could plant a link in it");
}

#define WITH_DIRECTORY(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_DIRECTORY(test_a_key_is_read_and_wiped),
        WITH_DIRECTORY(test_a_key_is_neither_dumped_nor_swapped),
        WITH_DIRECTORY(test_a_key_that_others_could_use_is_refused),
        WITH_DIRECTORY(test_what_is_no_key_is_refused),
        WITH_DIRECTORY(test_a_key_where_others_can_write_is_refused),
    };
    if (geteuid() != 0) {
        (void)puts("skipped: files of several owners take root");
        return 77;
    }
    return cmocka_run_group_tests_name("contract: secret", tests, NULL, NULL);
}
