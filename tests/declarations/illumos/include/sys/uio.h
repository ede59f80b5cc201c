/* illumos: <sys/uio.h> */
#ifndef ILLUMOS_SYS_UIO_H
#define ILLUMOS_SYS_UIO_H

#include_next <sys/uio.h>

/* write(2) */
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset);

#endif
