/* <pwd.h>(0p) */
#ifndef DECLARED_PWD_H
#define DECLARED_PWD_H

#include <stddef.h>
#include <sys/types.h>

/* getpwnam(3p) */
struct passwd {
    char *pw_name;
    uid_t pw_uid;
    gid_t pw_gid;
    char *pw_dir;
    char *pw_shell;
};
int getpwnam_r(const char *name, struct passwd *user, char *buffer, size_t size, struct passwd **result);
int getpwuid_r(uid_t uid, struct passwd *user, char *buffer, size_t size, struct passwd **result);

#endif
