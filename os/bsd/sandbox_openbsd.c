/*
 * unveil(2) for files, pledge(2) for system calls.
 *
 * How the promises are proved: what breaks them ends the process, and a child that could do so in its stead would need
 * fork(2), which is not promised either. But with "error" among the promises a system call outside them fails with
 * ENOSYS instead: pledge(2). So the process enters with "error", its proof breaks the promises in this very process,
 * without a core file and without a line in the kernel's log, and then gives "error" up, which pledge(2) allows, for it
 * only ever takes. From then on a system call outside the promises is the last.
 */
#include "os/bsd/sandbox_openbsd.h"
#include "os/bsd/kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

/*
 * What demitd does from here on, and which promise each needs. Not among them, because nothing does it any more: fork
 * and setsid (proc), programs (exec), other ids (id), owners (chown), the account database (getpw), the table of
 * processes (ps), terminals (tty), descriptors in messages (sendfd, recvfd), further unveil(2).
 */
#define PROMISES                                                                                                       \
    "stdio " /* memory, threads, signals, kqueue, pipes, fsync, sendsyslog; reading and writing what is open */        \
    "rpath " /* spool, configuration, Maildirs; resolv.conf and hosts for the resolver; free space of the spool */     \
    "wpath " /* segments of the spool, the log */                                                                      \
    "cpath " /* new segments, messages in Maildirs (linkat, renameat, unlinkat), the console's socket */               \
    "fattr " /* fchmod of a new file to the mode that SpoolMode or Maildir asks for */                                 \
    "flock " /* the lock of the spool */                                                                               \
    "inet "  /* listeners, deliveries, c-ares: which speaks DNS itself, so "dns" is not needed */                      \
    "unix"   /* the console, LMTP over a local socket, and getpeereid(3) */

/* Written by the main thread before there is another. */
static atomic_bool has_pledged;

bool os_openbsd_has_pledged(void)
{
    return atomic_load(&has_pledged);
}

/* ---- file system ---- */

static const char *permissions_for(demit_sandbox_access_t access)
{
    /* What is neither read nor written below is a socket: connect(2) to it is a write. */
    return access == DEMIT_SANDBOX_READ ? "r" : access == DEMIT_SANDBOX_WRITE ? "rwc" : "w";
}

static int unveil_paths(const demit_sandbox_request_t *request, demit_os_error_t *error)
{
    for (size_t i = 0; i < request->path_count; i++) {
        const demit_sandbox_path_t *path = &request->paths[i];
        /* ENOENT: a directory on the way does not exist, so neither does the path. */
        if (unveil(path->path, permissions_for(path->access)) != 0 && errno != ENOENT) {
            return os_fail(error, errno, "unveil", "\"%s\" (%s) cannot be unveiled", path->path, path->option);
        }
    }
    /* Without any path the file system would stay as it is: the first call is what hides the rest. */
    if (request->path_count == 0 && unveil("/", "") != 0) {
        return os_fail(error, errno, "unveil", "the file system cannot be hidden");
    }
    return unveil(NULL, NULL) == 0 ? 0 : os_fail(error, errno, "unveil", "what is unveiled cannot be locked");
}

static bool allows_root(const demit_sandbox_request_t *request)
{
    bool allows = false;
    for (size_t i = 0; i < request->path_count; i++) {
        allows = allows || strcmp(request->paths[i].path, "/") == 0;
    }
    return allows;
}

/* The root directory is there on every host and in every jail, and could be opened by everybody a moment ago. */
static int prove_files(const demit_sandbox_request_t *request, demit_os_error_t *error)
{
    if (allows_root(request)) {
        return 0; /* somebody wrote so: nothing is out of reach */
    }
    int fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        (void)close(fd);
        (void)os_fail(error, 0, "unveil", "\"/\", which is not among the paths of the sandbox, could be opened");
        return EPERM;
    }
    if (errno != ENOENT && errno != EACCES) {
        return os_fail(error, errno, "unveil", "\"/\" could not be opened, but not because it is veiled");
    }
    return 0;
}

/* ---- TCP bind ---- */

static const char *why_no_ports(void)
{
    return "pledge(2) does not know ports: who may use the network may bind each port that this user may bind";
}

/* ---- promises ---- */

static int promise(const demit_sandbox_request_t *request, demit_os_error_t *error)
{
    (void)request;
    if (pledge(PROMISES " error", NULL) != 0) {
        return os_fail(error, errno, "pledge", "the promises \"%s\" cannot be made", PROMISES);
    }
    atomic_store(&has_pledged, true);
    return 0;
}

/* Setting the uid that one has: everybody may (setuid(2)), but not who did not promise "id". */
static int prove_promises(const demit_sandbox_request_t *request, demit_os_error_t *error)
{
    (void)request;
    if (setuid(getuid()) == 0) {
        (void)os_fail(error, 0, "pledge", "setuid(2) succeeded, although it is not among the promises");
        return EPERM;
    }
    if (errno != ENOSYS) {
        return os_fail(error, errno, "pledge", "setuid(2) failed, but not because of the promises");
    }
    return pledge(PROMISES, NULL) == 0 ? 0 : os_fail(error, errno, "pledge", "\"error\" cannot be given up");
}

/* Files first: unveil(2) is not among the promises. */
const os_sandbox_part_t os_kernel_sandbox[] = {
    {"file system", "paths that are not listed do not exist for this process, for good (unveil)", NULL, unveil_paths,
     prove_files},
    {"TCP bind", "only the ports listed can be bound", why_no_ports, NULL, NULL},
    {"promises", "a system call beyond " PROMISES " ends this process (pledge)", NULL, promise, prove_promises},
};
const size_t os_kernel_sandbox_size = sizeof(os_kernel_sandbox) / sizeof(os_kernel_sandbox[0]);

int demit_os_limit_descriptor(int fd, demit_descriptor_use_t use)
{
    (void)fd, (void)use;
    return ENOTSUP;
}
