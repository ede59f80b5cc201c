/* expect: may change value|may change the value|loses integer precision */
#include <sys/stat.h>

int share(int fd, unsigned mode);
int share(int fd, unsigned mode)
{
    return fchmod(fd, mode);
}
