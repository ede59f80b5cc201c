/* The view from outside on NetBSD: sysctl(3), kern.proc2. Ids belong to processes. */
#include "tests/contract/look_groups.h"

#include <sys/param.h>
#include <sys/sysctl.h>

size_t look_at_threads(pid_t pid, view_t *views, size_t count)
{
    struct kinfo_proc2 process;
    int name[] = {CTL_KERN, KERN_PROC2, KERN_PROC_PID, pid, (int)sizeof(process), 1};
    size_t size = sizeof(process);
    assert_int_equal(sysctl(name, 6, &process, &size, NULL, 0), 0);
    assert_int_equal(size, sizeof(process));
    assert_in_range(count, 1, SIZE_MAX);
    assert_in_range(process.p_ngroups, 0, KI_NGROUPS);
    *views = (view_t){.uid = {process.p_ruid, process.p_uid, process.p_svuid, process.p_uid},
                      .gid = {process.p_rgid, process.p_gid, process.p_svgid, process.p_gid},
                      .no_new_privs = -1};
    format_groups(views, process.p_groups, (size_t)process.p_ngroups);
    return 1;
}
