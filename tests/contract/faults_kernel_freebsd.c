/* The calls of FreeBSD: setusercontext(3), procctl(2). */
#include "tests/contract/faults.h"
#include "tests/contract/harness.h"

#include <login_cap.h>
#include <pwd.h>
#include <string.h>
#include <sys/procctl.h>
#include <sys/wait.h>
#include <unistd.h>

WRAP(setgroups, (int count, const gid_t *groups), (count, groups))
WRAP(setresgid, (gid_t real, gid_t effective, gid_t saved), (real, effective, saved))
WRAP(setresuid, (uid_t real, uid_t effective, uid_t saved), (real, effective, saved))
WRAP(setusercontext, (login_cap_t * class, const struct passwd *account, uid_t uid, unsigned flags),
     (class, account, uid, flags))

int __real_procctl(idtype_t type, id_t id, int command, void *data);
int __wrap_procctl(idtype_t type, id_t id, int command, void *data);
int __wrap_procctl(idtype_t type, id_t id, int command, void *data)
{
    int result = 0;
    return command == PROC_NO_NEW_PRIVS_CTL && misbehaves("procctl", &result) ? result
                                                                              : __real_procctl(type, id, command, data);
}

bool is_harmless(const char *name, unsigned number)
{
    (void)number;
    /* A class only ever narrows, so without it there is as much as before, and no promise is broken. */
    return strcmp(name, "setusercontext") == 0;
}

const char *calls_that_regain(void)
{
    return "setresuid,setuid,seteuid,setresgid,setgid,setgroups,chroot,";
}
