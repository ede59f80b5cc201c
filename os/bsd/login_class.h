/*
 * The login class of the account that demitd becomes, as login.conf(5) has it on the BSDs: its limits on resources and
 * its priority. Private to os/bsd.
 *
 * Of what setusercontext(3) can set, only this belongs to a server. Groups, gid and uid are steps of their own, set and
 * read back. The umask stays 077, whatever the class says; the environment stays reduced; the login name belongs to the
 * session, which a server in the foreground shares with a shell; a class must not move the process to another routing
 * table, accounting class or MAC label than the one under which its listeners were bound.
 *
 * A class never widens: where the process had less than the class allows, that stays. The number of descriptors is
 * Server_Max_File_Descriptors' and the core files demit_os_protect_memory()'s affair.
 */
#ifndef OS_BSD_LOGIN_CLASS_H
#define OS_BSD_LOGIN_CLASS_H

#include "os/bsd/kernel.h"

/* Looks the class up: the account's, else "default" (login.conf(5)). For os_kernel.resolve. */
int os_class_resolve(demit_identity_t *identity, const os_sink_t *warnings, demit_os_error_t *error) DEMIT_CHECKED;

bool os_class_applies(const demit_identity_t *identity);
void os_class_describe(const demit_identity_t *identity, char *what, size_t size);
bool os_class_check(const demit_identity_t *identity, char *why_not, size_t size);
int os_class_run(const demit_identity_t *identity);

/* Before chroot, because it reads /etc/login.conf, and before the uid, because only root raises a limit again. */
#define OS_STEP_LOGIN_CLASS                                                                                            \
    {                                                                                                                  \
        "login class", "root", os_class_applies, os_class_describe, os_class_check, os_class_run, os_blame             \
    }

#endif
