/* DragonFly: <sys/kinfo.h>: what sysctl(3) tells of a process, as kvm_getprocs(3) describes it. */
#ifndef DRAGONFLY_SYS_KINFO_H
#define DRAGONFLY_SYS_KINFO_H

#include <sys/param.h>
#include <sys/types.h>

struct kinfo_proc {
    uid_t kp_uid;
    short kp_ngroups;
    gid_t kp_groups[16];
    uid_t kp_ruid;
    uid_t kp_svuid;
    gid_t kp_rgid;
    gid_t kp_svgid;
    pid_t kp_pid;
    int kp_nthreads;
};

#endif
