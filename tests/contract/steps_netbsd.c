/* NetBSD: setusercontext(3), and no setresuid(2). */
#include "tests/contract/powers.h"

const char *steps_in_order(void)
{
    return "threads,descriptors,login class,setgroups,setgid,chroot,chdir,setuid,process limit,";
}
