/* <fcntl.h>(0p) */
#ifndef DECLARED_FCNTL_H
#define DECLARED_FCNTL_H

#include <sys/types.h>

/* open(3p) */
#define O_ACCMODE   0x3
#define O_RDONLY    0x0
#define O_WRONLY    0x1
#define O_RDWR      0x2
#define O_NONBLOCK  0x4
#define O_APPEND    0x8
#define O_NOFOLLOW  0x100
#define O_CREAT     0x200
#define O_TRUNC     0x400
#define O_EXCL      0x800
#define O_NOCTTY    0x8000
#define O_CLOEXEC   0x10000
#define O_DIRECTORY 0x20000
int open(const char *path, int flags, ...);
int openat(int fd, const char *path, int flags, ...);

/* fcntl(3p) */
#define F_GETFD    1
#define F_SETFD    2
#define F_GETFL    3
#define F_SETFL    4
#define FD_CLOEXEC 1
int fcntl(int fd, int command, ...);

/* fstatat(3p), unlinkat(3p), faccessat(3p) */
#define AT_FDCWD            (-100)
#define AT_SYMLINK_NOFOLLOW 0x2
#define AT_REMOVEDIR        0x8
#define AT_EACCESS          0x1

#endif
