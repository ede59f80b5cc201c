/* <sys/stat.h>(0p) */
#ifndef DECLARED_SYS_STAT_H
#define DECLARED_SYS_STAT_H

#include <sys/types.h>

/* fstatat(3p) */
#define S_IRWXG       000070
#define S_IRWXO       000007
#define S_IWGRP       000020
#define S_IWOTH       000002
#define S_ISVTX       001000
#define S_ISDIR(mode) (((mode)&0170000) == 0040000)
#define S_ISREG(mode) (((mode)&0170000) == 0100000)
#define S_ISLNK(mode) (((mode)&0170000) == 0120000)
struct stat {
    dev_t st_dev;
    ino_t st_ino;
    mode_t st_mode;
    nlink_t st_nlink;
    uid_t st_uid;
    gid_t st_gid;
    off_t st_size;
};
int stat(const char *path, struct stat *about);
int fstat(int fd, struct stat *about);
int fstatat(int fd, const char *path, struct stat *about, int flags);

/* chmod(3p), mkdir(3p), umask(3p) */
int fchmod(int fd, mode_t mode);
int mkdirat(int fd, const char *path, mode_t mode);
mode_t umask(mode_t mask);

#endif
