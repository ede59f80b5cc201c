/* expect: too few arguments to function */
#include <unistd.h>

void give_up(uid_t uid);
void give_up(uid_t uid)
{
    (void)setresuid(uid, uid);
}
