/* OpenBSD: <sys/proc.h>. sysctl(2) wants it before <sys/sysctl.h>; nothing of it is used. */
#ifndef OPENBSD_SYS_PROC_H
#define OPENBSD_SYS_PROC_H

#include <sys/types.h>

#endif
