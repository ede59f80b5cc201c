/*
 * Preloaded into demitd: a disk, a clock and a memory that do as a test says while the daemon runs.
 *
 * DEMIT_FAULTS names a file of 64-bit numbers that the test has mapped, too (test_faults.py says what stands where);
 * DEMIT_SPOOL names the spool. "File calls" are those on regular files and directories, sockets and pipes never. With
 * no order given every call is the system's own.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

typedef enum kind {
    OPEN,
    CLOSE,
    READ,
    WRITE,
    DATASYNC,
    SYNC,
    ALLOCATE,
    RENAME,
    UNLINK,
    STAT,
    LIST,
    SPACE,
    LOCK,
    MAKE, /* mkdir, link */
    KINDS
} kind_t;

enum { DESCRIPTORS = 65536, HELD_US = 1000 };

/* The order, and what came of it. The test writes the first part, we the second. */
typedef struct faults {
    _Atomic uint64_t kill_at;    /* the call on the spool at which the process is killed, counted from 1; 0: none */
    _Atomic uint64_t half;       /* a write is done by half before the kill */
    _Atomic uint64_t fail;       /* bits of kinds that fail */
    _Atomic uint64_t code;       /* with this errno */
    _Atomic uint64_t everywhere; /* not in the spool alone, in all files */
    _Atomic uint64_t hold;       /* bits of kinds that do not return while this is set */
    _Atomic uint64_t delay_us;   /* how long each call takes longer */
    _Atomic uint64_t interrupt;  /* every such read and write is EINTR; 0: none */
    _Atomic uint64_t shorten;    /* reads and writes move so many bytes at most; 0: all */
    _Atomic int64_t clock_us;    /* what the wall clock is wrong by */
    _Atomic uint64_t starve;     /* the allocation that fails, counted from now; 0: none */
    _Atomic uint64_t starve_all; /* and all behind it */
    _Atomic uint64_t limit;      /* of descriptors, from the next file call on; 0: the hard one */
    _Atomic uint64_t calls;      /* on the spool so far */
    _Atomic uint64_t failed;     /* that failed by order */
    _Atomic uint64_t entered;    /* calls that were held up so far */
    _Atomic uint64_t left;       /* and how many of them went on */
    _Atomic uint64_t mapped;     /* writable shared mappings of the spool's files */
    _Atomic uint64_t starved;
    _Atomic uint64_t seen[KINDS]; /* in the files that the order is about */
} faults_t;

static faults_t nothing, *faults = &nothing;
static char spool[256];
static bool in_spool[DESCRIPTORS]; /* what is open there */
static _Atomic uint64_t parts;     /* reads and writes, for INTERRUPT */

/* dlsym(3) gives a data pointer where a function is meant; POSIX says that it may be taken for one. */
#define REAL(name) (*(__typeof__(&name) *)&(void *){dlsym(RTLD_NEXT, #name)})
/* Where _FILE_OFFSET_BITS=64 gives a function another name, that one is called; ours has it from the same header. */
#if __SIZEOF_POINTER__ == 4
#define WIDE(name) (*(__typeof__(&name) *)&(void *){dlsym(RTLD_NEXT, #name "64")})
#else
#define WIDE(name) REAL(name)
#endif

/* Before main(), which reduces the environment and closes descriptors. */
__attribute__((constructor)) static void read_order(void)
{
    const char *path = getenv("DEMIT_FAULTS"), *directory = getenv("DEMIT_SPOOL");
    int fd = path != NULL ? WIDE(open)(path, O_RDWR) : -1;
    void *map;

    if (fd < 0 || directory == NULL) {
        return;
    }
    (void)snprintf(spool, sizeof spool, "%s", directory);
    map = WIDE(mmap)(NULL, sizeof *faults, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    (void)REAL(close)(fd);
    if (map != MAP_FAILED) {
        faults = map;
    }
}

/* ---- which calls are meant ---- */

static bool is_of_spool(int fd)
{
    return fd >= 0 && fd < DESCRIPTORS && in_spool[fd];
}

static bool is_file(int fd)
{
    struct stat status;

    return syscall(SYS_fstat, fd, &status) == 0 && (S_ISREG(status.st_mode) || S_ISDIR(status.st_mode));
}

static bool is_below_spool(int dir, const char *path)
{
    size_t length = strlen(spool);

    if (path[0] != '/') {
        return is_of_spool(dir);
    }
    return length > 0 && strncmp(path, spool, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

/* ---- what becomes of them ---- */

static void end_process(void)
{
    (void)syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), 9); /* kill(2) is none of the sandbox's calls */
}

/* Sleeps without a call that a sandbox could mind. */
static void rest(uint64_t us)
{
    static uint32_t never;
    struct timespec span = {(time_t)(us / 1000000), (long)(us % 1000000) * 1000};

    (void)syscall(SYS_futex, &never, FUTEX_WAIT_PRIVATE, 0, &span, NULL, 0);
}

static void hold_up(kind_t kind)
{
    uint64_t delay_us = atomic_load(&faults->delay_us);

    if ((atomic_load(&faults->hold) >> kind & 1) == 0 && delay_us == 0) {
        return;
    }
    atomic_fetch_add(&faults->entered, 1);
    rest(delay_us);
    while ((atomic_load(&faults->hold) >> kind & 1) != 0) {
        rest(HELD_US);
    }
    atomic_fetch_add(&faults->left, 1);
}

/*
 * Before every file call. True: it fails, errno is set. KILLED: it is the one at which the process ends; who passes it
 * does half of the work first.
 */
static bool intercept(kind_t kind, bool of_spool, bool *killed)
{
    uint64_t number = of_spool ? atomic_fetch_add(&faults->calls, 1) + 1 : 0;

    if (number != 0 && number == atomic_load(&faults->kill_at)) {
        if (killed != NULL && atomic_load(&faults->half) != 0) {
            *killed = true;
            return false;
        }
        end_process();
    }
    if (!of_spool && atomic_load(&faults->everywhere) == 0) {
        return false;
    }
    atomic_fetch_add(&faults->seen[kind], 1);
    hold_up(kind);
    if ((atomic_load(&faults->fail) >> kind & 1) == 0) {
        return false;
    }
    atomic_fetch_add(&faults->failed, 1);
    errno = (int)atomic_load(&faults->code);
    return true;
}

/* Nobody but the process itself may always do so. */
static void set_limit(void)
{
    static _Atomic uint64_t present;
    uint64_t wanted = atomic_load(&faults->limit);
    struct rlimit limit;

    if (atomic_exchange(&present, wanted) != wanted && getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = wanted != 0 ? (rlim_t)wanted : limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static bool intercept_fd(kind_t kind, int fd, bool *killed)
{
    bool of_spool = is_of_spool(fd);
    int before = errno;

    set_limit();
    bool meant = of_spool || (atomic_load(&faults->everywhere) != 0 && is_file(fd));

    errno = before;
    return meant && intercept(kind, of_spool, killed);
}

static bool intercept_path(kind_t kind, int dir, const char *path)
{
    set_limit();
    return intercept(kind, is_below_spool(dir, path), NULL);
}

/* For every second read or write, so that it gets on. */
static bool is_interrupted(int fd)
{
    if (atomic_load(&faults->interrupt) == 0 || !is_of_spool(fd) || atomic_fetch_add(&parts, 1) % 2 != 0) {
        return false;
    }
    atomic_fetch_add(&faults->failed, 1);
    errno = EINTR;
    return true;
}

static size_t shortened(int fd, size_t size)
{
    size_t most = (size_t)atomic_load(&faults->shorten);

    return most != 0 && size > most && is_of_spool(fd) ? most : size;
}

/* ---- the calls ---- */

static int opened(int fd, bool there)
{
    if (fd >= 0 && fd < DESCRIPTORS) {
        in_spool[fd] = there;
    }
    return fd;
}

static mode_t mode_of(int flags, va_list arguments)
{
    return (flags & O_CREAT) != 0 ? va_arg(arguments, mode_t) : 0;
}

int open(const char *path, int flags, ...)
{
    va_list arguments;
    mode_t mode;

    va_start(arguments, flags);
    mode = mode_of(flags, arguments);
    va_end(arguments);
    if (intercept_path(OPEN, AT_FDCWD, path)) {
        return -1;
    }
    return opened(WIDE(open)(path, flags, mode), is_below_spool(AT_FDCWD, path));
}

int openat(int dir, const char *path, int flags, ...)
{
    va_list arguments;
    mode_t mode;

    va_start(arguments, flags);
    mode = mode_of(flags, arguments);
    va_end(arguments);
    if (intercept_path(OPEN, dir, path)) {
        return -1;
    }
    return opened(WIDE(openat)(dir, path, flags, mode), is_below_spool(dir, path));
}

int close(int fd)
{
    if (intercept_fd(CLOSE, fd, NULL)) {
        return -1;
    }
    (void)opened(fd, false);
    return REAL(close)(fd);
}

ssize_t pread(int fd, void *bytes, size_t size, off_t offset)
{
    if (intercept_fd(READ, fd, NULL) || is_interrupted(fd)) {
        return -1;
    }
    return WIDE(pread)(fd, bytes, shortened(fd, size), offset);
}

ssize_t read(int fd, void *bytes, size_t size)
{
    return intercept_fd(READ, fd, NULL) || is_interrupted(fd) ? -1 : REAL(read)(fd, bytes, shortened(fd, size));
}

ssize_t pwritev(int fd, const struct iovec *list, int count, off_t offset)
{
    bool killed = false;

    if (intercept_fd(WRITE, fd, &killed) || is_interrupted(fd)) {
        return -1;
    }
    if (killed) {
        /* The first part and half of the last one: with one part, half of it. */
        (void)!WIDE(pwritev)(fd, list, count - 1, offset);
        for (int i = 0; i < count - 1; i++) {
            offset += (off_t)list[i].iov_len;
        }
        (void)!WIDE(pwrite)(fd, list[count - 1].iov_base, list[count - 1].iov_len / 2, offset);
        end_process();
    }
    if (count > 0 && shortened(fd, list[0].iov_len) < list[0].iov_len) {
        return WIDE(pwrite)(fd, list[0].iov_base, shortened(fd, list[0].iov_len), offset);
    }
    return WIDE(pwritev)(fd, list, atomic_load(&faults->shorten) != 0 && is_of_spool(fd) ? 1 : count, offset);
}

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t offset)
{
    if (intercept_fd(WRITE, fd, NULL) || is_interrupted(fd)) {
        return -1;
    }
    return WIDE(pwrite)(fd, bytes, shortened(fd, size), offset);
}

ssize_t write(int fd, const void *bytes, size_t size)
{
    return intercept_fd(WRITE, fd, NULL) ? -1 : REAL(write)(fd, bytes, shortened(fd, size));
}

int fdatasync(int fd)
{
    return intercept_fd(DATASYNC, fd, NULL) ? -1 : REAL(fdatasync)(fd);
}

int fsync(int fd)
{
    return intercept_fd(SYNC, fd, NULL) ? -1 : REAL(fsync)(fd);
}

int posix_fallocate(int fd, off_t offset, off_t size)
{
    return intercept_fd(ALLOCATE, fd, NULL) ? errno : WIDE(posix_fallocate)(fd, offset, size);
}

int ftruncate(int fd, off_t size)
{
    return intercept_fd(ALLOCATE, fd, NULL) ? -1 : WIDE(ftruncate)(fd, size);
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    return intercept_path(RENAME, from_dir, from) ? -1 : REAL(renameat)(from_dir, from, to_dir, to);
}

int unlinkat(int dir, const char *path, int flags)
{
    return intercept_path(UNLINK, dir, path) ? -1 : REAL(unlinkat)(dir, path, flags);
}

int fstatat(int dir, const char *path, struct stat *status, int flags)
{
    return intercept_path(STAT, dir, path) ? -1 : WIDE(fstatat)(dir, path, status, flags);
}

int fstatvfs(int fd, struct statvfs *status)
{
    return intercept_fd(SPACE, fd, NULL) ? -1 : WIDE(fstatvfs)(fd, status);
}

int flock(int fd, int operation)
{
    return intercept_fd(LOCK, fd, NULL) ? -1 : REAL(flock)(fd, operation);
}

int mkdirat(int dir, const char *path, mode_t mode)
{
    return intercept_path(MAKE, dir, path) ? -1 : REAL(mkdirat)(dir, path, mode);
}

int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
    return intercept_path(MAKE, to_dir, to) ? -1 : REAL(linkat)(from_dir, from, to_dir, to, flags);
}

struct dirent *readdir(DIR *stream)
{
    return intercept_fd(LIST, dirfd(stream), NULL) ? NULL : WIDE(readdir)(stream);
}

/* What the simulation of power cuts could not see. */
void *mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
    if (fd >= 0 && (flags & MAP_SHARED) != 0 && (protection & PROT_WRITE) != 0 && is_of_spool(fd)) {
        atomic_fetch_add(&faults->mapped, 1);
    }
    return WIDE(mmap)(address, size, protection, flags, fd, offset);
}

/* ---- the clock ---- */

int gettimeofday(struct timeval *now, void *zone)
{
    int result = REAL(gettimeofday)(now, zone);
    int64_t us = (int64_t)now->tv_sec * 1000000 + now->tv_usec + atomic_load(&faults->clock_us);

    now->tv_sec = (time_t)(us / 1000000);
    now->tv_usec = (suseconds_t)(us % 1000000);
    return result;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int result = REAL(clock_gettime)(clock, now);
    int64_t us = atomic_load(&faults->clock_us);

    if (result == 0 && clock == CLOCK_REALTIME && us != 0) {
        us += (int64_t)now->tv_sec * 1000000 + now->tv_nsec / 1000;
        now->tv_sec = (time_t)(us / 1000000);
        now->tv_nsec = (long)(us % 1000000) * 1000;
    }
    return result;
}

time_t time(time_t *result)
{
    struct timespec now = {0, 0};

    (void)clock_gettime(CLOCK_REALTIME, &now);
    if (result != NULL) {
        *result = now.tv_sec;
    }
    return now.tv_sec;
}

/* ---- memory ---- */

static bool is_starved(void)
{
    uint64_t left = atomic_load(&faults->starve), next = 0;

    do {
        next = left == 1 && atomic_load(&faults->starve_all) != 0 ? 1 : left - 1;
    } while (left > 0 && !atomic_compare_exchange_weak(&faults->starve, &left, next));
    if (left != 1) {
        return false;
    }
    atomic_fetch_add(&faults->starved, 1);
    errno = ENOMEM;
    return true;
}

void *malloc(size_t size)
{
    static __typeof__(&malloc) real;

    real = real != NULL ? real : REAL(malloc); /* the first time there is one thread */
    return is_starved() ? NULL : real(size);
}

void *calloc(size_t count, size_t size)
{
    static __typeof__(&calloc) real;

    real = real != NULL ? real : REAL(calloc);
    return is_starved() ? NULL : real(count, size);
}

void *realloc(void *old, size_t size)
{
    static __typeof__(&realloc) real;

    real = real != NULL ? real : REAL(realloc);
    return is_starved() ? NULL : real(old, size);
}
