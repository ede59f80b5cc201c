/* Built without libseccomp: the list of system calls cannot be enforced, and that is what everybody is told. */
#include "os/linux/sandbox.h"

#include <errno.h>

static const char WHY_NOT[] = "demitd was built without libseccomp (-DDEMIT_SECCOMP=ON)";

bool os_seccomp_can(char *why_not, size_t size)
{
    os_append(why_not, size, "%s", WHY_NOT);
    return false;
}

bool os_seccomp_can_sockets(char *why_not, size_t size)
{
    return os_seccomp_can(why_not, size);
}

int os_seccomp_enter(demit_os_error_t *error)
{
    return os_fail(error, ENOTSUP, "sandbox", "%s", WHY_NOT);
}

int os_seccomp_verify(demit_os_error_t *error)
{
    return os_fail(error, ENOTSUP, "sandbox", "%s", WHY_NOT);
}
