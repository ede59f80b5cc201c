/* expect: function 'getpeereid' */
#include <unistd.h>

int peer(int fd, uid_t *uid, gid_t *gid);
int peer(int fd, uid_t *uid, gid_t *gid)
{
    return getpeereid(fd, uid, gid);
}
