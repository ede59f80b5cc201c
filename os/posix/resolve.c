/* The first step: from the operator's words to ids, and from the way demitd was started to what there is to do. */
#include "os/posix/accounts.h"
#include "os/posix/backend.h"

#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "demit/build.h"

static const char *wanted_user(const demit_identity_request_t *request)
{
    return request->user != NULL ? request->user : DEMIT_DEFAULT_USER;
}

static bool user_is_default(const demit_identity_request_t *request)
{
    return request->user == NULL || request->user_is_default;
}

/* NULL: nobody wrote one. */
static const char *written_group(const demit_identity_request_t *request)
{
    return request->group_is_default ? NULL : request->group;
}

static int no_memory(demit_os_error_t *error)
{
    return os_fail(error, ENOMEM, "identity", "the identity cannot be resolved");
}

/* ---- user ---- */

/*
 * A set-uid or set-gid demitd would take its configuration from whoever starts it: its ids are no statement of the
 * administrator's.
 */
static int refuse_set_id(demit_os_error_t *error)
{
    if (getuid() == geteuid() && getgid() == getegid()) {
        return 0;
    }
    return os_fail(error, EPERM, "user",
                   "demitd was started set-uid or set-gid (real ids %lu:%lu, effective %lu:%lu); remove the bit from "
                   "the file and start it as root",
                   (unsigned long)getuid(), (unsigned long)getgid(), (unsigned long)geteuid(),
                   (unsigned long)getegid());
}

static int missing_default_user(demit_os_error_t *error)
{
    char hint[OS_TEXT_MAX] = "";
    os_backend_account_hint(DEMIT_DEFAULT_USER, hint, sizeof(hint));
    return os_fail(error, 0, "user",
                   "the built-in user \"" DEMIT_DEFAULT_USER "\" does not exist on this system; create it (%s) or name "
                   "another with user and group in the Security scope",
                   hint);
}

static int stay_oneself(demit_identity_t *identity, demit_os_error_t *error)
{
    identity->start = OS_START_SELF;
    identity->uid = getuid();
    identity->user_name = os_user_name(identity->uid);
    return identity->user_name != NULL ? 0 : no_memory(error);
}

static int resolve_user(demit_identity_t *identity, const demit_identity_request_t *request, os_user_t *user,
                        const os_sink_t *warnings, demit_os_error_t *error)
{
    bool is_default = user_is_default(request);
    if (is_default && geteuid() != 0) {
        return stay_oneself(identity, error);
    }
    int code = os_find_user("user", wanted_user(request), user, error);
    if (code != 0) {
        return code == ENOENT && is_default ? missing_default_user(error) : code;
    }
    identity->uid = user->uid;
    identity->user_name = user->name;
    identity->start = geteuid() == 0 ? OS_START_ROOT : OS_START_CONFIGURED;
    if (identity->start == OS_START_CONFIGURED && user->uid != geteuid()) {
        return os_fail(error, 0, "user",
                       "user = \"%s\" is uid %lu, but demitd was started as uid %lu, which may not become anybody "
                       "else: start it as root, start it as %s, or leave user out to run as whoever starts it",
                       wanted_user(request), (unsigned long)user->uid, (unsigned long)geteuid(), user->name);
    }
    if (user->uid == 0) {
        if (is_default) {
            return os_fail(error, 0, "user",
                           "the built-in user \"" DEMIT_DEFAULT_USER
                           "\" has uid 0; root remains only by an explicit user = root");
        }
        os_tell(warnings, "user = \"%s\" is root: not recommended; a fault in demitd is a fault of root's",
                wanted_user(request));
    }
    return 0;
}

/* ---- group ---- */

/* Nobody wrote a group: the built-in one, else the account's own; a bare uid has neither. */
static int default_group(demit_identity_t *identity, const demit_identity_request_t *request, const os_user_t *user,
                         const os_sink_t *warnings, demit_os_error_t *error)
{
    if (!user->has_account) {
        return os_fail(error, 0, "group",
                       "user = \"%s\" is a number without an account, so no group belongs to it: set group too",
                       wanted_user(request));
    }
    int code = os_find_group("group", DEMIT_DEFAULT_GROUP, &identity->gid, &identity->group_name, error);
    if (code != ENOENT) {
        return code;
    }
    identity->gid = user->primary_gid;
    identity->group_name = os_group_name(identity->gid);
    if (identity->group_name == NULL) {
        return no_memory(error);
    }
    os_tell(warnings,
            "the built-in group \"" DEMIT_DEFAULT_GROUP "\" does not exist: using \"%s\" (%lu), the group of \"%s\"",
            identity->group_name, (unsigned long)identity->gid, user->name);
    return 0;
}

static int own_group(demit_identity_t *identity, const char *written, demit_os_error_t *error)
{
    if (written != NULL) {
        gid_t gid = 0;
        int code = os_find_group("group", written, &gid, NULL, error);
        if (code != 0) {
            return code;
        }
        if (gid != getegid()) {
            return os_fail(error, 0, "group",
                           "group = \"%s\" is gid %lu, but demitd was started with gid %lu and may not change it: "
                           "start it as root or with that group, or leave group out",
                           written, (unsigned long)gid, (unsigned long)getegid());
        }
    }
    identity->gid = getegid();
    identity->group_name = os_group_name(identity->gid);
    return identity->group_name != NULL ? 0 : no_memory(error);
}

static int resolve_group(demit_identity_t *identity, const demit_identity_request_t *request, const os_user_t *user,
                         const os_sink_t *warnings, demit_os_error_t *error)
{
    const char *written = written_group(request);
    int code = 0;
    if (identity->start != OS_START_ROOT) {
        code = own_group(identity, written, error);
    } else if (written != NULL) {
        code = os_find_group("group", written, &identity->gid, &identity->group_name, error);
    } else {
        code = default_group(identity, request, user, warnings, error);
    }
    if (code == 0 && identity->gid == 0 && identity->uid != 0) {
        os_tell(warnings, "group = \"%s\" is gid 0: files of root's group stay within reach", identity->group_name);
    }
    return code;
}

/* ---- supplementary groups ---- */

static int read_listed_groups(const demit_identity_request_t *request, os_groups_t *listed, demit_os_error_t *error)
{
    size_t count = request->supplemental_group_count;
    long limit = sysconf(_SC_NGROUPS_MAX);
    if (limit > 0 && count > (size_t)limit) {
        return os_fail(error, 0, "Supplemental_Groups", "%zu groups are listed; this system allows %ld", count, limit);
    }
    listed->ids = calloc(count + 1, sizeof(*listed->ids));
    if (listed->ids == NULL) {
        return no_memory(error);
    }
    for (size_t i = 0; i < count; i++) {
        int code = os_find_group("Supplemental_Groups", request->supplemental_groups[i], &listed->ids[i], NULL, error);
        if (code != 0) {
            return code;
        }
    }
    listed->count = count;
    os_groups_sort(listed);
    return 0;
}

static void forget_group(os_groups_t *groups, gid_t gid)
{
    size_t kept = 0;
    for (size_t i = 0; i < groups->count; i++) {
        if (groups->ids[i] != gid) {
            groups->ids[kept++] = groups->ids[i];
        }
    }
    groups->count = kept;
}

static void warn_of_kept_group(const demit_identity_t *identity, gid_t gid, const os_sink_t *warnings)
{
    if (identity->waives_groups) {
        os_tell(warnings,
                "supplementary group %lu stays: this user namespace denies setgroups, and Allow_Inherited_Groups "
                "accepts it",
                (unsigned long)gid);
    } else {
        os_tell(warnings, "supplementary group %lu stays: demitd was not started as root and cannot drop it",
                (unsigned long)gid);
    }
}

/* Who may not call setgroups keeps what he was started with: that must hold what was asked, and is told otherwise. */
static int keep_found_groups(demit_identity_t *identity, const os_groups_t *listed, const os_sink_t *warnings,
                             demit_os_error_t *error)
{
    os_groups_t found = {0};
    int code = os_groups_read(&found);
    if (code != 0) {
        return os_fail(error, code, "Supplemental_Groups", "the groups of this process cannot be read");
    }
    forget_group(&found, identity->gid);
    identity->groups = found.ids;
    identity->group_count = found.count;
    for (size_t i = 0; i < listed->count; i++) {
        if (!os_groups_have(&found, listed->ids[i])) {
            return os_fail(error, 0, "Supplemental_Groups",
                           "group %lu is asked for, but demitd was started without it and may not add it: start it "
                           "%sor with that group (systemd: SupplementaryGroups=)",
                           (unsigned long)listed->ids[i],
                           identity->waives_groups ? "in a user namespace that allows setgroups, " : "as root, ");
        }
    }
    for (size_t i = 0; i < found.count; i++) {
        if (!os_groups_have(listed, found.ids[i])) {
            warn_of_kept_group(identity, found.ids[i], warnings);
        }
    }
    return 0;
}

static int resolve_groups(demit_identity_t *identity, const demit_identity_request_t *request,
                          const os_sink_t *warnings, demit_os_error_t *error)
{
    os_groups_t listed = {0};
    int code = read_listed_groups(request, &listed, error);
    if (code != 0) {
        free(listed.ids);
        return code;
    }
    forget_group(&listed, identity->gid);
    bool may_set = identity->start == OS_START_ROOT || os_backend_has_power(OS_POWER_SET_GID);
    identity->waives_groups = may_set && request->allow_inherited_groups && os_backend_denies_groups();
    identity->sets_groups = may_set && !identity->waives_groups;
    if (identity->waives_groups) {
        os_tell(warnings, "Allow_Inherited_Groups: this user namespace denies setgroups, so the supplementary groups "
                          "of whoever started demitd are not dropped");
    }
    if (!identity->sets_groups) {
        code = keep_found_groups(identity, &listed, warnings, error);
        free(listed.ids);
        return code;
    }
    if (os_groups_have(&listed, 0) && identity->uid != 0) {
        os_tell(warnings, "Supplemental_Groups names gid 0: files of root's group stay within reach");
    }
    identity->groups = listed.ids;
    identity->group_count = listed.count;
    return 0;
}

/* ---- jail ---- */

static int resolve_jail(demit_identity_t *identity, const demit_identity_request_t *request, const os_sink_t *warnings,
                        demit_os_error_t *error)
{
    const char *jail = request->chroot_directory;
    if (jail == NULL || jail[0] == '\0') {
        return 0;
    }
    struct stat inside, outside;
    if (jail[0] != '/') {
        return os_fail(error, 0, "chroot", "chroot = \"%s\" must be an absolute path", jail);
    }
    if (stat(jail, &inside) != 0 || stat("/", &outside) != 0) {
        return os_fail(error, errno, "chroot", "chroot = \"%s\" cannot be used", jail);
    }
    if (!S_ISDIR(inside.st_mode)) {
        return os_fail(error, ENOTDIR, "chroot", "chroot = \"%s\" cannot be used", jail);
    }
    if (inside.st_dev == outside.st_dev && inside.st_ino == outside.st_ino) {
        return os_fail(error, 0, "chroot", "chroot = \"%s\" is the root directory itself: leave it out", jail);
    }
    if (identity->uid == 0) {
        os_tell(warnings, "chroot does not hold a process that keeps root");
    }
    identity->jail = strdup(jail);
    if (identity->jail == NULL) {
        return no_memory(error);
    }
    identity->jail_device = inside.st_dev;
    identity->jail_inode = inside.st_ino;
    return 0;
}

/* ---- all of it ---- */

int demit_identity_resolve(demit_identity_t **result, const demit_identity_request_t *request,
                           void (*warn)(void *baton, const char *line), void *baton, demit_os_error_t *error)
{
    *result = NULL;
    os_sink_t warnings = {warn, baton};
    os_user_t user = {0};
    int code = refuse_set_id(error);
    if (code != 0) {
        return code;
    }
    demit_identity_t *identity = calloc(1, sizeof(*identity));
    if (identity == NULL) {
        return no_memory(error);
    }
    code = resolve_user(identity, request, &user, &warnings, error);
    if (code == 0) {
        code = resolve_group(identity, request, &user, &warnings, error);
    }
    if (code == 0) {
        code = resolve_groups(identity, request, &warnings, error);
    }
    if (code == 0) {
        code = resolve_jail(identity, request, &warnings, error);
    }
    if (code == 0) {
        code = os_backend_resolve(identity, request, &warnings, error);
    }
    if (code != 0) {
        demit_identity_free(identity);
        return code;
    }
    *result = identity;
    return 0;
}

/* ---- every mistake ---- */

typedef struct mistakes {
    void (*each)(void *baton, const demit_os_error_t *error);
    void *baton;
    size_t count;
} mistakes_t;

static bool note(mistakes_t *mistakes, int code, const demit_os_error_t *error)
{
    if (code != 0) {
        mistakes->count++;
        mistakes->each(mistakes->baton, error);
    }
    return code == 0;
}

/* What stands for itself, whoever the user is. */
static bool find_wrong_names(const demit_identity_request_t *request, mistakes_t *mistakes)
{
    demit_os_error_t error = {0};
    bool right = true;
    gid_t gid = 0;
    for (size_t i = 0; i < request->supplemental_group_count; i++) {
        int code = os_find_group("Supplemental_Groups", request->supplemental_groups[i], &gid, NULL, &error);
        right = note(mistakes, code, &error) && right;
    }
    return right;
}

static void find_mistakes(demit_identity_t *identity, const demit_identity_request_t *request, mistakes_t *mistakes)
{
    const os_sink_t silent = {NULL, NULL};
    demit_os_error_t error = {0};
    os_user_t user = {0};
    gid_t gid = 0;
    bool known = note(mistakes, resolve_user(identity, request, &user, &silent, &error), &error);
    if (known) {
        known = note(mistakes, resolve_group(identity, request, &user, &silent, &error), &error);
    } else {
        identity->uid = UINT16_MAX - 1; /* not root's: what root may would not be judged */
        if (written_group(request) != NULL) {
            (void)note(mistakes, os_find_group("group", written_group(request), &gid, NULL, &error), &error);
        }
    }
    if (find_wrong_names(request, mistakes) && known) {
        (void)note(mistakes, resolve_groups(identity, request, &silent, &error), &error);
    }
    (void)note(mistakes, resolve_jail(identity, request, &silent, &error), &error);
    (void)note(mistakes, os_backend_resolve(identity, request, &silent, &error), &error);
}

size_t demit_identity_mistakes(const demit_identity_request_t *request,
                               void (*each)(void *baton, const demit_os_error_t *error), void *baton)
{
    mistakes_t mistakes = {each, baton, 0};
    demit_os_error_t error = {0};
    if (!note(&mistakes, refuse_set_id(&error), &error)) {
        return mistakes.count;
    }
    demit_identity_t *identity = calloc(1, sizeof(*identity));
    if (identity == NULL) {
        (void)note(&mistakes, no_memory(&error), &error);
        return mistakes.count;
    }
    find_mistakes(identity, request, &mistakes);
    demit_identity_free(identity);
    return mistakes.count;
}

void demit_identity_free(demit_identity_t *identity)
{
    if (identity == NULL) {
        return;
    }
    os_backend_free(identity->native);
    free(identity->jail);
    free(identity->groups);
    free(identity->group_name);
    free(identity->user_name);
    free(identity);
}
