/* OpenBSD: <pwd.h>, passwd(5): an account has a login class. */
#ifndef OPENBSD_PWD_H
#define OPENBSD_PWD_H

#include <stddef.h>
#include <sys/types.h>

/* getpwnam(3) */
struct passwd {
    char *pw_name;
    char *pw_passwd;
    uid_t pw_uid;
    gid_t pw_gid;
    time_t pw_change;
    char *pw_class;
    char *pw_gecos;
    char *pw_dir;
    char *pw_shell;
    time_t pw_expire;
};
int getpwnam_r(const char *name, struct passwd *user, char *buffer, size_t size, struct passwd **result);
int getpwuid_r(uid_t uid, struct passwd *user, char *buffer, size_t size, struct passwd **result);

#endif
