/* FreeBSD: setusercontext(3), procctl(2). */
#include "tests/contract/powers.h"

const char *steps_in_order(void)
{
    return "threads,descriptors,login class,setgroups,setresgid,chroot,chdir,setresuid,no_new_privs,process limit,";
}
