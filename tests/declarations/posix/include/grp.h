/* <grp.h>(0p) */
#ifndef DECLARED_GRP_H
#define DECLARED_GRP_H

#include <stddef.h>
#include <sys/types.h>

/* getgrnam(3p) */
struct group {
    char *gr_name;
    gid_t gr_gid;
    char **gr_mem;
};
int getgrnam_r(const char *name, struct group *group, char *buffer, size_t size, struct group **result);
int getgrgid_r(gid_t gid, struct group *group, char *buffer, size_t size, struct group **result);

#endif
