/* OpenBSD: <sys/mman.h> */
#ifndef OPENBSD_SYS_MMAN_H
#define OPENBSD_SYS_MMAN_H

#include_next <sys/mman.h>

/* mmap(2) */
#define MAP_CONCEAL 0x8000

#endif
