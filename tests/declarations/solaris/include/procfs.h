/* Solaris 11.4: <procfs.h> */
#ifndef SOLARIS_PROCFS_H
#define SOLARIS_PROCFS_H

#include <sys/types.h>

/* proc(5): of what /proc/PID/psinfo holds, the beginning. */
typedef struct psinfo {
    int pr_flag;
    int pr_nlwp;
    pid_t pr_pid;
    pid_t pr_ppid;
} psinfo_t;

#endif
