/* Solaris 11.4: <stdlib.h> */
#ifndef SOLARIS_STDLIB_H
#define SOLARIS_STDLIB_H

#include_next <stdlib.h>

/* closefrom(3C), which describes fdwalk() too */
void closefrom(int first);
int fdwalk(int (*each)(void *baton, int fd), void *baton);

#endif
