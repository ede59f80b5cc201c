/* Solaris 11.4: <unistd.h> */
#ifndef SOLARIS_UNISTD_H
#define SOLARIS_UNISTD_H

#include_next <unistd.h>

/* getgroups(2), which describes setgroups() too */
int setgroups(int count, const gid_t *groups);
/* lseek(2) */
#define SEEK_SET 0
/* chroot(2) */
int chroot(const char *path);
/* readlink(2) */
ssize_t readlink(const char *path, char *target, size_t size);
/* fdatasync(3C) */
int fdatasync(int fd);
/* ioctl(2) */
int ioctl(int fd, int request, ...);

/* sysconf(3C) */
#define _SC_NPROCESSORS_ONLN 15

#endif
