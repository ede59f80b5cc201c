/* <sys/un.h>(0p) */
#ifndef DECLARED_SYS_UN_H
#define DECLARED_SYS_UN_H

#include <sys/types.h>

/* unix(4) of the BSDs, unix(4P) of illumos and sys_un.h(0p): between 92 and 108 bytes. */
struct sockaddr_un {
    sa_family_t sun_family;
    char sun_path[104];
};

#endif
