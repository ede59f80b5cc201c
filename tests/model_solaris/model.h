/*
 * A model of the privileges of Solaris and illumos, for Linux, so that os/solaris can run where there is no Solaris. It
 * is no proof of what a Solaris kernel does; it is what its manual says, written down so that it can refuse:
 *
 * privileges(7)  Four sets: E, P, I, L. A process is privilege-aware once it has set E, P or L; until then E and P are
 *                observed as L while the effective uid (for P: any uid) is 0, and as themselves when it is not.
 * Becoming aware keeps what is observed; an aware process' sets do not follow its uids. exec tries to give awareness
 * up, then E = P = I = L & I. setppriv(2)    PRIV_ON and PRIV_SET: L never grows; E, P and I take what P holds or what
 * they hold already; I also what L and E hold. What leaves P leaves E. PRIV_OFF is always allowed. setuid(2)      With
 * proc_setid in E all three ids; without it the effective one, to the real or saved one. To become uid 0 when none is 0
 * takes every privilege of the zone. setgid and setgroups take proc_setid, chroot proc_chroot, fork proc_fork.
 * setpflags(2)   PRIV_AWARE; __PROC_PROTECT of <sys/priv.h>.
 *
 * What can be real is real. The model stands before libc's setuid and its like; what it allows, the kernel does. The
 * ids are the kernel's, read back. And each time that P and E change, those of their privileges that Linux has a
 * capability for become the capabilities of the calling thread, so that a port can be bound, or a file read, as long as
 * the model says so and no longer.
 *
 * What it does not model, and so proves nothing about: threads (credentials belong to the process there), the
 * privileges net_access, file_read, file_write, proc_info and proc_session (their absence changes nothing), doors,
 * labels, resource controls, and every error beyond EPERM, EINVAL and those of the Linux kernel.
 */
#ifndef MODEL_SOLARIS_MODEL_H
#define MODEL_SOLARIS_MODEL_H

#include <priv.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* More than there are privileges: the bits without a name are set in a full set, as they are on Solaris. */
struct priv_set {
    uint64_t bits[2];
};

/* ---- for tests: the world around the process ---- */

/* As in zone ID whose limitpriv is TEXT (priv_str_to_set(3C)): the limit set, and so what root there holds. */
void model_enter_zone(int id, const char *text);
/* As SMF's method_credential(7) starts a service: UID and GID without other groups, then exec with PRIVILEGES. */
void model_start_as(uid_t uid, gid_t gid, const char *privileges, const char *limit);
/* What exec would do to the sets; the program stays this one. */
void model_exec(void);

/* ---- between the model's files ---- */

enum { MODEL_EFFECTIVE, MODEL_PERMITTED, MODEL_INHERITABLE, MODEL_LIMIT, MODEL_SETS };

typedef struct model_credential {
    pid_t pid;
    int zone;
    bool known, aware;
    struct priv_set sets[MODEL_SETS]; /* of the implementation; model_observed() tells what is observed */
    struct priv_set zone_set;         /* all that the zone has */
} model_credential_t;

/* That of the calling process, made at its first use: a child's is its parent's. */
model_credential_t *model_own(void);
/* That of another process, or NULL. */
const model_credential_t *model_of(pid_t pid);
/* Which of the sets NAME ("Permitted") is, or -1. */
int model_set_number(const char *name);
/* Set WHICH as it is observed in a process with these ids. */
struct priv_set model_observed(const model_credential_t *credential, int which, const uid_t uids[3]);
/* The same of the calling process. */
struct priv_set model_observed_now(int which);
bool model_has(const char *name);
/* Every privilege of the zone. */
bool model_has_all(void);
/* Makes the kernel's capabilities follow the sets, and other processes see them. */
void model_apply(void);
/* Ends the process: the model allowed what the kernel did not do. */
_Noreturn void model_conflict(const char *call);

#endif
