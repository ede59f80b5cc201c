/*
 * Landlock by system calls alone: landlock(7). The header of the build host may know less than the kernel that demitd
 * runs on, so everything beyond ABI 1 is written down here, and what the running kernel lacks is masked out.
 */
#include "os/linux/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

/* The same numbers on every architecture: they came after the tables were made one. */
enum { CREATE_RULESET = 444, ADD_RULE = 445, RESTRICT_SELF = 446 };

/* linux/landlock.h as it is from ABI 6 on. */
typedef struct ruleset {
    uint64_t files;  /* ABI 1 */
    uint64_t net;    /* ABI 4 */
    uint64_t scoped; /* ABI 6 */
} ruleset_t;
typedef struct port_rule {
    uint64_t rights, port;
} port_rule_t;
enum { RULE_PORT = 2 };

static const uint64_t FILE_REFER = 1U << 13;                                        /* ABI 2 */
static const uint64_t FILE_TRUNCATE = 1U << 14;                                     /* ABI 3 */
static const uint64_t FILE_IOCTL_DEV = 1U << 15;                                    /* ABI 5 */
static const uint64_t BIND_TCP = 1U << 0;                                           /* ABI 4 */
static const uint64_t SCOPE_ABSTRACT_UNIX_SOCKET = 1U << 0, SCOPE_SIGNAL = 1U << 1; /* ABI 6 */

/* ABI 1 refuses every rename between directories, and so the one from tmp to new that a Maildir is about. */
enum { ABI_FILES = 2, ABI_BIND = 4, ABI_OTHERS = 6 };

/* What verify needs to know of before. */
static struct memory {
    unsigned parts;
    const char *witness; /* a directory outside that could be opened until then; NULL: there was none */
    int stranger_fd;     /* a socket that does not belong to the sandbox */
} before = {.stranger_fd = -1};

/* ---- what this kernel has ---- */

/* The version of the kernel's Landlock, or 0 with WHY_NOT. */
static int abi_version(char *why_not, size_t size)
{
    long abi = syscall(CREATE_RULESET, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (abi > 0) {
        return (int)abi;
    }
    if (errno == EOPNOTSUPP) {
        os_append(why_not, size, "Landlock is switched off: the kernel's boot parameter lsm= does not name landlock");
    } else if (errno == ENOSYS) {
        os_append(why_not, size, "this kernel has no Landlock (Linux 5.13 and CONFIG_SECURITY_LANDLOCK)");
    } else {
        os_append(why_not, size, "Landlock cannot be used here: %s (a seccomp filter of the container's?)",
                  strerror(errno));
    }
    return 0;
}

bool os_landlock_can(os_landlock_part_t part, char *why_not, size_t size)
{
    static const struct {
        os_landlock_part_t part;
        int abi;
        const char *linux;
    } needs[] = {{OS_LANDLOCK_FILES, ABI_FILES, "5.19"},
                 {OS_LANDLOCK_BIND, ABI_BIND, "6.7"},
                 {OS_LANDLOCK_OTHERS, ABI_OTHERS, "6.12"}};
    int abi = abi_version(why_not, size);
    for (size_t i = 0; abi > 0 && i < sizeof(needs) / sizeof(needs[0]); i++) {
        if (needs[i].part == part && abi < needs[i].abi) {
            os_append(why_not, size, "this kernel's Landlock is version %d; version %d comes with Linux %s", abi,
                      needs[i].abi, needs[i].linux);
            return false;
        }
    }
    return abi > 0;
}

/* ---- rights ---- */

static const uint64_t READ = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
/* No devices, pipes or symbolic links: demitd makes none. */
static const uint64_t MAKE = LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK;
static const uint64_t REMOVE = LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE;

/* Every right that an ABI of at least ABI_FILES can take away. */
static uint64_t all_rights(int abi)
{
    enum { FIRST_ABI_HAS = 13 };
    uint64_t rights = (UINT64_C(1) << FIRST_ABI_HAS) - 1;
    rights |= FILE_REFER;
    rights |= abi >= 3 ? FILE_TRUNCATE : 0;
    rights |= abi >= 5 ? FILE_IOCTL_DEV : 0;
    return rights;
}

static uint64_t rights_of(demit_sandbox_access_t access)
{
    switch (access) {
    case DEMIT_SANDBOX_READ:
        return READ;
    case DEMIT_SANDBOX_WRITE:
        return READ | MAKE | REMOVE | LANDLOCK_ACCESS_FS_WRITE_FILE | FILE_REFER | FILE_TRUNCATE;
    case DEMIT_SANDBOX_CONNECT:
        return 0; /* Landlock lets everybody connect */
    }
    return 0;
}

/* What is no directory has no rights that are about entries: landlock_add_rule(2) would say EINVAL. */
static uint64_t rights_for(int fd, uint64_t rights)
{
    struct stat about;
    bool is_directory = fstat(fd, &about) == 0 && S_ISDIR(about.st_mode);
    return is_directory ? rights
                        : rights & (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | FILE_TRUNCATE);
}

/* ---- rules ---- */

static int allow_path(int ruleset_fd, const demit_sandbox_path_t *path, uint64_t handled, demit_os_error_t *error)
{
    struct landlock_path_beneath_attr rule = {.parent_fd = open(path->path, O_PATH | O_CLOEXEC)};
    if (rule.parent_fd < 0) {
        return 0; /* passed over */
    }
    rule.allowed_access = rights_for(rule.parent_fd, rights_of(path->access)) & handled;
    int code = 0;
    if (rule.allowed_access != 0 && syscall(ADD_RULE, ruleset_fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0) {
        code = os_fail(error, errno, "sandbox", "%s (%s) cannot be put into the sandbox's rules", path->path,
                       path->option);
    }
    (void)close(rule.parent_fd);
    return code;
}

static int allow_port(int ruleset_fd, uint16_t port, demit_os_error_t *error)
{
    const port_rule_t rule = {.rights = BIND_TCP, .port = port};
    if (syscall(ADD_RULE, ruleset_fd, RULE_PORT, &rule, 0) != 0) {
        return os_fail(error, errno, "sandbox", "port %u cannot be put into the sandbox's rules", port);
    }
    return 0;
}

static int add_rules(int ruleset_fd, const demit_sandbox_request_t *request, const ruleset_t *handled,
                     demit_os_error_t *error)
{
    int code = 0;
    for (size_t i = 0; code == 0 && handled->files != 0 && i < request->path_count; i++) {
        code = allow_path(ruleset_fd, &request->paths[i], handled->files, error);
    }
    if (code == 0 && handled->net != 0) {
        code = allow_port(ruleset_fd, 0, error); /* any free one: to go out from a given address takes bind(2) */
    }
    for (size_t i = 0; code == 0 && handled->net != 0 && i < request->port_count; i++) {
        code = allow_port(ruleset_fd, request->ports[i], error);
    }
    return code;
}

/* ---- what the proof needs of before ---- */

static bool is_same(const struct stat *one, const struct stat *other)
{
    return one->st_dev == other->st_dev && one->st_ino == other->st_ino;
}

/* Whether a rule for the directory ABOUT lies on it itself. */
static bool is_requested(const demit_sandbox_request_t *request, const struct stat *about)
{
    for (size_t i = 0; i < request->path_count; i++) {
        struct stat allowed;
        if (request->paths[i].access != DEMIT_SANDBOX_CONNECT && stat(request->paths[i].path, &allowed) == 0 &&
            is_same(&allowed, about)) {
            return true;
        }
    }
    return false;
}

/*
 * Whether DIRECTORY, or one that it lies in, is allowed: asked of the directories themselves, as the kernel does, for a
 * path has many names. What cannot be told counts as allowed.
 */
static bool is_allowed(const demit_sandbox_request_t *request, const char *directory)
{
    struct stat about = {0}, below = {0};
    int fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    bool is_known = fd >= 0 && fstat(fd, &about) == 0, is_found = false;
    while (is_known && !is_found && !is_same(&about, &below)) {
        is_found = is_requested(request, &about);
        below = about;
        int parent = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
        (void)close(fd);
        fd = parent;
        is_known = fd >= 0 && fstat(fd, &about) == 0;
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return is_found || !is_known;
}

static int open_directory(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        return errno;
    }
    (void)close(fd);
    return 0;
}

/* A refusal proves something only where the same act would have succeeded before. */
static const char *find_witness(const demit_sandbox_request_t *request)
{
    static const char *const candidates[] = {"/", "/usr", "/dev", "/etc", "/var"};
    for (size_t i = 0; i < sizeof(candidates) / sizeof(candidates[0]); i++) {
        if (!is_allowed(request, candidates[i]) && open_directory(candidates[i]) == 0) {
            return candidates[i];
        }
    }
    return NULL;
}

/* A socket of before does not belong to the sandbox, though it is this process's: what is made later may not reach it.
 */
static int make_stranger(int *fd, demit_os_error_t *error)
{
    const struct sockaddr_un any = {.sun_family = AF_UNIX};
    *fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    /* Without a name, Linux chooses an abstract one: unix(7), autobind. */
    if (*fd < 0 || bind(*fd, (const struct sockaddr *)&any, sizeof(sa_family_t)) != 0) {
        return os_fail(error, errno, "sandbox", "no abstract socket can be made, to prove the sandbox with");
    }
    return 0;
}

/* ---- entering ---- */

static int restrict_self(const demit_sandbox_request_t *request, const ruleset_t *handled, demit_os_error_t *error)
{
    /* A kernel that does not know a member takes the struct as long as what it does not know is 0: E2BIG otherwise. */
    long fd = syscall(CREATE_RULESET, handled, sizeof(*handled), 0);
    if (fd < 0) {
        return os_fail(error, errno, "sandbox", "Landlock takes no rules");
    }
    int code = add_rules((int)fd, request, handled, error);
    if (code == 0 && syscall(RESTRICT_SELF, (int)fd, 0) != 0) {
        code = os_fail(error, errno, "sandbox", "Landlock does not confine this process");
    }
    (void)close((int)fd);
    return code;
}

int os_landlock_enter(const demit_sandbox_request_t *request, unsigned parts, demit_os_error_t *error)
{
    char why_not[OS_REASON_MAX] = "";
    const int abi = abi_version(why_not, sizeof(why_not));
    const ruleset_t handled = {
        .files = (parts & OS_LANDLOCK_FILES) != 0 ? all_rights(abi) : 0,
        .net = (parts & OS_LANDLOCK_BIND) != 0 ? BIND_TCP : 0,
        .scoped = (parts & OS_LANDLOCK_OTHERS) != 0 ? SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL : 0,
    };
    int code = 0;
    before = (struct memory){.parts = parts, .witness = find_witness(request), .stranger_fd = -1};
    if ((parts & OS_LANDLOCK_OTHERS) != 0) {
        code = make_stranger(&before.stranger_fd, error);
    }
    if (code == 0 && parts != 0) {
        code = restrict_self(request, &handled, error);
    }
    return code;
}

/* ---- the proof ---- */

static int not_refused(demit_os_error_t *error, int code, int wanted, const char *act)
{
    (void)os_fail(error, 0, "sandbox", "%s %s: %s", act,
                  code == 0 ? "succeeded, which the sandbox should prevent"
                            : "failed otherwise than the sandbox makes it",
                  code == 0 ? "the kernel does not enforce it" : strerror(code));
    error->code = code == 0 ? wanted : code;
    return error->code;
}

/* Where nothing outside could be opened even before: what no path inside may have either. */
static int try_symbolic_link(const demit_sandbox_request_t *request, demit_os_error_t *error)
{
    char name[1024];
    for (size_t i = 0; i < request->path_count; i++) {
        if (request->paths[i].access == DEMIT_SANDBOX_WRITE && open_directory(request->paths[i].path) == 0) {
            (void)snprintf(name, sizeof(name), "%s/.sandbox-%ld", request->paths[i].path, (long)getpid());
            if (symlink("/", name) == 0) {
                (void)unlink(name);
                return not_refused(error, 0, EACCES, "making a symbolic link");
            }
        }
    }
    return 0;
}

static int try_files(const demit_sandbox_request_t *request, demit_os_error_t *error)
{
    char act[64];
    if (before.witness == NULL) {
        return try_symbolic_link(request, error);
    }
    int code = open_directory(before.witness);
    (void)snprintf(act, sizeof(act), "opening %s", before.witness);
    return code == EACCES ? 0 : not_refused(error, code, EACCES, act);
}

/* The highest port that is not allowed; 0: all are. */
static uint16_t forbidden_port(const demit_sandbox_request_t *request)
{
    for (uint16_t port = UINT16_MAX; port > 0; port--) {
        size_t i = 0;
        while (i < request->port_count && request->ports[i] != port) {
            i++;
        }
        if (i == request->port_count) {
            return port;
        }
    }
    return 0;
}

static int bind_port(uint16_t port)
{
    struct sockaddr_in ipv4 = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct sockaddr_in6 ipv6 = {.sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const bool is_ipv6 = fd < 0 && errno == EAFNOSUPPORT;
    if (is_ipv6) {
        fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    }
    int code = fd < 0 ? errno : 0;
    if (code == 0 && bind(fd, is_ipv6 ? (const struct sockaddr *)&ipv6 : (const struct sockaddr *)&ipv4,
                          is_ipv6 ? sizeof(ipv6) : sizeof(ipv4)) != 0) {
        code = errno;
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return code;
}

static int try_bind(const demit_sandbox_request_t *request, demit_os_error_t *error)
{
    char act[64];
    const uint16_t port = forbidden_port(request);
    const int code = port != 0 ? bind_port(port) : EACCES;
    (void)snprintf(act, sizeof(act), "binding TCP port %u", port);
    return code == EACCES ? 0 : not_refused(error, code, EACCES, act);
}

static int try_stranger(demit_os_error_t *error)
{
    struct sockaddr_un name;
    socklen_t size = sizeof(name);
    int code = 0;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || getsockname(before.stranger_fd, (struct sockaddr *)&name, &size) != 0 ||
        connect(fd, (const struct sockaddr *)&name, size) != 0) {
        code = errno;
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    (void)close(before.stranger_fd);
    before.stranger_fd = -1;
    return code == EPERM ? 0 : not_refused(error, code, EPERM, "connecting to an abstract socket outside");
}

int os_landlock_verify(const demit_sandbox_request_t *request, demit_os_error_t *error)
{
    int code = (before.parts & OS_LANDLOCK_FILES) != 0 ? try_files(request, error) : 0;
    if (code == 0 && (before.parts & OS_LANDLOCK_BIND) != 0) {
        code = try_bind(request, error);
    }
    if (code == 0 && (before.parts & OS_LANDLOCK_OTHERS) != 0) {
        code = try_stranger(error);
    }
    return code;
}
