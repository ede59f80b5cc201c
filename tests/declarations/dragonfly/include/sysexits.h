/* DragonFly: <sysexits.h> */
#ifndef DRAGONFLY_SYSEXITS_H
#define DRAGONFLY_SYSEXITS_H

/* sysexits(3) */
#define EX_OK    0
#define EX_OSERR 71

#endif
