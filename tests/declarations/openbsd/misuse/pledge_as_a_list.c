/* expect: too many arguments to function */
#include <unistd.h>

int promise(void);
int promise(void)
{
    return pledge("stdio", "rpath", NULL);
}
