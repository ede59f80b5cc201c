/* OpenBSD: setusercontext(3). */
#include "tests/contract/powers.h"

const char *steps_in_order(void)
{
    return "threads,descriptors,login class,setgroups,setresgid,chroot,chdir,setresuid,process limit,";
}
