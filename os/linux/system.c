/* Kernel calls that are Linux's own. */
#include "os/linux/native.h"
#include "os/posix/backend.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

int os_backend_set_uids(uid_t uid)
{
    return setresuid(uid, uid, uid) == 0 ? 0 : errno;
}

int os_backend_set_gids(gid_t gid)
{
    return setresgid(gid, gid, gid) == 0 ? 0 : errno;
}

int os_backend_set_groups(const gid_t *groups, size_t count, gid_t gid)
{
    (void)gid;
    return setgroups(count, groups) == 0 ? 0 : errno;
}

int os_backend_count_threads(const demit_identity_t *identity, unsigned *count)
{
    (void)identity;
    os_status_t status;
    int code = os_status_of(0, 0, &status);
    if (code == 0) {
        *count = status.threads;
        os_status_free(&status);
    }
    return code;
}

/* ---- descriptors ---- */

/* No descriptor is at or above this. In a jail without /proc the descriptor from before chroot tells. */
static int descriptor_end(const demit_identity_t *identity)
{
    enum { AT_MOST = 1 << 20 };
    os_status_t status;
    struct rlimit limit;
    bool jailed = identity != NULL && identity->native->status_fd >= 0;
    int code = jailed ? os_status_from_fd(identity->native->status_fd, &status) : os_status_of(0, 0, &status);
    if (code == 0) {
        int end = (int)status.fd_table;
        os_status_free(&status);
        if (end > 0) {
            return end;
        }
    }
    bool known = getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < AT_MOST;
    return known ? (int)limit.rlim_cur : AT_MOST;
}

int os_backend_each_descriptor(const demit_identity_t *identity, bool (*each)(void *baton, int fd), void *baton)
{
    /* The owner of /proc/self/fd is root once the process is not dumpable, so this may fail after the drop. */
    int own = -1;
    DIR *entries = os_proc_open("/proc/self/fd", O_DIRECTORY, &own) == 0 ? fdopendir(own) : NULL;
    if (entries == NULL) {
        if (own >= 0) {
            (void)close(own);
        }
        int end = descriptor_end(identity);
        for (int fd = 0; fd < end; fd++) {
            if (fcntl(fd, F_GETFD) >= 0 && !each(baton, fd)) {
                return 0;
            }
        }
        return 0;
    }
    for (const struct dirent *entry = readdir(entries); entry != NULL; entry = readdir(entries)) {
        char *end = NULL;
        long fd = strtol(entry->d_name, &end, 10);
        if (end != entry->d_name && *end == '\0' && fd != dirfd(entries) && !each(baton, (int)fd)) {
            break;
        }
    }
    (void)closedir(entries);
    return 0;
}

typedef struct highest {
    int first, fd;
} highest_t;

static bool find_one_above(void *baton, int fd)
{
    highest_t *found = baton;
    found->fd = fd >= found->first ? fd : -1;
    return found->fd < 0;
}

int os_backend_close_from(int first)
{
    /* By number: glibc has the wrapper since 2.34, the kernel the call since 5.9. */
    if (syscall(SYS_close_range, (unsigned)first, ~0U, 0U) == 0) {
        return 0;
    }
    /* Closing while the directory is read would confuse the listing, so one at a time. */
    for (;;) {
        highest_t found = {first, -1};
        int code = os_backend_each_descriptor(NULL, find_one_above, &found);
        if (code != 0 || found.fd < 0) {
            return code;
        }
        (void)close(found.fd);
    }
}

int os_backend_deny_tracing(void)
{
    return prctl(PR_SET_DUMPABLE, 0UL, 0, 0, 0) == 0 ? 0 : errno;
}

int os_backend_open_below(int directory_fd, const char *relative, int flags, mode_t mode, int *fd)
{
    struct open_how how = {
        .flags = (unsigned)flags,
        /* openat2(2) refuses a mode that would not be used. */
        .mode = (flags & O_CREAT) != 0 ? mode : 0,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
    };
    for (int attempt = 0; attempt < 8; attempt++) {
        long result = syscall(SYS_openat2, directory_fd, relative, &how, sizeof(how));
        if (result >= 0) {
            *fd = (int)result;
            return 0;
        }
        /* EAGAIN: something was renamed meanwhile and the kernel cannot vouch for the path; EINTR: a slow file system.
         */
        if (errno != EAGAIN && errno != EINTR) {
            /* A seccomp filter older than the call says EPERM, which openat2 itself does not say for a path. */
            return errno == EPERM ? ENOSYS : errno;
        }
    }
    return ENOSYS;
}

/* ---- the rest ---- */

unsigned demit_os_processors(void)
{
    /* Those that this process may use, which in a container are fewer than those that are there. */
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 0) {
        return (unsigned)CPU_COUNT(&set);
    }
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (unsigned)online : 1;
}

void demit_os_name_thread(const char *name)
{
    char cut[16]; /* what the kernel keeps, its end included */
    (void)snprintf(cut, sizeof(cut), "%s", name);
    (void)pthread_setname_np(pthread_self(), cut);
}
