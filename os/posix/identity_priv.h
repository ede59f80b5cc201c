/*
 * What the parts of os/ share about identities: the resolved identity, the step and the probe. Private to os/.
 *
 * The steps of the assumption are data: one table per back end. demit_identity_explain() walks it to describe and to
 * predict, demit_identity_assume() walks the same rows to check and then to run, so the two cannot disagree.
 */
#ifndef OS_POSIX_IDENTITY_PRIV_H
#define OS_POSIX_IDENTITY_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "demit/os.h"

/* How demitd was started, which decides what there is to do. */
typedef enum os_start {
    OS_START_ROOT,       /* as root: become the configured user (who may be root, if somebody wrote so) */
    OS_START_CONFIGURED, /* already as the user that the configuration names: trim */
    OS_START_SELF        /* as somebody else, and nobody configured a user: stay oneself, and trim */
} os_start_t;

/* What only the back end knows: capability sets on Linux. */
typedef struct os_native os_native_t;

struct demit_identity {
    os_start_t start;
    uid_t uid;
    gid_t gid;
    char *user_name, *group_name; /* for people; the number if there is no name */
    gid_t *groups;                /* supplementary: sorted, each once, GID never among them */
    size_t group_count;
    bool sets_groups;   /* false: not allowed to, GROUPS are those that were found */
    bool waives_groups; /* not allowed to, and Allow_Inherited_Groups accepts it */
    char *jail;         /* chroot; NULL: none */
    dev_t jail_device;
    ino_t jail_inode;
    os_native_t *native;
};

/* A sink for sentences: warnings, differences. */
typedef struct os_sink {
    void (*line)(void *baton, const char *line);
    void *baton;
} os_sink_t;
void os_tell(const os_sink_t *sink, const char *format, ...) __attribute__((format(printf, 2, 3)));

/*
 * Fills ERROR and returns CODE, or EINVAL if CODE is 0 (a text was wrong, no call failed). With a CODE the text begins
 * with the sentence of FORMAT and goes on with the system's own words for CODE.
 */
int os_fail(demit_os_error_t *error, int code, const char *step, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Reads the decimal number that the environment's VARIABLE holds. ENOENT: it is not set. */
int os_environment_number(const char *variable, uint64_t *number, demit_os_error_t *error) DEMIT_CHECKED;

/* Appends to a buffer of SIZE, never beyond it; what does not fit is cut. */
void os_append(char *buffer, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));

enum { OS_TEXT_MAX = 256, OS_REASON_MAX = 384 };

/* One step of the assumption. */
typedef struct os_step {
    const char *name, *needs;
    bool (*applies)(const demit_identity_t *identity); /* NULL: always */
    void (*describe)(const demit_identity_t *identity, char *what, size_t size);
    /* Whether it would succeed now; else false and WHY_NOT filled. NULL: nothing to predict. Changes nothing. */
    bool (*check)(const demit_identity_t *identity, char *why_not, size_t size);
    /* Does it. 0 or an errno. NULL: the check is all there is. */
    int (*run)(const demit_identity_t *identity);
    /* The likely cause of CODE, for people. NULL or no text: nothing to say beyond the code itself. */
    void (*blame)(const demit_identity_t *identity, int code, char *cause, size_t size);
} os_step_t;

/* Steps that every system has (steps.c); the tables of the back ends name them. */
bool os_step_has_jail(const demit_identity_t *identity);
bool os_step_sets_groups(const demit_identity_t *identity);
void os_step_describe_threads(const demit_identity_t *identity, char *what, size_t size);
bool os_step_check_threads(const demit_identity_t *identity, char *why_not, size_t size);
void os_step_describe_descriptors(const demit_identity_t *identity, char *what, size_t size);
bool os_step_check_descriptors(const demit_identity_t *identity, char *why_not, size_t size);
bool os_step_waives_groups(const demit_identity_t *identity);
void os_step_describe_inherited(const demit_identity_t *identity, char *what, size_t size);
/* False with the reason if setgroups(2) is denied to everybody here. */
bool os_step_groups_allowed(char *why_not, size_t size);
void os_step_describe_groups(const demit_identity_t *identity, char *what, size_t size);
int os_step_run_groups(const demit_identity_t *identity);
void os_step_describe_gid(const demit_identity_t *identity, char *what, size_t size);
int os_step_run_gid(const demit_identity_t *identity);
void os_step_describe_chroot(const demit_identity_t *identity, char *what, size_t size);
int os_step_run_chroot(const demit_identity_t *identity);
void os_step_describe_chdir(const demit_identity_t *identity, char *what, size_t size);
int os_step_run_chdir(const demit_identity_t *identity);
void os_step_describe_uid(const demit_identity_t *identity, char *what, size_t size);
int os_step_run_uid(const demit_identity_t *identity);
void os_step_blame_uid(const demit_identity_t *identity, int code, char *cause, size_t size);
void os_step_describe_room(const demit_identity_t *identity, char *what, size_t size);
int os_step_run_room(const demit_identity_t *identity);

/* A list of groups, sorted, each once. Freed by the caller with free(ids). */
typedef struct os_groups {
    gid_t *ids;
    size_t count;
} os_groups_t;
int os_groups_read(os_groups_t *groups);
void os_groups_sort(os_groups_t *groups);
bool os_groups_have(const os_groups_t *groups, gid_t gid);
/* "27 44", or "-" for none. */
void os_groups_format(const os_groups_t *groups, char *text, size_t size);
os_groups_t os_identity_groups(const demit_identity_t *identity);

/* What a process may do, by purpose, so that shared code need not know the mechanism. */
typedef enum os_power { OS_POWER_SET_UID, OS_POWER_SET_GID, OS_POWER_CHROOT } os_power_t;

/* Whether GROUPS, GID aside, are exactly those of IDENTITY; PREFIX ("thread 12: ") begins the lines told. */
size_t os_compare_groups(const demit_identity_t *identity, const char *prefix, const os_groups_t *found,
                         const os_sink_t *drift);
/* The same for COUNT uids or gids of one process (three or, with Linux's file system ids, four). */
size_t os_compare_uids(const demit_identity_t *identity, const char *prefix, const uid_t *found, size_t count,
                       const os_sink_t *drift);
size_t os_compare_gids(const demit_identity_t *identity, const char *prefix, const gid_t *found, size_t count,
                       const os_sink_t *drift);
/* Whether "/", "." and ".." are the jail. Counts and tells the differences. */
size_t os_compare_jail(const demit_identity_t *identity, const os_sink_t *drift);

/* An attempt to take back what was given up. */
typedef struct os_probe {
    const char *name;
    bool (*applies)(const demit_identity_t *identity); /* false where the configuration keeps the power on purpose */
    int (*attempt)(void);                              /* 0: it succeeded, which is a disaster; else the errno */
    /* Whether CODE is how this kernel refuses it; anything else failed for another reason. NULL: EPERM is. */
    bool (*is_refusal)(const demit_identity_t *identity, int code);
} os_probe_t;
int os_probe_all(const demit_identity_t *identity, const os_probe_t *probes, size_t count, demit_os_error_t *error);
/* The conditions of the probes: there was a uid (gid, power) to lose, and the identity does not keep it. */
bool os_probe_uid_was_lost(const demit_identity_t *identity);
bool os_probe_gid_was_lost(const demit_identity_t *identity);
bool os_probe_chroot_was_lost(const demit_identity_t *identity);

#endif
