/* Solaris 11.4: <zone.h> */
#ifndef SOLARIS_ZONE_H
#define SOLARIS_ZONE_H

#include <sys/types.h>

/* getzoneid(3C), zones(7) */
#define GLOBAL_ZONEID 0
zoneid_t getzoneid(void);

#endif
