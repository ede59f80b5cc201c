/* DragonFly: <sys/time.h>, which getrlimit(2) wants before <sys/resource.h>. */
#ifndef DRAGONFLY_SYS_TIME_H
#define DRAGONFLY_SYS_TIME_H

#include <time.h>

#endif
