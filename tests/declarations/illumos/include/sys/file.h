/* illumos: <sys/file.h> */
#ifndef ILLUMOS_SYS_FILE_H
#define ILLUMOS_SYS_FILE_H

/* flock(3C) */
#define LOCK_SH 1
#define LOCK_EX 2
#define LOCK_NB 4
#define LOCK_UN 8
int flock(int fd, int operation);

#endif
