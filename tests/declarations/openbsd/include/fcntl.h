/* OpenBSD: <fcntl.h> */
#ifndef OPENBSD_FCNTL_H
#define OPENBSD_FCNTL_H

#include_next <fcntl.h>

/* flock(2) */
#define LOCK_SH 0x01
#define LOCK_EX 0x02
#define LOCK_NB 0x04
#define LOCK_UN 0x08
int flock(int fd, int operation);

#endif
