/* expect: incompatible pointer type */
#include <unistd.h>

int give_up(void);
int give_up(void)
{
    const long none[1] = {0};
    return setgroups(0, none);
}
