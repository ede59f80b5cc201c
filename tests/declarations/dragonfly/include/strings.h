/* DragonFly: <strings.h> */
#ifndef DRAGONFLY_STRINGS_H
#define DRAGONFLY_STRINGS_H

#include_next <strings.h>

/* bzero(3) */
void explicit_bzero(void *memory, size_t size);

#endif
