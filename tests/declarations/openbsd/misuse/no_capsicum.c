/* expect: sys/capsicum\.h */
#include <sys/capsicum.h>

int enter(void);
int enter(void)
{
    return cap_enter();
}
