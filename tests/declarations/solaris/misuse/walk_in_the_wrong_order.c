/* expect: incompatible (function )?pointer type */
#include <stdlib.h>

int count(int fd, void *baton);
int count(int fd, void *baton)
{
    (void)fd, (void)baton;
    return 0;
}

int all(void);
int all(void)
{
    return fdwalk(count, NULL);
}
