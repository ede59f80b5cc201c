/* OpenBSD: <sys/socket.h> */
#ifndef OPENBSD_SYS_SOCKET_H
#define OPENBSD_SYS_SOCKET_H

#include_next <sys/socket.h>

/* getpeereid(3) */
int getpeereid(int fd, uid_t *uid, gid_t *gid);

#endif
