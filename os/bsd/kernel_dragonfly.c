/* DragonFly: sysctl(3), closefrom(2), pthread_set_name_np(3), login_cap(3). */
#include "os/bsd/kernel.h"
#include "os/bsd/login_class.h"

#include <errno.h>
#include <pthread.h>
#include <pthread_np.h>
#include <sys/kinfo.h>
#include <sys/param.h>
#include <sys/sysctl.h>
#include <unistd.h>

const os_kernel_t os_kernel = {.name = "DragonFly", .resolve = os_class_resolve};

const os_step_t os_backend_steps[] = {OS_STEPS_CHECKS, OS_STEP_LOGIN_CLASS, OS_STEPS_IDS, OS_STEPS_PROOFS};
const size_t os_backend_step_count = sizeof(os_backend_steps) / sizeof(os_backend_steps[0]);

static int read_kinfo(pid_t pid, struct kinfo_proc *process)
{
    int name[] = {CTL_KERN, KERN_PROC, KERN_PROC_PID, pid};
    size_t size = sizeof(*process);
    if (sysctl(name, sizeof(name) / sizeof(name[0]), process, &size, NULL, 0) != 0) {
        return errno;
    }
    return size == sizeof(*process) ? 0 : ESRCH;
}

int os_backend_count_threads(const demit_identity_t *identity, unsigned *count)
{
    (void)identity;
    struct kinfo_proc process;
    int code = read_kinfo(getpid(), &process);
    if (code == 0) {
        *count = (unsigned)process.kp_nthreads;
    }
    return code;
}

/* The first of its groups is the effective gid. */
int os_kernel_read_process(pid_t pid, os_process_t *process)
{
    struct kinfo_proc found;
    int code = read_kinfo(pid, &found);
    if (code != 0) {
        return code;
    }
    process->ids = (os_ids_t){.uid = {found.kp_ruid, found.kp_uid, found.kp_svuid},
                              .gid = {found.kp_rgid, found.kp_groups[0], found.kp_svgid}};
    process->threads = (unsigned)found.kp_nthreads;
    return os_process_groups(process, found.kp_groups, found.kp_ngroups,
                             (int)(sizeof(found.kp_groups) / sizeof(found.kp_groups[0])));
}

int os_backend_close_from(int first)
{
    closefrom(first);
    return 0;
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

void demit_os_name_thread(const char *name)
{
    pthread_set_name_np(pthread_self(), name);
}
