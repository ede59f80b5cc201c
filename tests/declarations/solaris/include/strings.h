/* Solaris: <strings.h> */
#ifndef SOLARIS_STRINGS_H
#define SOLARIS_STRINGS_H

#include_next <strings.h>

/* bzero(3C) */
void explicit_bzero(void *memory, size_t size);

#endif
