/* Solaris 11.4: <ucred.h> */
#ifndef SOLARIS_UCRED_H
#define SOLARIS_UCRED_H

#include <priv.h>
#include <sys/types.h>

/* ucred_get(3C), which describes all of these */
typedef struct ucred_s ucred_t; /* opaque */
ucred_t *ucred_get(pid_t pid);
void ucred_free(ucred_t *credential);
uid_t ucred_getruid(const ucred_t *credential);
uid_t ucred_geteuid(const ucred_t *credential);
uid_t ucred_getsuid(const ucred_t *credential);
gid_t ucred_getrgid(const ucred_t *credential);
gid_t ucred_getegid(const ucred_t *credential);
gid_t ucred_getsgid(const ucred_t *credential);
int ucred_getgroups(const ucred_t *credential, const gid_t **groups);
const priv_set_t *ucred_getprivset(const ucred_t *credential, priv_ptype_t which);
uint_t ucred_getpflags(const ucred_t *credential, uint_t flag);
pid_t ucred_getpid(const ucred_t *credential);

/* getpeerucred(3C) */
int getpeerucred(int fd, ucred_t **credential);

#endif
