/*
 * Lets go of root with nothing but setgroups(2), setresgid(2), chroot(2) and setresuid(2). Privilege is uid 0 and
 * nothing else here: it is kept whole, by user = root, or not at all. Credentials belong to the process, so what the
 * calling thread reads holds for all.
 */
#include "os/bsd/kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

const char os_backend_name[] = "bsd";

/* useradd(8) of OpenBSD and NetBSD, and of Linux; FreeBSD and DragonFly have pw(8). */
void os_backend_account_hint(const char *user, char *text, size_t size)
{
    if (access("/usr/sbin/pw", X_OK) == 0) {
        os_append(text, size, "pw useradd %s -d /nonexistent -s /usr/sbin/nologin", user);
    } else {
        os_append(text, size, "useradd -d /nonexistent -s /sbin/nologin %s", user);
    }
}

/* ---- resolve ---- */

int os_backend_resolve(demit_identity_t *identity, const demit_identity_request_t *request, const os_sink_t *warnings,
                       demit_os_error_t *error)
{
    identity->native = calloc(1, sizeof(*identity->native));
    if (identity->native == NULL) {
        return os_fail(error, ENOMEM, "identity", "the identity cannot be resolved");
    }
    if (request->capabilities != NULL) {
        os_tell(warnings, "Capabilities is ignored on this system: %s",
                identity->uid == 0 ? "root keeps everything" : "nothing is kept");
    }
    if (request->privileges != NULL) {
        os_tell(warnings, "Privileges is ignored on this system: %s",
                identity->uid == 0 ? "root keeps everything" : "nothing is kept");
    }
    const unsigned free_port = os_backend_first_free_port();
    const unsigned granted = os_kernel.lowest_granted_port != NULL ? os_kernel.lowest_granted_port(identity) : 0;
    identity->native->lowest_port = granted > 0 && granted < free_port ? granted : free_port;
    if (identity->uid == 0 || free_port == 0) {
        identity->native->lowest_port = 1;
    }
    return os_kernel.resolve != NULL ? os_kernel.resolve(identity, warnings, error) : 0;
}

void os_backend_free(os_native_t *native)
{
    if (native != NULL) {
        free(native->login_class);
    }
    free(native);
}

unsigned demit_identity_lowest_port(const demit_identity_t *identity)
{
    return identity->native->lowest_port;
}

void os_backend_each_power(const demit_identity_t *identity, void (*each)(void *baton, const os_kept_power_t *power),
                           void *baton)
{
    const os_kept_power_t root = {.name = "root",
                                  .deed = "does everything",
                                  .remedy = "let user name an account that is not root",
                                  .as_good_as_root = true,
                                  .binds_low = true};
    if (identity->uid == 0) {
        each(baton, &root);
    }
}

const char *demit_os_low_port_advice(void)
{
    return "this system cannot keep it: restart demitd as root, have a supervisor hand over the socket, or, on "
           "FreeBSD, let mac_portacl(4) allow the port to the user";
}

bool os_backend_has_power(os_power_t power)
{
    (void)power;
    return geteuid() == 0;
}

bool os_backend_keeps_power(const demit_identity_t *identity, os_power_t power)
{
    (void)power;
    return identity->uid == 0;
}

void os_backend_kept(const demit_identity_t *identity, char *text, size_t size)
{
    text[0] = '\0';
    os_append(text, size, "%s", identity->uid == 0 ? "all" : "-");
}

/* Unless this kernel has a step against it. */
bool os_backend_exec_gains(const demit_identity_t *identity)
{
    (void)identity;
    for (size_t i = 0; i < os_backend_step_count; i++) {
        if (strcmp(os_backend_steps[i].name, "no_new_privs") == 0) {
            return false;
        }
    }
    return true;
}

/* Each of these systems tells it in a way of its own; the sentence does without the number. */
int os_backend_count_processes(uid_t uid, unsigned *count)
{
    (void)uid, (void)count;
    return ENOTSUP;
}

/* ---- steps ---- */

bool os_check_root(const demit_identity_t *identity, char *why_not, size_t size)
{
    (void)identity;
    if (geteuid() != 0) {
        os_append(why_not, size, "only root may, and demitd was started as uid %lu", (unsigned long)geteuid());
    }
    return geteuid() == 0;
}

bool os_check_groups(const demit_identity_t *identity, char *why_not, size_t size)
{
    return os_step_groups_allowed(why_not, size) && os_check_root(identity, why_not, size);
}

bool os_check_gid(const demit_identity_t *identity, char *why_not, size_t size)
{
    return (getgid() == identity->gid && getegid() == identity->gid) || os_check_root(identity, why_not, size);
}

bool os_check_uid(const demit_identity_t *identity, char *why_not, size_t size)
{
    return (getuid() == identity->uid && geteuid() == identity->uid) || os_check_root(identity, why_not, size);
}

void os_blame(const demit_identity_t *identity, int code, char *cause, size_t size)
{
    if (code == EPERM) {
        os_append(cause, size,
                  "demitd is root, so most likely a jail, a container or a user namespace took this right "
                  "away from root (on Linux: a missing capability)");
    } else {
        os_step_blame_uid(identity, code, cause, size);
    }
}

/* ---- compare and probe ---- */

int os_backend_compare(const demit_identity_t *identity, const os_sink_t *drift, size_t *differences)
{
    os_ids_t ids;
    os_groups_t groups = {0};
    int code = os_kernel_get_ids(&ids);
    if (code == 0) {
        code = os_groups_read(&groups);
    }
    if (code != 0) {
        return code;
    }
    *differences = os_compare_uids(identity, "", ids.uid, 3, drift) + os_compare_gids(identity, "", ids.gid, 3, drift) +
                   os_compare_groups(identity, "", &groups, drift);
    free(groups.ids);
    *differences += os_kernel.compare != NULL ? os_kernel.compare(drift) : 0;
    return 0;
}

static bool chroot_was_lost(const demit_identity_t *identity)
{
    return os_probe_chroot_was_lost(identity) && (os_kernel.lets_chroot == NULL || !os_kernel.lets_chroot());
}

static int take_uids(void)
{
    return os_backend_set_uids(0);
}

static int take_uid(void)
{
    return setuid(0) == 0 ? 0 : errno;
}

static int take_effective_uid(void)
{
    return seteuid(0) == 0 ? 0 : errno;
}

static int take_gids(void)
{
    return os_backend_set_gids(0);
}

static int take_gid(void)
{
    return setgid(0) == 0 ? 0 : errno;
}

static int take_group(void)
{
    const gid_t root = 0;
    return os_backend_set_groups(&root, 1, 0);
}

static int take_root_directory(void)
{
    return chroot("/") == 0 ? 0 : errno;
}

/* EPERM alone: setresuid(2), setuid(2), setgroups(2), chroot(2) of every system name no other error for want of root.
 */
static const os_probe_t probes[] = {
    {"setting all uids to 0", os_probe_uid_was_lost, take_uids, NULL},
    {"setuid(0)", os_probe_uid_was_lost, take_uid, NULL},
    {"seteuid(0)", os_probe_uid_was_lost, take_effective_uid, NULL},
    {"setting all gids to 0", os_probe_gid_was_lost, take_gids, NULL},
    {"setgid(0)", os_probe_gid_was_lost, take_gid, NULL},
    {"setgroups({0})", os_probe_gid_was_lost, take_group, NULL},
    {"chroot(\"/\")", chroot_was_lost, take_root_directory, NULL},
};

int os_backend_probe(const demit_identity_t *identity, demit_os_error_t *error)
{
    return os_probe_all(identity, probes, sizeof(probes) / sizeof(probes[0]), error);
}

/* Ids and whatever belongs to them are the process's here. */
bool demit_identity_sees_threads(void)
{
    return true;
}

int os_backend_compare_thread(const demit_identity_t *identity, const os_sink_t *drift, size_t *differences)
{
    return os_backend_compare(identity, drift, differences);
}

/* System calls tell everything here, inside a jail as outside, so nothing was kept open. */
void os_backend_seal(const demit_identity_t *identity)
{
    (void)identity;
}

/* ---- report ---- */

static bool count_descriptor(void *baton, int fd)
{
    (void)fd;
    ++*(unsigned *)baton;
    return true;
}

void os_report(const os_report_t *report, const char *name, const char *value)
{
    demit_identity_fact_t fact = {.name = name, .value = value};
    report->each(report->baton, &fact);
}

static void report_number(const os_report_t *report, const char *name, unsigned long value, bool known)
{
    char text[24];
    (void)snprintf(text, sizeof(text), "%lu", value);
    os_report(report, name, known ? text : NULL);
}

static void report_triple(const os_report_t *report, const char *name, unsigned long real, unsigned long effective,
                          unsigned long saved)
{
    char text[80];
    (void)snprintf(text, sizeof(text), "%lu %lu %lu", real, effective, saved);
    os_report(report, name, text);
}

static void report_process(const os_report_t *report, const os_process_t *process)
{
    const os_ids_t *ids = &process->ids;
    char list[1024];
    report_number(report, "pid", (unsigned long)report->pid, true);
    report_number(report, "threads", process->threads, process->threads > 0);
    report_triple(report, "uid", ids->uid[0], ids->uid[1], ids->uid[2]);
    report_triple(report, "gid", ids->gid[0], ids->gid[1], ids->gid[2]);
    os_groups_format(&process->groups, list, sizeof(list));
    os_report(report, "groups", process->groups_known ? list : NULL);
}

/* Of oneself, system calls tell everything: more groups than kinfo_proc has room for, and inside any sandbox. */
static int read_oneself(os_process_t *process)
{
    int code = os_kernel_get_ids(&process->ids);
    if (code == 0) {
        code = os_groups_read(&process->groups);
        process->groups_known = code == 0;
    }
    if (code == 0 && os_backend_count_threads(NULL, &process->threads) != 0) {
        process->threads = 0; /* not known */
    }
    return code;
}

int os_process_groups(os_process_t *process, const gid_t *groups, int count, int room)
{
    process->groups_known = count >= 0 && count <= room;
    if (!process->groups_known) {
        return 0;
    }
    process->groups.ids = calloc((size_t)count + 1, sizeof(*groups));
    if (process->groups.ids == NULL) {
        return ENOMEM;
    }
    memcpy(process->groups.ids, groups, (size_t)count * sizeof(*groups));
    process->groups.count = (size_t)count;
    os_groups_sort(&process->groups);
    return 0;
}

/* Where another process works and what it has open is told on some of these systems, and on no two alike: not read. */
int demit_identity_report(pid_t pid, void (*each)(void *baton, const demit_identity_fact_t *fact), void *baton)
{
    const bool oneself = pid == 0 || pid == getpid();
    const os_report_t report = {each, baton, oneself ? getpid() : pid};
    os_process_t process = {0};
    int code = oneself ? read_oneself(&process) : os_kernel_read_process(pid, &process);
    if (code != 0) {
        free(process.groups.ids);
        return code;
    }
    char text[32], directory[PATH_MAX];
    unsigned descriptors = 0, port = process.ids.uid[1] == 0 ? 1 : os_backend_first_free_port();
    report_process(&report, &process);
    free(process.groups.ids);
    os_report(&report, "cwd", oneself ? getcwd(directory, sizeof(directory)) : NULL);
    bool counted = oneself && os_backend_each_descriptor(NULL, count_descriptor, &descriptors) == 0;
    report_number(&report, "descriptors", descriptors, counted);
    (void)snprintf(text, sizeof(text), "%u-65535", port > 0 ? port : 1);
    os_report(&report, "bindable_ports", text);
    if (os_kernel.report != NULL) {
        os_kernel.report(&report);
    }
    return 0;
}

/* ---- kernel calls that these systems share ---- */

int os_backend_each_descriptor(const demit_identity_t *identity, bool (*each)(void *baton, int fd), void *baton)
{
    (void)identity;
    enum { AT_MOST = 1 << 20 };
    struct rlimit limit;
    bool known = getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < AT_MOST;
    int end = known ? (int)limit.rlim_cur : AT_MOST;
    for (int fd = 0; fd < end; fd++) {
        if (fcntl(fd, F_GETFD) >= 0 && !each(baton, fd)) {
            break;
        }
    }
    return 0;
}

/* The walk of os/posix does it. */
int os_backend_open_below(int directory_fd, const char *relative, int flags, mode_t mode, int *fd)
{
    (void)directory_fd, (void)relative, (void)flags, (void)mode, (void)fd;
    return ENOSYS;
}

unsigned demit_os_processors(void)
{
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (unsigned)online : 1;
}
