/* OpenBSD: <unistd.h> */
#ifndef OPENBSD_UNISTD_H
#define OPENBSD_UNISTD_H

#include_next <unistd.h>

/* setresuid(2) */
int setresuid(uid_t real, uid_t effective, uid_t saved);
int setresgid(gid_t real, gid_t effective, gid_t saved);
int getresuid(uid_t *real, uid_t *effective, uid_t *saved);
int getresgid(gid_t *real, gid_t *effective, gid_t *saved);
/* setgroups(2) */
int setgroups(int count, const gid_t *groups);
/* issetugid(2) */
int issetugid(void);

/* chroot(2) */
int chroot(const char *directory);
/* closefrom(2) */
int closefrom(int first);
/* fsync(2) */
int fdatasync(int fd);

/* pledge(2) */
int pledge(const char *promises, const char *promises_after_exec);
/* unveil(2) */
int unveil(const char *path, const char *permissions);

/* sysconf(3) */
#define _SC_NPROCESSORS_ONLN 503

#endif
