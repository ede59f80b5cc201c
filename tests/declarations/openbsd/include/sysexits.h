/* OpenBSD: <sysexits.h> */
#ifndef OPENBSD_SYSEXITS_H
#define OPENBSD_SYSEXITS_H

/* sysexits(3) */
#define EX_OK    0
#define EX_OSERR 71

#endif
