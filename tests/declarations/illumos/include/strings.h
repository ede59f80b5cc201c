/* illumos: <strings.h> */
#ifndef ILLUMOS_STRINGS_H
#define ILLUMOS_STRINGS_H

#include_next <strings.h>

/* bstring(3C) */
void explicit_bzero(void *memory, size_t size);

#endif
