/* The view from outside on FreeBSD: sysctl(3), kern.proc.pid. Ids belong to processes. */
#include "tests/contract/look_groups.h"

#include <sys/sysctl.h>
#include <sys/user.h>

size_t look_at_threads(pid_t pid, view_t *views, size_t count)
{
    int name[] = {CTL_KERN, KERN_PROC, KERN_PROC_PID, pid};
    struct kinfo_proc process;
    size_t size = sizeof(process);
    assert_int_equal(sysctl(name, 4, &process, &size, NULL, 0), 0);
    assert_int_equal(size, sizeof(process));
    assert_in_range(count, 1, SIZE_MAX);
    /* kinfo_proc has no field for the effective gid: the kernel puts it first among the groups, before and after 15. */
    assert_in_range(process.ki_ngroups, 1, KI_NGROUPS);
    const gid_t gid = process.ki_groups[0];
    *views = (view_t){.uid = {process.ki_ruid, process.ki_uid, process.ki_svuid, process.ki_uid},
                      .gid = {process.ki_rgid, gid, process.ki_svgid, gid},
                      .no_new_privs = -1};
    format_groups(views, process.ki_groups, (size_t)process.ki_ngroups);
    return 1;
}
