/* illumos: <sysexits.h>, which no manual page describes; the values are those of sendmail. */
#ifndef ILLUMOS_SYSEXITS_H
#define ILLUMOS_SYSEXITS_H

#define EX_OK    0
#define EX_OSERR 71

#endif
