/* expect: function 'pwritev' */
#include <sys/uio.h>

ssize_t put(int fd, const struct iovec *parts, off_t offset);
ssize_t put(int fd, const struct iovec *parts, off_t offset)
{
    return pwritev(fd, parts, 1, offset);
}
