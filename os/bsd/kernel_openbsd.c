/* OpenBSD: setgroups(2), sysctl(2), closefrom(2), issetugid(2), pthread_set_name_np(3). */
#include "os/bsd/kernel.h"

#include <errno.h>
#include <pthread.h>
#include <pthread_np.h>
#include <stdlib.h>
#include <sys/param.h>
#include <sys/proc.h>
#include <sys/sysctl.h>
#include <unistd.h>

const char os_kernel_name[] = "OpenBSD";

int os_backend_set_groups(const gid_t *groups, size_t count, gid_t gid)
{
    (void)gid;
    return setgroups((int)count, groups) == 0 ? 0 : errno;
}

/* One entry for the process, whose p_tid is -1, and one for each thread. */
int os_backend_count_threads(const demit_identity_t *identity, unsigned *count)
{
    (void)identity;
    int name[] = {CTL_KERN, KERN_PROC, KERN_PROC_PID | KERN_PROC_SHOW_THREADS, getpid(), (int)sizeof(struct kinfo_proc),
                  0};
    const unsigned parts = sizeof(name) / sizeof(name[0]);
    size_t size = 0;
    if (sysctl(name, parts, NULL, &size, NULL, 0) != 0) {
        return errno;
    }
    struct kinfo_proc *entries = malloc(size + 1);
    if (entries == NULL) {
        return ENOMEM;
    }
    name[5] = (int)(size / sizeof(*entries));
    if (sysctl(name, parts, entries, &size, NULL, 0) != 0) {
        int code = errno;
        free(entries);
        return code;
    }
    *count = 0;
    for (size_t i = 0; i < size / sizeof(*entries); i++) {
        *count += entries[i].p_tid != -1;
    }
    free(entries);
    return 0;
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

unsigned os_kernel_first_free_port(void)
{
    return 1024;
}

void demit_os_name_thread(const char *name)
{
    pthread_set_name_np(pthread_self(), name);
}
