/* Lists of groups, and the group whose members may use the console. */
#include "os/posix/accounts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int compare_gids(const void *left, const void *right)
{
    gid_t a = *(const gid_t *)left, b = *(const gid_t *)right;
    return (a > b) - (a < b);
}

void os_groups_sort(os_groups_t *groups)
{
    if (groups->count == 0) {
        return;
    }
    qsort(groups->ids, groups->count, sizeof(*groups->ids), compare_gids);
    size_t kept = 1;
    for (size_t i = 1; i < groups->count; i++) {
        if (groups->ids[i] != groups->ids[kept - 1]) {
            groups->ids[kept++] = groups->ids[i];
        }
    }
    groups->count = kept;
}

int os_groups_read(os_groups_t *groups)
{
    int count = getgroups(0, NULL);
    if (count < 0) {
        return errno;
    }
    groups->ids = calloc((size_t)count + 1, sizeof(*groups->ids));
    if (groups->ids == NULL) {
        return ENOMEM;
    }
    count = getgroups(count, groups->ids);
    if (count < 0) {
        int code = errno;
        free(groups->ids);
        groups->ids = NULL;
        return code;
    }
    groups->count = (size_t)count;
    os_groups_sort(groups);
    return 0;
}

bool os_groups_have(const os_groups_t *groups, gid_t gid)
{
    return groups->count > 0 && bsearch(&gid, groups->ids, groups->count, sizeof(gid), compare_gids) != NULL;
}

void os_groups_format(const os_groups_t *groups, char *text, size_t size)
{
    text[0] = '\0';
    for (size_t i = 0; i < groups->count; i++) {
        os_append(text, size, "%s%lu", i > 0 ? " " : "", (unsigned long)groups->ids[i]);
    }
    if (groups->count == 0) {
        os_append(text, size, "-");
    }
}

os_groups_t os_identity_groups(const demit_identity_t *identity)
{
    return (os_groups_t){identity->groups, identity->group_count};
}

/* ---- the console's group ---- */

struct demit_os_group {
    gid_t gid;
    uid_t *members;
    size_t member_count;
};

int demit_os_group_resolve(demit_os_group_t **result, const char *name, demit_os_error_t *error)
{
    *result = NULL;
    demit_os_group_t *group = calloc(1, sizeof(*group));
    if (group == NULL) {
        return os_fail(error, ENOMEM, "Control_Group", "the group \"%s\"", name);
    }
    int code = os_find_group("Control_Group", name, &group->gid, NULL, error);
    if (code == 0) {
        code = os_group_members(group->gid, &group->members, &group->member_count);
        if (code != 0) {
            (void)os_fail(error, code, "Control_Group", "the members of \"%s\" cannot be looked up", name);
        }
    }
    if (code != 0) {
        demit_os_group_free(group);
        return code;
    }
    *result = group;
    return 0;
}

bool demit_os_group_has(const demit_os_group_t *group, uid_t uid, gid_t gid)
{
    if (gid == group->gid) {
        return true;
    }
    for (size_t i = 0; i < group->member_count; i++) {
        if (group->members[i] == uid) {
            return true;
        }
    }
    return false;
}

void demit_os_group_free(demit_os_group_t *group)
{
    if (group == NULL) {
        return;
    }
    free(group->members);
    free(group);
}
