/* OpenBSD: <sys/param.h>, which pages of older calls want first. */
#ifndef OPENBSD_SYS_PARAM_H
#define OPENBSD_SYS_PARAM_H

#include <limits.h>
#include <sys/types.h>

#endif
