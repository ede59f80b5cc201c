/* illumos: <sys/resource.h>, getrlimit(2): there is no RLIMIT_NPROC. */
#ifndef ILLUMOS_SYS_RESOURCE_H
#define ILLUMOS_SYS_RESOURCE_H

#include <sys/types.h>

typedef unsigned long rlim_t;
#define RLIM_INFINITY ((rlim_t)-3)

#include_next <sys/resource.h>

#endif
