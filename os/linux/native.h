/* What Linux adds to an identity: capability sets, and what a thread holds as /proc tells it. Private to os/linux. */
#ifndef OS_LINUX_NATIVE_H
#define OS_LINUX_NATIVE_H

#include <stdint.h>

#include "os/posix/backend.h"

/* Capabilities are numbers below 64, so a set is a word. */
typedef uint64_t os_capset_t;
static inline bool os_capset_has(os_capset_t set, int capability)
{
    return (set >> capability & 1U) != 0;
}

typedef struct os_caps {
    os_capset_t permitted, effective, inheritable;
} os_caps_t;

struct os_native {
    os_caps_t caps;        /* to be held, exactly; nothing is ever inheritable */
    os_capset_t bounding;  /* to be left */
    unsigned securebits;   /* to be set, SECBIT_KEEP_CAPS aside */
    bool changes_bounding; /* false: without CAP_SETPCAP, BOUNDING and SECUREBITS are what was found */
    bool keeps_everything; /* user = root without Capabilities */
    unsigned lowest_port;  /* that can be bound afterwards */
    bool maps_root_uid;    /* false: uid 0 has no number in this user namespace; looked up while /proc can be reached */
    bool maps_root_gid;    /* likewise */
    long keyring;          /* the session keyring that was left; 0: none */
    int status_fd;         /* /proc/self/status from before chroot, until verified; else -1 */
};

/* ---- capabilities.c: text ---- */

/* Parses cap_from_text(3) clause by clause; ERROR names the clause that is wrong and says what would be right. */
int os_caps_parse(const char *text, os_caps_t *caps, demit_os_error_t *error) DEMIT_CHECKED;
/* Refuses what means nothing or everything, warns of what is dangerous; clears what demitd never sets. */
int os_caps_judge(os_caps_t *caps, const demit_identity_t *identity, const os_sink_t *warnings,
                  demit_os_error_t *error) DEMIT_CHECKED;
/* Every capability that the running kernel has. */
os_capset_t os_capset_all(void);
/* "cap_chown,cap_kill", "-" for none; a set of nearly all is "all,-cap_sys_module". No spaces. */
void os_capset_format(os_capset_t set, char *text, size_t size);
/* Sets the three sets of the calling thread. 0 or an errno. */
int os_caps_set(const os_caps_t *caps) DEMIT_CHECKED;

/* The name of CAPABILITY, in lower case. */
void os_capability_name(int capability, char *text, size_t size);

/* ---- powers.c: what a capability is good for ---- */

/* Warns of every capability of CAPS that is as good as root. */
void os_powers_warn(const os_caps_t *caps, const demit_identity_t *identity, const os_sink_t *warnings);

/* ---- status.c: what a thread holds ---- */

/*
 * open(2) of PATH below /proc, to read. ENOENT too if it is not the kernel's: who can write to a jail can put a
 * directory there that is called /proc.
 */
int os_proc_open(const char *path, int flags, int *fd) DEMIT_CHECKED;

typedef struct os_status {
    pid_t tgid, pid;
    unsigned threads;
    uid_t uid[4];
    gid_t gid[4];
    os_groups_t groups;
    os_caps_t caps;
    os_capset_t bounding, ambient;
    bool no_new_privs;
    bool has_no_new_privs; /* older kernels do not tell */
    int seccomp;           /* -1: not told */
    unsigned fd_table;     /* no descriptor is larger; 0: not told */
} os_status_t;

/* The calling thread, by system calls alone: works where /proc is out of reach (thread count: 0, not known). */
int os_status_of_caller(os_status_t *status) DEMIT_CHECKED;
/* The text of FD, an open /proc/…/status, as it is now. */
int os_status_from_fd(int fd, os_status_t *status) DEMIT_CHECKED;
/* PID's thread THREAD; 0: the process itself. */
int os_status_of(pid_t pid, pid_t thread, os_status_t *status) DEMIT_CHECKED;
void os_status_free(os_status_t *status);

/*
 * Calls EACH for every thread of PID (0: this process). ENOENT: no /proc here. A thread that ends meanwhile is passed
 * over. EACH returns 0 or an errno, which ends the walk.
 */
int os_status_each_thread(pid_t pid, int (*each)(void *baton, const os_status_t *status), void *baton) DEMIT_CHECKED;

/*
 * The serial number of the caller's session keyring. Asked for one that has none, the kernel gives him that of his uid.
 * 0: no keyrings here, or a seccomp filter that forbids their use.
 */
long os_session_keyring(void);

/* ---- host.c: why a privilege is missing ---- */

/* Who most likely took CAPABILITY away from this process. */
void os_host_blame(int capability, char *text, size_t size);
/* Whether the user namespace maps an id. True also where it cannot be read. */
bool os_host_maps_uid(uid_t uid);
bool os_host_maps_gid(gid_t gid);
/* Reads the beginning of a small file below /proc, without its last newline. False: it cannot be read. */
bool os_host_read(const char *path, char *text, size_t size);

#endif
