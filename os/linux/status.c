/* What a thread holds: /proc/PID/task/TID/status, and the same by system calls for a jail without /proc. */
#include "os/linux/native.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

void os_status_free(os_status_t *status)
{
    free(status->groups.ids);
    status->groups = (os_groups_t){0};
}

/* ---- by system calls ---- */

long os_session_keyring(void)
{
    long serial = syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0);
    return serial > 0 ? serial : 0;
}

static os_capset_t bounding_of_caller(void)
{
    os_capset_t set = 0;
    for (int c = 0; c < cap_max_bits(); c++) {
        set |= cap_get_bound(c) > 0 ? UINT64_C(1) << c : 0;
    }
    return set;
}

static os_capset_t ambient_of_caller(void)
{
    os_capset_t set = 0;
    for (int c = 0; c < cap_max_bits(); c++) {
        set |= cap_get_ambient(c) > 0 ? UINT64_C(1) << c : 0;
    }
    return set;
}

static int caps_of_caller(os_caps_t *caps)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
    if (syscall(SYS_capget, &header, data) != 0) {
        return errno;
    }
    caps->permitted = (os_capset_t)data[1].permitted << 32 | data[0].permitted;
    caps->effective = (os_capset_t)data[1].effective << 32 | data[0].effective;
    caps->inheritable = (os_capset_t)data[1].inheritable << 32 | data[0].inheritable;
    return 0;
}

int os_status_of_caller(os_status_t *status)
{
    *status = (os_status_t){.tgid = getpid(), .pid = (pid_t)syscall(SYS_gettid), .seccomp = -1};
    if (getresuid(&status->uid[0], &status->uid[1], &status->uid[2]) != 0 ||
        getresgid(&status->gid[0], &status->gid[1], &status->gid[2]) != 0) {
        return errno;
    }
    /* An id that cannot be set changes nothing and tells the present one: setfsuid(2), NOTES. */
    status->uid[3] = (uid_t)setfsuid((uid_t)-1);
    status->gid[3] = (gid_t)setfsgid((gid_t)-1);
    int code = caps_of_caller(&status->caps);
    if (code != 0) {
        return code;
    }
    status->bounding = bounding_of_caller();
    status->ambient = ambient_of_caller();
    status->no_new_privs = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1;
    status->has_no_new_privs = true;
    return os_groups_read(&status->groups);
}

/* ---- by /proc ---- */

int os_proc_open(const char *path, int flags, int *fd)
{
    struct statfs system;
    /* O_NONBLOCK: a FIFO of that name must not hold anybody up. */
    *fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | flags);
    if (*fd < 0) {
        return errno;
    }
    if (fstatfs(*fd, &system) == 0 && system.f_type == PROC_SUPER_MAGIC) {
        return 0;
    }
    (void)close(*fd);
    *fd = -1;
    return ENOENT;
}

/* All of FD as a string that the caller frees; NULL: errno says why. */
static char *read_whole(int fd)
{
    char *text = NULL;
    size_t size = 0, used = 0;
    for (;;) {
        if (size - used < 2) {
            size = size == 0 ? 8192 : size * 2; /* a thousand groups make it long */
            char *larger = realloc(text, size);
            if (larger == NULL) {
                break;
            }
            text = larger;
        }
        ssize_t got = pread(fd, text + used, size - used - 1, (off_t)used);
        if (got == 0) {
            text[used] = '\0';
            return text;
        }
        if (got > 0) {
            used += (size_t)got;
        } else if (errno != EINTR) {
            break;
        }
    }
    int code = errno;
    free(text);
    errno = code;
    return NULL;
}

/* The text after "NAME:\t", or NULL. */
static const char *field(const char *text, const char *name)
{
    size_t length = strlen(name);
    for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, length) == 0 && line[length] == ':') {
            return line + length + 1;
        }
    }
    return NULL;
}

static bool read_numbers(const char *text, const char *name, unsigned long *numbers, size_t count)
{
    const char *at = field(text, name);
    for (size_t i = 0; at != NULL && i < count; i++) {
        char *end = NULL;
        numbers[i] = strtoul(at, &end, 10);
        if (end == at) {
            return false;
        }
        at = end;
    }
    return at != NULL;
}

static bool read_set(const char *text, const char *name, os_capset_t *set)
{
    const char *at = field(text, name);
    char *end = NULL;
    *set = at != NULL ? strtoull(at, &end, 16) : 0;
    return at != NULL && end != at;
}

static int read_groups(const char *text, os_groups_t *groups)
{
    const char *at = field(text, "Groups");
    if (at == NULL) {
        return EPROTO;
    }
    size_t length = strcspn(at, "\n");
    groups->ids = calloc(length / 2 + 2, sizeof(*groups->ids)); /* a digit and a blank each, at least */
    if (groups->ids == NULL) {
        return ENOMEM;
    }
    for (const char *stop = at + length; at < stop;) {
        char *end = NULL;
        unsigned long id = strtoul(at, &end, 10);
        if (end == at || end > stop) {
            break; /* the blank that ends the line */
        }
        groups->ids[groups->count++] = (gid_t)id;
        at = end + strspn(end, " \t");
    }
    os_groups_sort(groups);
    return 0;
}

static int parse(const char *text, os_status_t *status)
{
    unsigned long tgid = 0, pid = 0, threads = 0, uid[4], gid[4], number = 0;
    *status = (os_status_t){.seccomp = -1};
    if (!read_numbers(text, "Tgid", &tgid, 1) || !read_numbers(text, "Pid", &pid, 1) ||
        !read_numbers(text, "Threads", &threads, 1) || !read_numbers(text, "Uid", uid, 4) ||
        !read_numbers(text, "Gid", gid, 4) || !read_set(text, "CapInh", &status->caps.inheritable) ||
        !read_set(text, "CapPrm", &status->caps.permitted) || !read_set(text, "CapEff", &status->caps.effective) ||
        !read_set(text, "CapBnd", &status->bounding)) {
        return EPROTO;
    }
    (void)read_set(text, "CapAmb", &status->ambient); /* no such line before Linux 4.3: there are none */
    status->tgid = (pid_t)tgid;
    status->pid = (pid_t)pid;
    status->threads = (unsigned)threads;
    for (size_t i = 0; i < 4; i++) {
        status->uid[i] = (uid_t)uid[i];
        status->gid[i] = (gid_t)gid[i];
    }
    status->has_no_new_privs = read_numbers(text, "NoNewPrivs", &number, 1);
    status->no_new_privs = status->has_no_new_privs && number == 1;
    status->seccomp = read_numbers(text, "Seccomp", &number, 1) ? (int)number : -1;
    status->fd_table = read_numbers(text, "FDSize", &number, 1) ? (unsigned)number : 0;
    return read_groups(text, &status->groups);
}

int os_status_from_fd(int fd, os_status_t *status)
{
    char *text = read_whole(fd);
    if (text == NULL) {
        return errno;
    }
    int code = parse(text, status);
    free(text);
    if (code != 0) {
        os_status_free(status);
    }
    return code;
}

/* "/proc/self" and not "/proc/PID" for oneself: a PID namespace may show another number. */
static void process_path(pid_t pid, const char *rest, char *path, size_t size)
{
    if (pid == 0) {
        (void)snprintf(path, size, "/proc/self/%s", rest);
    } else {
        (void)snprintf(path, size, "/proc/%ld/%s", (long)pid, rest);
    }
}

int os_status_of(pid_t pid, pid_t thread, os_status_t *status)
{
    char path[64], rest[40] = "status";
    if (thread != 0) {
        (void)snprintf(rest, sizeof(rest), "task/%ld/status", (long)thread);
    }
    process_path(pid, rest, path, sizeof(path));
    int fd = -1;
    int code = os_proc_open(path, 0, &fd);
    if (code == 0) {
        code = os_status_from_fd(fd, status);
        (void)close(fd);
    }
    return code;
}

/* 0 also for a thread that ended between the listing and the look. */
static int visit_thread(int tasks_fd, const char *thread, int (*each)(void *baton, const os_status_t *status),
                        void *baton)
{
    char name[300];
    os_status_t status;
    (void)snprintf(name, sizeof(name), "%s/status", thread);
    int fd = openat(tasks_fd, name, O_RDONLY | O_CLOEXEC);
    int code = fd < 0 ? errno : os_status_from_fd(fd, &status);
    if (fd >= 0) {
        (void)close(fd);
    }
    if (code != 0) {
        return code == ENOENT || code == ESRCH ? 0 : code;
    }
    code = each(baton, &status);
    os_status_free(&status);
    return code;
}

int os_status_each_thread(pid_t pid, int (*each)(void *baton, const os_status_t *status), void *baton)
{
    char path[64];
    process_path(pid, "task", path, sizeof(path));
    int fd = -1;
    int code = os_proc_open(path, O_DIRECTORY, &fd);
    if (code != 0) {
        return code;
    }
    DIR *tasks = fdopendir(fd);
    if (tasks == NULL) {
        code = errno;
        (void)close(fd);
        return code;
    }
    while (code == 0) {
        errno = 0;
        const struct dirent *task = readdir(tasks);
        if (task == NULL) {
            code = errno;
            break;
        }
        if (task->d_name[0] != '.') {
            code = visit_thread(dirfd(tasks), task->d_name, each, baton);
        }
    }
    (void)closedir(tasks);
    return code;
}
