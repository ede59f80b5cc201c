/* The calls of NetBSD: setusercontext(3), and no setresuid(2). */
#include "tests/contract/faults.h"
#include "tests/contract/harness.h"

#include <login_cap.h>
#include <pwd.h>
#include <string.h>
#include <unistd.h>

WRAP(setgroups, (int count, const gid_t *groups), (count, groups))
/* As its header calls it for the linker. */
int __real___setusercontext50(login_cap_t *class, struct passwd *account, uid_t uid, unsigned flags);
int __wrap___setusercontext50(login_cap_t *class, struct passwd *account, uid_t uid, unsigned flags);
int __wrap___setusercontext50(login_cap_t *class, struct passwd *account, uid_t uid, unsigned flags)
{
    int result = 0;
    return misbehaves("setusercontext", &result) ? result : __real___setusercontext50(class, account, uid, flags);
}

bool is_harmless(const char *name, unsigned number)
{
    (void)number;
    /* A class only ever narrows, so without it there is as much as before, and no promise is broken. And chroot(2)
     * moves a working directory that is outside by itself: kernel_netbsd.c. */
    return strcmp(name, "setusercontext") == 0 || strcmp(name, "chdir") == 0;
}

const char *calls_that_regain(void)
{
    return "setuid,seteuid,setgid,setgroups,chroot,";
}
