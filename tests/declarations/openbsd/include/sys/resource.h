/* OpenBSD: <sys/resource.h>, getrlimit(2) */
#ifndef OPENBSD_SYS_RESOURCE_H
#define OPENBSD_SYS_RESOURCE_H

#include <sys/types.h>

typedef uint64_t rlim_t;
#define RLIM_INFINITY (((rlim_t)1 << 63) - 1)
#define RLIMIT_NPROC  7
#define RLIM_NLIMITS  9

#include_next <sys/resource.h>

#endif
