/* What kernel_openbsd.c must know of the sandbox. Private to os/bsd. */
#ifndef OS_BSD_SANDBOX_OPENBSD_H
#define OS_BSD_SANDBOX_OPENBSD_H

#include <stdbool.h>

/* Whether this process gave its promises: from then on a system call outside them ends it. Any thread. */
bool os_openbsd_has_pledged(void);

#endif
