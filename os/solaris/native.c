/* The share of an identity that Solaris and illumos have: what to keep, what must be held then, attempts to regain. */
#include "os/solaris/native.h"

#include <errno.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char os_backend_name[] = "solaris";

/* useradd(8), which was useradd(1M). */
void os_backend_account_hint(const char *user, char *text, size_t size)
{
    os_append(text, size, "useradd -d /nonexistent -s /usr/bin/false %s", user);
}

/* ---- resolve ---- */

static int no_memory(demit_os_error_t *error)
{
    return os_fail(error, ENOMEM, "identity", "the identity cannot be resolved");
}

static void free_sets(priv_set_t *sets[OS_SETS])
{
    for (size_t i = 0; i < OS_SETS; i++) {
        if (sets[i] != NULL) {
            priv_freeset(sets[i]);
        }
    }
}

static int read_sets(priv_set_t *sets[OS_SETS], demit_os_error_t *error)
{
    for (os_set_t which = OS_SET_PERMITTED; which < OS_SETS; which++) {
        int code = os_set_read(which, &sets[which]);
        if (code != 0) {
            return os_fail(error, code, "identity", "the privileges of this process cannot be read");
        }
    }
    return 0;
}

/* Nobody chose this user, so this is an ordinary user's trial: it runs with what there is, and says what is missing. */
static void make_do(const demit_identity_t *identity, priv_set_t *wanted, const priv_set_t *permitted,
                    const os_sink_t *warnings)
{
    char missing[OS_TEXT_MAX];
    if (identity->start == OS_START_SELF && os_set_missing(wanted, permitted, missing, sizeof(missing)) > 0) {
        os_tell(warnings, "Privileges asks for %s: not started as root, so demitd runs without", missing);
        priv_intersect(permitted, wanted);
    }
}

/* What Privileges says; without it the basic set, as far as it is there. */
static int choose(const demit_identity_t *identity, const char *text, const priv_set_t *permitted, priv_set_t **wanted,
                  const os_sink_t *warnings, demit_os_error_t *error)
{
    int code = os_privileges_parse(text != NULL ? text : "basic", wanted, warnings, error);
    if (code == 0 && text == NULL) {
        priv_intersect(permitted, *wanted);
    }
    if (code == 0) {
        code = os_privileges_judge(*wanted, identity, warnings, error);
    }
    if (code == 0) {
        make_do(identity, *wanted, permitted, warnings);
    }
    return code;
}

/* What is held afterwards: WANTED in three sets, and nothing for programs that nobody starts. */
static int hold(os_native_t *native, const priv_set_t *wanted, demit_os_error_t *error)
{
    for (os_set_t which = OS_SET_PERMITTED; which < OS_SETS; which++) {
        native->held[which] = os_set_copy(wanted);
        if (native->held[which] == NULL) {
            return no_memory(error);
        }
    }
    priv_emptyset(native->held[OS_SET_INHERITABLE]);
    return 0;
}

static bool ids_match(const demit_identity_t *identity)
{
    os_ids_t ids;
    bool match = os_ids_read(&ids) == 0;
    for (size_t i = 0; i < 3 && match; i++) {
        match = ids.uid[i] == identity->uid && ids.gid[i] == identity->gid;
    }
    return match;
}

static bool groups_match(const demit_identity_t *identity)
{
    const os_sink_t nobody = {0};
    os_groups_t found = {0};
    bool match = os_groups_read(&found) == 0 && os_compare_groups(identity, "", &found, &nobody) == 0;
    free(found.ids);
    return match;
}

/* On the way the steps need more than is held afterwards; what is not there cannot be had, and their checks say so. */
static int build_bridge(demit_identity_t *identity, const priv_set_t *permitted, demit_os_error_t *error)
{
    static const char *const always[] = {PRIV_PROC_SETID, PRIV_PROC_FORK};
    static const char *const with_jail[] = {PRIV_PROC_CHROOT, PRIV_FILE_DAC_SEARCH};
    priv_set_t *needs = priv_allocset();
    os_native_t *native = identity->native;
    native->bridge = os_set_copy(native->held[OS_SET_PERMITTED]);
    if (needs == NULL || native->bridge == NULL) {
        if (needs != NULL) {
            priv_freeset(needs);
        }
        return no_memory(error);
    }
    priv_emptyset(needs);
    int failed = 0;
    for (size_t i = 0; i < 2; i++) {
        failed |= priv_addset(needs, always[i]);
        failed |= identity->jail != NULL ? priv_addset(needs, with_jail[i]) : 0;
    }
    priv_intersect(permitted, needs);
    priv_union(needs, native->bridge);
    priv_freeset(needs);
    return failed == 0 ? 0 : os_fail(error, EINVAL, "identity", "this system lacks a privilege that every one has");
}

/* What the starter, SMF's method_credential(7) for one, has done already is not done again. */
static void decide(demit_identity_t *identity, priv_set_t *const found[OS_SETS])
{
    os_native_t *native = identity->native;
    native->crosses = identity->start == OS_START_ROOT || identity->jail != NULL || !ids_match(identity) ||
                      (identity->sets_groups && !groups_match(identity));
    for (os_set_t which = OS_SET_PERMITTED; which < OS_SETS; which++) {
        native->sets[which] = native->trims && (native->crosses || !priv_isequalset(found[which], native->held[which]));
    }
}

static int resolve_sets(demit_identity_t *identity, const demit_identity_request_t *request,
                        priv_set_t *const found[OS_SETS], const os_sink_t *warnings, demit_os_error_t *error)
{
    os_native_t *native = identity->native;
    const priv_set_t *permitted = found[OS_SET_PERMITTED];
    priv_set_t *wanted = NULL;
    int code = 0;
    native->trims = identity->uid != 0 || request->privileges != NULL;
    if (native->trims) {
        code = choose(identity, request->privileges, permitted, &wanted, warnings, error);
        code = code == 0 ? hold(native, wanted, error) : code;
        if (wanted != NULL) {
            priv_freeset(wanted);
        }
    } else {
        os_tell(warnings, "root keeps every privilege: user = root without Privileges");
        for (os_set_t which = OS_SET_PERMITTED; which < OS_SETS && code == 0; which++) {
            native->held[which] = os_set_copy(found[which]);
            code = native->held[which] != NULL ? 0 : no_memory(error);
        }
    }
    return code == 0 ? build_bridge(identity, permitted, error) : code;
}

int os_backend_resolve(demit_identity_t *identity, const demit_identity_request_t *request, const os_sink_t *warnings,
                       demit_os_error_t *error)
{
    priv_set_t *found[OS_SETS] = {NULL};
    identity->native = calloc(1, sizeof(*identity->native));
    if (identity->native == NULL) {
        return no_memory(error);
    }
    if (request->capabilities != NULL) {
        os_tell(warnings, "Capabilities is ignored on this system; Privileges is its counterpart");
    }
    int code = read_sets(found, error);
    if (code == 0) {
        code = resolve_sets(identity, request, found, warnings, error);
    }
    if (code == 0) {
        decide(identity, found);
    }
    free_sets(found);
    return code;
}

void os_backend_free(os_native_t *native)
{
    if (native == NULL) {
        return;
    }
    free_sets(native->held);
    if (native->bridge != NULL) {
        priv_freeset(native->bridge);
    }
    free(native);
}

static const char *privilege_for(os_power_t power)
{
    return power == OS_POWER_CHROOT ? PRIV_PROC_CHROOT : PRIV_PROC_SETID;
}

/* What is permitted can be raised: the first step does so. */
bool os_backend_has_power(os_power_t power)
{
    priv_set_t *permitted = NULL;
    if (os_set_read(OS_SET_PERMITTED, &permitted) != 0) {
        return false;
    }
    bool has = priv_ismember(permitted, privilege_for(power));
    priv_freeset(permitted);
    return has;
}

bool os_backend_keeps_power(const demit_identity_t *identity, os_power_t power)
{
    return priv_ismember(identity->native->held[OS_SET_PERMITTED], privilege_for(power));
}

void os_backend_kept(const demit_identity_t *identity, char *text, size_t size)
{
    os_set_format(identity->native->held[OS_SET_PERMITTED], text, size);
}

/* ---- compare ---- */

static int compare_set(const demit_identity_t *identity, os_set_t which, const os_sink_t *drift, size_t *differences)
{
    const priv_set_t *wanted = identity->native->held[which];
    char names[OS_TEXT_MAX];
    priv_set_t *found = NULL;
    int code = os_set_read(which, &found);
    if (code != 0) {
        return code;
    }
    if (os_set_missing(found, wanted, names, sizeof(names)) > 0) {
        os_tell(drift, "the %s set holds %s, which should be gone", os_set_name(which), names);
        ++*differences;
    }
    if (os_set_missing(wanted, found, names, sizeof(names)) > 0) {
        os_tell(drift, "the %s set lacks %s", os_set_name(which), names);
        ++*differences;
    }
    priv_freeset(found);
    return 0;
}

int os_backend_compare(const demit_identity_t *identity, const os_sink_t *drift, size_t *differences)
{
    os_ids_t ids;
    os_groups_t groups = {0};
    int code = os_ids_read(&ids);
    if (code == 0) {
        code = os_groups_read(&groups);
    }
    if (code != 0) {
        return code;
    }
    *differences = os_compare_uids(identity, "", ids.uid, 3, drift) + os_compare_gids(identity, "", ids.gid, 3, drift) +
                   os_compare_groups(identity, "", &groups, drift);
    free(groups.ids);
    for (os_set_t which = OS_SET_PERMITTED; which < OS_SETS && code == 0; which++) {
        code = compare_set(identity, which, drift, differences);
    }
    return code;
}

/* ---- probe ---- */

static int take_uid(void)
{
    return setuid(0) == 0 ? 0 : errno; /* setuid(2) */
}

static int take_effective_uid(void)
{
    return seteuid(0) == 0 ? 0 : errno; /* setuid(2) */
}

static int take_gid(void)
{
    return setgid(0) == 0 ? 0 : errno; /* setuid(2) */
}

static int take_group(void)
{
    const gid_t root = 0;
    return setgroups(1, &root) == 0 ? 0 : errno; /* setgroups(2) */
}

static int take_root_directory(void)
{
    return chroot("/") == 0 ? 0 : errno; /* chroot(2) */
}

/* EPERM alone: setuid(2), setgroups(2), chroot(2). EINVAL would be an id out of range, which 0 is not. */
static const os_probe_t probes[] = {
    {"setuid(0)", os_probe_uid_was_lost, take_uid, NULL},
    {"seteuid(0)", os_probe_uid_was_lost, take_effective_uid, NULL},
    {"setgid(0)", os_probe_gid_was_lost, take_gid, NULL},
    {"setgroups({0})", os_probe_gid_was_lost, take_group, NULL},
    {"chroot(\"/\")", os_probe_chroot_was_lost, take_root_directory, NULL},
};

/* One privilege, because a set of several would be refused for any of them. */
static int take_privilege(priv_set_t *one, const char *name, os_set_t which, demit_os_error_t *error)
{
    priv_emptyset(one);
    if (priv_addset(one, name) != 0) {
        return os_fail(error, errno, "regain", "the set of %s alone cannot be made", name);
    }
    int code = setppriv(PRIV_ON, os_set_name(which), one) == 0 ? 0 : errno; /* setppriv(2) */
    if (code == EPERM) {
        return 0;
    }
    (void)os_fail(error, code, "regain", "raising %s in the %s set %s", name, os_set_name(which),
                  code == 0 ? "succeeded: what was given up could be taken back"
                            : "failed, but not for want of privilege, which proves nothing");
    return code == 0 ? EPERM : code;
}

/* Every privilege that is not kept, in both sets that bound what can ever be had: now, and after exec. */
static int probe_privileges(const demit_identity_t *identity, demit_os_error_t *error)
{
    static const os_set_t bounds[] = {OS_SET_PERMITTED, OS_SET_LIMIT};
    priv_set_t *one = priv_allocset();
    if (one == NULL) {
        return no_memory(error);
    }
    int code = 0;
    for (int i = 0; priv_getbynum(i) != NULL && code == 0; i++) { /* priv_getbynum(3C) */
        const char *name = priv_getbynum(i);
        for (size_t b = 0; b < sizeof(bounds) / sizeof(bounds[0]) && code == 0; b++) {
            if (!priv_ismember(identity->native->held[bounds[b]], name)) {
                code = take_privilege(one, name, bounds[b], error);
            }
        }
    }
    priv_freeset(one);
    return code;
}

int os_backend_probe(const demit_identity_t *identity, demit_os_error_t *error)
{
    int code = os_probe_all(identity, probes, sizeof(probes) / sizeof(probes[0]), error);
    return code == 0 && identity->native->trims ? probe_privileges(identity, error) : code;
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
