/* The calls of OpenBSD: setusercontext(3). */
#include "tests/contract/faults.h"
#include "tests/contract/harness.h"

#include <login_cap.h>
#include <pwd.h>
#include <string.h>
#include <unistd.h>

WRAP(setgroups, (int count, const gid_t *groups), (count, groups))
WRAP(setresgid, (gid_t real, gid_t effective, gid_t saved), (real, effective, saved))
WRAP(setresuid, (uid_t real, uid_t effective, uid_t saved), (real, effective, saved))
WRAP(setusercontext, (login_cap_t * class, struct passwd *account, uid_t uid, unsigned flags),
     (class, account, uid, flags))

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
