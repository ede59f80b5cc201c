/* The calls of Linux, whatever the back end. */
#include "tests/contract/faults.h"
#include "tests/contract/harness.h"

#include <string.h>
#include <sys/prctl.h>

WRAP(setgroups, (size_t count, const gid_t *groups), (count, groups))
WRAP(setresgid, (gid_t real, gid_t effective, gid_t saved), (real, effective, saved))
WRAP(setresuid, (uid_t real, uid_t effective, uid_t saved), (real, effective, saved))

int __real_prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d);
int __wrap_prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d);
int __wrap_prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)
{
    bool sets = option == PR_SET_SECUREBITS || option == PR_SET_KEEPCAPS || option == PR_SET_NO_NEW_PRIVS;
    int result = 0;
    return sets && misbehaves("prctl", &result) ? result : __real_prctl(option, a, b, c, d);
}

bool is_harmless(const char *name, unsigned number)
{
    /* There was nothing in it. */
    if (strcmp(name, "cap_reset_ambient") == 0) {
        return true;
    }
    /* What leaves the permitted set leaves the effective one: setppriv(2). And of the two calls that come before all
     * others, each alone makes the process aware of privileges. */
    return strcmp(name, "setppriv Effective") == 0 || (strcmp(name, "setppriv Permitted") == 0 && number == 1);
}

const char *calls_that_regain(void)
{
    return backend_is("linux") ? "setresuid,setuid,seteuid,setresgid,setgid,setgroups,chroot,prctl,cap_set_proc,"
           : backend_is("bsd") ? "setresuid,setuid,seteuid,setresgid,setgid,setgroups,chroot,"
                               : "setuid,seteuid,setgid,setgroups,chroot,setppriv Permitted,setppriv Limit,";
}
