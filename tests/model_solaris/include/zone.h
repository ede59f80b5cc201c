/* A model's <zone.h>: getzoneid(3C). See model.h. */
#ifndef MODEL_SOLARIS_ZONE_H
#define MODEL_SOLARIS_ZONE_H

#include <sys/types.h>

typedef id_t zoneid_t;

#define GLOBAL_ZONEID 0

zoneid_t getzoneid(void);

#endif
