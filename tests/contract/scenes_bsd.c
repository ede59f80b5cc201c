/*
 * The scenes of scenes_linux.c on the BSDs: what has no counterpart there skips its case, and names what is missing.
 * This is the one place that decides it.
 */
#include "tests/contract/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <unistd.h>

uint64_t low_port_kept(void)
{
    return 0;
}

uint64_t permitted_now(void)
{
    return 0;
}

/* Without the effective gid, which FreeBSD until 14 has among them whatever setgroups(2) was told. */
size_t count_groups(void)
{
    enum { MOST = 64 };
    gid_t groups[MOST];
    size_t others = 0;
    int count = getgroups(MOST, groups);
    CHECK(count >= 0);
    for (int i = 0; i < count; i++) {
        others += groups[i] != getegid();
    }
    return others;
}

void use_accounts(const char *passwd, const char *group)
{
    (void)passwd, (void)group;
    child_skips("an account database of the test's own takes a mount namespace, which this system has not");
}

void become_root_of_a_namespace(void)
{
    child_skips("this system has no user namespaces");
}

int open_by_name_alone(const char *directory)
{
#if defined(O_PATH)
    return open(directory, O_PATH | O_DIRECTORY);
#else
    (void)directory;
    child_skips("this system has no O_PATH");
#endif
}

void need_abstract_sockets(void)
{
    child_skips("this system has no abstract sockets");
}

/* Memory is read by ptrace(2) here; where there is a /proc at all, it is an option that demit does not look at. */
void check_own_memory_is_closed(void)
{
}

/* The "c" of unveil(2) is for every kind of file. */
const bool sandbox_forbids_links = false;

/* unveil(2): what is not unveiled is not there, what is has these permissions alone. */
bool is_refusal_of_file(int code)
{
    return code == ENOENT || code == EACCES;
}

int set_uid_of_thread(uid_t uid)
{
    return setuid(uid);
}

/* Of 127.0.0.0/8 there is this one alone, unless somebody configures more. */
uint32_t own_loopback(void)
{
    return INADDR_LOOPBACK;
}
