/* expect: function 'setresuid' */
#include <unistd.h>

int become(uid_t uid);
int become(uid_t uid)
{
    return setresuid(uid, uid, uid);
}
