/* DragonFly: <sys/mman.h> */
#ifndef DRAGONFLY_SYS_MMAN_H
#define DRAGONFLY_SYS_MMAN_H

#include_next <sys/mman.h>

/* madvise(2) */
#define MADV_NOCORE 8
int madvise(void *address, size_t size, int advice);

#endif
