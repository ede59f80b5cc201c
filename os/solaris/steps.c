/*
 * The steps of the assumption.
 *
 * The order that manuals show, setuid(2) and then setppriv(2), fails: while a process is not privilege-aware, setuid(2)
 * away from 0 leaves it with what is inheritable, and net_privaddr is gone before it could be kept. Setting the
 * permitted or the effective set makes the process aware, and from then on its sets do not follow its ids:
 * privileges(7). So the sets are narrowed first to what is kept and what the steps need, then the identity changes,
 * then the sets are narrowed for good.
 */
#include "os/solaris/native.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>
#include <zone.h>

/* ---- what is set, and when ---- */

static bool crosses(const demit_identity_t *identity)
{
    return identity->native->crosses;
}

static bool sets_groups(const demit_identity_t *identity)
{
    return identity->sets_groups && crosses(identity);
}

static bool builds_bridge(const demit_identity_t *identity)
{
    return identity->native->trims && crosses(identity);
}

static bool sets_permitted(const demit_identity_t *identity)
{
    return identity->native->sets[OS_SET_PERMITTED];
}

static bool sets_limit(const demit_identity_t *identity)
{
    return identity->native->sets[OS_SET_LIMIT];
}

static bool sets_effective(const demit_identity_t *identity)
{
    return identity->native->sets[OS_SET_EFFECTIVE];
}

static bool sets_inheritable(const demit_identity_t *identity)
{
    return identity->native->sets[OS_SET_INHERITABLE];
}

static int set(os_set_t which, const priv_set_t *set)
{
    return setppriv(PRIV_SET, os_set_name(which), set) == 0 ? 0 : errno; /* setppriv(2) */
}

static int run_bridge(const demit_identity_t *identity)
{
    return set(OS_SET_PERMITTED, identity->native->bridge);
}

static int run_bridge_effective(const demit_identity_t *identity)
{
    return set(OS_SET_EFFECTIVE, identity->native->bridge);
}

static int run_permitted(const demit_identity_t *identity)
{
    return set(OS_SET_PERMITTED, identity->native->held[OS_SET_PERMITTED]);
}

static int run_limit(const demit_identity_t *identity)
{
    return set(OS_SET_LIMIT, identity->native->held[OS_SET_LIMIT]);
}

static int run_effective(const demit_identity_t *identity)
{
    return set(OS_SET_EFFECTIVE, identity->native->held[OS_SET_EFFECTIVE]);
}

static int run_inheritable(const demit_identity_t *identity)
{
    return set(OS_SET_INHERITABLE, identity->native->held[OS_SET_INHERITABLE]);
}

/* ---- descriptions ---- */

static void describe(const char *what, const priv_set_t *set, char *text, size_t size)
{
    char names[OS_TEXT_MAX];
    os_set_format(set, names, sizeof(names));
    os_append(text, size, "%s: %s", what, names);
}

static void describe_bridge(const demit_identity_t *identity, char *what, size_t size)
{
    describe("aware of privileges from now on, permitted on the way", identity->native->bridge, what, size);
}

static void describe_bridge_effective(const demit_identity_t *identity, char *what, size_t size)
{
    describe("in effect on the way", identity->native->bridge, what, size);
}

static void describe_permitted(const demit_identity_t *identity, char *what, size_t size)
{
    describe("permitted", identity->native->held[OS_SET_PERMITTED], what, size);
}

static void describe_limit(const demit_identity_t *identity, char *what, size_t size)
{
    describe("the most that any later program could have", identity->native->held[OS_SET_LIMIT], what, size);
}

static void describe_effective(const demit_identity_t *identity, char *what, size_t size)
{
    describe("in effect", identity->native->held[OS_SET_EFFECTIVE], what, size);
}

static void describe_inheritable(const demit_identity_t *identity, char *what, size_t size)
{
    describe("inherited by programs", identity->native->held[OS_SET_INHERITABLE], what, size);
}

/* ---- predictions ---- */

/* Who most likely took them away. */
static void blame_host(char *text, size_t size)
{
    zoneid_t zone = getzoneid(); /* getzoneid(3C) */
    if (zone != GLOBAL_ZONEID) {
        os_append(text, size, "; this is zone %ld, and a zone has only what its limitpriv (zonecfg(8)) gives it",
                  (long)zone);
    } else if (geteuid() != 0) {
        os_append(text, size,
                  "; demitd was started as uid %lu: whoever starts it (privileges= in SMF's method_credential, "
                  "ppriv -s) has to give it",
                  (unsigned long)geteuid());
    } else {
        os_append(text, size, "; most likely the limit_privileges of SMF's method_credential, or ppriv -s");
    }
}

static bool check_has(os_set_t which, const priv_set_t *wanted, char *why_not, size_t size)
{
    char missing[OS_TEXT_MAX];
    priv_set_t *found = NULL;
    int code = os_set_read(which, &found);
    if (code != 0) {
        os_append(why_not, size, "the %s set of this process cannot be read", os_set_name(which));
        return false;
    }
    size_t count = os_set_missing(wanted, found, missing, sizeof(missing));
    priv_freeset(found);
    if (count > 0) {
        os_append(why_not, size, "the %s set of this process lacks %s", os_set_name(which), missing);
        blame_host(why_not, size);
    }
    return count == 0;
}

static bool check_permitted(const demit_identity_t *identity, char *why_not, size_t size)
{
    return check_has(OS_SET_PERMITTED, identity->native->held[OS_SET_PERMITTED], why_not, size);
}

static bool check_limit(const demit_identity_t *identity, char *why_not, size_t size)
{
    return check_has(OS_SET_LIMIT, identity->native->held[OS_SET_LIMIT], why_not, size);
}

static bool check_one(const char *name, char *why_not, size_t size)
{
    priv_set_t *one = priv_allocset();
    if (one == NULL) {
        os_append(why_not, size, "out of memory");
        return false;
    }
    priv_emptyset(one);
    bool has = priv_addset(one, name) == 0 && check_has(OS_SET_PERMITTED, one, why_not, size);
    priv_freeset(one);
    return has;
}

static bool check_setid(const demit_identity_t *identity, char *why_not, size_t size)
{
    (void)identity;
    return check_one(PRIV_PROC_SETID, why_not, size);
}

/* An id is one's own already: setuid(2) takes it without a privilege, but the saved one would stay. */
static bool check_gid(const demit_identity_t *identity, char *why_not, size_t size)
{
    os_ids_t ids;
    bool same = os_ids_read(&ids) == 0 && ids.gid[0] == identity->gid && ids.gid[1] == identity->gid &&
                ids.gid[2] == identity->gid;
    return same || check_setid(identity, why_not, size);
}

static bool check_uid(const demit_identity_t *identity, char *why_not, size_t size)
{
    os_ids_t ids;
    bool same = os_ids_read(&ids) == 0 && ids.uid[0] == identity->uid && ids.uid[1] == identity->uid &&
                ids.uid[2] == identity->uid;
    return same || check_setid(identity, why_not, size);
}

static bool check_chroot(const demit_identity_t *identity, char *why_not, size_t size)
{
    (void)identity;
    return check_one(PRIV_PROC_CHROOT, why_not, size);
}

/* ---- causes ---- */

static void blame_kernel(const demit_identity_t *identity, int code, char *cause, size_t size)
{
    (void)identity;
    if (code == EPERM) {
        os_append(cause, size,
                  "the privilege is there, so most likely something changed the sets of this process "
                  "meanwhile (ppriv -s)");
    } else if (code == EINVAL) {
        os_append(cause, size, "most likely an id beyond what this system takes (intro(2))");
    }
}

/* There is no RLIMIT_NPROC here. */
static void blame_room(const demit_identity_t *identity, int code, char *cause, size_t size)
{
    if (code == EAGAIN) {
        os_append(cause, size,
                  "most likely project.max-processes, project.max-lwps or zone.max-processes (prctl(1)), "
                  "or maxuprc of system(5): too many processes of %s",
                  identity->user_name);
    } else if (code == EPERM) {
        os_append(cause, size, "proc_fork was not there to begin with");
    }
}

/* Without proc_fork to begin with there is nothing to try: privileges(7). */
static bool tries_room(const demit_identity_t *identity)
{
    return priv_ismember(identity->native->bridge, PRIV_PROC_FORK) &&
           (builds_bridge(identity) || priv_ineffect(PRIV_PROC_FORK)); /* priv_set(3C) */
}

/* ---- the table ---- */

const os_step_t os_backend_steps[] = {
    {"threads", "", NULL, os_step_describe_threads, os_step_check_threads, NULL, NULL},
    {"descriptors", "", os_step_has_jail, os_step_describe_descriptors, os_step_check_descriptors, NULL, NULL},
    {"setppriv Permitted", "", builds_bridge, describe_bridge, NULL, run_bridge, blame_kernel},
    {"setppriv Effective", "", builds_bridge, describe_bridge_effective, NULL, run_bridge_effective, blame_kernel},
    {"setgroups", "proc_setid", sets_groups, os_step_describe_groups, check_setid, os_step_run_groups, blame_kernel},
    {"setgid", "proc_setid", crosses, os_step_describe_gid, check_gid, os_step_run_gid, blame_kernel},
    {"chroot", "proc_chroot", os_step_has_jail, os_step_describe_chroot, check_chroot, os_step_run_chroot,
     blame_kernel},
    {"chdir", "", NULL, os_step_describe_chdir, NULL, os_step_run_chdir, NULL},
    {"setuid", "proc_setid", crosses, os_step_describe_uid, check_uid, os_step_run_uid, blame_kernel},
    {"process limit", "proc_fork", tries_room, os_step_describe_room, NULL, os_step_run_room, blame_room},
    {"setppriv Permitted", "", sets_permitted, describe_permitted, check_permitted, run_permitted, blame_kernel},
    {"setppriv Limit", "", sets_limit, describe_limit, check_limit, run_limit, blame_kernel},
    {"setppriv Effective", "", sets_effective, describe_effective, NULL, run_effective, blame_kernel},
    {"setppriv Inheritable", "", sets_inheritable, describe_inheritable, NULL, run_inheritable, blame_kernel},
};
const size_t os_backend_step_count = sizeof(os_backend_steps) / sizeof(os_backend_steps[0]);
