/* expect: sys/prctl\.h */
#include <sys/prctl.h>

int hide(void);
int hide(void)
{
    return prctl(PR_SET_DUMPABLE, 0UL, 0, 0, 0);
}
