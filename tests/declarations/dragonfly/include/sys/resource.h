/* DragonFly: <sys/resource.h>, getrlimit(2). Its limits are signed. */
#ifndef DRAGONFLY_SYS_RESOURCE_H
#define DRAGONFLY_SYS_RESOURCE_H

#include <sys/types.h>

typedef int64_t rlim_t;
#define RLIM_INFINITY ((rlim_t)(((uint64_t)1 << 63) - 1))
#define RLIMIT_NPROC  7
#define RLIM_NLIMITS  12

#include_next <sys/resource.h>

#endif
