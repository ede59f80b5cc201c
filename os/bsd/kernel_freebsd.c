/* FreeBSD: sysctl(3), closefrom(2), procctl(2), pthread_set_name_np(3). */
#include "os/bsd/kernel.h"

#include <errno.h>
#include <pthread.h>
#include <pthread_np.h>
#include <sys/procctl.h>
#include <sys/sysctl.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

const char os_kernel_name[] = "FreeBSD";

int os_backend_count_threads(const demit_identity_t *identity, unsigned *count)
{
    (void)identity;
    int name[] = {CTL_KERN, KERN_PROC, KERN_PROC_PID, getpid()};
    struct kinfo_proc process;
    size_t size = sizeof(process);
    if (sysctl(name, sizeof(name) / sizeof(name[0]), &process, &size, NULL, 0) != 0) {
        return errno;
    }
    *count = (unsigned)process.ki_numthreads;
    return 0;
}

int os_backend_close_from(int first)
{
    closefrom(first);
    return 0;
}

int os_backend_deny_tracing(void)
{
    int mode = PROC_TRACE_CTL_DISABLE;
    return procctl(P_PID, getpid(), PROC_TRACE_CTL, &mode) == 0 ? 0 : errno;
}

/* ip(4): ports up to reservedhigh are reserved; where it is 0, none is. */
unsigned os_kernel_first_free_port(void)
{
    int high = 0;
    size_t size = sizeof(high);
    if (sysctlbyname("net.inet.ip.portrange.reservedhigh", &high, &size, NULL, 0) != 0 || high < 0) {
        return 1024;
    }
    return (unsigned)high + 1;
}

void demit_os_name_thread(const char *name)
{
    pthread_set_name_np(pthread_self(), name);
}
