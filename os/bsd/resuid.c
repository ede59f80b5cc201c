/* FreeBSD, OpenBSD, DragonFly: setresuid(2) names all three ids, and getresuid(2) tells them. */
#include "os/bsd/kernel.h"

#include <errno.h>
#include <unistd.h>

const char os_kernel_uid_call[] = "setresuid", os_kernel_gid_call[] = "setresgid";

int os_backend_set_uids(uid_t uid)
{
    return setresuid(uid, uid, uid) == 0 ? 0 : errno;
}

int os_backend_set_gids(gid_t gid)
{
    return setresgid(gid, gid, gid) == 0 ? 0 : errno;
}

int os_kernel_get_ids(os_ids_t *ids)
{
    bool told = getresuid(&ids->uid[0], &ids->uid[1], &ids->uid[2]) == 0 &&
                getresgid(&ids->gid[0], &ids->gid[1], &ids->gid[2]) == 0;
    return told ? 0 : errno;
}
