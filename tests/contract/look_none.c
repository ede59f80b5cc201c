/* What NetBSD and OpenBSD do not tell of another process' root, and of mappings: the child's own checks are all there
 * is. */
#include "tests/contract/harness.h"

const looks_t looks = {.at_each_thread = false, .at_no_new_privs = false};

void assert_jailed(pid_t pid, const char *directory)
{
    (void)pid, (void)directory;
}

bool look_at_mapping(const void *address, bool *not_dumped, bool *locked)
{
    (void)address, (void)not_dumped, (void)locked;
    return false;
}
