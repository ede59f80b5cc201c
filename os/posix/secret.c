/* Keys: read once, before root is let go, into memory that is neither dumped nor, if the system can, swapped. */
#include "os/posix/trusted.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h> /* explicit_bzero(), but on OpenBSD and Linux */
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Solaris leaves it to each file system; none of its own takes longer names: limits.h(3HEAD), statvfs(2). */
#if !defined(NAME_MAX)
#define NAME_MAX 255
#endif

struct demit_os_secret {
    unsigned char *bytes; /* a mapping of their own: what is locked and not dumped is counted in pages */
    size_t size, mapped;
};

/* memset() before munmap() is a store that nobody reads, which a compiler may leave out. */
static void wipe(void *bytes, size_t size)
{
#if defined(__NetBSD__)
    (void)explicit_memset(bytes, 0, size);
#else
    explicit_bzero(bytes, size);
#endif
}

static void keep_out_of_dumps(void *bytes, size_t size)
{
#if defined(MADV_DONTDUMP)
    (void)madvise(bytes, size, MADV_DONTDUMP);
#elif defined(MADV_NOCORE)
    (void)madvise(bytes, size, MADV_NOCORE);
#endif
    /* Fails beyond RLIMIT_MEMLOCK for who is not root. Core files are off anyway, so this guards against swap alone. */
    (void)mlock(bytes, size);
}

static int make_room(demit_os_secret_t *secret)
{
    int flags = MAP_PRIVATE | MAP_ANON;
#if defined(MAP_CONCEAL)
    flags |= MAP_CONCEAL;
#endif
    secret->mapped = DEMIT_SECRET_MAX_BYTES + 1; /* one more, by which a file that grows is noticed */
    void *room = mmap(NULL, secret->mapped, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (room == MAP_FAILED) {
        return errno;
    }
    secret->bytes = room;
    keep_out_of_dumps(room, secret->mapped);
    return 0;
}

/* Root, whoever reads it, and the service user, who reads it again at a reload. */
static int check_owner(const char *path, const struct stat *about, uid_t service, demit_os_error_t *error)
{
    if (about->st_uid != 0 && about->st_uid != geteuid() && about->st_uid != service) {
        return os_fail(
            error, 0, "key",
            "\"%s\" belongs to uid %lu, who could change it; give it to root, or to uid %lu if a reload is to "
            "read it (chown %lu)",
            path, (unsigned long)about->st_uid, (unsigned long)service, (unsigned long)service);
    }
    if ((about->st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        return os_fail(
            error, 0, "key",
            "\"%s\" has mode %04o and owner %lu: others than its owner could use it; mode 0400 or 0600 would "
            "be right, and owner %lu if a reload is to read it (chmod 0400, chown %lu)",
            path, (unsigned)about->st_mode & 07777U, (unsigned long)about->st_uid, (unsigned long)service,
            (unsigned long)service);
    }
    return 0;
}

static int too_large(const char *path, demit_os_error_t *error)
{
    return os_fail(error, EFBIG, "key", "\"%s\" is larger than %d bytes and no key", path, (int)DEMIT_SECRET_MAX_BYTES);
}

static int check_file(const char *path, int fd, uid_t service, demit_os_error_t *error)
{
    struct stat about;
    if (fstat(fd, &about) != 0) {
        return os_fail(error, errno, "key", "\"%s\" cannot be looked at", path);
    }
    if (!S_ISREG(about.st_mode)) {
        return os_fail(error, 0, "key", "\"%s\" is not a regular file", path);
    }
    int code = check_owner(path, &about, service, error);
    return code == 0 && about.st_size > DEMIT_SECRET_MAX_BYTES ? too_large(path, error) : code;
}

/* Kernels say ELOOP, EMLINK or EFTYPE where O_NOFOLLOW met a link, so the link is looked at: open(2) of each. */
static bool is_link(int parent_fd, const char *name)
{
    struct stat about;
    return fstatat(parent_fd, name, &about, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(about.st_mode);
}

/* O_NONBLOCK: a FIFO that lies there must not hold the start up. */
static int open_file(const char *path, int *fd, demit_os_error_t *error)
{
    int parent = -1;
    char name[NAME_MAX + 2] = "";
    int code = os_open_trusted_parent(NULL, path, "key", &parent, name, sizeof(name), error);
    if (code != 0) {
        return code;
    }
    *fd = openat(parent, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (*fd < 0) {
        code = errno;
        (void)os_fail(error, code, "key", "\"%s\" cannot be opened%s", path,
                      is_link(parent, name) ? ", it is a symbolic link: name the file that it leads to" : "");
    }
    (void)close(parent);
    return code;
}

static int read_all(const char *path, int fd, demit_os_secret_t *secret, demit_os_error_t *error)
{
    while (secret->size < secret->mapped) {
        ssize_t got = read(fd, secret->bytes + secret->size, secret->mapped - secret->size);
        if (got < 0 && errno != EINTR) {
            return os_fail(error, errno, "key", "\"%s\" cannot be read", path);
        }
        if (got == 0) {
            return secret->size > 0 ? 0 : os_fail(error, 0, "key", "\"%s\" is empty", path);
        }
        secret->size += got > 0 ? (size_t)got : 0;
    }
    return too_large(path, error);
}

int demit_os_secret_read(demit_os_secret_t **result, const char *path, uid_t service, demit_os_error_t *error)
{
    *result = NULL;
    int fd = -1;
    demit_os_secret_t *secret = calloc(1, sizeof(*secret));
    if (secret == NULL) {
        return os_fail(error, ENOMEM, "key", "\"%s\" cannot be read", path);
    }
    int code = open_file(path, &fd, error);
    if (code == 0) {
        code = check_file(path, fd, service, error);
    }
    if (code == 0) {
        code = make_room(secret);
        code = code == 0 ? read_all(path, fd, secret, error) : os_fail(error, code, "key", "\"%s\"", path);
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    if (code != 0) {
        demit_os_secret_free(secret);
        return code;
    }
    *result = secret;
    return 0;
}

const void *demit_os_secret_bytes(const demit_os_secret_t *secret, size_t *size)
{
    *size = secret->size;
    return secret->bytes;
}

void demit_os_secret_free(demit_os_secret_t *secret)
{
    if (secret == NULL) {
        return;
    }
    if (secret->bytes != NULL) {
        wipe(secret->bytes, secret->mapped);
        (void)munmap(secret->bytes, secret->mapped);
    }
    free(secret);
}
