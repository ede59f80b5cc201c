/* Kernel calls that Solaris and illumos have of their own. */
#include "os/solaris/native.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <procfs.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <ucred.h>
#include <unistd.h>

/* ---- ids ---- */

/* There is no setresuid: with proc_setid, setuid(2) sets all three, and os_ids_read() proves it. */
int os_backend_set_uids(uid_t uid)
{
    return setuid(uid) == 0 ? 0 : errno; /* setuid(2) */
}

int os_backend_set_gids(gid_t gid)
{
    return setgid(gid) == 0 ? 0 : errno; /* setuid(2) */
}

int os_backend_set_groups(const gid_t *groups, size_t count, gid_t gid)
{
    (void)gid;
    return setgroups((int)count, groups) == 0 ? 0 : errno; /* setgroups(2) */
}

/* What user namespaces take from root on Linux, nothing takes here. */
bool os_backend_denies_groups(void)
{
    return false;
}

/* There is no getresuid: the saved ids stand in the credential alone. */
int os_ids_read(os_ids_t *ids)
{
    ucred_t *credential = ucred_get(P_MYID); /* ucred_get(3C) */
    if (credential == NULL) {
        return errno;
    }
    *ids = (os_ids_t){
        .uid = {ucred_getruid(credential), ucred_geteuid(credential), ucred_getsuid(credential)},
        .gid = {ucred_getrgid(credential), ucred_getegid(credential), ucred_getsgid(credential)},
    };
    ucred_free(credential);
    return 0;
}

/* ---- threads ---- */

int os_threads_of(pid_t pid, unsigned *count)
{
    char path[64] = "/proc/self/psinfo"; /* proc(5), which was proc(4) */
    psinfo_t info;
    if (pid != 0) {
        (void)snprintf(path, sizeof(path), "/proc/%ld/psinfo", (long)pid);
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return errno;
    }
    ssize_t got = read(fd, &info, sizeof(info));
    int code = got < 0 ? errno : EPROTO;
    (void)close(fd);
    if (got != (ssize_t)sizeof(info)) {
        return code;
    }
    *count = (unsigned)info.pr_nlwp;
    return 0;
}

int os_backend_count_threads(const demit_identity_t *identity, unsigned *count)
{
    (void)identity;
    return os_threads_of(0, count);
}

/* ---- descriptors ---- */

typedef struct walk {
    bool (*each)(void *baton, int fd);
    void *baton;
    int first; /* those below were looked at already */
} walk_t;

static int look(void *baton, int fd)
{
    const walk_t *walk = baton;
    return fd < walk->first || walk->each(walk->baton, fd) ? 0 : 1;
}

/*
 * fdwalk(3C) reads /proc/self/fd, and in a jail whoever can write to it can put a directory there that is called /proc.
 * So the numbers that the limit allows are tried one by one, and only what an earlier, higher limit may have let in is
 * asked of fdwalk.
 */
int os_backend_each_descriptor(const demit_identity_t *identity, bool (*each)(void *baton, int fd), void *baton)
{
    (void)identity;
    enum { AT_MOST = 1 << 20 };
    struct rlimit limit;
    bool known = getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < AT_MOST;
    walk_t walk = {.each = each, .baton = baton, .first = known ? (int)limit.rlim_cur : AT_MOST};
    for (int fd = 0; fd < walk.first; fd++) {
        if (fcntl(fd, F_GETFD) >= 0 && !each(baton, fd)) {
            return 0;
        }
    }
    (void)fdwalk(look, &walk); /* closefrom(3C); what it returns is what look() did */
    return 0;
}

int os_backend_close_from(int first)
{
    closefrom(first); /* closefrom(3C) */
    return 0;
}

/* The walk of os/posix does it. */
int os_backend_open_below(int directory_fd, const char *relative, int flags, mode_t mode, int *fd)
{
    (void)directory_fd, (void)relative, (void)flags, (void)mode, (void)fd;
    return ENOSYS;
}

/* ---- the rest ---- */

/*
 * The flag that setuid(2) sets for a process that gives up root: no core file, and /proc/PID opens for nobody without
 * proc_owner. Asked for explicitly, because a process that was not started as root has not got it. illumos has it in
 * <sys/priv.h> without describing it (OpenSSH uses it for the same purpose), Solaris 11.4 describes it in setpflags(2).
 */
#if defined(PRIV_PROC_SENSITIVE)
enum { UNTRACEABLE = PRIV_PROC_SENSITIVE };
#else
enum { UNTRACEABLE = __PROC_PROTECT };
#endif

int os_backend_deny_tracing(void)
{
    return setpflags(UNTRACEABLE, 1) == 0 ? 0 : errno; /* setpflags(2) */
}

int demit_os_peer(int socket_fd, demit_peer_t *peer)
{
    ucred_t *credential = NULL;                      /* or it would be taken for one to be filled */
    if (getpeerucred(socket_fd, &credential) != 0) { /* getpeerucred(3C) */
        return errno;
    }
    pid_t pid = ucred_getpid(credential);
    *peer =
        (demit_peer_t){.uid = ucred_geteuid(credential), .gid = ucred_getegid(credential), .pid = pid > 0 ? pid : 0};
    ucred_free(credential);
    /* ucred_get(3C): -1 where the credential does not tell. */
    return peer->uid != (uid_t)-1 && peer->gid != (gid_t)-1 ? 0 : EPROTO;
}

unsigned demit_os_processors(void)
{
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (unsigned)online : 1;
}

void demit_os_name_thread(const char *name)
{
    char cut[32]; /* PTHREAD_MAX_NAMELEN_NP, which not every release names; longer is ERANGE */
    (void)snprintf(cut, sizeof(cut), "%s", name);
    (void)pthread_setname_np(pthread_self(), cut); /* pthread_setname_np(3C) */
}
