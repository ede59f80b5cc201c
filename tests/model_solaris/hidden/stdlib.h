/* For os/ alone: closefrom(3C) and fdwalk(3C) stand in this header on Solaris, and Linux has the first elsewhere. */
#ifndef MODEL_SOLARIS_STDLIB_H
#define MODEL_SOLARIS_STDLIB_H

#include_next <stdlib.h>

void closefrom(int first);
int fdwalk(int (*each)(void *baton, int fd), void *baton);

#endif
