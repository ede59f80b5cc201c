/*
 * What the plain setuid back end asks of one kernel: kernel_freebsd.c and its sisters, one of which is built. Together
 * with the os_backend_… calls that differ (groups, threads, closing, tracing, naming, peers) they define all that a
 * kernel of this family has of its own. Private to os/bsd.
 */
#ifndef OS_BSD_KERNEL_H
#define OS_BSD_KERNEL_H

#include "os/posix/backend.h"

/* Real, effective, saved. */
typedef struct os_ids {
    uid_t uid[3];
    gid_t gid[3];
} os_ids_t;
int os_kernel_get_ids(os_ids_t *ids) DEMIT_CHECKED;

/* Ports from this one on need no privilege. */
unsigned os_kernel_first_free_port(void);

/* setresuid(2), or "setuid" where there is none: the name of the step. */
extern const char os_kernel_uid_call[], os_kernel_gid_call[];

/* "NetBSD": for sentences. */
extern const char os_kernel_name[];

/*
 * What this kernel's sandbox could take, in the order in which it is entered: always the same parts on one kernel,
 * whether it has them or not. Which demit_sandbox_… calls come when, include/demit/os.h says.
 */
typedef struct os_sandbox_part {
    const char *name, *what;
    const char *(*why_not)(void); /* why this kernel cannot; returns NULL where it can. NULL: it always can */
    int (*enter)(const demit_sandbox_request_t *request, demit_os_error_t *error); /* NULL: nothing to do */
    /* Commits a forbidden act; non-zero with ERROR if it succeeded. Not NULL unless WHY_NOT always has a reason. */
    int (*prove)(const demit_sandbox_request_t *request, demit_os_error_t *error);
} os_sandbox_part_t;
extern const os_sandbox_part_t os_kernel_sandbox[];
extern const size_t os_kernel_sandbox_size;

#endif
