#include "demit/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "demit/os.h"

/* Every function takes the table that it was called through; the system's own needs nothing from it. */

static int system_open(const demit_files_t *files, int dir, const char *name, int flags, mode_t mode, int *fd)
{
    (void)files;
    /* O_NONBLOCK means nothing to files and directories; a FIFO that lies there must not hold the caller up. */
    do {
        *fd = openat(dir, name, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, mode);
    } while (*fd < 0 && errno == EINTR);
    if (*fd < 0) {
        return errno;
    }
    /* The umask took from a new file what MODE, which an operator may have chosen, gives to group and others. */
    if ((flags & O_EXCL) == 0 || (mode & 0077) == 0 || fchmod(*fd, mode) == 0) {
        return 0;
    }
    const int error = errno;
    (void)close(*fd);
    *fd = -1;
    return error;
}

static int system_close(const demit_files_t *files, int fd)
{
    (void)files;
    /* After EINTR the descriptor is gone on every system that matters; closing again could hit another thread's. */
    return close(fd) < 0 && errno != EINTR ? errno : 0;
}

static int system_pread(const demit_files_t *files, int fd, void *bytes, size_t size, uint64_t offset, size_t *done)
{
    (void)files;
    *done = 0;
    while (*done < size) {
        ssize_t n = pread(fd, (char *)bytes + *done, size - *done, (off_t)(offset + *done));

        if (n == 0) {
            break;
        }
        if (n > 0) {
            *done += (size_t)n;
        } else if (errno != EINTR) {
            return errno;
        }
    }
    return 0;
}

static int system_pwritev(const demit_files_t *files, int fd, const struct iovec *parts, int count, uint64_t offset)
{
    (void)files;
    return demit_os_pwritev(fd, parts, count, offset);
}

static int system_datasync(const demit_files_t *files, int fd)
{
    (void)files;
    return demit_os_datasync(fd);
}

static int system_sync_directory(const demit_files_t *files, int dir)
{
    int error;

    (void)files;
    do {
        error = fsync(dir) < 0 ? errno : 0;
    } while (error == EINTR);
    return error;
}

static int system_allocate(const demit_files_t *files, int fd, uint64_t size)
{
    int error;

    (void)files;
    do {
        error = posix_fallocate(fd, 0, (off_t)size);
    } while (error == EINTR);
    /* ZFS, for one, cannot promise blocks; the length is all that can be had there. */
    if (error == EINVAL || error == EOPNOTSUPP || error == ENOSYS) {
        error = ftruncate(fd, (off_t)size) < 0 ? errno : 0;
    }
    return error;
}

static int system_rename(const demit_files_t *files, int from_dir, const char *from, int to_dir, const char *to)
{
    (void)files;
    return renameat(from_dir, from, to_dir, to) < 0 ? errno : 0;
}

static int system_link(const demit_files_t *files, int from_dir, const char *from, int to_dir, const char *to)
{
    (void)files;
    return linkat(from_dir, from, to_dir, to, 0) < 0 ? errno : 0;
}

static int system_unlink(const demit_files_t *files, int dir, const char *name)
{
    (void)files;
    return unlinkat(dir, name, 0) < 0 ? errno : 0;
}

static int system_mkdir(const demit_files_t *files, int dir, const char *name, mode_t mode)
{
    (void)files;
    return mkdirat(dir, name, mode) < 0 ? errno : 0;
}

static int system_stat(const demit_files_t *files, int dir, const char *name, struct stat *status)
{
    (void)files;
    return fstatat(dir, name, status, AT_SYMLINK_NOFOLLOW) < 0 ? errno : 0;
}

static int system_list(const demit_files_t *files, int dir, int (*each)(void *baton, const char *name), void *baton)
{
    int fd, result = 0;
    DIR *stream;
    struct dirent *entry;

    /* A descriptor of its own: fdopendir() takes it over, and a shared one would share its position. */
    result = system_open(files, dir, ".", O_RDONLY | O_DIRECTORY, 0, &fd);
    if (result != 0) {
        return result;
    }
    stream = fdopendir(fd);
    if (stream == NULL) {
        result = errno;
        (void)close(fd);
        return result;
    }
    while (result == 0) {
        errno = 0;
        entry = readdir(stream);
        if (entry == NULL) {
            result = errno;
            break;
        }
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            result = each(baton, entry->d_name);
        }
    }
    (void)closedir(stream);
    return result;
}

static int system_free_bytes(const demit_files_t *files, int dir, uint64_t *bytes)
{
    struct statvfs status;
    int result;

    (void)files;
    do {
        result = fstatvfs(dir, &status) < 0 ? errno : 0;
    } while (result == EINTR);
    if (result == 0) {
        *bytes = (uint64_t)status.f_bavail * status.f_frsize;
    }
    return result;
}

/*
 * flock(2), not fcntl(2): a POSIX record lock is dropped as soon as anything in the process closes any descriptor of
 * the file, and never excludes a second spool in the same process. flock() belongs to the open file, goes with the
 * last descriptor of it, also when the process is killed.
 */
static int system_lock(const demit_files_t *files, int fd)
{
    int result;

    (void)files;
    do {
        result = flock(fd, LOCK_EX | LOCK_NB) < 0 ? errno : 0;
    } while (result == EINTR);
    return result == EAGAIN ? EWOULDBLOCK : result;
}

const demit_files_t demit_files_system = {
    .open = system_open,
    .close = system_close,
    .pread = system_pread,
    .pwritev = system_pwritev,
    .datasync = system_datasync,
    .sync_directory = system_sync_directory,
    .allocate = system_allocate,
    .rename = system_rename,
    .link = system_link,
    .unlink = system_unlink,
    .mkdir = system_mkdir,
    .stat = system_stat,
    .list = system_list,
    .free_bytes = system_free_bytes,
    .lock = system_lock,
};
