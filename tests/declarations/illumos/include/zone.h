/* illumos: <zone.h> */
#ifndef ILLUMOS_ZONE_H
#define ILLUMOS_ZONE_H

#include <sys/types.h>

/* getzoneid(3C), zones(7) */
#define GLOBAL_ZONEID 0
zoneid_t getzoneid(void);

#endif
