/* DragonFly: sysctl(3), closefrom(2), pthread_set_name_np(3). */
#include "os/bsd/kernel.h"

#include <errno.h>
#include <pthread.h>
#include <pthread_np.h>
#include <sys/kinfo.h>
#include <sys/param.h>
#include <sys/sysctl.h>
#include <unistd.h>

const char os_kernel_name[] = "DragonFly";

int os_backend_count_threads(const demit_identity_t *identity, unsigned *count)
{
    (void)identity;
    int name[] = {CTL_KERN, KERN_PROC, KERN_PROC_PID, getpid()};
    struct kinfo_proc process;
    size_t size = sizeof(process);
    if (sysctl(name, sizeof(name) / sizeof(name[0]), &process, &size, NULL, 0) != 0) {
        return errno;
    }
    *count = (unsigned)process.kp_nthreads;
    return 0;
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

unsigned os_kernel_first_free_port(void)
{
    return 1024;
}

void demit_os_name_thread(const char *name)
{
    pthread_set_name_np(pthread_self(), name);
}
