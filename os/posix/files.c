/* Files: below a directory without links, many parts in one write, down to the disk. And the clock. */
#include "os/posix/backend.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

_Static_assert(sizeof(off_t) == 8, "files of more than 2 GiB: a system of 32 bits needs _FILE_OFFSET_BITS=64");

/* To pass through a directory takes no right to list it, where the system can say so. */
#if defined(O_PATH)
enum { OPEN_TO_PASS = O_PATH };
#elif defined(O_SEARCH)
enum { OPEN_TO_PASS = O_SEARCH };
#else
enum { OPEN_TO_PASS = O_RDONLY };
#endif

/* Solaris leaves it to each file system; none of its own takes longer names: limits.h(3HEAD), statvfs(2). */
#if !defined(NAME_MAX)
#define NAME_MAX 255
#endif

static bool has_parent_component(const char *path)
{
    for (const char *at = path; *at != '\0';) {
        size_t length = strcspn(at, "/");
        if (length == 2 && at[0] == '.' && at[1] == '.') {
            return true;
        }
        at += length;
        at += strspn(at, "/");
    }
    return false;
}

/* Kernels say ELOOP, ENOTDIR, EMLINK or EFTYPE where O_NOFOLLOW met a link; we say ELOOP. */
static int open_one(int directory, const char *name, int flags, mode_t mode, int *fd)
{
    do {
        *fd = openat(directory, name, flags | O_NOFOLLOW | O_CLOEXEC, mode);
    } while (*fd < 0 && errno == EINTR);
    if (*fd >= 0) {
        return 0;
    }
    int code = errno;
    struct stat about;
    bool link = fstatat(directory, name, &about, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(about.st_mode);
    return link && code != EEXIST ? ELOOP : code;
}

int os_open_below_by_walk(int directory_fd, const char *relative, int flags, mode_t mode, int *fd)
{
    int directory = directory_fd, code = 0;
    const char *at = relative;
    while (code == 0) {
        char name[NAME_MAX + 1];
        size_t length = strcspn(at, "/");
        const char *next = at + length + strspn(at + length, "/");
        if (length >= sizeof(name)) {
            code = ENAMETOOLONG;
            break;
        }
        memcpy(name, at, length);
        name[length] = '\0';
        if (*next == '\0') {
            /* "name/" asks for a directory. */
            code = open_one(directory, name, at[length] == '/' ? flags | O_DIRECTORY : flags, mode, fd);
            break;
        }
        int inner = -1;
        code = open_one(directory, name, OPEN_TO_PASS | O_DIRECTORY, 0, &inner);
        if (code == 0) {
            if (directory != directory_fd) {
                (void)close(directory);
            }
            directory = inner;
            at = next;
        }
    }
    if (directory != directory_fd) {
        (void)close(directory);
    }
    return code;
}

int demit_os_open_below(int directory_fd, const char *relative, int flags, mode_t mode, int *fd)
{
    if (relative[0] == '\0' || relative[0] == '/' || has_parent_component(relative)) {
        return EINVAL;
    }
    int code = os_backend_open_below(directory_fd, relative, flags | O_CLOEXEC, mode, fd);
    return code == ENOSYS ? os_open_below_by_walk(directory_fd, relative, flags, mode, fd) : code;
}

/* ---- writing ---- */

/* IOV_MAX of most systems; more is EINVAL with nothing written. Solaris has 16: limits.h(3HEAD). */
#if defined(IOV_MAX) && IOV_MAX < 1024
enum { PARTS_PER_CALL = IOV_MAX };
#else
enum { PARTS_PER_CALL = 1024 };
#endif

/* Oracle's Solaris has no pwritev(2), which illumos has: there one part at a time, and the caller goes on from there.
 */
static ssize_t write_batch(int fd, const struct iovec *parts, int count, off_t offset)
{
#if defined(__sun) && !defined(__illumos__)
    (void)count;
    return pwrite(fd, parts[0].iov_base, parts[0].iov_len, offset);
#else
    return pwritev(fd, parts, count, offset);
#endif
}

int demit_os_pwritev(int fd, const struct iovec *parts, int count, uint64_t offset)
{
    struct iovec batch[PARTS_PER_CALL];
    int at = 0;
    size_t done = 0; /* bytes of PARTS[AT] that are written already */
    while (at < count) {
        int batched = 0;
        for (int i = at; i < count && batched < PARTS_PER_CALL; i++) {
            size_t skip = i == at ? done : 0;
            if (parts[i].iov_len > skip) {
                batch[batched++] = (struct iovec){(char *)parts[i].iov_base + skip, parts[i].iov_len - skip};
            }
        }
        if (batched == 0) {
            return 0; /* nothing but empty parts are left */
        }
        ssize_t written = write_batch(fd, batch, batched, (off_t)offset);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written <= 0) {
            return written < 0 ? errno : EIO;
        }
        offset += (uint64_t)written;
        size_t left = (size_t)written;
        while (at < count && left >= parts[at].iov_len - done) {
            left -= parts[at++].iov_len - done;
            done = 0;
        }
        done += left;
    }
    return 0;
}

int demit_os_datasync(int fd)
{
    int result = -1;
    do {
#if defined(F_FULLFSYNC)
        result = fcntl(fd, F_FULLFSYNC); /* fsync(2) there reaches the drive's cache, no further */
#elif defined(__DragonFly__)
        result = fsync(fd); /* there is no fdatasync(2) */
#else
        result = fdatasync(fd);
#endif
    } while (result < 0 && errno == EINTR);
    return result < 0 ? errno : 0;
}

/* ---- clock ---- */

int64_t demit_os_monotonic_us(void)
{
    struct timespec now;
    if (clock_gettime(CLOCK_MONOTONIC, &now) != 0) {
        return 0; /* not with this clock and this pointer: clock_gettime(2), ERRORS */
    }
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}
