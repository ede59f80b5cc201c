/*
 * FreeBSD until 14, and DragonFly, take the first element of setgroups(2) as the effective gid; FreeBSD from 15 on does
 * not. The gid goes first, so that neither loses a group: there it becomes the effective gid, which setresgid(2) sets
 * next anyway, here it is one more name for a group that is held in any case.
 */
#include "os/bsd/kernel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int os_backend_set_groups(const gid_t *groups, size_t count, gid_t gid)
{
    gid_t *list = calloc(count + 1, sizeof(*list));
    if (list == NULL) {
        return ENOMEM;
    }
    list[0] = gid;
    if (count > 0) {
        memcpy(list + 1, groups, count * sizeof(*list));
    }
    int code = setgroups((int)count + 1, list) == 0 ? 0 : errno;
    free(list);
    return code;
}
