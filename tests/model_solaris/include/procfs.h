/* A model's <procfs.h>: of psinfo_t, as proc(5) describes it, what os/solaris looks at. See model.h. */
#ifndef MODEL_SOLARIS_PROCFS_H
#define MODEL_SOLARIS_PROCFS_H

#include <sys/types.h>

typedef struct psinfo {
    int pr_flag;
    int pr_nlwp; /* number of active lwps in the process */
    pid_t pr_pid;
} psinfo_t;

#endif
