/* OpenBSD: <limits.h>, as pathconf(2) speaks of it. */
#ifndef OPENBSD_LIMITS_H
#define OPENBSD_LIMITS_H

#include_next <limits.h>

#define NAME_MAX 255
#define PATH_MAX 1024

#endif
