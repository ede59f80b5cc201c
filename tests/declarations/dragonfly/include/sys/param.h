/* DragonFly: <sys/param.h>, which pages of older calls want first. */
#ifndef DRAGONFLY_SYS_PARAM_H
#define DRAGONFLY_SYS_PARAM_H

#include <limits.h>
#include <sys/types.h>

#endif
