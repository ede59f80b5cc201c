/* expect: function 'flock' */
#include <sys/file.h>

int lock(int fd);
int lock(int fd)
{
    return flock(fd, 2 | 4);
}
