/* illumos: <limits.h>, limits.h(3HEAD). There is no NAME_MAX. */
#ifndef ILLUMOS_LIMITS_H
#define ILLUMOS_LIMITS_H

#include_next <limits.h>

#define IOV_MAX  1024
#define PATH_MAX 1024

#endif
