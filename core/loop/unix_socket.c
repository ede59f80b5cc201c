#include "demit/unix_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <apr_portable.h>
#include <apr_strings.h>

#include "demit/os.h"

/*
 * Why not apr_socket_bind(): it leaves a mark on a Unix socket, by which apr_socket_close() and the pool's clean-up
 * later unlink the path, whatever stands there by then. So the name is ours to make and ours to remove.
 */

/* The last component of PATH. */
static const char *name_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash == NULL ? path : slash + 1;
}

/* Opens the directory that PATH is in, so that a look and what follows it concern the same directory. */
static int open_directory(const char *path, apr_pool_t *pool)
{
    const char *name = name_of(path);
    const char *directory = name == path       ? "."
                            : name == path + 1 ? "/"
                                               : apr_pstrmemdup(pool, path, (apr_size_t)(name - path));

    return open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int make_address(struct sockaddr_un *address, const char *path)
{
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address->sun_path)) {
        return ENAMETOOLONG;
    }
    apr_cpystrn(address->sun_path, path, sizeof(address->sun_path));
    return 0;
}

/* What connect(2) to PATH says: 0, ECONNREFUSED, … Does not wait: a full backlog (EAGAIN) has a listener behind it. */
static int try_connect(const struct sockaddr_un *address)
{
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    int error = 0;

    if (fd < 0) {
        return errno;
    }
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) < 0 ||
        connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0) {
        error = errno;
    }
    close(fd);
    return error;
}

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

static const char *kind_of(mode_t mode)
{
    return S_ISLNK(mode) ? "symbolic link" : S_ISDIR(mode) ? "directory" : S_ISREG(mode) ? "file" : "special file";
}

/*
 * Something stands where the socket is to be. Removes it if it is a socket that nobody listens on; 0 says that the
 * place is free now. Between the look and the removal the name may change hands; it is compared once more, and
 * unlinkat(2) follows no link, so that the worst is the loss of a name in a directory that others may write to anyway.
 */
static int remove_stale(int directory_fd, const struct sockaddr_un *address, char *error, size_t error_size)
{
    const char *path = address->sun_path;
    struct stat before, after;

    if (fstatat(directory_fd, name_of(path), &before, AT_SYMLINK_NOFOLLOW) < 0) {
        return errno == ENOENT ? 0 : errno; /* gone by itself */
    }
    if (!S_ISSOCK(before.st_mode)) {
        snprintf(error, error_size, "%s is a %s, not a socket; remove it, or choose another path", path,
                 kind_of(before.st_mode));
        return EEXIST;
    }
    const int answer = try_connect(address);
    if (answer == 0 || answer == EAGAIN || answer == EWOULDBLOCK || answer == EINPROGRESS) {
        snprintf(error, error_size, "%s: another process answers there; is demitd running already?", path);
        return EADDRINUSE;
    }
    if (answer != ECONNREFUSED && answer != ENOENT) {
        snprintf(error, error_size, "%s exists and cannot be tried (%s); remove it if nothing uses it", path,
                 strerror(answer));
        return answer;
    }
    if (fstatat(directory_fd, name_of(path), &after, AT_SYMLINK_NOFOLLOW) < 0) {
        return errno == ENOENT ? 0 : errno;
    }
    if (!is_same(&before, &after)) {
        snprintf(error, error_size, "%s changed while it was looked at; is another demitd starting?", path);
        return EADDRINUSE;
    }
    if (unlinkat(directory_fd, name_of(path), 0) < 0 && errno != ENOENT) {
        const int code = errno;
        snprintf(error, error_size, "%s is left over from uid %lu and cannot be removed: %s", path,
                 (unsigned long)before.st_uid, strerror(code));
        return code;
    }
    return 0;
}

/* bind(2) makes a new name or fails; it follows no link in the last component. */
static int make_new(int fd, const struct sockaddr_un *address)
{
    return bind(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 ? errno : 0;
}

/*
 * The umask, 077, makes the name the owner's alone; then it is opened to whom it is meant for. A mode in the umask
 * would do it in one step, and be every other thread's umask for that moment. Whoever could put a link in the name's
 * place between look and change owns the directory, and what the link leads to must be this user's to be changed.
 */
static int set_mode(const demit_unix_socket_t *socket, int directory_fd, const char *path, mode_t mode)
{
    struct stat now;

    if (fstatat(directory_fd, name_of(path), &now, AT_SYMLINK_NOFOLLOW) < 0) {
        return errno;
    }
    if (!S_ISSOCK(now.st_mode) || now.st_dev != socket->device || now.st_ino != socket->inode) {
        return ENOENT; /* another's */
    }
    if ((now.st_mode & 0777) == (mode & 0777)) {
        return 0;
    }
    return fchmodat(directory_fd, name_of(path), mode & 0777, 0) < 0 ? errno : 0;
}

/* Makes the name, in place of a stale one if need be, and remembers which it is. */
static int make_name(demit_unix_socket_t *socket, const demit_unix_socket_request_t *request, char *error,
                     size_t error_size, apr_pool_t *pool)
{
    struct sockaddr_un address;
    struct stat made;
    apr_os_sock_t fd;
    int code = make_address(&address, request->path);

    if (code != 0) {
        snprintf(error, error_size, "%s is too long for a socket: at most %zu bytes", request->path,
                 sizeof(address.sun_path) - 1);
        return code;
    }
    apr_os_sock_get(&fd, socket->socket);
    const int directory_fd = open_directory(request->path, pool);
    if (directory_fd < 0) {
        code = errno;
        snprintf(error, error_size, "cannot open the directory of %s: %s", request->path, strerror(code));
        return code;
    }
    code = make_new(fd, &address);
    if (code == EADDRINUSE) {
        code = remove_stale(directory_fd, &address, error, error_size);
        if (code == 0) {
            code = make_new(fd, &address);
        }
    }
    if (code == 0 && fstatat(directory_fd, name_of(request->path), &made, AT_SYMLINK_NOFOLLOW) < 0) {
        code = errno;
    }
    if (code == 0) {
        socket->path = apr_pstrdup(pool, request->path);
        socket->device = made.st_dev;
        socket->inode = made.st_ino;
        code = set_mode(socket, directory_fd, request->path, request->mode);
    }
    if (code == 0) {
        error[0] = '\0';
    } else if (error[0] == '\0') {
        snprintf(error, error_size, "cannot make the socket %s: %s", request->path, strerror(code));
    }
    close(directory_fd);
    return code;
}

/* From here on it only accepts, where descriptors have rights. */
static apr_status_t limit_descriptor(apr_socket_t *socket)
{
    apr_os_sock_t fd;

    apr_os_sock_get(&fd, socket);
    const int code = demit_os_limit_descriptor(fd, DEMIT_DESCRIPTOR_LISTENER);
    return code == ENOTSUP ? APR_SUCCESS : APR_FROM_OS_ERROR(code);
}

apr_status_t demit_unix_socket_open(demit_unix_socket_t *socket, const demit_unix_socket_request_t *request,
                                    char *error, size_t error_size, apr_pool_t *pool)
{
    error[0] = '\0';
    *socket = (demit_unix_socket_t){.path = NULL};
    apr_status_t status = apr_socket_create(&socket->socket, APR_UNIX, SOCK_STREAM, 0, pool);
    if (status != APR_SUCCESS) {
        goto failed;
    }
    status = make_name(socket, request, error, error_size, pool);
    if (status == APR_SUCCESS) {
        status = apr_socket_listen(socket->socket, request->backlog);
    }
    if (status == APR_SUCCESS) {
        status = apr_socket_opt_set(socket->socket, APR_SO_NONBLOCK, 1);
    }
    if (status == APR_SUCCESS) {
        status = apr_socket_timeout_set(socket->socket, 0);
    }
    if (status == APR_SUCCESS) {
        status = limit_descriptor(socket->socket);
    }
    if (status == APR_SUCCESS) {
        return APR_SUCCESS;
    }
failed:
    if (error[0] == '\0') {
        char reason[128];
        snprintf(error, error_size, "%s: %s", request->path, apr_strerror(status, reason, sizeof(reason)));
    }
    demit_unix_socket_close(socket);
    return status;
}

apr_status_t demit_unix_socket_set_mode(const demit_unix_socket_t *socket, mode_t mode, apr_pool_t *scratch_pool)
{
    const int directory_fd = open_directory(socket->path, scratch_pool);

    if (directory_fd < 0) {
        return APR_FROM_OS_ERROR(errno);
    }
    const int code = set_mode(socket, directory_fd, socket->path, mode);
    close(directory_fd);
    return APR_FROM_OS_ERROR(code);
}

void demit_unix_socket_close(demit_unix_socket_t *socket)
{
    struct stat now;

    /* The name first: while it stands, a client that connects should find a listener. */
    if (socket->path != NULL && lstat(socket->path, &now) == 0 && S_ISSOCK(now.st_mode) &&
        now.st_dev == socket->device && now.st_ino == socket->inode) {
        (void)unlink(socket->path);
    }
    if (socket->socket != NULL) {
        (void)apr_socket_close(socket->socket);
    }
    *socket = (demit_unix_socket_t){.path = NULL};
}
