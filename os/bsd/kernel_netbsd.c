/*
 * NetBSD has no setresuid(2) and no getresuid(2): setuid(2) from root sets all three ids, and sysctl(3) tells them. So
 * what setuid did is not believed but read back.
 */
#include "os/bsd/kernel.h"
#include "os/bsd/login_class.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/param.h>
#include <sys/sysctl.h>
#include <unistd.h>

const os_kernel_t os_kernel = {.name = "NetBSD", .resolve = os_class_resolve};

const char os_kernel_uid_call[] = "setuid", os_kernel_gid_call[] = "setgid";

const os_step_t os_backend_steps[] = {OS_STEPS_CHECKS, OS_STEP_LOGIN_CLASS, OS_STEPS_IDS, OS_STEPS_PROOFS};
const size_t os_backend_step_count = sizeof(os_backend_steps) / sizeof(os_backend_steps[0]);

int os_backend_set_uids(uid_t uid)
{
    return setuid(uid) == 0 ? 0 : errno;
}

int os_backend_set_gids(gid_t gid)
{
    return setgid(gid) == 0 ? 0 : errno;
}

int os_backend_set_groups(const gid_t *groups, size_t count, gid_t gid)
{
    (void)gid;
    return setgroups((int)count, groups) == 0 ? 0 : errno;
}

static int read_kinfo(pid_t pid, struct kinfo_proc2 *process)
{
    int name[] = {CTL_KERN, KERN_PROC2, KERN_PROC_PID, pid, (int)sizeof(*process), 1};
    size_t size = sizeof(*process);
    if (sysctl(name, sizeof(name) / sizeof(name[0]), process, &size, NULL, 0) != 0) {
        return errno;
    }
    return size == sizeof(*process) ? 0 : ESRCH;
}

static os_ids_t ids_of(const struct kinfo_proc2 *process)
{
    return (os_ids_t){.uid = {process->p_ruid, process->p_uid, process->p_svuid},
                      .gid = {process->p_rgid, process->p_gid, process->p_svgid}};
}

int os_kernel_get_ids(os_ids_t *ids)
{
    struct kinfo_proc2 process;
    int code = read_kinfo(getpid(), &process);
    if (code == 0) {
        *ids = ids_of(&process);
    }
    return code;
}

int os_kernel_read_process(pid_t pid, os_process_t *process)
{
    struct kinfo_proc2 found;
    int code = read_kinfo(pid, &found);
    if (code != 0) {
        return code;
    }
    process->ids = ids_of(&found);
    process->threads = (unsigned)found.p_nlwps;
    return os_process_groups(process, found.p_groups, found.p_ngroups, KI_NGROUPS);
}

int os_backend_count_threads(const demit_identity_t *identity, unsigned *count)
{
    (void)identity;
    struct kinfo_proc2 process;
    int code = read_kinfo(getpid(), &process);
    if (code == 0) {
        *count = (unsigned)process.p_nlwps;
    }
    return code;
}

/* EBADF: nothing is open from FIRST on. */
int os_backend_close_from(int first)
{
    return closefrom(first) == 0 || errno == EBADF ? 0 : errno;
}

/* A process whose ids were changed is marked (issetugid(2)), and only root may trace it; another cannot ask for that.
 */
int os_backend_deny_tracing(void)
{
    return issetugid() ? 0 : ENOTSUP;
}

unsigned os_backend_first_free_port(void)
{
    return 1024;
}

/* A format and its argument, unlike everywhere else: pthread_setname_np(3). */
void demit_os_name_thread(const char *name)
{
    char copy[PTHREAD_MAX_NAMELEN_NP];
    (void)strlcpy(copy, name, sizeof(copy));
    (void)pthread_setname_np(pthread_self(), "%s", copy);
}
