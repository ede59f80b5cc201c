/*
 * What os/posix asks of a back end: the calls that differ between kernels, and the back end's share of an identity.
 * Each back end defines all of these; the linker proves it. Private to os/.
 */
#ifndef OS_POSIX_BACKEND_H
#define OS_POSIX_BACKEND_H

#include "os/posix/identity_priv.h"

/* ---- identity --------------------------------------------------------------------------------------------------- */

extern const char os_backend_name[];
/* How an account is made on this system, for the error that misses it: "useradd … %s". One %s: the name. */
void os_backend_account_hint(const char *user, char *text, size_t size);

/* The steps of the assumption, in order. */
extern const os_step_t os_backend_steps[];
extern const size_t os_backend_step_count;

/* Fills IDENTITY->native from REQUEST (Capabilities, Privileges); everything else is resolved already. */
int os_backend_resolve(demit_identity_t *identity, const demit_identity_request_t *request, const os_sink_t *warnings,
                       demit_os_error_t *error) DEMIT_CHECKED;
void os_backend_free(os_native_t *native);

/* Whether this process, now, has POWER. */
bool os_backend_has_power(os_power_t power);
/* Whether this kernel denies setgroups(2) here to everybody, root included. */
bool os_backend_denies_groups(void);
/* Whether IDENTITY keeps POWER on purpose. */
bool os_backend_keeps_power(const demit_identity_t *identity, os_power_t power);
/* Names what is kept, for the summary: "cap_net_bind_service", "all", "-". */
void os_backend_kept(const demit_identity_t *identity, char *text, size_t size);

/* A power that an identity keeps: a capability, a privilege, root. */
typedef struct os_kept_power {
    const char *name, *deed; /* "cap_net_raw", "sends and receives raw packets" */
    const char *remedy;      /* how it is not kept: "take it out of Capabilities" */
    bool as_good_as_root, binds_low;
} os_kept_power_t;
void os_backend_each_power(const demit_identity_t *identity, void (*each)(void *baton, const os_kept_power_t *power),
                           void *baton);
/* Ports from this one on need no privilege on this host. */
unsigned os_backend_first_free_port(void);
/* Whether a program with a set-user-ID bit would gain by it when this identity starts it. */
bool os_backend_exec_gains(const demit_identity_t *identity);
/* How many processes have UID as their real or saved uid now. ENOTSUP: this system is not asked. */
int os_backend_count_processes(uid_t uid, unsigned *count) DEMIT_CHECKED;

/* Compares all that the kernel tells, on every thread, with IDENTITY. *DIFFERENCES counts. 0 or an errno. */
int os_backend_compare(const demit_identity_t *identity, const os_sink_t *drift, size_t *differences) DEMIT_CHECKED;
/* The same for the calling thread alone, by system calls alone. */
int os_backend_compare_thread(const demit_identity_t *identity, const os_sink_t *drift,
                              size_t *differences) DEMIT_CHECKED;
/* The attempts to regain that only this system knows. */
int os_backend_probe(const demit_identity_t *identity, demit_os_error_t *error) DEMIT_CHECKED;
/* Verified: lets go of whatever from outside the jail was still needed for it. */
void os_backend_seal(const demit_identity_t *identity);

/* ---- kernel calls ----------------------------------------------------------------------------------------------- */

/* Real, effective and saved id in one go. 0 or an errno. */
int os_backend_set_uids(uid_t uid) DEMIT_CHECKED;
int os_backend_set_gids(gid_t gid) DEMIT_CHECKED;
/* Exactly GROUPS; GID is the one that setgid will set next, for kernels that mix the two. */
int os_backend_set_groups(const gid_t *groups, size_t count, gid_t gid) DEMIT_CHECKED;
int os_backend_count_threads(const demit_identity_t *identity, unsigned *count) DEMIT_CHECKED;

/* Closes every descriptor from FIRST on, however many there could be. */
int os_backend_close_from(int first) DEMIT_CHECKED;
/* Calls EACH for every open descriptor until it returns false. IDENTITY may be NULL. */
int os_backend_each_descriptor(const demit_identity_t *identity, bool (*each)(void *baton, int fd),
                               void *baton) DEMIT_CHECKED;
/* Makes the process untraceable by its own uid. */
int os_backend_deny_tracing(void) DEMIT_CHECKED;

/*
 * openat(2) with the kernel's own protection against links and "..", where it has one; else ENOSYS, and the component
 * walk of os/posix does it. RELATIVE is clean: not absolute, no "..".
 */
int os_backend_open_below(int directory_fd, const char *relative, int flags, mode_t mode, int *fd) DEMIT_CHECKED;

/* The walk, one component at a time, that stands in. Here so that tests reach it where the kernel would do the work. */
int os_open_below_by_walk(int directory_fd, const char *relative, int flags, mode_t mode, int *fd) DEMIT_CHECKED;

#endif
