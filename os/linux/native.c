/* Linux's share of an identity: what to keep, what the kernel must say afterwards, and the attempts to regain. */
#include "os/linux/native.h"
#include "os/linux/namespace.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/securebits.h>
#include <stdlib.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <unistd.h>

const char os_backend_name[] = "linux";

void os_backend_account_hint(const char *user, char *text, size_t size)
{
    os_append(text, size, "useradd --system --user-group --no-create-home --shell /usr/sbin/nologin %s", user);
}

/* ---- resolve ---- */

static int parse_capabilities(demit_identity_t *identity, const char *text, const os_sink_t *warnings,
                              demit_os_error_t *error)
{
    int code = os_caps_parse(text, &identity->native->caps, error);
    return code != 0 ? code : os_caps_judge(&identity->native->caps, identity, warnings, error);
}

/* Nobody chose this user, so this is an ordinary user's trial: it runs with what there is, and says what is missing. */
static void make_do(demit_identity_t *identity, const os_status_t *now, const os_sink_t *warnings)
{
    os_caps_t *caps = &identity->native->caps;
    os_capset_t missing = caps->permitted & ~now->caps.permitted;
    if (identity->start != OS_START_SELF || missing == 0) {
        return;
    }
    char names[OS_TEXT_MAX];
    os_capset_format(missing, names, sizeof(names));
    os_tell(warnings, "Capabilities asks for %s: not started as root, so demitd runs without", names);
    caps->permitted &= ~missing;
    caps->effective &= ~missing;
}

static unsigned wanted_securebits(unsigned now)
{
    unsigned bits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED;
    if (CAP_AMBIENT_SUPPORTED()) {
        bits |= SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;
    }
    return (now | bits) & ~(unsigned)SECBIT_KEEP_CAPS;
}

static void decide(demit_identity_t *identity, const os_status_t *now, const os_sink_t *warnings)
{
    enum { SMTP_PORT = 25 };
    os_native_t *native = identity->native;
    unsigned free_port = os_backend_first_free_port();
    unsigned securebits = (unsigned)prctl(PR_GET_SECUREBITS, 0, 0, 0, 0);
    native->changes_bounding = !native->keeps_everything &&
                               (identity->start == OS_START_ROOT || os_capset_has(now->caps.effective, CAP_SETPCAP));
    native->bounding = native->changes_bounding ? now->bounding & native->caps.permitted : now->bounding;
    native->securebits =
        native->changes_bounding ? wanted_securebits(securebits) : securebits & ~(unsigned)SECBIT_KEEP_CAPS;
    native->lowest_port = os_capset_has(native->caps.effective, CAP_NET_BIND_SERVICE) || free_port == 0 ? 1 : free_port;
    if (free_port <= SMTP_PORT && !native->keeps_everything &&
        os_capset_has(native->caps.permitted, CAP_NET_BIND_SERVICE)) {
        os_tell(
            warnings,
            "Capabilities keeps cap_net_bind_service, which is not needed here: everybody may bind ports from %u on "
            "(net.ipv4.ip_unprivileged_port_start)",
            free_port);
    }
}

int os_backend_resolve(demit_identity_t *identity, const demit_identity_request_t *request, const os_sink_t *warnings,
                       demit_os_error_t *error)
{
    os_native_t *native = calloc(1, sizeof(*native));
    os_status_t now;
    if (native == NULL) {
        return os_fail(error, ENOMEM, "identity", "the identity cannot be resolved");
    }
    native->status_fd = -1;
    identity->native = native;
    os_namespace_look();
    native->maps_root_uid = os_host_maps_uid(0);
    native->maps_root_gid = os_host_maps_gid(0);
    if (request->privileges != NULL) {
        os_tell(warnings, "Privileges is ignored on Linux; Capabilities is its counterpart");
    }
    int code = os_status_of_caller(&now);
    if (code != 0) {
        return os_fail(error, code, "identity", "what this process holds cannot be read");
    }
    os_status_free(&now);
    native->keeps_everything = identity->uid == 0 && request->capabilities == NULL;
    if (native->keeps_everything) {
        native->caps = (os_caps_t){.permitted = now.caps.permitted, .effective = now.caps.permitted};
        os_tell(warnings, "root keeps every capability: user = root without Capabilities");
    } else if (request->capabilities != NULL) {
        code = parse_capabilities(identity, request->capabilities, warnings, error);
        if (code != 0) {
            return code;
        }
        make_do(identity, &now, warnings);
    }
    decide(identity, &now, warnings);
    if (identity->jail != NULL) {
        native->status_fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
        if (native->status_fd < 0) {
            return os_fail(error, errno, "identity", "/proc/self/status cannot be opened; is /proc mounted?");
        }
    }
    return 0;
}

void os_backend_free(os_native_t *native)
{
    if (native == NULL) {
        return;
    }
    if (native->status_fd >= 0) {
        (void)close(native->status_fd);
    }
    free(native);
}

unsigned demit_identity_lowest_port(const demit_identity_t *identity)
{
    return identity->native->lowest_port;
}

/* no_new_privs is always set: prctl(2). */
bool os_backend_exec_gains(const demit_identity_t *identity)
{
    (void)identity;
    return false;
}

const char *demit_os_low_port_advice(void)
{
    return "Capabilities = \"cap_net_bind_service+ep\" in Security and a restart would keep it";
}

static int capability_for(os_power_t power)
{
    switch (power) {
    case OS_POWER_SET_UID:
        return CAP_SETUID;
    case OS_POWER_SET_GID:
        return CAP_SETGID;
    case OS_POWER_CHROOT:
        return CAP_SYS_CHROOT;
    }
    return CAP_SYS_ADMIN;
}

bool os_backend_has_power(os_power_t power)
{
    os_status_t now;
    if (os_status_of_caller(&now) != 0) {
        return false;
    }
    os_status_free(&now);
    return os_capset_has(now.caps.effective, capability_for(power));
}

bool os_backend_denies_groups(void)
{
    return os_namespace_denies_setgroups();
}

bool os_backend_keeps_power(const demit_identity_t *identity, os_power_t power)
{
    return os_capset_has(identity->native->caps.permitted, capability_for(power));
}

void os_backend_kept(const demit_identity_t *identity, char *text, size_t size)
{
    os_capset_format(identity->native->caps.permitted, text, size);
}

/* ---- compare ---- */

typedef struct comparison {
    const demit_identity_t *identity;
    const os_sink_t *drift;
    size_t differences, threads; /* found, looked at */
} comparison_t;

static void compare_set(comparison_t *comparison, const char *prefix, const char *name, os_capset_t found,
                        os_capset_t wanted)
{
    char names[OS_TEXT_MAX];
    if ((found & ~wanted) != 0) {
        os_capset_format(found & ~wanted, names, sizeof(names));
        os_tell(comparison->drift, "%sthe %s set holds %s, which should be gone", prefix, name, names);
        comparison->differences++;
    }
    if ((wanted & ~found) != 0) {
        os_capset_format(wanted & ~found, names, sizeof(names));
        os_tell(comparison->drift, "%sthe %s set lacks %s", prefix, name, names);
        comparison->differences++;
    }
}

static int compare_status(void *baton, const os_status_t *found)
{
    comparison_t *comparison = baton;
    const demit_identity_t *identity = comparison->identity;
    const os_native_t *native = identity->native;
    char prefix[32] = "";
    comparison->threads++;
    if (found->pid != found->tgid) {
        os_append(prefix, sizeof(prefix), "thread %ld: ", (long)found->pid);
    }
    comparison->differences += os_compare_uids(identity, prefix, found->uid, 4, comparison->drift) +
                               os_compare_gids(identity, prefix, found->gid, 4, comparison->drift) +
                               os_compare_groups(identity, prefix, &found->groups, comparison->drift);
    compare_set(comparison, prefix, "inheritable", found->caps.inheritable, 0);
    compare_set(comparison, prefix, "permitted", found->caps.permitted, native->caps.permitted);
    compare_set(comparison, prefix, "effective", found->caps.effective, native->caps.effective);
    compare_set(comparison, prefix, "bounding", found->bounding, native->bounding);
    compare_set(comparison, prefix, "ambient", found->ambient, 0);
    if (found->has_no_new_privs && !found->no_new_privs) {
        os_tell(comparison->drift, "%sno_new_privs is not set", prefix);
        comparison->differences++;
    }
    return 0;
}

/* Only the calling thread's own can be asked for; they are inherited by the threads that it makes. */
static void compare_securebits(comparison_t *comparison)
{
    unsigned wanted = comparison->identity->native->securebits;
    int found = prctl(PR_GET_SECUREBITS, 0, 0, 0, 0);
    if (found < 0 || (unsigned)found != wanted) {
        os_tell(comparison->drift, "securebits are 0x%x, should be 0x%x", (unsigned)found, wanted);
        comparison->differences++;
    }
}

/* Of the calling thread too, and inherited likewise. */
static void compare_keyring(comparison_t *comparison)
{
    long left = comparison->identity->native->keyring;
    if (left != 0 && os_session_keyring() == left) {
        os_tell(comparison->drift, "the session keyring is still that of whoever started demitd");
        comparison->differences++;
    }
}

/* Through the descriptor from before chroot: whether the calling thread, which can be looked at, is the only one. */
static int compare_thread_count(comparison_t *comparison)
{
    os_status_t status;
    int code = os_status_from_fd(comparison->identity->native->status_fd, &status);
    if (code != 0) {
        return code;
    }
    os_status_free(&status);
    if (status.tgid != getpid()) {
        return ESRCH; /* of the process that resolved, before a fork */
    }
    if (status.threads != 1) {
        os_tell(comparison->drift, "%u threads run, and without /proc in the jail only one can be looked at",
                status.threads);
        comparison->differences++;
    }
    return 0;
}

/* The calling thread, by system calls. */
static int compare_caller(comparison_t *comparison)
{
    os_status_t status;
    int code = os_status_of_caller(&status);
    if (code == 0) {
        code = compare_status(comparison, &status);
        os_status_free(&status);
    }
    return code;
}

/* Without /proc. Until verified it must be the only thread; those that it makes later inherit what it holds. */
static int compare_in_jail(comparison_t *comparison)
{
    int code = comparison->identity->native->status_fd >= 0 ? compare_thread_count(comparison) : 0;
    return code == 0 ? compare_caller(comparison) : code;
}

bool demit_identity_sees_threads(void)
{
    int fd = -1;
    const bool sees = os_proc_open("/proc/self/task", O_DIRECTORY, &fd) == 0;
    if (sees) {
        (void)close(fd);
    }
    return sees;
}

int os_backend_compare_thread(const demit_identity_t *identity, const os_sink_t *drift, size_t *differences)
{
    comparison_t comparison = {.identity = identity, .drift = drift};
    int code = compare_caller(&comparison);
    if (code == 0) {
        compare_securebits(&comparison);
        compare_keyring(&comparison);
    }
    *differences = comparison.differences;
    return code;
}

int os_backend_compare(const demit_identity_t *identity, const os_sink_t *drift, size_t *differences)
{
    comparison_t comparison = {.identity = identity, .drift = drift};
    int code = os_status_each_thread(0, compare_status, &comparison);
    if (code == ENOENT && identity->jail != NULL) {
        code = compare_in_jail(&comparison);
    }
    if (code == 0 && comparison.threads == 0) {
        code = ESRCH; /* nobody looked at is nobody found wrong, which proves nothing */
    }
    if (code == 0) {
        compare_securebits(&comparison);
        compare_keyring(&comparison);
    }
    *differences = comparison.differences;
    return code;
}

/* ---- probe ---- */

static int take_uids(void)
{
    return setresuid(0, 0, 0) == 0 ? 0 : errno;
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
    return setresgid(0, 0, 0) == 0 ? 0 : errno;
}

static int take_gid(void)
{
    return setgid(0) == 0 ? 0 : errno;
}

static int take_group(void)
{
    const gid_t root = 0;
    return setgroups(1, &root) == 0 ? 0 : errno;
}

static int take_root_directory(void)
{
    return chroot("/") == 0 ? 0 : errno;
}

static int take_securebits(void)
{
    return prctl(PR_SET_SECUREBITS, 0UL, 0, 0, 0) == 0 ? 0 : errno;
}

static int take_new_privs(void)
{
    return prctl(PR_SET_NO_NEW_PRIVS, 0UL, 0, 0, 0) == 0 ? 0 : errno;
}

static bool securebits_were_locked(const demit_identity_t *identity)
{
    return identity->native->changes_bounding;
}

static bool always(const demit_identity_t *identity)
{
    (void)identity;
    return true;
}

/* setresuid(2), user_namespaces(7): an id without a number is EINVAL, before anything else is asked. */
static bool refuses_uid(const demit_identity_t *identity, int code)
{
    return code == (identity->native->maps_root_uid ? EPERM : EINVAL);
}

static bool refuses_gid(const demit_identity_t *identity, int code)
{
    return code == (identity->native->maps_root_gid ? EPERM : EINVAL);
}

/* prctl(2), PR_SET_NO_NEW_PRIVS: any value but 1 is EINVAL; no privilege could make it another one. */
static bool refuses_new_privs(const demit_identity_t *identity, int code)
{
    (void)identity;
    return code == EINVAL;
}

/*
 * setgroups(2) and capabilities(7), "securebits", ask for the privilege first. chroot(2) asks before whether the
 * directory may be searched: EACCES tells nothing of the privilege, and is a failure, as of a process that cannot
 * search
 * "/", and so reaches no file either.
 */
static const os_probe_t probes[] = {
    {"setresuid(0, 0, 0)", os_probe_uid_was_lost, take_uids, refuses_uid},
    {"setuid(0)", os_probe_uid_was_lost, take_uid, refuses_uid},
    {"seteuid(0)", os_probe_uid_was_lost, take_effective_uid, refuses_uid},
    {"setresgid(0, 0, 0)", os_probe_gid_was_lost, take_gids, refuses_gid},
    {"setgid(0)", os_probe_gid_was_lost, take_gid, refuses_gid},
    {"setgroups({0})", os_probe_gid_was_lost, take_group, NULL},
    {"chroot(\"/\")", os_probe_chroot_was_lost, take_root_directory, NULL},
    {"clearing securebits", securebits_were_locked, take_securebits, NULL},
    {"clearing no_new_privs", always, take_new_privs, refuses_new_privs},
};

/* Each capability that is not kept, one by one: a set of several would be refused for any of them. */
static int probe_capabilities(const demit_identity_t *identity, demit_os_error_t *error)
{
    const os_caps_t *kept = &identity->native->caps;
    for (int c = 0; c < cap_max_bits(); c++) {
        os_capset_t one = UINT64_C(1) << c;
        os_caps_t more = {.permitted = kept->permitted | one, .effective = kept->effective | one};
        if ((kept->permitted & one) != 0) {
            continue;
        }
        int code = os_caps_set(&more);
        if (code != EPERM) {
            char name[OS_TEXT_MAX];
            os_capset_format(one, name, sizeof(name));
            (void)os_fail(error, code, "regain", "raising %s %s", name,
                          code == 0 ? "succeeded: what was given up could be taken back"
                                    : "failed, but not for want of privilege, which proves nothing");
            return code == 0 ? EPERM : code;
        }
    }
    return 0;
}

void os_backend_seal(const demit_identity_t *identity)
{
    if (identity->native->status_fd >= 0) {
        (void)close(identity->native->status_fd);
        identity->native->status_fd = -1;
    }
}

int os_backend_probe(const demit_identity_t *identity, demit_os_error_t *error)
{
    int code = os_probe_all(identity, probes, sizeof(probes) / sizeof(probes[0]), error);
    return code != 0 ? code : probe_capabilities(identity, error);
}
