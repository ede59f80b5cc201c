/*
 * What demit needs of an operating system beyond APR: a handful of contracts, implemented by the one back end under os/
 * that the build chose (and os/posix, which all share). Nothing here includes APR or core/.
 *
 * Functions return 0 or an errno unless they say otherwise. Unless said otherwise they belong to the main thread.
 */
#ifndef DEMIT_OS_H
#define DEMIT_OS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>
#include <sys/uio.h>

#define DEMIT_CHECKED __attribute__((warn_unused_result))

/* ---- what went wrong, in the operator's words ----------------------------------------------------------------- */

typedef struct demit_os_error {
    int code;       /* errno, or 0 when no system call failed */
    char step[64];  /* the step or the setting concerned: "setgroups", "user", "Capabilities" */
    char text[448]; /* what is wrong, why most likely, and what to do; no newline */
} demit_os_error_t;

/* ---- identity: resolve, explain, assume, verify, report (in this order) ------------------------------------------ */

/* What the configuration asks for, as text. NULL: not set. */
typedef struct demit_identity_request {
    const char *user, *group;
    bool user_is_default;  /* nobody wrote it: an ordinary user may then run demitd as himself. Implied by user NULL */
    bool group_is_default; /* nobody wrote it: the account of a configured user may then give it. Implied by NULL */
    const char *const *supplemental_groups;
    size_t supplemental_group_count;
    const char *chroot_directory;
    const char *capabilities; /* Linux: cap_from_text(3) */
    const char *privileges;   /* Solaris: priv_str_to_set(3C) */
    /* Where the kernel denies setgroups(2) to everybody (a user namespace): go on with the groups that were found. */
    bool allow_inherited_groups;
} demit_identity_request_t;

typedef struct demit_identity demit_identity_t; /* resolved: ids and sets; made by resolve, freed by free */

/*
 * 1. Resolves names to ids and texts to sets, and decides what there is to do: a root start drops, a start as the
 * configured user trims, an ordinary start with the default user stays itself. Name first, then strict decimal.
 * Warnings (a capability as good as root; Privileges ignored on this system; …) are given to WARN, one line each.
 * On failure returns non-zero and fills ERROR. Changes nothing. Call before chroot: it needs the account database.
 */
int demit_identity_resolve(demit_identity_t **identity, const demit_identity_request_t *request,
                           void (*warn)(void *baton, const char *line), void *baton,
                           demit_os_error_t *error) DEMIT_CHECKED;
void demit_identity_free(demit_identity_t *identity);

uid_t demit_identity_uid(const demit_identity_t *identity);
gid_t demit_identity_gid(const demit_identity_t *identity);
/* NULL when there is no chroot. */
const char *demit_identity_chroot(const demit_identity_t *identity);
/* The lowest port that can be bound again after the drop; 1: all can. */
unsigned demit_identity_lowest_port(const demit_identity_t *identity);
/* What would make that 1 on this system: half a sentence for who may change the configuration. Constant. */
const char *demit_os_low_port_advice(void);

/* 2. Calls EACH for every step that assume would take here: what, the privilege it needs, whether it would succeed now.
 */
typedef struct demit_identity_step {
    const char *name;  /* "setresuid" */
    const char *what;  /* "real, effective and saved uid 990 (ecuser)" */
    const char *needs; /* "CAP_SETUID", or "" */
    bool would_succeed;
    const char *why_not; /* "" when it would */
} demit_identity_step_t;
void demit_identity_explain(const demit_identity_t *identity,
                            void (*each)(void *baton, const demit_identity_step_t *step), void *baton);

/*
 * 3. Does exactly those steps, in a process of one thread (checked). Any failure is fatal to the caller: ERROR names
 * the step, the errno and the likely cause, and the process is in an undefined state that must not serve.
 */
int demit_identity_assume(const demit_identity_t *identity, demit_os_error_t *error) DEMIT_CHECKED;

/*
 * 4. Reads everything back from the kernel, on every thread, and tries to regain what was given up (uid 0, gid 0, a
 * dropped group, a dropped privilege, leaving the chroot). Non-zero when anything differs or any attempt succeeds.
 * Before any sandbox.
 */
int demit_identity_verify(const demit_identity_t *identity, demit_os_error_t *error) DEMIT_CHECKED;

/*
 * 5. What a process holds now. PID 0: this one. Facts come one by one, in a fixed order, in the kernel's own names:
 * ("uid", "990 990 990 990"), ("cap_effective", "cap_net_bind_service"), …; a fact that cannot be read is given with
 * VALUE NULL. THREAD is 0 for the process, else the thread concerned (only threads that differ from the first).
 * Any thread.
 */
typedef struct demit_identity_fact {
    pid_t thread;
    const char *name, *value;
} demit_identity_fact_t;
int demit_identity_report(pid_t pid, void (*each)(void *baton, const demit_identity_fact_t *fact),
                          void *baton) DEMIT_CHECKED;

/*
 * Compares what this process holds now, on all its threads, with IDENTITY: calls DRIFT for every difference and returns
 * how many there were (0: none), or -1 when the kernel would not tell. Where it does not show other threads: only the
 * calling one. Any thread.
 */
int demit_identity_audit(const demit_identity_t *identity, void (*drift)(void *baton, const char *line),
                         void *baton) DEMIT_CHECKED;
/* Whether the kernel shows every thread here, or ids belong to processes. Linux, in a jail without /proc: no. */
bool demit_identity_sees_threads(void);
/*
 * The same for the calling thread alone, by system calls alone: where the others cannot be looked at, each can say for
 * itself. Any thread.
 */
int demit_identity_audit_thread(const demit_identity_t *identity, void (*drift)(void *baton, const char *line),
                                void *baton) DEMIT_CHECKED;

/*
 * One line for the log: `user=ecuser uid=990 gid=990 groups=- kept=cap_net_bind_service chroot=- backend=linux`. Groups
 * that could not be dropped stand as `groups=inherited:27,44`.
 */
void demit_identity_summary(const demit_identity_t *identity, char *line, size_t size);

/*
 * What whoever takes the process over after the steps could do with it: sentences on "ports", "files", "signals",
 * "programs", and one on every "power" that is kept. Without any sandbox. Changes nothing.
 */
typedef struct demit_identity_reach {
    const char *over, *what;
} demit_identity_reach_t;
void demit_identity_each_reach(const demit_identity_t *identity,
                               void (*each)(void *baton, const demit_identity_reach_t *reach), void *baton);

/* A TCP port that the configuration has demitd bind, and where it says so: `demit.conf:12:3: Listen "*:25"`. */
typedef struct demit_port_use {
    uint16_t port;
    const char *by;
} demit_port_use_t;

/*
 * Tells what would be less, and what is missing: every kept power that nothing uses, and every port that a reload could
 * not bind again, with the line that would change that. Nothing told: the identity is the least that is needed.
 */
void demit_identity_advise(const demit_identity_t *identity, const demit_port_use_t *ports, size_t port_count,
                           void (*each)(void *baton, const char *line), void *baton);

/*
 * Calls EACH for every mistake that REQUEST makes on this host, where resolve ends at the first, and returns how many
 * there were. Changes nothing.
 */
size_t demit_identity_mistakes(const demit_identity_request_t *request,
                               void (*each)(void *baton, const demit_os_error_t *error), void *baton);

/* A look at the host as somebody else. */
typedef struct demit_identity_trial {
    void (*check)(void *baton, void (*tell)(void *to, const char *line), void *to); /* in the child */
    void (*each)(void *baton, const char *line); /* here, for every line that CHECK told; a line has no newline */
    void *baton;
} demit_identity_trial_t;
/*
 * Runs TRIAL->check in a child that has assumed IDENTITY, its jail included; the caller stays what it is. Of
 * descriptors the child has 0 to 2. Non-zero with ERROR: there was no child, it could not become IDENTITY, or it died.
 */
int demit_identity_try(const demit_identity_t *identity, const demit_identity_trial_t *trial,
                       demit_os_error_t *error) DEMIT_CHECKED;

/* ---- sandbox: once the identity is verified, with one thread, before listen(2) ----------------------------------- */

typedef enum demit_sandbox_access {
    DEMIT_SANDBOX_READ,    /* read it, and everything below it */
    DEMIT_SANDBOX_WRITE,   /* the same, and create, write, rename and remove below it */
    DEMIT_SANDBOX_CONNECT, /* a Unix socket: connect(2) to it */
} demit_sandbox_access_t;

typedef struct demit_sandbox_path {
    const char *path; /* as the process sees it then: inside the jail */
    demit_sandbox_access_t access;
    const char *option; /* what it is for: "SpoolBase", "Sandbox_Paths" */
} demit_sandbox_path_t;

/* What demitd needs from now on; everything else is taken as far as this system can. */
typedef struct demit_sandbox_request {
    const demit_sandbox_path_t *paths; /* one that is missing is passed over: who asks for it tells of it */
    size_t path_count;
    const uint16_t *ports; /* TCP ports that may be bound; port 0 (any free one) always may */
    size_t port_count;
} demit_sandbox_request_t;

/*
 * One thing that this system's sandbox can take: "file system", "TCP bind", "other processes", "system calls",
 * "socket kinds", "promises". Its texts live only for the call that tells it.
 */
typedef struct demit_sandbox_part {
    const char *name;
    const char *what; /* in the operator's words */
    bool enforced;
    const char *why_not; /* the kernel is too old, it was built without, …; when it is: what gets around it, or "" */
} demit_sandbox_part_t;

/* Tells what this kernel would enforce of REQUEST, part by part. Changes nothing. */
int demit_sandbox_explain(const demit_sandbox_request_t *request,
                          void (*each)(void *baton, const demit_sandbox_part_t *part), void *baton,
                          demit_os_error_t *error) DEMIT_CHECKED;

/*
 * Enters the sandbox, for good and for every thread to come, and tells EACH part. A part that this kernel cannot
 * enforce is a failure if REQUIRED, else it is told with ENFORCED false. Any other failure is fatal to the caller.
 */
int demit_sandbox_enter(const demit_sandbox_request_t *request, bool required,
                        void (*each)(void *baton, const demit_sandbox_part_t *part), void *baton,
                        demit_os_error_t *error) DEMIT_CHECKED;

/*
 * Tries one forbidden act for every part that was enforced, and that was possible before; non-zero when one succeeded.
 * Once, by who entered. Where a forbidden act ends the process (pledge(2)) a child commits it.
 */
int demit_sandbox_verify(const demit_sandbox_request_t *request, demit_os_error_t *error) DEMIT_CHECKED;

/* What a descriptor that stays open is for. */
typedef enum demit_descriptor_use {
    DEMIT_DESCRIPTOR_LISTENER, /* accept(2), getsockname(2), options, poll(2) */
    DEMIT_DESCRIPTOR_PID_FILE, /* its lock, and that of the file beside it */
    DEMIT_DESCRIPTOR_LOG,      /* append */
    DEMIT_DESCRIPTOR_NOTIFY    /* send(2) */
} demit_descriptor_use_t;
/* Takes from FD every right that its use does not need (Capsicum). ENOTSUP: descriptors have no rights here. */
int demit_os_limit_descriptor(int fd, demit_descriptor_use_t use) DEMIT_CHECKED;

/* ---- the peer of a Unix socket ----------------------------------------------------------------------------------- */

typedef struct demit_peer {
    uid_t uid; /* (uid_t)-1: somebody who has no number in this user namespace, and so nobody who is known here */
    gid_t gid; /* (gid_t)-1 likewise */
    pid_t pid; /* 0 where the system does not tell */
} demit_peer_t;
/* Any thread. */
int demit_os_peer(int socket_fd, demit_peer_t *peer) DEMIT_CHECKED;

/* Resolves GROUP (name or id) and looks its members up, for the console; call before chroot. */
typedef struct demit_os_group demit_os_group_t;
int demit_os_group_resolve(demit_os_group_t **group, const char *name, demit_os_error_t *error) DEMIT_CHECKED;
/* Whether a peer with UID and GID belongs to GROUP: primary group or listed member. Any thread. */
bool demit_os_group_has(const demit_os_group_t *group, uid_t uid, gid_t gid);
void demit_os_group_free(demit_os_group_t *group);

/* ---- listening sockets of the supervisor ------------------------------------------------------------------------- */

/* Sockets that were open before demitd was: descriptors FIRST to FIRST + COUNT - 1. */
typedef struct demit_os_inherited {
    int first;
    unsigned count;
    const char *names; /* LISTEN_FDNAMES, or NULL */
} demit_os_inherited_t;

/*
 * Finds the listening sockets that whoever started demitd passes on, and makes them non-blocking and close-on-exec:
 * those that LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES announce, sd_listen_fds(3); and descriptor 0 if it is a
 * listening stream socket, as inetd(8) (SMF's too) passes that of a "wait" service; /dev/null takes its place on 0 to
 * 2. An error names the variable or the descriptor: a number that is none, a descriptor that is not open, is no stream
 * socket, or does not listen. First of all calls, before any fork: LISTEN_PID is compared with this process.
 */
int demit_os_inherit(demit_os_inherited_t *inherited, demit_os_error_t *error) DEMIT_CHECKED;

typedef enum demit_listener_family {
    DEMIT_LISTENER_IPV4,
    DEMIT_LISTENER_IPV6,
    DEMIT_LISTENER_UNIX
} demit_listener_family_t;
typedef struct demit_os_listener {
    int fd;
    char what[96];  /* "descriptor 3 (smtp)" */
    char text[128]; /* "127.0.0.1:25", "[::]:25", "/run/smtp.sock" */
    demit_listener_family_t family;
    char host[46]; /* numeric; "" for a Unix socket */
    uint16_t port;
    char path[109];      /* as it was bound; "" for none */
    bool takes_ipv4_too; /* IPv6, every address, without IPV6_V6ONLY */
} demit_os_listener_t;
/* Looks at the INDEXth of INHERITED. EAFNOSUPPORT: neither IP nor Unix. */
int demit_os_inherited_look(const demit_os_inherited_t *inherited, unsigned index,
                            demit_os_listener_t *listener) DEMIT_CHECKED;
/* Whether LISTENER stands at exactly this address. HOST NULL: every address of the family; a Unix socket's: its path.
 */
bool demit_os_listener_is(const demit_os_listener_t *listener, demit_listener_family_t family, const char *host,
                          uint16_t port);

/* ---- the start --------------------------------------------------------------------------------------------------- */

/*
 * Descriptors 0 to 2 open (on /dev/null if they were not), every other closed but INHERITED (NULL: none); environment
 * reduced to a list (PATH,
 * LANG, LC_*, TZ, NOTIFY_SOCKET, WATCHDOG_*); umask 077; SIGPIPE ignored, no signal blocked; no controlling terminal,
 * unless it leads the session; the time zone loaded. The locale stays "C": no parser and no number of demit's depends
 * on where it was started.
 */
int demit_os_tidy_process(const demit_os_inherited_t *inherited) DEMIT_CHECKED;

/* Forks once, before anything is opened; the parent waits for demit_os_detach_finish() or the child's end. */
typedef struct demit_os_detach {
    int ready_fd;
    int null_fd; /* /dev/null from before chroot */
} demit_os_detach_t;
/*
 * In the child, which leads a session of its own: 0 with DETACH set. The parent never returns: it exits with the
 * child's code, or 0 after "ready"; with 71 (EX_OSERR) and a line on standard error if a signal ended the child before.
 * An errno: nothing was forked.
 */
int demit_os_detach_begin(demit_os_detach_t *detach) DEMIT_CHECKED;
/*
 * Tells the waiting parent "ready" and lets go of the terminal: descriptors 0–2 to /dev/null. The working directory is
 * "/" since the identity was assumed. Needs nothing that a sandbox takes.
 */
int demit_os_detach_finish(demit_os_detach_t *detach) DEMIT_CHECKED;

/* Raises the limit of open descriptors to WANTED as far as the host allows; *GRANTED says how far. */
int demit_os_limit_descriptors(uint32_t wanted, uint32_t *granted) DEMIT_CHECKED;
/*
 * Core files off and the process not traceable by its own uid, or an error. Decided explicitly, after the drop.
 * ENOTSUP: this system cannot promise it (a BSD, not started as root): a warning.
 */
int demit_os_protect_memory(void) DEMIT_CHECKED;

/* Both stay open for life and keep a lock each; -1: none. */
typedef struct demit_os_pid_file {
    int number_fd; /* of the pid file; it can only read, because root's scripts kill what the file names */
    int lock_fd;   /* of PATH.lock; it can only read, too, where flock(2) is there */
} demit_os_pid_file_t;
/*
 * Makes the pid file PATH, as root, without trusting its directory: every directory of the path must be writable by
 * root alone, what lies at PATH a regular file of root's. A new file of mode 0644 takes its place, so that nothing that
 * somebody else holds of the old one, a lock or a name, matters. PATH.lock, of mode 0600, is locked first: nobody else
 * can open it, so that a lock of it means another demitd, or a child that one has left: EWOULDBLOCK. The number stays
 * in the file when the process ends, and counts only while PATH.lock is locked. Links that root alone could have made
 * (/var/run) are followed on the way, never at the end. Not root: each directory must be one's own or root's, and
 * writable by nobody else.
 */
int demit_os_pid_file(const char *path, demit_os_pid_file_t *file, demit_os_error_t *error) DEMIT_CHECKED;
/* Whether demit_os_pid_file() would refuse PATH now, and how, but for a demitd that runs. Changes nothing. */
int demit_os_pid_file_look(const char *path, demit_os_error_t *error) DEMIT_CHECKED;
/* Gives the locks up. Harmless where there are none. */
void demit_os_pid_file_close(demit_os_pid_file_t *file);

/*
 * Makes DIRECTORY with MODE for UID:GID if it is missing (mkdirat + fchown), but only while its parent is writable by
 * root alone; one that exists is left as it is. Non-zero with ERROR otherwise. DIRECTORY is meant as a process within
 * JAIL (NULL: no jail) sees it: there an absolute link leads into the jail, and ".." ends at its root. Links that root
 * alone could have made are followed on the way; nothing is ever made through a link at the end.
 */
int demit_os_make_directory(const char *jail, const char *directory, mode_t mode, uid_t uid, gid_t gid,
                            demit_os_error_t *error) DEMIT_CHECKED;

/*
 * Whether root may obey the file PATH (absolute) at the next start, whatever becomes of the process until then: EPERM
 * with ERROR if the user of IDENTITY could change it, or put another in its place, by an owner or a mode of the file,
 * of a directory of its path, or of those that links lead through. 0 for who does not start as root, or stays root:
 * they have nothing to gain. Access control lists are not looked at.
 */
int demit_identity_cannot_change(const demit_identity_t *identity, const char *path,
                                 demit_os_error_t *error) DEMIT_CHECKED;

/* A key in memory. */
typedef struct demit_os_secret demit_os_secret_t;
enum { DEMIT_SECRET_MAX_BYTES = 32 * 1024 };
/*
 * Reads the key in the file PATH, before root is let go, into memory that is not dumped and, where the host allows it,
 * not swapped. Every directory of the path must be writable by root alone (see demit_os_pid_file()), PATH a regular
 * file and no link, with no right for group and others, of root's, of the caller's, or of SERVICE's, which is the uid
 * that will read it again at a reload. ERROR names the mode and the owner that would be right. Later, as SERVICE, it
 * reads what that user may read, by the same rules.
 */
int demit_os_secret_read(demit_os_secret_t **secret, const char *path, uid_t service,
                         demit_os_error_t *error) DEMIT_CHECKED;
/* Valid until demit_os_secret_free(). Any thread. */
const void *demit_os_secret_bytes(const demit_os_secret_t *secret, size_t *size);
/* Overwrites it with zeros. Harmless for NULL. */
void demit_os_secret_free(demit_os_secret_t *secret);

/*
 * Signals become bytes on a descriptor that a loop can wait on: 'T' (TERM, INT), 'H' (HUP), 'U' (USR1). They wait in
 * the kernel until demit_os_hear_signals(): the calling thread, and all that are made from now on, hold them back.
 */
int demit_os_signals(int *fd) DEMIT_CHECKED;
/* The calling thread takes them from now on, alone: a handler never interrupts a thread that works. */
int demit_os_hear_signals(void) DEMIT_CHECKED;

/* ---- syslog, readiness, clocks, processors ----------------------------------------------------------------------- */

/* openlog(3) with LOG_NDELAY, so that it works in a chroot. */
void demit_os_syslog_open(void);
/* LEVEL as in demit_log_level_t. Any thread. */
void demit_os_syslog(int level, const char *line);

/* Connects to the supervisor's notify socket if there is one; before chroot. */
int demit_os_notify_open(void) DEMIT_CHECKED;
/*
 * How often the supervisor wants to hear WATCHDOG=1: WATCHDOG_USEC and WATCHDOG_PID, sd_watchdog_enabled(3). 0: not
 * from this process. Before any fork.
 */
int demit_os_watchdog(int64_t *interval_us, demit_os_error_t *error) DEMIT_CHECKED;
/* Sends e.g. "READY=1"; harmless without a supervisor. */
void demit_os_notify(const char *state);

/* Microseconds that only grow. Any thread. */
int64_t demit_os_monotonic_us(void);
unsigned demit_os_processors(void);
/* Names the calling thread, for ps and debuggers; harmless where the system cannot. Any thread. */
void demit_os_name_thread(const char *name);

/* ---- files: below a directory, without following links. Any thread; may block. ----------------------------------- */

/*
 * openat(2) of RELATIVE below DIRECTORY_FD, no component of which may be a symbolic link or "..": ELOOP, EINVAL.
 * Always O_CLOEXEC.
 */
int demit_os_open_below(int directory_fd, const char *relative, int flags, mode_t mode, int *fd) DEMIT_CHECKED;
/* pwritev(2) of everything, or an errno. IOV_MAX and short writes are taken care of; EINTR restarts. */
int demit_os_pwritev(int fd, const struct iovec *parts, int count, uint64_t offset) DEMIT_CHECKED;
/* The strongest cheap promise that the system has: fdatasync(2), or F_FULLFSYNC and the like. */
int demit_os_datasync(int fd) DEMIT_CHECKED;

#endif
