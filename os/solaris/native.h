/*
 * What Solaris and illumos add to an identity: privilege sets, privileges(7). Credentials belong to the process there,
 * so what the calling thread reads holds for all of them. Private to os/solaris.
 */
#ifndef OS_SOLARIS_NATIVE_H
#define OS_SOLARIS_NATIVE_H

#include <priv.h>

#include "os/posix/backend.h"

/* The four sets of a process, in the order in which they are given up. */
typedef enum os_set { OS_SET_PERMITTED, OS_SET_LIMIT, OS_SET_EFFECTIVE, OS_SET_INHERITABLE, OS_SETS } os_set_t;

struct os_native {
    priv_set_t *held[OS_SETS]; /* to be held afterwards, exactly */
    priv_set_t *bridge;        /* Permitted and Effective while the identity changes: that, and what the steps need */
    bool trims;                /* false: user = root without Privileges keeps all that there is */
    bool crosses;              /* the ids, the groups or the root directory change; else there is only to trim */
    bool sets[OS_SETS];        /* which of them have to be set: not those that the starter (SMF) has set already */
};

/* ---- privileges.c: texts and sets ---- */

/*
 * Parses priv_str_to_set(3C); ERROR names the word that is wrong, where it stands, and what would be right. The removal
 * of a privilege that other releases have is told to WARNINGS and passed over. *SET is the caller's: priv_freeset(3C).
 */
int os_privileges_parse(const char *text, priv_set_t **set, const os_sink_t *warnings,
                        demit_os_error_t *error) DEMIT_CHECKED;
/* Refuses what nothing could run with, warns of what is dangerous. */
int os_privileges_judge(const priv_set_t *set, const demit_identity_t *identity, const os_sink_t *warnings,
                        demit_os_error_t *error) DEMIT_CHECKED;

/* powers.c: warns of what is as good as root. */
void os_powers_warn(const priv_set_t *set, const demit_identity_t *identity, const os_sink_t *warnings);

/* "Permitted": what setppriv(2) calls WHICH. */
const char *os_set_name(os_set_t which);
/* A new set, or NULL: no memory. The caller's. */
priv_set_t *os_set_copy(const priv_set_t *set);
/* What this process holds. 0 or an errno. */
int os_set_read(os_set_t which, priv_set_t **set) DEMIT_CHECKED;
/* "basic,net_privaddr", "-" for none, "all,!proc_exec". No spaces. */
void os_set_format(const priv_set_t *set, char *text, size_t size);
/* The names in WANTED that FOUND lacks, joined by commas; returns how many there are. */
size_t os_set_missing(const priv_set_t *wanted, const priv_set_t *found, char *text, size_t size);

/* ---- system.c: what a process holds ---- */

/* Real, effective, saved. */
typedef struct os_ids {
    uid_t uid[3];
    gid_t gid[3];
} os_ids_t;

/* Those of this process. 0 or an errno. */
int os_ids_read(os_ids_t *ids) DEMIT_CHECKED;
/* How many threads PID (0: this process) has. 0 or an errno. */
int os_threads_of(pid_t pid, unsigned *count) DEMIT_CHECKED;

#endif
