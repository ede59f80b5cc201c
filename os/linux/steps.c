/*
 * The assumption on Linux, as a table. The order matters: groups before the gid before the uid, because each needs the
 * power that the next one takes away; the bounding set before the uid, because dropping from it needs CAP_SETPCAP,
 * which does not survive; capabilities last but for no_new_privs.
 */
#include "os/linux/native.h"

#include <errno.h>
#include <linux/keyctl.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- predictions ---- */

static bool have_effective(int capability, const char *what_for, char *why_not, size_t size)
{
    os_status_t now;
    int code = os_status_of_caller(&now);
    if (code != 0) {
        os_append(why_not, size, "the capabilities of this process cannot be read: %s", strerror(code));
        return false;
    }
    os_status_free(&now);
    if (os_capset_has(now.caps.effective, capability)) {
        return true;
    }
    char *name = cap_to_name(capability);
    os_append(why_not, size, "%s needs %s, which is missing; ", what_for, name != NULL ? name : "a capability");
    (void)cap_free(name);
    os_host_blame(capability, why_not, size);
    return false;
}

static bool check_groups(const demit_identity_t *identity, char *why_not, size_t size)
{
    if (!os_step_groups_allowed(why_not, size)) {
        return false;
    }
    for (size_t i = 0; i < identity->group_count; i++) {
        if (!os_host_maps_gid(identity->groups[i])) {
            os_append(why_not, size, "gid %lu is not mapped in this user namespace (/proc/self/gid_map)",
                      (unsigned long)identity->groups[i]);
            return false;
        }
    }
    return have_effective(CAP_SETGID, "setting groups", why_not, size);
}

static bool check_gid(const demit_identity_t *identity, char *why_not, size_t size)
{
    gid_t real = 0, effective = 0, saved = 0;
    if (getresgid(&real, &effective, &saved) == 0 && real == identity->gid && effective == identity->gid) {
        return true; /* a process may always set what it has */
    }
    if (!os_host_maps_gid(identity->gid)) {
        os_append(why_not, size, "gid %lu is not mapped in this user namespace (/proc/self/gid_map)",
                  (unsigned long)identity->gid);
        return false;
    }
    return have_effective(CAP_SETGID, "changing the gid", why_not, size);
}

static bool check_uid(const demit_identity_t *identity, char *why_not, size_t size)
{
    uid_t real = 0, effective = 0, saved = 0;
    if (getresuid(&real, &effective, &saved) == 0 && real == identity->uid && effective == identity->uid) {
        return true;
    }
    if (!os_host_maps_uid(identity->uid)) {
        os_append(why_not, size, "uid %lu is not mapped in this user namespace (/proc/self/uid_map)",
                  (unsigned long)identity->uid);
        return false;
    }
    return have_effective(CAP_SETUID, "changing the uid", why_not, size);
}

static bool check_chroot(const demit_identity_t *identity, char *why_not, size_t size)
{
    (void)identity;
    return have_effective(CAP_SYS_CHROOT, "chroot", why_not, size);
}

/* cap_set_proc(3) is all or nothing and its EPERM names nobody, so each missing capability is named here. */
static bool check_capabilities(const demit_identity_t *identity, char *why_not, size_t size)
{
    os_status_t now;
    int code = os_status_of_caller(&now);
    if (code != 0) {
        os_append(why_not, size, "the capabilities of this process cannot be read: %s", strerror(code));
        return false;
    }
    os_status_free(&now);
    os_capset_t missing = identity->native->caps.permitted & ~now.caps.permitted;
    if (missing == 0) {
        return true;
    }
    char names[OS_TEXT_MAX];
    os_capset_format(missing, names, sizeof(names));
    os_append(why_not, size, "Capabilities asks for %s, which demitd does not have; ", names);
    os_host_blame(__builtin_ctzll(missing), why_not, size);
    return false;
}

/* ---- bounding and ambient set, securebits ---- */

static bool changes_bounding(const demit_identity_t *identity)
{
    return identity->native->changes_bounding;
}

static void describe_bounding(const demit_identity_t *identity, char *what, size_t size)
{
    char names[OS_TEXT_MAX];
    os_capset_format(identity->native->bounding, names, sizeof(names));
    os_append(what, size, "bounding set: %s", strcmp(names, "-") != 0 ? names : "empty");
}

static bool check_bounding(const demit_identity_t *identity, char *why_not, size_t size)
{
    (void)identity;
    return have_effective(CAP_SETPCAP, "dropping the bounding set", why_not, size);
}

static int run_bounding(const demit_identity_t *identity)
{
    for (int c = 0; c < cap_max_bits(); c++) {
        if (!os_capset_has(identity->native->bounding, c) && cap_get_bound(c) > 0 && cap_drop_bound(c) != 0) {
            return errno;
        }
    }
    return 0;
}

static void describe_ambient(const demit_identity_t *identity, char *what, size_t size)
{
    (void)identity;
    os_append(what, size, "ambient set: empty");
}

static int run_ambient(const demit_identity_t *identity)
{
    (void)identity;
    if (!CAP_AMBIENT_SUPPORTED()) {
        return 0; /* before Linux 4.3 there is none */
    }
    return cap_reset_ambient() == 0 ? 0 : errno;
}

static void describe_securebits(const demit_identity_t *identity, char *what, size_t size)
{
    (void)identity;
    os_append(what, size, "securebits noroot and no_cap_ambient_raise, locked: uid 0 gains nothing by exec");
}

static bool check_securebits(const demit_identity_t *identity, char *why_not, size_t size)
{
    (void)identity;
    return have_effective(CAP_SETPCAP, "setting securebits", why_not, size);
}

static int run_securebits(const demit_identity_t *identity)
{
    return prctl(PR_SET_SECUREBITS, (unsigned long)identity->native->securebits, 0, 0, 0) == 0 ? 0 : errno;
}

/* ---- keeping capabilities across setresuid ---- */

static bool keeps_capabilities(const demit_identity_t *identity)
{
    return identity->start == OS_START_ROOT && identity->uid != 0 && identity->native->caps.permitted != 0;
}

static void describe_keep(const demit_identity_t *identity, char *what, size_t size)
{
    (void)identity;
    os_append(what, size, "permitted capabilities survive the change of uid");
}

static int run_keep(const demit_identity_t *identity)
{
    (void)identity;
    return prctl(PR_SET_KEEPCAPS, 1UL, 0, 0, 0) == 0 ? 0 : errno;
}

/* Always: the flag may have been inherited. */
static void describe_release(const demit_identity_t *identity, char *what, size_t size)
{
    (void)identity;
    os_append(what, size, "capabilities no longer survive a change of uid");
}

static int run_release(const demit_identity_t *identity)
{
    (void)identity;
    return prctl(PR_SET_KEEPCAPS, 0UL, 0, 0, 0) == 0 ? 0 : errno;
}

/* ---- the session keyring ---- */

static bool leaves_keyring(const demit_identity_t *identity)
{
    return identity->start == OS_START_ROOT;
}

static void describe_keyring(const demit_identity_t *identity, char *what, size_t size)
{
    (void)identity;
    os_append(what, size, "a session keyring of its own: the keys of whoever started demitd stay behind");
}

/*
 * Who holds a session keyring possesses the keys in it, whatever his uid: keyrings(7). pam_keyinit(8) gives root's
 * login one, and neither setresuid(2) nor exec takes it away. After the change of uid, so that the new one is not
 * root's.
 */
static int run_keyring(const demit_identity_t *identity)
{
    identity->native->keyring = os_session_keyring();
    if (identity->native->keyring == 0) {
        return 0;
    }
    return syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) > 0 ? 0 : errno;
}

static void describe_capabilities(const demit_identity_t *identity, char *what, size_t size)
{
    char effective[OS_TEXT_MAX], permitted[OS_TEXT_MAX];
    const os_caps_t *caps = &identity->native->caps;
    os_capset_format(caps->effective, effective, sizeof(effective));
    os_capset_format(caps->permitted, permitted, sizeof(permitted));
    if (caps->effective == caps->permitted) {
        os_append(what, size, "permitted and effective capabilities: %s", caps->permitted != 0 ? permitted : "none");
    } else {
        os_append(what, size, "permitted capabilities: %s; effective: %s", permitted, effective);
    }
}

static int run_capabilities(const demit_identity_t *identity)
{
    return os_caps_set(&identity->native->caps);
}

static void describe_no_new_privs(const demit_identity_t *identity, char *what, size_t size)
{
    (void)identity;
    os_append(what, size, "no_new_privs: no set-uid file and no file capability adds anything, for ever");
}

static int run_no_new_privs(const demit_identity_t *identity)
{
    (void)identity;
    return prctl(PR_SET_NO_NEW_PRIVS, 1UL, 0, 0, 0) == 0 ? 0 : errno;
}

/* ---- causes ---- */

static void blame_kernel(const demit_identity_t *identity, int code, char *cause, size_t size)
{
    if (code == EPERM) {
        os_append(cause, size,
                  "the capability is there, so most likely a seccomp filter or a security module (SELinux, "
                  "AppArmor) forbids it");
    } else if (code == EINVAL) {
        os_append(cause, size, "most likely an id that this user namespace does not map, or a kernel without it");
    } else {
        os_step_blame_uid(identity, code, cause, size);
    }
}

/* ---- the table ---- */

const os_step_t os_backend_steps[] = {
    {"threads", "", NULL, os_step_describe_threads, os_step_check_threads, NULL, NULL},
    {"descriptors", "", os_step_has_jail, os_step_describe_descriptors, os_step_check_descriptors, NULL, NULL},
    {"setgroups", "CAP_SETGID", os_step_sets_groups, os_step_describe_groups, check_groups, os_step_run_groups,
     blame_kernel},
    {"inherited groups", "", os_step_waives_groups, os_step_describe_inherited, NULL, NULL, NULL},
    {"setresgid", "CAP_SETGID", NULL, os_step_describe_gid, check_gid, os_step_run_gid, blame_kernel},
    {"chroot", "CAP_SYS_CHROOT", os_step_has_jail, os_step_describe_chroot, check_chroot, os_step_run_chroot,
     blame_kernel},
    {"chdir", "", NULL, os_step_describe_chdir, NULL, os_step_run_chdir, NULL},
    {"bounding set", "CAP_SETPCAP", changes_bounding, describe_bounding, check_bounding, run_bounding, blame_kernel},
    {"ambient set", "", NULL, describe_ambient, NULL, run_ambient, blame_kernel},
    {"securebits", "CAP_SETPCAP", changes_bounding, describe_securebits, check_securebits, run_securebits,
     blame_kernel},
    {"keepcaps", "", keeps_capabilities, describe_keep, NULL, run_keep, blame_kernel},
    {"setresuid", "CAP_SETUID", NULL, os_step_describe_uid, check_uid, os_step_run_uid, blame_kernel},
    {"session keyring", "", leaves_keyring, describe_keyring, NULL, run_keyring, blame_kernel},
    {"cap_set_proc", "", NULL, describe_capabilities, check_capabilities, run_capabilities, blame_kernel},
    {"keepcaps off", "", NULL, describe_release, NULL, run_release, blame_kernel},
    {"no_new_privs", "", NULL, describe_no_new_privs, NULL, run_no_new_privs, blame_kernel},
    {"process limit", "", NULL, os_step_describe_room, NULL, os_step_run_room, os_step_blame_uid},
};
const size_t os_backend_step_count = sizeof(os_backend_steps) / sizeof(os_backend_steps[0]);
