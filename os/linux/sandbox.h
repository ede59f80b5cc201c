/* The sandbox on Linux: Landlock for files, ports and other processes, seccomp for system calls. Private to os/linux.
 */
#ifndef OS_LINUX_SANDBOX_H
#define OS_LINUX_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>

#include "os/posix/identity_priv.h"

/* ---- landlock.c: landlock(7) --------------------------------------------------------------------------------------
 */

/* What Landlock can take, as bits of a set. */
typedef enum os_landlock_part {
    OS_LANDLOCK_FILES = 1 << 0, /* opening, making, renaming and removing files */
    OS_LANDLOCK_BIND = 1 << 1,  /* bind(2) to TCP ports */
    OS_LANDLOCK_OTHERS = 1 << 2 /* signals to, and abstract Unix sockets of, processes outside */
} os_landlock_part_t;

/* Whether this kernel can enforce PART in a way that demitd can live with; else WHY_NOT says why. Changes nothing. */
bool os_landlock_can(os_landlock_part_t part, char *why_not, size_t size);

/*
 * Confines this thread, and those that it makes from now on, for good. PARTS: bits of those that os_landlock_can() and
 * no others. no_new_privs must be set. A path that cannot be opened is passed over.
 */
int os_landlock_enter(const demit_sandbox_request_t *request, unsigned parts, demit_os_error_t *error) DEMIT_CHECKED;

/* One forbidden act for each part that was entered; non-zero when one is not refused as Landlock refuses. */
int os_landlock_verify(const demit_sandbox_request_t *request, demit_os_error_t *error) DEMIT_CHECKED;

/* ---- seccomp.c, or seccomp_none.c where libseccomp is not built in: seccomp(2) -------------------------------------
 */

/* The same for the list of system calls that demitd does not need: each fails with EPERM. */
bool os_seccomp_can(char *why_not, size_t size);
/* Whether it can tell sockets by their kind. */
bool os_seccomp_can_sockets(char *why_not, size_t size);
int os_seccomp_enter(demit_os_error_t *error) DEMIT_CHECKED;
int os_seccomp_verify(demit_os_error_t *error) DEMIT_CHECKED;

#endif
