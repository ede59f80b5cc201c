/* The steps that every system has. What differs between kernels is asked of the back end. */
#include "os/posix/backend.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

bool os_step_has_jail(const demit_identity_t *identity)
{
    return identity->jail != NULL;
}

bool os_step_sets_groups(const demit_identity_t *identity)
{
    return identity->sets_groups;
}

bool os_step_waives_groups(const demit_identity_t *identity)
{
    return identity->waives_groups;
}

/*
 * One thread. On Linux privileges belong to threads: libc spreads setresuid() over all of them, but nobody does so for
 * capabilities, and a thread that already runs would keep every one of them.
 */
void os_step_describe_threads(const demit_identity_t *identity, char *what, size_t size)
{
    (void)identity;
    os_append(what, size, "the process has one thread");
}

bool os_step_check_threads(const demit_identity_t *identity, char *why_not, size_t size)
{
    unsigned count = 0;
    int code = os_backend_count_threads(identity, &count);
    if (code != 0) {
        os_append(why_not, size, "the threads of this process cannot be counted (%s)%s", strerror(code),
                  code == ENOENT ? ": is /proc mounted?" : "");
        return false;
    }
    if (count != 1) {
        os_append(why_not, size,
                  "the process has %u threads, and privileges can be given up for all only while "
                  "there is one; a library or a preloaded object started them",
                  count);
    }
    return count == 1;
}

/* A directory from outside that stays open is a way out of the jail: fchdir(fd), then "..", and chroot never was. */
void os_step_describe_descriptors(const demit_identity_t *identity, char *what, size_t size)
{
    (void)identity;
    os_append(what, size, "no directory from outside the jail is open");
}

typedef struct found_directory {
    int fd;
    bool found;
} found_directory_t;

static bool look_for_directory(void *baton, int fd)
{
    found_directory_t *directory = baton;
    struct stat about;
    if (fstat(fd, &about) == 0 && S_ISDIR(about.st_mode)) {
        directory->fd = fd;
        directory->found = true;
    }
    return !directory->found;
}

bool os_step_check_descriptors(const demit_identity_t *identity, char *why_not, size_t size)
{
    found_directory_t directory = {0};
    int code = os_backend_each_descriptor(identity, look_for_directory, &directory);
    if (code != 0) {
        os_append(why_not, size, "the open descriptors cannot be listed: %s", strerror(code));
        return false;
    }
    if (directory.found) {
        os_append(why_not, size,
                  "descriptor %d is an open directory, through which a process can leave the jail %s; "
                  "close it before demitd starts",
                  directory.fd, identity->jail);
    }
    return !directory.found;
}

void os_step_describe_groups(const demit_identity_t *identity, char *what, size_t size)
{
    char list[OS_TEXT_MAX];
    os_groups_t groups = os_identity_groups(identity);
    os_groups_format(&groups, list, sizeof(list));
    os_append(what, size, "supplementary groups: %s", groups.count > 0 ? list : "none");
}

void os_step_describe_inherited(const demit_identity_t *identity, char *what, size_t size)
{
    char list[OS_TEXT_MAX];
    os_groups_t groups = os_identity_groups(identity);
    os_groups_format(&groups, list, sizeof(list));
    os_append(what, size, "setgroups is denied here; Allow_Inherited_Groups keeps the groups found: %s",
              groups.count > 0 ? list : "none");
}

bool os_step_groups_allowed(char *why_not, size_t size)
{
    if (!os_backend_denies_groups()) {
        return true;
    }
    os_append(why_not, size,
              "this user namespace denies setgroups (/proc/self/setgroups is \"deny\"), so inherited groups cannot be "
              "dropped; map the ids with newuidmap and newgidmap, start demitd as an ordinary user, or set "
              "Allow_Inherited_Groups = true in the Security scope to go on with them");
    return false;
}

int os_step_run_groups(const demit_identity_t *identity)
{
    return os_backend_set_groups(identity->groups, identity->group_count, identity->gid);
}

void os_step_describe_gid(const demit_identity_t *identity, char *what, size_t size)
{
    os_append(what, size, "real, effective and saved gid %lu (%s)", (unsigned long)identity->gid, identity->group_name);
}

int os_step_run_gid(const demit_identity_t *identity)
{
    return os_backend_set_gids(identity->gid);
}

void os_step_describe_chroot(const demit_identity_t *identity, char *what, size_t size)
{
    os_append(what, size, "root directory %s", identity->jail);
}

int os_step_run_chroot(const demit_identity_t *identity)
{
    return chroot(identity->jail) == 0 ? 0 : errno;
}

/*
 * chroot(2) leaves the working directory where it was: outside, and "../../.." leads to the real root. Without a jail
 * it is an open directory all the same: root may have started demitd below one that the new identity could not even
 * enter.
 */
void os_step_describe_chdir(const demit_identity_t *identity, char *what, size_t size)
{
    os_append(what, size, "working directory: %s", identity->jail != NULL ? "the jail's root" : "/");
}

int os_step_run_chdir(const demit_identity_t *identity)
{
    (void)identity;
    return chdir("/") == 0 ? 0 : errno;
}

void os_step_describe_uid(const demit_identity_t *identity, char *what, size_t size)
{
    os_append(what, size, "real, effective and saved uid %lu (%s)", (unsigned long)identity->uid, identity->user_name);
}

int os_step_run_uid(const demit_identity_t *identity)
{
    return os_backend_set_uids(identity->uid);
}

/* False: this system has no such limit that a process could ask for (Solaris), or does not tell. */
static bool read_process_limit(struct rlimit *limit)
{
#if defined(RLIMIT_NPROC)
    return getrlimit(RLIMIT_NPROC, limit) == 0;
#else
    (void)limit;
    return false;
#endif
}

static void blame_process_limit(const demit_identity_t *identity, char *cause, size_t size)
{
    struct rlimit limit;
    if (!read_process_limit(&limit) || limit.rlim_cur == RLIM_INFINITY) {
        os_append(cause, size, "most likely a limit on processes and threads (cgroup pids.max or the like)");
        return;
    }
    os_append(cause, size,
              "RLIMIT_NPROC allows %s %llu processes and threads, and they are in use; raise it (ulimit "
              "-u, systemd: LimitNPROC=)",
              identity->user_name, (unsigned long long)limit.rlim_cur);
}

void os_step_blame_uid(const demit_identity_t *identity, int code, char *cause, size_t size)
{
    if (code == EAGAIN) {
        blame_process_limit(identity, cause, size);
    }
}

/*
 * Today's kernels let setuid(2) pass where RLIMIT_NPROC is exceeded and fail the next fork or thread instead: Linux
 * since 3.1, the BSDs always. So the limit is tried now, while the failure still has a name.
 */
void os_step_describe_room(const demit_identity_t *identity, char *what, size_t size)
{
    os_append(what, size, "%s may start another process or thread", identity->user_name);
}

int os_step_run_room(const demit_identity_t *identity)
{
    (void)identity;
    struct rlimit limit;
    if (read_process_limit(&limit) && limit.rlim_cur == RLIM_INFINITY) {
        return 0;
    }
    pid_t child = fork();
    if (child < 0) {
        return errno;
    }
    if (child == 0) {
        _exit(0);
    }
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR) {
    }
    return 0;
}
