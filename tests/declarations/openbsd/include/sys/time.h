/* OpenBSD: <sys/time.h>, which getrlimit(2) wants before <sys/resource.h>. */
#ifndef OPENBSD_SYS_TIME_H
#define OPENBSD_SYS_TIME_H

#include <time.h>

#endif
