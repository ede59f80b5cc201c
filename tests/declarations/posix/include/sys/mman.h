/* <sys/mman.h>(0p) */
#ifndef DECLARED_SYS_MMAN_H
#define DECLARED_SYS_MMAN_H

#include <stddef.h>
#include <sys/types.h>

/* mmap(3p), munmap(3p). MAP_ANON is POSIX's since 2024 only, and older than that on every system here. */
#define PROT_READ   0x01
#define PROT_WRITE  0x02
#define MAP_PRIVATE 0x0002
#define MAP_ANON    0x1000
#define MAP_FAILED  ((void *)-1)
void *mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset);
int munmap(void *address, size_t size);

/* mlock(3p) */
int mlock(const void *address, size_t size);

#endif
