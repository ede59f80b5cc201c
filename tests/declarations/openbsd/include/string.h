/* OpenBSD: <string.h> */
#ifndef OPENBSD_STRING_H
#define OPENBSD_STRING_H

#include_next <string.h>

/* bzero(3), which wants <strings.h> for bzero() and this one for what no compiler leaves out */
void explicit_bzero(void *memory, size_t size);

#endif
