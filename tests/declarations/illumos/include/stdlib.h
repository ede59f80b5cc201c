/* illumos: <stdlib.h> */
#ifndef ILLUMOS_STDLIB_H
#define ILLUMOS_STDLIB_H

#include_next <stdlib.h>

/* closefrom(3C), which describes fdwalk() too */
void closefrom(int first);
int fdwalk(int (*each)(void *baton, int fd), void *baton);

#endif
