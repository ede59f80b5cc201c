/* Solaris 11.4: <sysexits.h>, which no manual page describes; the values are those of sendmail. */
#ifndef SOLARIS_SYSEXITS_H
#define SOLARIS_SYSEXITS_H

#define EX_OK    0
#define EX_OSERR 71

#endif
