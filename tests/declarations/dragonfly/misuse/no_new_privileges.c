/* expect: sys/procctl\.h */
#include <sys/procctl.h>

void give_up(int mode);
void give_up(int mode)
{
    (void)procctl(P_PID, 0, PROC_NO_NEW_PRIVS_CTL, &mode);
}
