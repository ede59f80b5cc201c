/*
 * Calls that Linux has too, but with other rules: these definitions stand before libc's, ask the model, and let the
 * kernel do what it allows.
 */
#include "tests/model_solaris/model.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <procfs.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

int fdwalk(int (*each)(void *baton, int fd), void *baton);

/* libc's own NAME, behind the one that is defined here. ISO C has no cast from an object's pointer to a function's. */
static void *libc(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    if (found == NULL) {
        abort();
    }
    return found;
}

static int refuse(int code)
{
    errno = code;
    return -1;
}

typedef int set_ids_t(unsigned real, unsigned effective, unsigned saved);

/* Through libc, which does it for all threads. */
static int real_setresuid(uid_t real, uid_t effective, uid_t saved)
{
    set_ids_t *call;
    *(void **)&call = libc("setresuid");
    return call(real, effective, saved);
}

static int real_setresgid(gid_t real, gid_t effective, gid_t saved)
{
    set_ids_t *call;
    *(void **)&call = libc("setresgid");
    return call(real, effective, saved);
}

static int change_uids(uid_t real, uid_t effective, uid_t saved)
{
    model_apply();
    if (real_setresuid(real, effective, saved) != 0) {
        model_conflict("setuid");
    }
    model_apply();
    return 0;
}

static int change_gids(gid_t real, gid_t effective, gid_t saved)
{
    model_apply();
    if (real_setresgid(real, effective, saved) != 0) {
        model_conflict("setgid");
    }
    return 0;
}

/* setuid(2): "If the uid argument is 0 and none of the saved, effective or real UID is 0, additional restrictions". */
static bool may_set_uid(uid_t uid, const uid_t now[3])
{
    bool from_nowhere = uid == 0 && now[0] != 0 && now[1] != 0 && now[2] != 0;
    return from_nowhere ? model_has_all() : model_has(PRIV_PROC_SETID);
}

int setuid(uid_t uid)
{
    uid_t now[3] = {0};
    (void)getresuid(&now[0], &now[1], &now[2]);
    if (uid == (uid_t)-1) {
        return refuse(EINVAL);
    }
    if (may_set_uid(uid, now)) {
        return change_uids(uid, uid, uid);
    }
    return uid == now[0] || uid == now[2] ? change_uids((uid_t)-1, uid, (uid_t)-1) : refuse(EPERM);
}

int seteuid(uid_t uid)
{
    uid_t now[3] = {0};
    (void)getresuid(&now[0], &now[1], &now[2]);
    if (uid == (uid_t)-1) {
        return refuse(EINVAL);
    }
    bool own_id = uid == now[0] || uid == now[1] || uid == now[2];
    return own_id || may_set_uid(uid, now) ? change_uids((uid_t)-1, uid, (uid_t)-1) : refuse(EPERM);
}

int setgid(gid_t gid)
{
    gid_t now[3] = {0};
    (void)getresgid(&now[0], &now[1], &now[2]);
    if (gid == (gid_t)-1) {
        return refuse(EINVAL);
    }
    if (model_has(PRIV_PROC_SETID)) {
        return change_gids(gid, gid, gid);
    }
    return gid == now[0] || gid == now[2] ? change_gids((gid_t)-1, gid, (gid_t)-1) : refuse(EPERM);
}

/* getgroups(2): "The proc_setid privilege is not asserted". */
int setgroups(size_t count, const gid_t *groups)
{
    int (*call)(size_t, const gid_t *);
    *(void **)&call = libc("setgroups");
    if (!model_has(PRIV_PROC_SETID)) {
        return refuse(EPERM);
    }
    model_apply();
    return call(count, groups);
}

int chroot(const char *path)
{
    int (*call)(const char *);
    *(void **)&call = libc("chroot");
    if (!model_has(PRIV_PROC_CHROOT)) {
        return refuse(EPERM);
    }
    model_apply();
    return call(path);
}

pid_t fork(void)
{
    pid_t (*call)(void);
    *(void **)&call = libc("fork");
    return model_has(PRIV_PROC_FORK) ? call() : refuse(EPERM);
}

/* Not of Solaris: with these the tests put themselves where some starter left off, and the model follows. */
int setresuid(uid_t real, uid_t effective, uid_t saved)
{
    return model_has(PRIV_PROC_SETID) ? change_uids(real, effective, saved) : refuse(EPERM);
}

int setresgid(gid_t real, gid_t effective, gid_t saved)
{
    return model_has(PRIV_PROC_SETID) ? change_gids(real, effective, saved) : refuse(EPERM);
}

/* ---- descriptors and /proc ---- */

int fdwalk(int (*each)(void *baton, int fd), void *baton)
{
    DIR *entries = opendir("/proc/self/fd");
    int result = 0;
    if (entries == NULL) {
        struct rlimit limit = {0, 0};
        (void)getrlimit(RLIMIT_NOFILE, &limit);
        for (int fd = 0; fd < (int)limit.rlim_cur && result == 0; fd++) {
            result = fcntl(fd, F_GETFD) >= 0 ? each(baton, fd) : 0;
        }
        return result;
    }
    for (const struct dirent *entry = readdir(entries); entry != NULL && result == 0; entry = readdir(entries)) {
        int fd = entry->d_name[0] != '.' ? atoi(entry->d_name) : -1;
        result = fd >= 0 && fd != dirfd(entries) ? each(baton, fd) : 0;
    }
    (void)closedir(entries);
    return result;
}

/* proc(5)'s psinfo of PATH, /proc/PID/psinfo, made of Linux's status. */
static int open_psinfo(const char *path)
{
    char text[64], line[256];
    psinfo_t info = {0};
    (void)snprintf(text, sizeof(text), "%.*sstatus", (int)(strlen(path) - strlen("psinfo")), path);
    FILE *status = fopen(text, "re");
    if (status == NULL) {
        return -1;
    }
    while (fgets(line, sizeof(line), status) != NULL) {
        (void)sscanf(line, "Threads: %d", &info.pr_nlwp);
        (void)sscanf(line, "Tgid: %d", &info.pr_pid);
    }
    (void)fclose(status);
    int fd = memfd_create("psinfo", MFD_CLOEXEC);
    if (fd >= 0 && (pwrite(fd, &info, sizeof(info), 0) != (ssize_t)sizeof(info))) {
        abort();
    }
    return fd;
}

int open(const char *path, int flags, ...)
{
    int (*call)(const char *, int, ...);
    *(void **)&call = libc("open");
    mode_t mode = 0;
    size_t length = strlen(path), tail = strlen("/psinfo");
    if ((flags & (O_CREAT | O_TMPFILE)) != 0) {
        va_list arguments;
        va_start(arguments, flags);
        mode = va_arg(arguments, mode_t);
        va_end(arguments);
    }
    bool is_psinfo = strncmp(path, "/proc/", 6) == 0 && length > tail && strcmp(path + length - tail, "/psinfo") == 0;
    return is_psinfo ? open_psinfo(path) : call(path, flags, mode);
}
