/*
 * What root opens or makes at fixed paths. Root must not be led astray by links that somebody else can plant, so it
 * walks the path one directory at a time and goes on only while nobody but root (or, for an ordinary user, himself)
 * could have put the next name there. In such a directory there is no race: nobody else can rename anything.
 */
#include "os/posix/trusted.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Solaris leaves it to each file system; none of its own takes longer names: limits.h(3HEAD), statvfs(2). */
#if !defined(NAME_MAX)
#define NAME_MAX 255
#endif

enum { LINKS_MAX = 8 };

/*
 * Who only looks opens a directory for its place in the tree, not to read it: root without CAP_DAC_OVERRIDE may not
 * read one that is closed to all but the service user.
 */
#if defined(O_PATH)
static const int LOOK = O_PATH;
#elif defined(O_SEARCH)
static const int LOOK = O_SEARCH;
#else
static const int LOOK = O_RDONLY;
#endif

/*
 * Where a walk stands. REST is what is still to be walked; it changes when a link is met. ROOT is where an absolute
 * link leads and ".." ends: in a jail that is the jail, as for a process within.
 */
typedef struct walk {
    int root_fd, fd;
    char rest[PATH_MAX];
    unsigned links;
    bool looks_only;                 /* nothing will be changed there: whose the directories are does not matter */
    const demit_identity_t *suspect; /* all that matters is whether this one could put the next name there */
    const char *path, *step;         /* for errors */
} walk_t;

static bool is_trusted_owner(uid_t owner)
{
    return owner == 0 || owner == geteuid();
}

/* Who owns a file can give himself the right to write it. */
static bool may_write(const demit_identity_t *who, const struct stat *about)
{
    const os_groups_t groups = os_identity_groups(who);
    const bool is_in_group = about->st_gid == who->gid || os_groups_have(&groups, about->st_gid);
    return about->st_uid == who->uid || (about->st_mode & S_IWOTH) != 0 ||
           (is_in_group && (about->st_mode & S_IWGRP) != 0);
}

static void next_component(walk_t *walk, char *name, size_t size);

/* Whether the suspect could exchange the next name of the walk. In a sticky directory: only what is his own. */
static bool is_exchangeable(const walk_t *walk, const struct stat *directory)
{
    char name[NAME_MAX + 2];
    struct stat about;
    if (!may_write(walk->suspect, directory)) {
        return false;
    }
    if (directory->st_uid == walk->suspect->uid || (directory->st_mode & S_ISVTX) == 0) {
        return true;
    }
    walk_t copy = *walk;
    next_component(&copy, name, sizeof(name));
    return fstatat(walk->fd, name, &about, AT_SYMLINK_NOFOLLOW) != 0 || about.st_uid == walk->suspect->uid;
}

static int check_suspect(const walk_t *walk, const struct stat *directory, demit_os_error_t *error)
{
    if (!is_exchangeable(walk, directory)) {
        return 0;
    }
    (void)os_fail(error, 0, walk->step,
                  "\"%s\": a directory of the path (before \"%s\") has owner %lu:%lu and mode %04o: uid %lu, as whom "
                  "demitd serves, could put another file there, which root would obey at the next start; give it to "
                  "root alone (chown 0, chmod go-w)",
                  walk->path, walk->rest, (unsigned long)directory->st_uid, (unsigned long)directory->st_gid,
                  (unsigned)directory->st_mode & 07777U, (unsigned long)walk->suspect->uid);
    error->code = EPERM;
    return EPERM;
}

static int check_directory(const walk_t *walk, demit_os_error_t *error)
{
    struct stat about;
    if (walk->looks_only) {
        return 0;
    }
    if (fstat(walk->fd, &about) != 0) {
        return os_fail(error, errno, walk->step, "\"%s\": a directory of the path cannot be looked at", walk->path);
    }
    if (walk->suspect != NULL) {
        return check_suspect(walk, &about, error);
    }
    const char *who = geteuid() == 0 ? "root" : "root or oneself";
    if (!is_trusted_owner(about.st_uid)) {
        return os_fail(
            error, 0, walk->step,
            "\"%s\": a directory of the path (before \"%s\") belongs to uid %lu, who could plant a link in it; "
            "choose a path that only %s can write",
            walk->path, walk->rest, (unsigned long)about.st_uid, who);
    }
    if ((about.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        return os_fail(error, 0, walk->step,
                       "\"%s\": a directory of the path (before \"%s\") has mode %04o, so others than its owner could "
                       "plant a link in it; choose a path that only %s can write",
                       walk->path, walk->rest, (unsigned)about.st_mode & 07777U, who);
    }
    return 0;
}

static int move_to(walk_t *walk, int fd)
{
    if (fd < 0) {
        return errno;
    }
    (void)close(walk->fd);
    walk->fd = fd;
    return 0;
}

/* A link found in a trusted directory was made by whom we trust: go on along its target. */
static int follow_link(walk_t *walk, const char *name)
{
    char target[PATH_MAX], joined[2 * PATH_MAX];
    ssize_t length = readlinkat(walk->fd, name, target, sizeof(target) - 1);
    if (length < 0) {
        return errno;
    }
    target[length] = '\0';
    if (++walk->links > LINKS_MAX) {
        return ELOOP;
    }
    int used = snprintf(joined, sizeof(joined), "%s/%s", target, walk->rest);
    if (used < 0 || (size_t)used >= sizeof(walk->rest)) {
        return ENAMETOOLONG;
    }
    memcpy(walk->rest, joined, (size_t)used + 1);
    return target[0] == '/' ? move_to(walk, openat(walk->root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)) : 0;
}

static bool is_at_root(const walk_t *walk)
{
    struct stat root, here;
    return fstat(walk->root_fd, &root) == 0 && fstat(walk->fd, &here) == 0 && root.st_dev == here.st_dev &&
           root.st_ino == here.st_ino;
}

static int enter(walk_t *walk, const char *name)
{
    if (strcmp(name, "..") == 0 && is_at_root(walk)) {
        return 0;
    }
    int fd = openat(walk->fd, name, (walk->looks_only ? LOOK : O_RDONLY) | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0) {
        return move_to(walk, fd);
    }
    /* Kernels say ELOOP, ENOTDIR, EMLINK or EFTYPE for a link here. */
    int code = errno;
    struct stat about;
    if (fstatat(walk->fd, name, &about, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(about.st_mode)) {
        return follow_link(walk, name);
    }
    return code;
}

/* Cuts the first component off WALK->rest. Empty: nothing is left. */
static void next_component(walk_t *walk, char *name, size_t size)
{
    size_t skipped = strspn(walk->rest, "/");
    size_t length = strcspn(walk->rest + skipped, "/");
    (void)snprintf(name, size, "%.*s", (int)length, walk->rest + skipped);
    size_t used = skipped + length;
    memmove(walk->rest, walk->rest + used, strlen(walk->rest + used) + 1);
}

static bool is_last(const walk_t *walk)
{
    return walk->rest[strspn(walk->rest, "/")] == '\0';
}

static int begin_walk(walk_t *walk, int root_fd, const char *path, demit_os_error_t *error)
{
    walk->path = path;
    walk->links = 0;
    if (path[0] != '/' || strlen(path) >= sizeof(walk->rest)) {
        return os_fail(error, 0, walk->step, "\"%s\" must be an absolute path of moderate length", path);
    }
    (void)snprintf(walk->rest, sizeof(walk->rest), "%s", path);
    walk->root_fd = root_fd;
    walk->fd = openat(root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return walk->fd < 0 ? os_fail(error, errno, walk->step, "\"%s\": the root directory cannot be opened", path) : 0;
}

static void end_walk(walk_t *walk)
{
    if (walk->fd >= 0) {
        (void)close(walk->fd);
    }
    walk->fd = -1;
}

/* Goes down to the last component, which becomes NAME, or, with NAME NULL, into it. */
static int go_down(walk_t *walk, char *name, size_t name_size, demit_os_error_t *error)
{
    int code = 0;
    while (code == 0) {
        char component[NAME_MAX + 2];
        code = check_directory(walk, error);
        if (code != 0 || (name == NULL && is_last(walk))) {
            break;
        }
        next_component(walk, component, sizeof(component));
        if (name != NULL && is_last(walk)) {
            (void)snprintf(name, name_size, "%s", component);
            break;
        }
        code = enter(walk, component);
        if (code != 0) {
            (void)os_fail(error, code, walk->step, "\"%s\": \"%s\" cannot be entered", walk->path, component);
        }
    }
    return code;
}

/* Opens the root directory that JAIL is, or, if it is NULL, that of this process. */
static int open_root(const char *jail, bool looks_only, const char *step, int *fd, demit_os_error_t *error)
{
    walk_t walk = {.fd = -1, .step = step, .looks_only = looks_only};
    *fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*fd < 0) {
        return os_fail(error, errno, step, "\"/\" cannot be opened");
    }
    if (jail == NULL) {
        return 0;
    }
    int code = begin_walk(&walk, *fd, jail, error);
    if (code == 0) {
        code = go_down(&walk, NULL, 0, error);
    }
    (void)close(*fd);
    *fd = walk.fd;
    if (code != 0) {
        end_walk(&walk);
    }
    return code;
}

int os_open_trusted_parent(const char *jail, const char *path, const char *step, int *parent_fd, char *name,
                           size_t name_size, demit_os_error_t *error)
{
    walk_t walk = {.fd = -1, .step = step};
    int root_fd = -1;
    int code = open_root(jail, false, step, &root_fd, error);
    if (code == 0) {
        code = begin_walk(&walk, root_fd, path, error);
        if (code == 0) {
            code = go_down(&walk, name, name_size, error);
        }
        (void)close(root_fd);
    }
    if (code == 0 && (name[0] == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)) {
        code = os_fail(error, 0, step, "\"%s\" does not end in a name", path);
    }
    if (code != 0) {
        end_walk(&walk);
        return code;
    }
    *parent_fd = walk.fd;
    return 0;
}

/* ---- what root obeys ---- */

/* At the last name: 0 with MORE set if it is a link, whose target is still to be walked. */
static int judge_last(walk_t *walk, const char *name, bool *more, demit_os_error_t *error)
{
    struct stat about;
    *more = false;
    if (fstatat(walk->fd, name, &about, AT_SYMLINK_NOFOLLOW) != 0) {
        return errno;
    }
    if (S_ISLNK(about.st_mode)) {
        walk->rest[0] = '\0';
        *more = true;
        return follow_link(walk, name);
    }
    if (!S_ISREG(about.st_mode) || !may_write(walk->suspect, &about)) {
        return 0;
    }
    (void)os_fail(error, 0, walk->step,
                  "\"%s\" has owner %lu:%lu and mode %04o: uid %lu, as whom demitd serves, could change it, and root "
                  "would obey it at the next start; owner 0, group %lu and mode 0640 would be right",
                  walk->path, (unsigned long)about.st_uid, (unsigned long)about.st_gid,
                  (unsigned)about.st_mode & 07777U, (unsigned long)walk->suspect->uid,
                  (unsigned long)walk->suspect->gid);
    error->code = EPERM;
    return EPERM;
}

int demit_identity_cannot_change(const demit_identity_t *identity, const char *path, demit_os_error_t *error)
{
    walk_t walk = {.fd = -1, .step = "configuration", .suspect = identity};
    char name[NAME_MAX + 2] = "";
    bool more = true;
    int root_fd = -1;
    if (identity->start != OS_START_ROOT || identity->uid == 0) {
        return 0;
    }
    int code = open_root(NULL, true, walk.step, &root_fd, error);
    if (code != 0) {
        return 0;
    }
    code = begin_walk(&walk, root_fd, path, error);
    while (code == 0 && more) {
        code = go_down(&walk, name, sizeof(name), error);
        if (code == 0) {
            code = judge_last(&walk, name, &more, error);
        }
    }
    end_walk(&walk);
    (void)close(root_fd);
    /* What cannot be walked, a pipe at /dev/fd/63, has no place where it could be exchanged. */
    return code == EPERM ? EPERM : 0;
}

/* ---- directories ---- */

static int give_directory(int parent, const char *name, mode_t mode, uid_t uid, gid_t gid)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        return errno;
    }
    /* The mode first: changing that of another's directory takes CAP_FOWNER, which a supervisor may withhold. */
    int code = fchmod(fd, mode) == 0 && fchown(fd, uid, gid) == 0 ? 0 : errno;
    (void)close(fd);
    return code;
}

/* Whether DIRECTORY is there, as a process within JAIL sees it: 0, ENOENT, ENOTDIR, … */
static int look_for(const char *jail, const char *directory)
{
    demit_os_error_t ignored;
    walk_t walk = {.fd = -1, .step = "directory", .looks_only = true};
    int root_fd = -1;
    int code = open_root(jail, true, "directory", &root_fd, &ignored);
    if (code == 0) {
        code = begin_walk(&walk, root_fd, directory, &ignored);
        if (code == 0) {
            code = go_down(&walk, NULL, 0, &ignored);
        }
        (void)close(root_fd);
    }
    end_walk(&walk);
    return code;
}

int demit_os_make_directory(const char *jail, const char *directory, mode_t mode, uid_t uid, gid_t gid,
                            demit_os_error_t *error)
{
    int found = look_for(jail, directory);
    /* EACCES: closed even to this root, so it is not missing; the new identity will see for itself. */
    if (found == 0 || found == EACCES || found == ENOTDIR) {
        return found != ENOTDIR ? 0 : os_fail(error, found, "directory", "\"%s\" is in the way", directory);
    }
    int parent = -1;
    char name[NAME_MAX + 2] = "";
    int code = os_open_trusted_parent(jail, directory, "directory", &parent, name, sizeof(name), error);
    if (code != 0) {
        return code;
    }
    /* Closed to all until it has its owner. */
    if (mkdirat(parent, name, 0700) != 0) {
        code = os_fail(error, errno, "directory", "\"%s\" cannot be made", directory);
    } else {
        code = give_directory(parent, name, mode, uid, gid);
        if (code != 0) {
            (void)unlinkat(parent, name, AT_REMOVEDIR);
            (void)os_fail(error, code, "directory", "\"%s\" cannot be given to %lu:%lu", directory, (unsigned long)uid,
                          (unsigned long)gid);
        }
    }
    (void)close(parent);
    return code;
}
