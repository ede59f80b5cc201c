/* Explain, assume, verify, audit: walks over the back end's table of steps and over what the kernel tells. */
#include "os/posix/backend.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

uid_t demit_identity_uid(const demit_identity_t *identity)
{
    return identity->uid;
}

gid_t demit_identity_gid(const demit_identity_t *identity)
{
    return identity->gid;
}

const char *demit_identity_chroot(const demit_identity_t *identity)
{
    return identity->jail;
}

static bool step_applies(const os_step_t *step, const demit_identity_t *identity)
{
    return step->applies == NULL || step->applies(identity);
}

void demit_identity_explain(const demit_identity_t *identity,
                            void (*each)(void *baton, const demit_identity_step_t *step), void *baton)
{
    for (size_t i = 0; i < os_backend_step_count; i++) {
        const os_step_t *step = &os_backend_steps[i];
        if (!step_applies(step, identity)) {
            continue;
        }
        char what[OS_TEXT_MAX] = "", why_not[OS_REASON_MAX] = "";
        step->describe(identity, what, sizeof(what));
        bool succeeds = step->check == NULL || step->check(identity, why_not, sizeof(why_not));
        demit_identity_step_t line = {
            .name = step->name, .what = what, .needs = step->needs, .would_succeed = succeeds, .why_not = why_not};
        each(baton, &line);
    }
}

static int run_step(const os_step_t *step, const demit_identity_t *identity, demit_os_error_t *error)
{
    int code = step->run != NULL ? step->run(identity) : 0;
    if (code == 0) {
        return 0;
    }
    char what[OS_TEXT_MAX] = "", cause[OS_REASON_MAX] = "";
    step->describe(identity, what, sizeof(what));
    (void)os_fail(error, code, step->name, "%s", what);
    if (step->blame != NULL) {
        step->blame(identity, code, cause, sizeof(cause));
    }
    if (cause[0] != '\0') {
        os_append(error->text, sizeof(error->text), ": %s", cause);
    }
    return code;
}

int demit_identity_assume(const demit_identity_t *identity, demit_os_error_t *error)
{
    /* All predictions come before the first act: what is known to fail leaves the process as it was. */
    for (size_t i = 0; i < os_backend_step_count; i++) {
        const os_step_t *step = &os_backend_steps[i];
        char why_not[OS_REASON_MAX] = "";
        if (step_applies(step, identity) && step->check != NULL && !step->check(identity, why_not, sizeof(why_not))) {
            (void)os_fail(error, 0, step->name, "%s", why_not);
            error->code = EPERM;
            return EPERM;
        }
    }
    for (size_t i = 0; i < os_backend_step_count; i++) {
        if (!step_applies(&os_backend_steps[i], identity)) {
            continue;
        }
        int code = run_step(&os_backend_steps[i], identity, error);
        if (code != 0) {
            return code;
        }
    }
    return 0;
}

/* ---- comparing ---- */

static const char *const which[] = {"real", "effective", "saved", "file system"};

size_t os_compare_uids(const demit_identity_t *identity, const char *prefix, const uid_t *found, size_t count,
                       const os_sink_t *drift)
{
    size_t differences = 0;
    for (size_t i = 0; i < count && i < sizeof(which) / sizeof(which[0]); i++) {
        if (found[i] != identity->uid) {
            os_tell(drift, "%s%s uid is %lu, should be %lu", prefix, which[i], (unsigned long)found[i],
                    (unsigned long)identity->uid);
            differences++;
        }
    }
    return differences;
}

size_t os_compare_gids(const demit_identity_t *identity, const char *prefix, const gid_t *found, size_t count,
                       const os_sink_t *drift)
{
    size_t differences = 0;
    for (size_t i = 0; i < count && i < sizeof(which) / sizeof(which[0]); i++) {
        if (found[i] != identity->gid) {
            os_tell(drift, "%s%s gid is %lu, should be %lu", prefix, which[i], (unsigned long)found[i],
                    (unsigned long)identity->gid);
            differences++;
        }
    }
    return differences;
}

size_t os_compare_groups(const demit_identity_t *identity, const char *prefix, const os_groups_t *found,
                         const os_sink_t *drift)
{
    os_groups_t wanted = os_identity_groups(identity);
    size_t differences = 0;
    for (size_t i = 0; i < found->count; i++) {
        /* One's own gid in the list grants nothing, and some kernels put it there. */
        if (found->ids[i] != identity->gid && !os_groups_have(&wanted, found->ids[i])) {
            os_tell(drift, "%ssupplementary group %lu should not be held", prefix, (unsigned long)found->ids[i]);
            differences++;
        }
    }
    for (size_t i = 0; i < wanted.count; i++) {
        if (!os_groups_have(found, wanted.ids[i])) {
            os_tell(drift, "%ssupplementary group %lu is missing", prefix, (unsigned long)wanted.ids[i]);
            differences++;
        }
    }
    return differences;
}

size_t os_compare_jail(const demit_identity_t *identity, const os_sink_t *drift)
{
    /* ".." of the jail's root is the jail's root; anything else is a way out. */
    static const char *const places[] = {"/", "/..", ".", ".."};
    size_t differences = 0;
    for (size_t i = 0; identity->jail != NULL && i < sizeof(places) / sizeof(places[0]); i++) {
        struct stat place;
        if (stat(places[i], &place) != 0) {
            os_tell(drift, "\"%s\" cannot be looked at inside the jail: %s", places[i], strerror(errno));
            differences++;
        } else if (place.st_dev != identity->jail_device || place.st_ino != identity->jail_inode) {
            os_tell(drift, "\"%s\" is not the jail %s", places[i], identity->jail);
            differences++;
        }
    }
    return differences;
}

/* Whether the working directory, which the jail's comparison sees to where there is one, was left behind. */
static size_t compare_working_directory(const demit_identity_t *identity, const os_sink_t *drift)
{
    struct stat here, root;
    if (identity->jail != NULL ||
        (stat(".", &here) == 0 && stat("/", &root) == 0 && here.st_dev == root.st_dev && here.st_ino == root.st_ino)) {
        return 0;
    }
    os_tell(drift, "the working directory is not \"/\"");
    return 1;
}

/* Keeps the first of many sentences, with the number of the others unsaid. */
static void keep_first(void *baton, const char *line)
{
    char *first = baton;
    if (first[0] == '\0') {
        (void)snprintf(first, OS_REASON_MAX, "%s", line);
    }
}

int demit_identity_verify(const demit_identity_t *identity, demit_os_error_t *error)
{
    char first[OS_REASON_MAX] = "";
    os_sink_t drift = {keep_first, first};
    size_t differences = 0;
    int code = os_backend_compare(identity, &drift, &differences);
    if (code != 0) {
        return os_fail(error, code, "verify", "%s",
                       first[0] != '\0' ? first : "the kernel does not tell what this process holds");
    }
    differences += os_compare_jail(identity, &drift) + compare_working_directory(identity, &drift);
    if (differences > 0) {
        (void)os_fail(error, 0, "verify", "the kernel does not hold what was asked for: %s", first);
        if (differences > 1) {
            os_append(error->text, sizeof(error->text), " (and %zu more)", differences - 1);
        }
        return EPERM;
    }
    /* Again, because a directory that was opened meanwhile is as much a way out as one that was inherited. */
    char why_not[OS_REASON_MAX] = "";
    if (identity->jail != NULL && !os_step_check_descriptors(identity, why_not, sizeof(why_not))) {
        return os_fail(error, 0, "verify", "%s", why_not);
    }
    code = os_backend_probe(identity, error);
    if (code == 0) {
        os_backend_seal(identity);
    }
    return code;
}

int demit_identity_audit(const demit_identity_t *identity, void (*each)(void *baton, const char *line), void *baton)
{
    os_sink_t drift = {each, baton};
    size_t differences = 0;
    if (os_backend_compare(identity, &drift, &differences) != 0) {
        return -1;
    }
    /* Of the jail only "/": the working directory is the caller's affair by now. */
    struct stat root;
    bool seen = identity->jail != NULL && stat("/", &root) == 0;
    /* Only a sandbox hides "/" itself (unveil(2)), and it was entered when this was the jail, for good. */
    bool hidden = !seen && (errno == ENOENT || errno == EACCES);
    if (identity->jail != NULL && !hidden &&
        (!seen || root.st_dev != identity->jail_device || root.st_ino != identity->jail_inode)) {
        os_tell(&drift, "\"/\" is not the jail %s", identity->jail);
        differences++;
    }
    return (int)differences;
}

int demit_identity_audit_thread(const demit_identity_t *identity, void (*each)(void *baton, const char *line),
                                void *baton)
{
    os_sink_t drift = {each, baton};
    size_t differences = 0;
    return os_backend_compare_thread(identity, &drift, &differences) == 0 ? (int)differences : -1;
}

/* ---- probes ---- */

bool os_probe_uid_was_lost(const demit_identity_t *identity)
{
    return identity->uid != 0 && !os_backend_keeps_power(identity, OS_POWER_SET_UID);
}

bool os_probe_gid_was_lost(const demit_identity_t *identity)
{
    os_groups_t groups = os_identity_groups(identity);
    return identity->gid != 0 && !os_groups_have(&groups, 0) && !os_backend_keeps_power(identity, OS_POWER_SET_GID);
}

bool os_probe_chroot_was_lost(const demit_identity_t *identity)
{
    return !os_backend_keeps_power(identity, OS_POWER_CHROOT);
}

int os_probe_all(const demit_identity_t *identity, const os_probe_t *probes, size_t count, demit_os_error_t *error)
{
    for (size_t i = 0; i < count; i++) {
        if (!probes[i].applies(identity)) {
            continue;
        }
        int code = probes[i].attempt();
        if (code == 0) {
            (void)os_fail(error, 0, "regain", "%s succeeded: what was given up could be taken back", probes[i].name);
            return EPERM;
        }
        if (probes[i].is_refusal != NULL ? !probes[i].is_refusal(identity, code) : code != EPERM) {
            return os_fail(error, code, "regain", "%s failed, but not for want of privilege, which proves nothing",
                           probes[i].name);
        }
    }
    return 0;
}

/* ---- summary ---- */

/* A path may hold anything; a value of a log line may not. */
static void append_escaped(char *line, size_t size, const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c != '\0'; c++) {
        bool plain = *c > ' ' && *c != 0x7f && *c != '"' && *c != '\\';
        os_append(line, size, plain ? "%c" : "\\x%02x", *c);
    }
}

void demit_identity_summary(const demit_identity_t *identity, char *line, size_t size)
{
    os_groups_t groups = os_identity_groups(identity);
    char list[OS_TEXT_MAX] = "", kept[OS_REASON_MAX] = "";
    os_groups_format(&groups, list, sizeof(list));
    for (char *c = list; *c != '\0'; c++) {
        *c = *c == ' ' ? ',' : *c; /* one value, so no space */
    }
    os_backend_kept(identity, kept, sizeof(kept));
    (void)snprintf(line, size, "user=");
    append_escaped(line, size, identity->user_name);
    os_append(line, size, " uid=%lu gid=%lu groups=%s%s kept=%s chroot=", (unsigned long)identity->uid,
              (unsigned long)identity->gid, identity->waives_groups ? "inherited:" : "", list, kept);
    append_escaped(line, size, identity->jail != NULL ? identity->jail : "-");
    os_append(line, size, " backend=%s", os_backend_name);
}
