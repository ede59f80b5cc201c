/* OpenBSD: <sys/sysctl.h> */
#ifndef OPENBSD_SYS_SYSCTL_H
#define OPENBSD_SYS_SYSCTL_H

#include <stddef.h>
#include <sys/types.h>

/* sysctl(2): KERN_PROC and its five numbers */
#define CTL_KERN               1
#define KERN_PROC              66
#define KERN_PROC_PID          1
#define KERN_PROC_SHOW_THREADS 0x40000000
int sysctl(const int *name, unsigned parts, void *old, size_t *old_size, void *new_value, size_t new_size);

/* sysctl(2) names the structure, this header its members: widths are fixed. */
#define KI_NGROUPS 16
struct kinfo_proc {
    int32_t p_pid;
    uint32_t p_uid;
    uint32_t p_ruid;
    uint32_t p_gid;
    uint32_t p_rgid;
    uint32_t p_groups[KI_NGROUPS];
    int16_t p_ngroups;
    int32_t p_eflag;
    uint32_t p_svuid;
    uint32_t p_svgid;
    int32_t p_tid; /* -1: the process, else a thread */
    uint64_t p_pledge;
};
/* Of p_eflag: unveil(2) was called, and called for the last time. */
#define EPROC_UNVEIL   0x04
#define EPROC_LKUNVEIL 0x08

#endif
