/* <netinet/in.h>(0p) */
#ifndef DECLARED_NETINET_IN_H
#define DECLARED_NETINET_IN_H

#include <stdint.h>
#include <sys/socket.h>

typedef uint32_t in_addr_t;
typedef uint16_t in_port_t;

struct in_addr {
    in_addr_t s_addr;
};
struct sockaddr_in {
    sa_family_t sin_family;
    in_port_t sin_port;
    struct in_addr sin_addr;
};

struct in6_addr {
    uint8_t s6_addr[16];
};
struct sockaddr_in6 {
    sa_family_t sin6_family;
    in_port_t sin6_port;
    uint32_t sin6_flowinfo;
    struct in6_addr sin6_addr;
    uint32_t sin6_scope_id;
};

#define IPPROTO_IPV6 41
#define IPV6_V6ONLY  27

/* A macro on every system, an expression of the address that it is given. */
#define IN6_IS_ADDR_UNSPECIFIED(address) declared_is_unspecified(address)
int declared_is_unspecified(const struct in6_addr *address);

#endif
