/*
 * What somebody could do who has taken demitd over: stops every thread of a process as a debugger does and has each of
 * them make system calls that would give it power. The kernel judges them as it judges the thread: its ids, its
 * capabilities, its sandbox.
 *
 *     attack PID VICTIM PORT [sandboxed]
 *     attack PID drop
 *
 * VICTIM is a process of root's, PORT a TCP port that nobody uses. One line for every thread and call: the thread, the
 * call, and "0" if it succeeded, else the number of its errno. What would succeed without a sandbox, too, is tried with
 * "sandboxed" only. With "drop" the last thread alone gives up its capabilities, which anybody may: that is drift, and
 * the audit must see it. Nothing that succeeds otherwise leaves a trace beyond the process and VICTIM.
 *
 * Linux on x86_64 and aarch64: ptrace(2).
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/elf.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

static _Noreturn void give_up(const char *what)
{
    (void)fprintf(stderr, "attack: %s: %s\n", what, strerror(errno));
    exit(71);
}

/* ---- what an architecture has of its own: registers, and the code that makes one system call and stops ---- */

typedef struct user_regs_struct registers_t;

#if defined(__x86_64__)
static const uint8_t CODE[8] = {0x0f, 0x05, 0xcc};      /* syscall; int3 */
static const uint8_t CODE_I386[8] = {0xcd, 0x80, 0xcc}; /* int 0x80; int3 */

static uint64_t stack_of(const registers_t *registers)
{
    return registers->rsp;
}

static uint64_t code_of(const registers_t *registers)
{
    return registers->rip;
}

static void set_call(registers_t *registers, long number, const uint64_t arguments[6])
{
    registers->orig_rax = (uint64_t)-1; /* the call that was interrupted must not begin again before this one */
    registers->rax = (uint64_t)number;
    registers->rdi = arguments[0];
    registers->rsi = arguments[1];
    registers->rdx = arguments[2];
    registers->r10 = arguments[3];
    registers->r8 = arguments[4];
    registers->r9 = arguments[5];
}

static long result_of(const registers_t *registers)
{
    return (long)registers->rax;
}
#elif defined(__aarch64__)
static const uint8_t CODE[8] = {0x01, 0x00, 0x00, 0xd4, 0x00, 0x00, 0x20, 0xd4}; /* svc #0; brk #0 */

static uint64_t stack_of(const registers_t *registers)
{
    return registers->sp;
}

static uint64_t code_of(const registers_t *registers)
{
    return registers->pc;
}

static void set_call(registers_t *registers, long number, const uint64_t arguments[6])
{
    registers->regs[8] = (uint64_t)number;
    for (size_t i = 0; i < 6; i++) {
        registers->regs[i] = arguments[i];
    }
}

static long result_of(const registers_t *registers)
{
    return (long)registers->regs[0];
}
#else
#error "the attack knows the registers of x86_64 and aarch64 only"
#endif

static void get_registers(pid_t thread, registers_t *registers)
{
    struct iovec where = {registers, sizeof(*registers)};
    if (ptrace(PTRACE_GETREGSET, thread, (void *)NT_PRSTATUS, &where) != 0) {
        give_up("reading registers");
    }
}

static void set_registers(pid_t thread, registers_t *registers)
{
    struct iovec where = {registers, sizeof(*registers)};
    if (ptrace(PTRACE_SETREGSET, thread, (void *)NT_PRSTATUS, &where) != 0) {
        give_up("writing registers");
    }
}

/* ---- a stopped process ---- */

enum { THREADS_MAX = 256 };

typedef struct target {
    pid_t pid;
    int memory_fd;
    pid_t threads[THREADS_MAX];
    size_t thread_count;
} target_t;

static void read_memory(const target_t *target, uint64_t address, void *bytes, size_t size)
{
    if (pread(target->memory_fd, bytes, size, (off_t)address) != (ssize_t)size) {
        give_up("reading memory");
    }
}

/* Code, too: a debugger may write where the process may not. */
static void write_memory(const target_t *target, uint64_t address, const void *bytes, size_t size)
{
    if (pwrite(target->memory_fd, bytes, size, (off_t)address) != (ssize_t)size) {
        give_up("writing memory");
    }
}

/* Attaches to THREAD and waits until it stands still; false: it has ended meanwhile, as threads do. */
static bool stop_thread(pid_t process, pid_t thread)
{
    int status = 0;
    if (ptrace(PTRACE_SEIZE, thread, NULL, NULL) != 0 || ptrace(PTRACE_INTERRUPT, thread, NULL, NULL) != 0) {
        /* EPERM, too, while it ends: ptrace(2). */
        if (errno != ESRCH && syscall(SYS_tgkill, process, thread, 0) == 0) {
            give_up("attaching to a thread");
        }
        return false;
    }
    if (waitpid(thread, &status, __WALL) != thread) {
        give_up("waiting for a thread");
    }
    return WIFSTOPPED(status);
}

static bool knows(const target_t *target, pid_t thread)
{
    for (size_t i = 0; i < target->thread_count; i++) {
        if (target->threads[i] == thread) {
            return true;
        }
    }
    return false;
}

/* Stops the threads that are not stopped yet; returns how many those were. */
static size_t stop_threads(target_t *target)
{
    char path[64];
    size_t stopped = 0;
    (void)snprintf(path, sizeof(path), "/proc/%ld/task", (long)target->pid);
    DIR *tasks = opendir(path);
    if (tasks == NULL) {
        give_up(path);
    }
    for (const struct dirent *task = readdir(tasks); task != NULL; task = readdir(tasks)) {
        const pid_t thread = (pid_t)strtol(task->d_name, NULL, 10);
        if (thread <= 0 || knows(target, thread) || target->thread_count == THREADS_MAX) {
            continue;
        }
        if (stop_thread(target->pid, thread)) {
            target->threads[target->thread_count++] = thread;
            stopped++;
        }
    }
    (void)closedir(tasks);
    return stopped;
}

static void attach(target_t *target)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%ld/mem", (long)target->pid);
    target->memory_fd = open(path, O_RDWR | O_CLOEXEC);
    if (target->memory_fd < 0) {
        give_up(path);
    }
    while (stop_threads(target) > 0) {
        continue; /* one that still ran may have made another */
    }
}

static void detach(const target_t *target)
{
    for (size_t i = 0; i < target->thread_count; i++) {
        if (ptrace(PTRACE_DETACH, target->threads[i], NULL, NULL) != 0) {
            give_up("detaching");
        }
    }
}

/* ---- one call of one thread ---- */

/* What calls point to; it lies below the thread's stack meanwhile. */
typedef struct material {
    uint32_t root_group[2];
    struct __user_cap_header_struct header;
    struct __user_cap_data_struct all[2], none[2];
    struct sockaddr_in low, other;
    char root[2], shadow[16], passwd[16], nothing[24], type[24];
} material_t;

static const target_t *the_target;
static const uint8_t *the_code = CODE;
static uint64_t material_at;

/* THREAD makes the call NUMBER; returns what the kernel answered: a value, or minus an errno. */
static long call(pid_t thread, long number, const uint64_t arguments[6])
{
    registers_t before, during;
    uint8_t code[sizeof(CODE)];
    int status = 0;
    get_registers(thread, &before);
    during = before;
    set_call(&during, number, arguments);
    read_memory(the_target, code_of(&before), code, sizeof(code));
    write_memory(the_target, code_of(&before), the_code, sizeof(CODE));
    set_registers(thread, &during);
    do { /* whoever traces another is sent SIGCHLD when that one ends; it must not reach demitd */
        if (ptrace(PTRACE_CONT, thread, NULL, NULL) != 0 || waitpid(thread, &status, __WALL) != thread) {
            give_up("running a call");
        }
    } while (WIFSTOPPED(status) && WSTOPSIG(status) == SIGCHLD);
    /* A kernel without the calls of 32-bit programs takes their instruction for a fault. */
    const bool faulted = the_code != CODE && WIFSTOPPED(status) && WSTOPSIG(status) == SIGSEGV;
    if (!faulted && (!WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP)) {
        (void)fprintf(stderr, "attack: thread %ld did not come back from call %ld: status 0x%x\n", (long)thread, number,
                      (unsigned)status);
        exit(71);
    }
    get_registers(thread, &during);
    write_memory(the_target, code_of(&before), code, sizeof(code));
    set_registers(thread, &before);
    return faulted ? -ENOSYS : result_of(&during);
}

#define POINTER(member)        (material_at + offsetof(material_t, member))
#define CALL(number, ...)      call(thread, (number), (const uint64_t[6]){__VA_ARGS__})
#define HERE                   ((uint64_t)(int64_t)AT_FDCWD)
#define TRY(name, number, ...) say(thread, (name), CALL((number), __VA_ARGS__))

static void say(pid_t thread, const char *name, long result)
{
    (void)printf("%ld %s %ld\n", (long)thread, name, result < 0 ? -result : 0);
}

static material_t make_material(uint16_t port)
{
    material_t material = {
        .root_group = {0},
        .header = {.version = _LINUX_CAPABILITY_VERSION_3},
        .all = {{UINT32_MAX, UINT32_MAX, 0}, {0x1ff, 0x1ff, 0}}, /* the forty-one that there are */
        .low = {.sin_family = AF_INET, .sin_port = htons(1), .sin_addr = {htonl(INADDR_LOOPBACK)}},
        .other = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}},
        .root = "/",
        .shadow = "/etc/shadow",
        .passwd = "/etc/passwd",
        .nothing = "/no/such/program",
        .type = "no-such-file-system",
    };
    return material;
}

/* ---- the attack ---- */

static void try_ids(pid_t thread)
{
    TRY("setuid", SYS_setuid, 0);
    TRY("setreuid", SYS_setreuid, 0, 0);
    TRY("setresuid", SYS_setresuid, 0, 0, 0);
    TRY("setgid", SYS_setgid, 0);
    TRY("setregid", SYS_setregid, 0, 0);
    TRY("setresgid", SYS_setresgid, 0, 0, 0);
    TRY("setgroups", SYS_setgroups, 1, POINTER(root_group));
    TRY("capset", SYS_capset, POINTER(header), POINTER(all));
}

/* To the mode and the owners that it has: if that succeeds, nothing has changed, and everything could. */
static void try_files(pid_t thread)
{
    struct stat shadow = {.st_mode = 0640};
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%ld/root/etc/shadow", (long)the_target->pid);
    if (stat(path, &shadow) != 0) {
        give_up(path);
    }
    TRY("open", SYS_openat, HERE, POINTER(shadow), O_RDONLY);
    TRY("open_to_write", SYS_openat, HERE, POINTER(shadow), O_WRONLY);
    TRY("chmod", SYS_fchmodat, HERE, POINTER(shadow), shadow.st_mode & 07777);
    TRY("chown", SYS_fchownat, HERE, POINTER(shadow), shadow.st_uid, shadow.st_gid, 0);
}

static void try_power(pid_t thread, pid_t victim)
{
    TRY("chroot", SYS_chroot, POINTER(root));
    TRY("mount", SYS_mount, POINTER(type), POINTER(root), POINTER(type), 0, 0);
    TRY("unshare", SYS_unshare, CLONE_NEWNS);
    TRY("init_module", SYS_init_module, 0, 0, POINTER(root));
#if defined(__x86_64__)
    TRY("iopl", SYS_iopl, 3);
#endif
    TRY("ptrace", SYS_ptrace, PTRACE_SEIZE, (uint64_t)victim, 0, 0);
    TRY("kill_1", SYS_kill, 1, 0);
    TRY("kill_victim", SYS_kill, (uint64_t)victim, SIGKILL);
}

static void try_bind(pid_t thread, const char *name, uint64_t address)
{
    const long fd = CALL(SYS_socket, AF_INET, SOCK_STREAM, 0);
    if (fd < 0) {
        say(thread, "socket", fd);
        return;
    }
    TRY(name, SYS_bind, (uint64_t)fd, address, sizeof(struct sockaddr_in));
    (void)CALL(SYS_close, (uint64_t)fd);
}

/* The other sets of system calls that the processor offers: what is refused in one must not be had in another. */
static void try_other_sets(pid_t thread)
{
#if defined(__x86_64__)
    enum { X32 = 0x40000000, I386_GETPID = 20 };
    TRY("getpid_x32", SYS_getpid | X32, 0);
    the_code = CODE_I386;
    TRY("getpid_i386", I386_GETPID, 0);
    the_code = CODE;
#else
    (void)thread;
#endif
}

/* What any process may, or what fails for another reason (EINVAL, ENOENT, EFAULT) where no filter stands before it. */
static void try_sandbox(pid_t thread, pid_t victim)
{
    enum { MPTCP = 262, IO_URING_SETUP = 425, CLONE3 = 435 };
    TRY("setuid_to_itself", SYS_setuid, (uint64_t)CALL(SYS_getuid, 0));
    TRY("execve", SYS_execve, POINTER(nothing), 0, 0);
    TRY("clone", SYS_clone, CLONE_SIGHAND);
    TRY("clone_to_namespace", SYS_clone, CLONE_NEWUSER | CLONE_THREAD);
    TRY("clone3", CLONE3, 0, 0);
    TRY("unshare_user", SYS_unshare, CLONE_NEWUSER);
    TRY("io_uring_setup", IO_URING_SETUP, 0, 0);
    TRY("keyctl", SYS_keyctl, 1, 0);
    TRY("perf_event_open", SYS_perf_event_open, 0, 0, 0, 0, 0);
    TRY("process_vm_readv", SYS_process_vm_readv, (uint64_t)victim, 0, 0, 0, 0, 0);
    TRY("tgkill", SYS_tgkill, (uint64_t)victim, (uint64_t)victim, 0);
    TRY("mptcp", SYS_socket, AF_INET, SOCK_STREAM, MPTCP);
    TRY("open_outside", SYS_openat, HERE, POINTER(passwd), O_RDONLY);
    TRY("open_root", SYS_openat, HERE, POINTER(root), O_RDONLY | O_DIRECTORY);
    try_bind(thread, "bind", POINTER(other));
}

static void attack_with(pid_t thread, pid_t victim, bool sandboxed)
{
    try_ids(thread);
    try_files(thread);
    try_power(thread, victim);
    try_bind(thread, "bind_low", POINTER(low));
    if (sandboxed) {
        try_sandbox(thread, victim);
        try_other_sets(thread);
    }
}

/* Lends THREAD's stack to MATERIAL while ACT makes its calls. */
static void with_material(pid_t thread, const material_t *material, void (*act)(pid_t thread, const char *const *words),
                          const char *const *words)
{
    enum { BELOW_STACK = 1024 }; /* further than any ABI's red zone */
    material_t saved;
    registers_t registers;
    get_registers(thread, &registers);
    material_at = (stack_of(&registers) - BELOW_STACK - sizeof(*material)) & ~(uint64_t)15;
    read_memory(the_target, material_at, &saved, sizeof(saved));
    write_memory(the_target, material_at, material, sizeof(*material));
    act(thread, words);
    write_memory(the_target, material_at, &saved, sizeof(saved));
}

static void attack_by(pid_t thread, const char *const *words)
{
    attack_with(thread, (pid_t)strtol(words[0], NULL, 10), words[2] != NULL);
}

static void drop_by(pid_t thread, const char *const *words)
{
    (void)words;
    TRY("drop", SYS_capset, POINTER(header), POINTER(none));
}

int main(int argc, char **argv)
{
    const bool drops = argc == 3 && strcmp(argv[2], "drop") == 0;
    if (argc < 4 && !drops) {
        (void)fprintf(stderr, "usage: attack PID VICTIM PORT [sandboxed] | attack PID drop\n");
        return 64;
    }
    target_t target = {.pid = (pid_t)strtol(argv[1], NULL, 10)};
    const material_t material = make_material(drops ? 0 : (uint16_t)strtoul(argv[3], NULL, 10));
    const char *const *words = (const char *const *)argv + 2;
    the_target = &target;
    attach(&target);
    for (size_t i = drops ? target.thread_count - 1 : 0; i < target.thread_count; i++) {
        with_material(target.threads[i], &material, drops ? drop_by : attack_by, words);
    }
    detach(&target);
    return 0;
}
