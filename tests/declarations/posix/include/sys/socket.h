/* <sys/socket.h>(0p) */
#ifndef DECLARED_SYS_SOCKET_H
#define DECLARED_SYS_SOCKET_H

#include <stddef.h>
#include <sys/types.h>

#define AF_UNIX      1
#define AF_INET      2
#define AF_INET6     24
#define SOCK_STREAM  1
#define SOCK_DGRAM   2
#define MSG_NOSIGNAL 0x400

struct sockaddr {
    sa_family_t sa_family;
    char sa_data[14];
};

/* Room for any address. */
struct sockaddr_storage {
    sa_family_t ss_family;
    char declared_room[126];
};

/* getsockopt(3p), getsockname(3p) */
#define SOL_SOCKET    0xffff
#define SO_ACCEPTCONN 0x0002
#define SO_TYPE       0x1008
int getsockopt(int fd, int level, int option, void *value, socklen_t *size);
int getsockname(int fd, struct sockaddr *address, socklen_t *size);

/* socket(3p), bind(3p), listen(3p), connect(3p), send(3p) */
int socket(int domain, int type, int protocol);
int bind(int fd, const struct sockaddr *address, socklen_t size);
int listen(int fd, int backlog);
int connect(int fd, const struct sockaddr *address, socklen_t size);
ssize_t send(int fd, const void *bytes, size_t size, int flags);

#endif
