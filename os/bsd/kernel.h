/*
 * What the plain setuid back end asks of one kernel: kernel_freebsd.c and its sisters, one of which is built. Together
 * with the os_backend_… calls that differ (groups, threads, closing, tracing, naming, peers) they define all that a
 * kernel of this family has of its own. Private to os/bsd.
 */
#ifndef OS_BSD_KERNEL_H
#define OS_BSD_KERNEL_H

#include "os/posix/backend.h"

/* Real, effective, saved. */
typedef struct os_ids {
    uid_t uid[3];
    gid_t gid[3];
} os_ids_t;
int os_kernel_get_ids(os_ids_t *ids) DEMIT_CHECKED;

/* Another process, as far as this kernel tells. GROUPS belongs to the caller, who frees it. */
typedef struct os_process {
    os_ids_t ids;
    os_groups_t groups;
    bool groups_known; /* false: it has more of them than the kernel tells */
    unsigned threads;
} os_process_t;
/* ESRCH: there is no such process, or this one may not see it. */
int os_kernel_read_process(pid_t pid, os_process_t *process) DEMIT_CHECKED;
/* Copies the COUNT groups of a process, of which the kernel told ROOM at most. 0 or ENOMEM. */
int os_process_groups(os_process_t *process, const gid_t *groups, int count, int room) DEMIT_CHECKED;

/* setresuid(2), or "setuid" where there is none: the name of the step. */
extern const char os_kernel_uid_call[], os_kernel_gid_call[];

/* Who is told the facts of a report. */
typedef struct os_report {
    void (*each)(void *baton, const demit_identity_fact_t *fact);
    void *baton;
    pid_t pid;
} os_report_t;
/* VALUE NULL: it cannot be read. */
void os_report(const os_report_t *report, const char *name, const char *value);

/* What one kernel has beyond the others. A member that is NULL: it has nothing of the kind. */
typedef struct os_kernel {
    const char *name; /* "NetBSD": for sentences */
    /* Adds to what os/bsd resolved. */
    int (*resolve)(demit_identity_t *identity, const os_sink_t *warnings, demit_os_error_t *error);
    /* The lowest TCP port that a rule of the administrator's lets IDENTITY bind; 0: there is no such rule. */
    unsigned (*lowest_granted_port)(const demit_identity_t *identity);
    /* Whether everybody may chroot(2) here, so that being able to proves nothing. */
    bool (*lets_chroot)(void);
    /* Compares what else the steps set with what the kernel tells, and tells DRIFT. Returns how much differs. */
    size_t (*compare)(const os_sink_t *drift);
    /* Facts beyond those of every kernel, always the same ones in the same order. */
    void (*report)(const os_report_t *report);
} os_kernel_t;
extern const os_kernel_t os_kernel;

struct os_native {
    unsigned lowest_port; /* that can be bound afterwards */
    char *login_class;    /* NULL: none is assumed */
};

/* ---- steps ------------------------------------------------------------------------------------------------------- */

bool os_check_root(const demit_identity_t *identity, char *why_not, size_t size);
bool os_check_groups(const demit_identity_t *identity, char *why_not, size_t size);
bool os_check_gid(const demit_identity_t *identity, char *why_not, size_t size);
bool os_check_uid(const demit_identity_t *identity, char *why_not, size_t size);
void os_blame(const demit_identity_t *identity, int code, char *cause, size_t size);

/*
 * Rows of os_backend_steps, which each kernel's file puts together: first the checks, then what still needs root and
 * the files outside the jail, then the ids. FreeBSD from 15 on leaves gid 0 among the groups if only the ids are set,
 * so always all three, in this order.
 */
#define OS_STEPS_CHECKS                                                                                                \
    {"threads", "", NULL, os_step_describe_threads, os_step_check_threads, NULL, NULL},                                \
    {                                                                                                                  \
        "descriptors", "", os_step_has_jail, os_step_describe_descriptors, os_step_check_descriptors, NULL, NULL       \
    }
#define OS_STEPS_IDS                                                                                                   \
    {                                                                                                                  \
        "setgroups",        "root",  os_step_sets_groups, os_step_describe_groups, os_check_groups,                    \
        os_step_run_groups, os_blame},                                                                                 \
        {"inherited groups", "", os_step_waives_groups, os_step_describe_inherited, NULL, NULL, NULL},                 \
        {os_kernel_gid_call, "root", NULL, os_step_describe_gid, os_check_gid, os_step_run_gid, os_blame},             \
        {"chroot", "root", os_step_has_jail, os_step_describe_chroot, os_check_root, os_step_run_chroot, os_blame},    \
        {"chdir", "", NULL, os_step_describe_chdir, NULL, os_step_run_chdir, NULL},                                    \
    {                                                                                                                  \
        os_kernel_uid_call, "root", NULL, os_step_describe_uid, os_check_uid, os_step_run_uid, os_blame                \
    }
#define OS_STEPS_PROOFS                                                                                                \
    {                                                                                                                  \
        "process limit", "", NULL, os_step_describe_room, NULL, os_step_run_room, os_step_blame_uid                    \
    }

/* ---- sandbox ----------------------------------------------------------------------------------------------------- */

/*
 * What this kernel's sandbox could take, in the order in which it is entered: always the same parts on one kernel,
 * whether it has them or not. Which demit_sandbox_… calls come when, include/demit/os.h says.
 */
typedef struct os_sandbox_part {
    const char *name, *what;
    const char *(*why_not)(void); /* why this kernel cannot; returns NULL where it can. NULL: it always can */
    int (*enter)(const demit_sandbox_request_t *request, demit_os_error_t *error); /* NULL: nothing to do */
    /* Commits a forbidden act; non-zero with ERROR if it succeeded. Not NULL unless WHY_NOT always has a reason. */
    int (*prove)(const demit_sandbox_request_t *request, demit_os_error_t *error);
} os_sandbox_part_t;
extern const os_sandbox_part_t os_kernel_sandbox[];
extern const size_t os_kernel_sandbox_size;

#endif
