/* What user namespaces take from root on Linux, these systems do not take. */
#include "os/posix/backend.h"

bool os_backend_denies_groups(void)
{
    return false;
}
