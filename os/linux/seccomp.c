/*
 * seccomp(2) by libseccomp: the system calls that demitd does not need fail with EPERM. A list of what is forbidden
 * ages better than one of what is allowed: the next libc finds its new calls, and not the end of the process.
 */
#include "os/linux/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/keyctl.h>
#include <linux/seccomp.h>
#include <seccomp.h>

/* By name: a call that this architecture, or this libseccomp, does not know is passed over. */
static const char *const forbidden[] = {
    /* to become somebody else */
    "setuid", "setuid32", "setgid", "setgid32", "setreuid", "setreuid32", "setregid", "setregid32", "setresuid",
    "setresuid32", "setresgid", "setresgid32", "setgroups", "setgroups32", "capset",
    /* other programs, and processes of one's own: nothing of demitd runs anything once it serves */
    "execve", "execveat", "fork", "vfork",
    /* other processes: signals, memory, descriptors */
    "kill", "tkill", "rt_sigqueueinfo", "pidfd_send_signal", "pidfd_open", "pidfd_getfd", "ptrace", "process_vm_readv",
    "process_vm_writev", "process_madvise", "process_mrelease", "kcmp", "migrate_pages", "move_pages",
    /* another view of the files: jails, mounts, namespaces */
    "chroot", "pivot_root", "mount", "umount", "umount2", "mount_setattr", "move_mount", "open_tree", "open_tree_attr",
    "fsopen", "fsconfig", "fsmount", "fspick", "unshare", "setns", "open_by_handle_at", "name_to_handle_at", "mknod",
    "mknodat", "fanotify_init",
    /* the kernel itself, its hardware, its clock */
    "init_module", "finit_module", "delete_module", "create_module", "kexec_load", "kexec_file_load", "reboot", "iopl",
    "ioperm", "vm86", "vm86old", "modify_ldt", "bpf", "perf_event_open", "swapon", "swapoff", "syslog", "acct",
    "quotactl", "quotactl_fd", "settimeofday", "stime", "clock_settime", "clock_settime64", "clock_adjtime",
    "clock_adjtime64", "adjtimex", "sethostname", "setdomainname", "vhangup", "uselib", "nfsservctl", "lookup_dcookie",
    "_sysctl",
    /* large, young or rare parts of the kernel: where its bugs are, and ways around this list */
    "io_uring_setup", "io_uring_enter", "io_uring_register", "userfaultfd", "personality", "add_key", "request_key",
    "memfd_secret", "lsm_set_self_attr", "ustat", "sysfs"};

/* Forbidden with one argument and not with another. */
typedef struct conditional {
    const char *call;
    struct scmp_arg_cmp when;
} conditional_t;

#if defined(__s390__)
enum { CLONE_FLAGS = 1 }; /* clone(2): there the stack comes first */
#else
enum { CLONE_FLAGS = 0 };
#endif
enum { PROTOCOL_SCTP = 132, PROTOCOL_MPTCP = 262 };
enum { TYPE_MASK = 0xf }; /* of socket(2)'s second argument; the rest are flags */
enum { FAMILIES = 64 };   /* more than any kernel has; from there on one comparison is enough */

enum { SEARCH_TREE = 2 }; /* seccomp_attr_set(3): every system call passes here, so not one comparison after another */

/*
 * A filter sees the whole register, the kernel takes an int from its lower half: so what must be one value is compared
 * by a mask, which no upper half gets around, and what must not be another is compared whole.
 */

/* The bits MASK of argument N are exactly VALUE. */
static struct scmp_arg_cmp bits_are(unsigned n, uint64_t mask, uint64_t value)
{
    return (struct scmp_arg_cmp){.arg = n, .op = SCMP_CMP_MASKED_EQ, .datum_a = mask, .datum_b = value};
}

static struct scmp_arg_cmp is(unsigned n, uint32_t value)
{
    return bits_are(n, UINT32_MAX, value);
}

static struct scmp_arg_cmp differs(unsigned n, uint32_t value)
{
    return (struct scmp_arg_cmp){.arg = n, .op = SCMP_CMP_NE, .datum_a = value};
}

/* ---- rules ---- */

static int forbid(scmp_filter_ctx filter, uint32_t action, const char *name, unsigned count,
                  const struct scmp_arg_cmp *when)
{
    int call = seccomp_syscall_resolve_name(name);
    return call == __NR_SCMP_ERROR ? 0 : -seccomp_rule_add_array(filter, action, call, count, when);
}

static int forbid_calls(scmp_filter_ctx filter)
{
    int code = 0;
    for (size_t i = 0; code == 0 && i < sizeof(forbidden) / sizeof(forbidden[0]); i++) {
        code = forbid(filter, SCMP_ACT_ERRNO(EPERM), forbidden[i], 0, NULL);
    }
    return code;
}

/* A thread may be made, a process or a namespace not. */
static int forbid_processes(scmp_filter_ctx filter)
{
    static const uint64_t namespaces[] = {CLONE_NEWNS,   CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC,
                                          CLONE_NEWUSER, CLONE_NEWPID,    CLONE_NEWNET};
    const struct scmp_arg_cmp no_thread = bits_are(CLONE_FLAGS, CLONE_THREAD, 0);
    int code = forbid(filter, SCMP_ACT_ERRNO(EPERM), "clone", 1, &no_thread);
    for (size_t i = 0; code == 0 && i < sizeof(namespaces) / sizeof(namespaces[0]); i++) {
        const struct scmp_arg_cmp made = bits_are(CLONE_FLAGS, namespaces[i], namespaces[i]);
        code = forbid(filter, SCMP_ACT_ERRNO(EPERM), "clone", 1, &made);
    }
    /* Its flags lie in memory, where no filter sees them. A libc that hears ENOSYS makes its threads by clone(2). */
    return code != 0 ? code : forbid(filter, SCMP_ACT_ERRNO(ENOSYS), "clone3", 0, NULL);
}

static int forbid_each(scmp_filter_ctx filter, const conditional_t *conditions, size_t count)
{
    int code = 0;
    for (size_t i = 0; code == 0 && i < count; i++) {
        code = forbid(filter, SCMP_ACT_ERRNO(EPERM), conditions[i].call, 1, &conditions[i].when);
    }
    return code;
}

static int forbid_by_argument(scmp_filter_ctx filter)
{
    const uint32_t self = (uint32_t)getpid();
    const conditional_t conditions[] = {
        {"tgkill", differs(0, self)}, /* abort(3) sends a signal to its own thread */
        {"rt_tgsigqueueinfo", differs(0, self)},
        {"prlimit64", differs(0, 0)},           /* one's own limits are pid 0 */
        {"setfsuid", differs(0, UINT32_MAX)},   /* (uid_t)-1 sets nothing and tells the present one: for the audit */
        {"setfsuid32", differs(0, UINT32_MAX)}, /* where uids once had 16 bits */
        {"setfsgid", differs(0, UINT32_MAX)},
        {"setfsgid32", differs(0, UINT32_MAX)},
        {"keyctl", differs(0, KEYCTL_GET_KEYRING_ID)}, /* for the audit, too */
        {"ioctl", is(1, TIOCSTI)}, /* what is typed into a terminal, the shell behind it reads: maybe root's */
        {"ioctl", is(1, TIOCLINUX)},
        {"ioctl", is(1, FIOSETOWN)}, /* whom a descriptor sends which signal: kill(2) by a detour */
        {"ioctl", is(1, SIOCSPGRP)},
        {"fcntl", is(1, F_SETOWN)},
        {"fcntl", is(1, F_SETOWN_EX)},
        {"fcntl64", is(1, F_SETOWN)},
        {"fcntl64", is(1, F_SETOWN_EX)},
    };
    return forbid_each(filter, conditions, sizeof(conditions) / sizeof(conditions[0]));
}

/* Streams that Landlock's rules for TCP do not see. */
static int forbid_streams(scmp_filter_ctx filter)
{
    const conditional_t conditions[] = {
        {"socket", is(2, PROTOCOL_MPTCP)},
        {"socket", is(2, PROTOCOL_SCTP)},
        {"socket", bits_are(1, TYPE_MASK, SOCK_SEQPACKET)}, /* SCTP again, if protocol is 0 */
        {"socket", bits_are(1, TYPE_MASK, SOCK_DCCP)},
    };
    return forbid_each(filter, conditions, sizeof(conditions) / sizeof(conditions[0]));
}

static bool is_needed_family(unsigned family)
{
    return family == AF_UNIX || family == AF_INET || family == AF_INET6 || family == AF_NETLINK; /* getaddrinfo(3) */
}

/* The rest of the families: some are TCP by another name (AF_SMC), most are where the kernel's bugs are. */
static int forbid_families(scmp_filter_ctx filter)
{
    const struct scmp_arg_cmp beyond = {.arg = 0, .op = SCMP_CMP_GE, .datum_a = FAMILIES};
    int code = forbid(filter, SCMP_ACT_ERRNO(EPERM), "socket", 1, &beyond);
    for (unsigned family = 0; code == 0 && family < FAMILIES; family++) {
        const struct scmp_arg_cmp this_one = is(0, family);
        code = is_needed_family(family) ? 0 : forbid(filter, SCMP_ACT_ERRNO(EPERM), "socket", 1, &this_one);
    }
    return code;
}

/* ---- the part of the sandbox ---- */

bool os_seccomp_can(char *why_not, size_t size)
{
    /* No filter at all: a kernel that takes filters wants to read it first (EFAULT). */
    if (prctl(PR_SET_SECCOMP, (unsigned long)SECCOMP_MODE_FILTER, NULL, 0, 0) != 0 && errno == EFAULT) {
        return true;
    }
    os_append(why_not, size, "this kernel takes no seccomp filters (CONFIG_SECCOMP_FILTER)");
    return false;
}

/*
 * On some processors libc opens sockets by socketcall(2), as Linux had no socket(2) there before 4.3. libseccomp makes
 * of a rule about the arguments of socket(2) one about those of socketcall(2), too: of which the first says what is to
 * be done, so that a rule about the family would refuse every socket, and the others are an address in memory.
 */
bool os_seccomp_can_sockets(char *why_not, size_t size)
{
    if (!os_seccomp_can(why_not, size)) {
        return false;
    }
#if defined(SYS_socketcall)
    os_append(why_not, size,
              "sockets are opened by socketcall(2) on this processor, and no filter sees what lies in memory");
    return false;
#else
    return true;
#endif
}

int os_seccomp_enter(demit_os_error_t *error)
{
    char ignored[OS_REASON_MAX] = "";
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    if (filter == NULL) {
        return os_fail(error, ENOMEM, "sandbox", "the list of system calls cannot be made");
    }
    /* A second set of system calls, such as that of 32-bit programs, would be a second door: closed as a whole. */
    int code = -seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(EPERM));
    if (code == 0) {
        code = -seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, SEARCH_TREE);
    }
    if (code == 0) {
        code = forbid_calls(filter);
    }
    if (code == 0) {
        code = forbid_processes(filter);
    }
    if (code == 0) {
        code = forbid_by_argument(filter);
    }
    if (code == 0 && os_seccomp_can_sockets(ignored, sizeof(ignored))) {
        code = forbid_streams(filter);
        code = code != 0 ? code : forbid_families(filter);
    }
    if (code == 0) {
        code = -seccomp_load(filter);
    }
    seccomp_release(filter);
    return code == 0 ? 0 : os_fail(error, code, "sandbox", "the list of system calls cannot be set");
}

int os_seccomp_verify(demit_os_error_t *error)
{
    /* To what one is already: without the filter, everybody may, and nothing changes. */
    if (syscall(SYS_setuid, getuid()) == 0 || errno != EPERM) {
        (void)os_fail(error, 0, "sandbox", "setuid(2) is not refused as the sandbox should refuse it");
        error->code = EPERM;
        return EPERM;
    }
    char ignored[OS_REASON_MAX] = "";
    if (os_seccomp_can_sockets(ignored, sizeof(ignored)) &&
        (socket(AF_UNIX, SOCK_SEQPACKET, 0) >= 0 || errno != EPERM)) {
        (void)os_fail(error, 0, "sandbox", "socket(2) is not refused as the sandbox should refuse it");
        error->code = EPERM;
        return EPERM;
    }
    return 0;
}
