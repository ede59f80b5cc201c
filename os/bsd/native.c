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

struct os_native {
    bool binds_low;
};

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
    identity->native->binds_low = identity->uid == 0 || os_kernel_first_free_port() <= 1;
    return 0;
}

void os_backend_free(os_native_t *native)
{
    free(native);
}

bool demit_identity_can_bind_low(const demit_identity_t *identity)
{
    return identity->native->binds_low;
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

/* ---- steps ---- */

static bool check_root(const demit_identity_t *identity, char *why_not, size_t size)
{
    (void)identity;
    if (geteuid() != 0) {
        os_append(why_not, size, "only root may, and demitd was started as uid %lu", (unsigned long)geteuid());
    }
    return geteuid() == 0;
}

static bool check_gid(const demit_identity_t *identity, char *why_not, size_t size)
{
    return (getgid() == identity->gid && getegid() == identity->gid) || check_root(identity, why_not, size);
}

static bool check_uid(const demit_identity_t *identity, char *why_not, size_t size)
{
    return (getuid() == identity->uid && geteuid() == identity->uid) || check_root(identity, why_not, size);
}

static void blame(const demit_identity_t *identity, int code, char *cause, size_t size)
{
    if (code == EPERM) {
        os_append(cause, size,
                  "demitd is root, so most likely a jail, a container or a user namespace took this right "
                  "away from root (on Linux: a missing capability)");
    } else {
        os_step_blame_uid(identity, code, cause, size);
    }
}

/* FreeBSD from 15 on leaves gid 0 among the groups if only the ids are set, so always all three, in this order. */
const os_step_t os_backend_steps[] = {
    {"threads", "", NULL, os_step_describe_threads, os_step_check_threads, NULL, NULL},
    {"descriptors", "", os_step_has_jail, os_step_describe_descriptors, os_step_check_descriptors, NULL, NULL},
    {"setgroups", "root", os_step_sets_groups, os_step_describe_groups, check_root, os_step_run_groups, blame},
    {os_kernel_gid_call, "root", NULL, os_step_describe_gid, check_gid, os_step_run_gid, blame},
    {"chroot", "root", os_step_has_jail, os_step_describe_chroot, check_root, os_step_run_chroot, blame},
    {"chdir", "", NULL, os_step_describe_chdir, NULL, os_step_run_chdir, NULL},
    {os_kernel_uid_call, "root", NULL, os_step_describe_uid, check_uid, os_step_run_uid, blame},
    {"process limit", "", NULL, os_step_describe_room, NULL, os_step_run_room, os_step_blame_uid},
};
const size_t os_backend_step_count = sizeof(os_backend_steps) / sizeof(os_backend_steps[0]);

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
    return 0;
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

static const os_probe_t probes[] = {
    {"setting all uids to 0", os_probe_uid_was_lost, take_uids},
    {"setuid(0)", os_probe_uid_was_lost, take_uid},
    {"seteuid(0)", os_probe_uid_was_lost, take_effective_uid},
    {"setting all gids to 0", os_probe_gid_was_lost, take_gids},
    {"setgid(0)", os_probe_gid_was_lost, take_gid},
    {"setgroups({0})", os_probe_gid_was_lost, take_group},
    {"chroot(\"/\")", os_probe_chroot_was_lost, take_root_directory},
};

int os_backend_probe(const demit_identity_t *identity, demit_os_error_t *error)
{
    return os_probe_all(identity, probes, sizeof(probes) / sizeof(probes[0]), error);
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

typedef struct report {
    void (*each)(void *baton, const demit_identity_fact_t *fact);
    void *baton;
} report_t;

static void give(const report_t *report, const char *name, const char *value)
{
    demit_identity_fact_t fact = {.name = name, .value = value};
    report->each(report->baton, &fact);
}

static void report_number(const report_t *report, const char *name, unsigned long value, bool known)
{
    char text[24];
    (void)snprintf(text, sizeof(text), "%lu", value);
    give(report, name, known ? text : NULL);
}

static void report_triple(const report_t *report, const char *name, unsigned long real, unsigned long effective,
                          unsigned long saved)
{
    char text[80];
    (void)snprintf(text, sizeof(text), "%lu %lu %lu", real, effective, saved);
    give(report, name, text);
}

static void report_identity(const report_t *report, const os_ids_t *ids, const os_groups_t *groups)
{
    char list[1024];
    report_triple(report, "uid", ids->uid[0], ids->uid[1], ids->uid[2]);
    report_triple(report, "gid", ids->gid[0], ids->gid[1], ids->gid[2]);
    os_groups_format(groups, list, sizeof(list));
    give(report, "groups", list);
}

/* Another process could be asked for its ids on some of these systems and on no two alike, so none is: ENOTSUP. */
int demit_identity_report(pid_t pid, void (*each)(void *baton, const demit_identity_fact_t *fact), void *baton)
{
    const report_t report = {each, baton};
    os_ids_t ids;
    os_groups_t groups = {0};
    if (pid != 0 && pid != getpid()) {
        return ENOTSUP;
    }
    int code = os_kernel_get_ids(&ids);
    if (code == 0) {
        code = os_groups_read(&groups);
    }
    if (code != 0) {
        return code;
    }
    char text[32], directory[PATH_MAX];
    unsigned threads = 0, descriptors = 0, port = ids.uid[1] == 0 ? 1 : os_kernel_first_free_port();
    report_number(&report, "pid", (unsigned long)getpid(), true);
    bool counted = os_backend_count_threads(NULL, &threads) == 0;
    report_number(&report, "threads", threads, counted);
    report_identity(&report, &ids, &groups);
    free(groups.ids);
    give(&report, "cwd", getcwd(directory, sizeof(directory)));
    counted = os_backend_each_descriptor(NULL, count_descriptor, &descriptors) == 0;
    report_number(&report, "descriptors", descriptors, counted);
    (void)snprintf(text, sizeof(text), "%u-65535", port > 0 ? port : 1);
    give(&report, "bindable_ports", text);
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
