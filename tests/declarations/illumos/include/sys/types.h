/* illumos: <sys/types.h>, types.h(3HEAD), of a 64-bit program. Widths and signs count: -Wconversion. */
#ifndef ILLUMOS_SYS_TYPES_H
#define ILLUMOS_SYS_TYPES_H

#include <stddef.h>
#include <stdint.h>

typedef enum { B_FALSE, B_TRUE } boolean_t;
typedef unsigned int uint_t;

typedef int clockid_t;
typedef unsigned long dev_t;
typedef unsigned int gid_t;
typedef int id_t;
typedef unsigned long ino_t;
typedef unsigned int mode_t;
typedef unsigned int nlink_t;
typedef long off_t;
typedef int pid_t;
typedef uint16_t sa_family_t;
typedef uint32_t socklen_t;
typedef long ssize_t;
typedef long time_t;
typedef unsigned int uid_t;
typedef id_t zoneid_t;

/* ucred_get(3C) */
#define P_MYID (-1)

#endif
