/* <arpa/inet.h>(0p) */
#ifndef DECLARED_ARPA_INET_H
#define DECLARED_ARPA_INET_H

#include <netinet/in.h>

/* inet_ntop(3p) */
const char *inet_ntop(int family, const void *address, char *text, socklen_t size);
int inet_pton(int family, const char *text, void *address);

/* htonl(3p) */
uint16_t ntohs(uint16_t number);

#endif
