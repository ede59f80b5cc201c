/* expect: function 'fdatasync' */
#include <unistd.h>

int settle(int fd);
int settle(int fd)
{
    return fdatasync(fd);
}
