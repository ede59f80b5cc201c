/*
 * The pid file: two files side by side. The number stands in one that everybody may read, and whoever may read a file
 * can hold a lock of it. So what tells one demitd from the next is the lock of another file, NAME.lock, which none but
 * its owner can open. With that lock held, the number is written into a new file, which takes the place of the old one:
 * whatever lies there, and whoever holds a lock or another name of it, neither is written to nor in the way.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/posix/trusted.h"

/* Solaris leaves it to each file system; none of its own takes longer names: limits.h(3HEAD), statvfs(2). */
#if !defined(NAME_MAX)
#define NAME_MAX 255
#endif

/* The names, in a directory that nobody else can write: none of them can change under our hands. */
typedef struct place {
    const char *path;         /* for errors */
    int parent;               /* the directory */
    char name[NAME_MAX + 2];  /* what everybody reads */
    char fresh[NAME_MAX + 8]; /* NAME.new, until it takes the place of NAME */
    char lock[NAME_MAX + 8];  /* NAME.lock */
} place_t;

static int find(place_t *place, const char *path, demit_os_error_t *error)
{
    *place = (place_t){.path = path, .parent = -1};
    int code = os_open_trusted_parent(NULL, path, "pidfile", &place->parent, place->name, sizeof(place->name), error);
    if (code == 0) {
        (void)snprintf(place->fresh, sizeof(place->fresh), "%s.new", place->name);
        (void)snprintf(place->lock, sizeof(place->lock), "%s.lock", place->name);
    }
    return code;
}

static void leave(place_t *place)
{
    if (place->parent >= 0) {
        (void)close(place->parent);
    }
    place->parent = -1;
}

/* Whether what ABOUT tells may lie at PATH followed by SUFFIX. */
static int judge(const struct stat *about, const char *path, const char *suffix, demit_os_error_t *error)
{
    /* Who removes a lock that is held makes room for a second demitd. */
    const char *advice = suffix[0] != '\0' ? "remove it while no demitd runs" : "remove it";
    if (!S_ISREG(about->st_mode)) {
        return os_fail(error, 0, "pidfile", "\"%s%s\" is %s; %s", path, suffix,
                       S_ISLNK(about->st_mode) ? "a symbolic link" : "not a regular file", advice);
    }
    if (about->st_uid != geteuid()) {
        return os_fail(error, 0, "pidfile", "\"%s%s\" belongs to uid %lu, not to uid %lu, who starts demitd; %s", path,
                       suffix, (unsigned long)about->st_uid, (unsigned long)geteuid(), advice);
    }
    return 0;
}

static bool is_open_to_others(const struct stat *about)
{
    return (about->st_mode & (S_IRWXG | S_IRWXO)) != 0;
}

/* Who can open the lock's file can hold the lock, and has perhaps opened it already. */
static int judge_lock(const struct stat *about, const char *path, demit_os_error_t *error)
{
    int code = judge(about, path, ".lock", error);
    if (code == 0 && is_open_to_others(about)) {
        code = os_fail(error, 0, "pidfile",
                       "\"%s.lock\" has mode %04o, so others than its owner can hold its lock; chmod 0600 it, after "
                       "seeing who has it open",
                       path, (unsigned)about->st_mode & 07777U);
    }
    return code;
}

/* Whether what lies at the name, if anything does, may be replaced, and whether a new file can be made beside it. */
static int look_at_old(const place_t *place, demit_os_error_t *error)
{
    struct stat about;
    if (fstatat(place->parent, place->name, &about, AT_SYMLINK_NOFOLLOW) == 0) {
        int code = judge(&about, place->path, "", error);
        if (code != 0) {
            return code;
        }
    } else if (errno != ENOENT) {
        return os_fail(error, errno, "pidfile", "\"%s\" cannot be looked at", place->path);
    }
    /* Anything else that lies there is unlinked: a directory is not, or where root may, with all that is in it. */
    if (fstatat(place->parent, place->fresh, &about, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(about.st_mode)) {
        return os_fail(error, 0, "pidfile", "\"%s.new\" is a directory; remove it", place->path);
    }
    return 0;
}

static int cannot_open_lock(const place_t *place, int code, demit_os_error_t *error)
{
    return os_fail(error, code, "pidfile", "\"%s.lock\" cannot be opened", place->path);
}

int demit_os_pid_file_look(const char *path, demit_os_error_t *error)
{
    place_t place;
    struct stat about;
    int code = find(&place, path, error);
    if (code == 0) {
        code = look_at_old(&place, error);
    }
    if (code == 0 && fstatat(place.parent, place.lock, &about, AT_SYMLINK_NOFOLLOW) == 0) {
        code = judge_lock(&about, path, error);
    } else if (code == 0 && errno != ENOENT) {
        code = cannot_open_lock(&place, errno, error); /* of all the names it is the longest */
    }
    if (code == 0 && faccessat(place.parent, ".", W_OK | X_OK, AT_EACCESS) != 0) {
        code = os_fail(error, errno, "pidfile", "\"%s\" cannot be made", path);
    }
    leave(&place);
    return code;
}

/* ---- the lock ---- */

/*
 * The descriptor lives on in a process that root has left, which could fill root's file system through one that writes.
 * flock(2) locks what can only be read.
 */
#if defined(LOCK_EX)
enum { LOCK_ACCESS = O_RDONLY };
#else
enum { LOCK_ACCESS = O_RDWR };
#endif

/* 0 or an errno; EWOULDBLOCK: somebody else has it. */
static int lock_whole(int fd)
{
#if defined(LOCK_EX)
    return flock(fd, LOCK_EX | LOCK_NB) == 0 ? 0 : errno;
#else
    /* Oracle's Solaris has no flock(3C), which illumos has. These belong to the process, which opens the file once. */
    const int mode = fcntl(fd, F_GETFL);
    struct flock lock = {.l_type = (mode & O_ACCMODE) == O_RDONLY ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET};
    const int code = fcntl(fd, F_SETLK, &lock) == 0 ? 0 : errno;
    return code == EACCES || code == EAGAIN ? EWOULDBLOCK : code;
#endif
}

/*
 * Another one runs, as the number says that it left, or a child of one that is gone, whose number may be somebody
 * else's by now. ABOUT: the lock's file.
 */
static int lock_is_taken(const place_t *place, const struct stat *about, demit_os_error_t *error)
{
    char holder[24] = "";
    int fd = openat(place->parent, place->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd >= 0) {
        ssize_t got = pread(fd, holder, sizeof(holder) - 1, 0);
        holder[got > 0 ? got : 0] = '\0';
        holder[strspn(holder, "0123456789")] = '\0';
        (void)close(fd);
    }
    (void)os_fail(error, 0, "pidfile",
                  "another demitd (pid %s, or perhaps a child of it) runs: it holds the lock of \"%s.lock\"",
                  holder[0] != '\0' ? holder : "unknown", place->path);
    if (is_open_to_others(about)) {
        os_append(error->text, sizeof(error->text), ", unless somebody else does, whom its mode %04o lets open it",
                  (unsigned)about->st_mode & 07777U);
    }
    error->code = EWOULDBLOCK;
    return EWOULDBLOCK;
}

/*
 * O_NONBLOCK: a FIFO that lies there must not hold the start up. What the file is like is judged with the lock held:
 * while another demitd holds it, whatever could be advised about the file would be wrong.
 */
static int take_lock(const place_t *place, int *fd, demit_os_error_t *error)
{
    struct stat about;
    *fd = openat(place->parent, place->lock, LOCK_ACCESS | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
                 0600);
    if (*fd < 0 || fstat(*fd, &about) != 0) {
        return cannot_open_lock(place, errno, error);
    }
    int refused = lock_whole(*fd);
    if (refused == EWOULDBLOCK) {
        return lock_is_taken(place, &about, error);
    }
    int code = judge_lock(&about, place->path, error);
    if (code == 0 && refused != 0) {
        code = os_fail(error, refused, "pidfile", "\"%s.lock\" cannot be locked", place->path);
    }
    return code;
}

/* ---- the number ---- */

static int write_number(const place_t *place, int writer, demit_os_error_t *error)
{
    char text[24];
    int length = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
    if (pwrite(writer, text, (size_t)length, 0) != length) {
        return os_fail(error, errno, "pidfile", "\"%s.new\" cannot be written", place->path);
    }
    return 0;
}

/*
 * Two descriptors of the new file: the one that writes the number is closed before root is let go, the one that lives
 * on can only read, and locks it before anybody else can open it.
 */
static int make_number(const place_t *place, int *keeper, demit_os_error_t *error)
{
    /* What a start that was cut off has left. */
    (void)unlinkat(place->parent, place->fresh, 0);
    int writer = openat(place->parent, place->fresh, O_RDWR | O_CREAT | O_EXCL | O_NOCTTY | O_CLOEXEC, 0600);
    if (writer < 0) {
        return os_fail(error, errno, "pidfile", "\"%s.new\" cannot be made", place->path);
    }
    int code = write_number(place, writer, error);
    (void)close(writer);
    if (code == 0) {
        *keeper = openat(place->parent, place->fresh, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        int refused = *keeper < 0 ? errno : lock_whole(*keeper);
        code = refused != 0 ? os_fail(error, refused, "pidfile", "\"%s.new\" cannot be locked", place->path) : 0;
    }
    if (code == 0 &&
        (fchmod(*keeper, 0644) != 0 || renameat(place->parent, place->fresh, place->parent, place->name) != 0)) {
        code = os_fail(error, errno, "pidfile", "\"%s\" cannot be put in its place", place->path);
    }
    if (code != 0) {
        (void)unlinkat(place->parent, place->fresh, 0);
    }
    return code;
}

int demit_os_pid_file(const char *path, demit_os_pid_file_t *file, demit_os_error_t *error)
{
    place_t place;
    *file = (demit_os_pid_file_t){.number_fd = -1, .lock_fd = -1};
    int code = find(&place, path, error);
    if (code == 0) {
        code = look_at_old(&place, error);
    }
    if (code == 0) {
        code = take_lock(&place, &file->lock_fd, error);
    }
    if (code == 0) {
        code = make_number(&place, &file->number_fd, error);
    }
    leave(&place);
    if (code != 0) {
        demit_os_pid_file_close(file);
    }
    return code;
}

void demit_os_pid_file_close(demit_os_pid_file_t *file)
{
    if (file->number_fd >= 0) {
        (void)close(file->number_fd);
    }
    if (file->lock_fd >= 0) {
        (void)close(file->lock_fd);
    }
    *file = (demit_os_pid_file_t){.number_fd = -1, .lock_fd = -1};
}
