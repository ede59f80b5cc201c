/* <sys/socket.h>(0p) */
#ifndef DECLARED_SYS_SOCKET_H
#define DECLARED_SYS_SOCKET_H

#include <stddef.h>
#include <sys/types.h>

#define AF_UNIX      1
#define AF_INET      2
#define SOCK_STREAM  1
#define SOCK_DGRAM   2
#define MSG_NOSIGNAL 0x400

struct sockaddr {
    sa_family_t sa_family;
    char sa_data[14];
};

/* socket(3p), bind(3p), listen(3p), connect(3p), send(3p) */
int socket(int domain, int type, int protocol);
int bind(int fd, const struct sockaddr *address, socklen_t size);
int listen(int fd, int backlog);
int connect(int fd, const struct sockaddr *address, socklen_t size);
ssize_t send(int fd, const void *bytes, size_t size, int flags);

#endif
