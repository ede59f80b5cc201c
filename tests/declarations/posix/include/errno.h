/* errno(3p), <errno.h>(0p): the names; a program may not know the values. */
#ifndef DECLARED_ERRNO_H
#define DECLARED_ERRNO_H

int *declared_errno(void) __attribute__((const));
#define errno (*declared_errno())

#define EPERM        1
#define ENOENT       2
#define ESRCH        3
#define EINTR        4
#define EIO          5
#define EBADF        9
#define ENOMEM       12
#define EACCES       13
#define EEXIST       17
#define ENOTDIR      20
#define EINVAL       22
#define EFBIG        27
#define EMLINK       31
#define ERANGE       34
#define EAGAIN       35
#define EWOULDBLOCK  EAGAIN
#define EAFNOSUPPORT 47
#define EADDRINUSE   48
#define ENOTCONN     57
#define ELOOP        62
#define ENAMETOOLONG 63
#define ENOSYS       78
#define EPROTO       92
#define ENOTSUP      91

#endif
