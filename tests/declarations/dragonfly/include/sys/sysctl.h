/* DragonFly: <sys/sysctl.h> */
#ifndef DRAGONFLY_SYS_SYSCTL_H
#define DRAGONFLY_SYS_SYSCTL_H

#include <stddef.h>
#include <sys/types.h>

/* sysctl(3): KERN_PROC */
#define CTL_KERN      1
#define KERN_PROC     14
#define KERN_PROC_PID 1
int sysctl(const int *name, unsigned parts, void *old, size_t *old_size, const void *new_value, size_t new_size);

#endif
