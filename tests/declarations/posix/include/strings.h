/* <strings.h>(0p) */
#ifndef DECLARED_STRINGS_H
#define DECLARED_STRINGS_H

#include <stddef.h>

/* strcasecmp(3p) */
int strcasecmp(const char *left, const char *right);

#endif
