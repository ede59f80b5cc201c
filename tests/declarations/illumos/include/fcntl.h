/* illumos: <fcntl.h> */
#ifndef ILLUMOS_FCNTL_H
#define ILLUMOS_FCNTL_H

#include_next <fcntl.h>

/* open(2) */
#define O_SEARCH 0x200000

#endif
