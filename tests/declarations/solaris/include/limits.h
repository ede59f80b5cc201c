/* Solaris 11.4: <limits.h>, limits.h(3HEAD). There is no NAME_MAX; IOV_MAX is what _POSIX_C_SOURCE promises at least.
 */
#ifndef SOLARIS_LIMITS_H
#define SOLARIS_LIMITS_H

#include_next <limits.h>

#define IOV_MAX  16
#define PATH_MAX 1024

#endif
