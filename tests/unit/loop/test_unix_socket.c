/* The name of a Unix socket: made with its mode, and never at a stranger's cost. */
#include "demit/unix_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <apr_general.h>

#include <cmocka.h>

static apr_pool_t *pool;
static char directory[64], path[96], other[96];
static char error[256];

static int setup(void **state)
{
    (void)state;
    strcpy(directory, "/tmp/demit-socket-XXXXXX");
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/control.sock", directory);
    snprintf(other, sizeof(other), "%s/other", directory);
    return apr_pool_create(&pool, NULL) == APR_SUCCESS ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    apr_pool_destroy(pool);
    unlink(path);
    unlink(other);
    return rmdir(directory);
}

static apr_status_t open_at(demit_unix_socket_t *socket, const char *where, mode_t mode)
{
    const demit_unix_socket_request_t request = {.path = where, .mode = mode, .backlog = 8};

    return demit_unix_socket_open(socket, &request, error, sizeof(error), pool);
}

static int connect_errno(const char *where)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    strncpy(address.sun_path, where, sizeof(address.sun_path) - 1);
    const int result = connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 ? 0 : errno;
    close(fd);
    return result;
}

static void leave_stale(const char *where)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    strncpy(address.sun_path, where, sizeof(address.sun_path) - 1);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 1), 0);
    close(fd);
}

static void it_has_its_mode_and_goes_when_closed(void **state)
{
    static const mode_t modes[] = {0600, 0660, 0666, 0777};
    struct stat status;
    (void)state;
    umask(077);
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        demit_unix_socket_t socket;
        assert_int_equal(open_at(&socket, path, modes[i]), APR_SUCCESS);
        assert_int_equal(lstat(path, &status), 0);
        assert_true(S_ISSOCK(status.st_mode));
        assert_int_equal(status.st_mode & 07777, modes[i]);
        assert_int_equal(connect_errno(path), 0);
        const mode_t now = umask(077);
        assert_int_equal(now, 077); /* other threads make files meanwhile */
        assert_int_equal(demit_unix_socket_set_mode(&socket, 0620, pool), APR_SUCCESS);
        assert_int_equal(lstat(path, &status), 0);
        assert_int_equal(status.st_mode & 07777, 0620);
        demit_unix_socket_close(&socket);
        demit_unix_socket_close(&socket); /* again: harmless */
        assert_int_equal(lstat(path, &status), -1);
    }
}

static void a_stale_one_is_replaced(void **state)
{
    demit_unix_socket_t socket;
    (void)state;
    leave_stale(path);
    assert_int_equal(connect_errno(path), ECONNREFUSED);
    assert_int_equal(open_at(&socket, path, 0600), APR_SUCCESS);
    assert_int_equal(connect_errno(path), 0);
    demit_unix_socket_close(&socket);
}

/* A daemon that was once run as root leaves what the same daemon as somebody else can neither try nor remove. */
static void what_root_left_is_explained(void **state)
{
    enum { STRANGER = 64123 };
    demit_unix_socket_t socket;
    struct stat status;
    (void)state;
    if (geteuid() != 0) {
        skip();
    }
    leave_stale(path);
    assert_int_equal(chmod(path, 0777) | chmod(directory, 0755), 0);
    assert_int_equal(seteuid(STRANGER), 0);
    assert_int_equal(open_at(&socket, path, 0600), EACCES);
    assert_non_null(strstr(error, "is left over from uid 0 and cannot be removed"));
    assert_int_equal(seteuid(0), 0);
    assert_int_equal(chmod(path, 0700), 0);
    assert_int_equal(seteuid(STRANGER), 0);
    assert_int_equal(open_at(&socket, path, 0600), EACCES);
    assert_non_null(strstr(error, "exists and cannot be tried"));
    assert_int_equal(seteuid(0), 0);
    assert_int_equal(lstat(path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0700);
}

static void a_live_one_stays(void **state)
{
    demit_unix_socket_t first, second;
    struct stat before, after;
    (void)state;
    assert_int_equal(open_at(&first, path, 0600), APR_SUCCESS);
    assert_int_equal(lstat(path, &before), 0);
    assert_int_equal(open_at(&second, path, 0600), EADDRINUSE);
    assert_non_null(strstr(error, "running already"));
    assert_int_equal(lstat(path, &after), 0);
    assert_int_equal(before.st_ino, after.st_ino);
    assert_int_equal(connect_errno(path), 0);
    demit_unix_socket_close(&first);
}

/* Its backlog is full: connecting says EAGAIN, which is not ECONNREFUSED. */
static void a_busy_one_stays(void **state)
{
    demit_unix_socket_t socket_;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fds[16];
    (void)state;
    const int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(listener, 0), 0);
    for (size_t i = 0; i < 16; i++) {
        fds[i] = socket(AF_UNIX, SOCK_STREAM, 0);
        fcntl(fds[i], F_SETFL, O_NONBLOCK);
        (void)connect(fds[i], (struct sockaddr *)&address, sizeof(address));
    }
    assert_int_equal(open_at(&socket_, path, 0600), EADDRINUSE);
    for (size_t i = 0; i < 16; i++) {
        close(fds[i]);
    }
    close(listener);
    assert_int_equal(access(path, F_OK), 0);
}

static void a_link_is_not_followed(void **state)
{
    demit_unix_socket_t socket;
    struct stat status;
    (void)state;
    /* To nothing, to a file, to a stale socket: nothing is made, nothing is removed. */
    assert_int_equal(symlink(other, path), 0);
    assert_int_equal(open_at(&socket, path, 0600), EEXIST);
    assert_non_null(strstr(error, "symbolic link"));
    assert_int_equal(access(other, F_OK), -1);
    leave_stale(other);
    assert_int_equal(open_at(&socket, path, 0600), EEXIST);
    assert_int_equal(lstat(other, &status), 0);
    assert_int_equal(lstat(path, &status), 0);
    assert_true(S_ISLNK(status.st_mode));
}

static void a_file_stays(void **state)
{
    demit_unix_socket_t socket;
    struct stat status;
    (void)state;
    const int fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(open_at(&socket, path, 0600), EEXIST);
    assert_non_null(strstr(error, "is a file, not a socket"));
    assert_int_equal(lstat(path, &status), 0);
    assert_true(S_ISREG(status.st_mode));
}

static void a_datagram_socket_stays(void **state)
{
    demit_unix_socket_t socket_;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)state;
    const int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_not_equal(open_at(&socket_, path, 0600), APR_SUCCESS);
    assert_int_equal(access(path, F_OK), 0);
    close(fd);
}

static void a_name_that_changed_hands_stays(void **state)
{
    demit_unix_socket_t first, second;
    (void)state;
    assert_int_equal(open_at(&first, path, 0600), APR_SUCCESS);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(open_at(&second, path, 0600), APR_SUCCESS);
    demit_unix_socket_close(&first);
    assert_int_equal(connect_errno(path), 0);
    demit_unix_socket_close(&second);
    assert_int_equal(access(path, F_OK), -1);
}

/* apr_socket_close() and the pool would unlink the path of a socket that apr_socket_bind() bound. */
static void the_pool_does_not_remove_the_name(void **state)
{
    demit_unix_socket_t socket;
    (void)state;
    assert_int_equal(open_at(&socket, path, 0600), APR_SUCCESS);
    apr_pool_clear(pool);
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(connect_errno(path), ECONNREFUSED);
}

static void impossible_paths_are_explained(void **state)
{
    demit_unix_socket_t socket;
    char long_path[256];
    (void)state;
    snprintf(long_path, sizeof(long_path), "%s/%0150d", directory, 0);
    assert_int_equal(open_at(&socket, long_path, 0600), ENAMETOOLONG);
    assert_non_null(strstr(error, "too long"));
    snprintf(long_path, sizeof(long_path), "%s/no/such", directory);
    assert_true(APR_STATUS_IS_ENOENT(open_at(&socket, long_path, 0600)));
    assert_non_null(strstr(error, "directory"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_has_its_mode_and_goes_when_closed, setup, teardown),
        cmocka_unit_test_setup_teardown(a_stale_one_is_replaced, setup, teardown),
        cmocka_unit_test_setup_teardown(what_root_left_is_explained, setup, teardown),
        cmocka_unit_test_setup_teardown(a_live_one_stays, setup, teardown),
        cmocka_unit_test_setup_teardown(a_busy_one_stays, setup, teardown),
        cmocka_unit_test_setup_teardown(a_link_is_not_followed, setup, teardown),
        cmocka_unit_test_setup_teardown(a_file_stays, setup, teardown),
        cmocka_unit_test_setup_teardown(a_datagram_socket_stays, setup, teardown),
        cmocka_unit_test_setup_teardown(a_name_that_changed_hands_stays, setup, teardown),
        cmocka_unit_test_setup_teardown(the_pool_does_not_remove_the_name, setup, teardown),
        cmocka_unit_test_setup_teardown(impossible_paths_are_explained, setup, teardown),
    };
    apr_initialize();
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    apr_terminate();
    return failed;
}
