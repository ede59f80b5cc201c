/*
 * Every file call of the spool and of the mailboxes, behind one table, so that a test can fail, count, delay and
 * reorder them. The functions follow the POSIX calls of their names but return an errno (0: success), restart after
 * EINTR and never do half: a short write is continued, a short read means the end of the file. May block on a disk:
 * never called by a loop. Any other thread.
 */
#ifndef DEMIT_FILES_H
#define DEMIT_FILES_H

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>

typedef struct demit_files demit_files_t;

struct demit_files {
    /*
     * openat(2) relative to DIR (AT_FDCWD: the working directory), always O_CLOEXEC | O_NOFOLLOW. With O_EXCL the new
     * file has MODE whatever the umask says.
     */
    int (*open)(const demit_files_t *files, int dir, const char *name, int flags, mode_t mode, int *fd);
    int (*close)(const demit_files_t *files, int fd);
    int (*pread)(const demit_files_t *files, int fd, void *bytes, size_t size, uint64_t offset, size_t *done);
    /* All of PARTS, at OFFSET; more than IOV_MAX parts are written in turns. */
    int (*pwritev)(const demit_files_t *files, int fd, const struct iovec *parts, int count, uint64_t offset);
    int (*datasync)(const demit_files_t *files, int fd);                /* fdatasync(2) */
    int (*sync_directory)(const demit_files_t *files, int dir);         /* fsync(2) of a directory */
    int (*allocate)(const demit_files_t *files, int fd, uint64_t size); /* posix_fallocate(3) or ftruncate(2) */
    int (*rename)(const demit_files_t *files, int from_dir, const char *from, int to_dir, const char *to);
    int (*link)(const demit_files_t *files, int from_dir, const char *from, int to_dir, const char *to);
    int (*unlink)(const demit_files_t *files, int dir, const char *name);
    int (*mkdir)(const demit_files_t *files, int dir, const char *name, mode_t mode);
    int (*stat)(const demit_files_t *files, int dir, const char *name, struct stat *status); /* links not followed */
    /* Calls EACH for every entry but . and .., in no order, until it returns non-zero, which is then returned. */
    int (*list)(const demit_files_t *files, int dir, int (*each)(void *baton, const char *name), void *baton);
    int (*free_bytes)(const demit_files_t *files, int dir, uint64_t *bytes); /* statvfs(3), for the unprivileged */
    int (*lock)(const demit_files_t *files, int fd); /* exclusive, for life, EWOULDBLOCK when another holds it */
};

/* The table that calls the system. */
extern const demit_files_t demit_files_system;

#endif
