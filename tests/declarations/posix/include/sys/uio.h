/* <sys/uio.h>(0p) */
#ifndef DECLARED_SYS_UIO_H
#define DECLARED_SYS_UIO_H

#include <stddef.h>
#include <sys/types.h>

/* readv(3p) */
struct iovec {
    void *iov_base;
    size_t iov_len;
};

#endif
