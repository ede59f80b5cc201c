/* Scenes that only Linux can set: namespaces of a process's own, O_PATH, abstract sockets, /proc. */
#include "tests/contract/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

uint64_t low_port_kept(void)
{
    return kept(BIT(CAP_NET_BIND_SERVICE));
}

size_t count_groups(void)
{
    int count = getgroups(0, NULL);
    CHECK(count >= 0);
    return (size_t)count;
}

void use_accounts(const char *passwd, const char *group)
{
    static const char *const targets[] = {"/etc/passwd", "/etc/group"};
    const char *const texts[] = {passwd, group};
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) {
        child_skips("this host lets a test have no mounts of its own");
    }
    for (size_t i = 0; i < 2; i++) {
        char path[] = "/run/demit-accounts-XXXXXX";
        int fd = mkstemp(path);
        CHECK(fd >= 0 && write(fd, texts[i], strlen(texts[i])) == (ssize_t)strlen(texts[i]));
        CHECK(fchmod(fd, 0644) == 0 && close(fd) == 0);
        CHECK(mount(path, targets[i], NULL, MS_BIND, NULL) == 0);
        CHECK(unlink(path) == 0);
    }
}

void become_root_of_a_namespace(void)
{
    become_stranger();
    CHECK(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0); /* or /proc/self belongs to root */
    if (unshare(CLONE_NEWUSER) != 0) {
        child_skips("this host allows no user namespaces");
    }
    write_text("/proc/self/setgroups", "deny");
    write_text("/proc/self/uid_map", "0 64123 1");
    write_text("/proc/self/gid_map", "0 64123 1");
    CHECK(geteuid() == 0);
}

int open_by_name_alone(const char *directory)
{
    return open(directory, O_PATH | O_DIRECTORY);
}

void need_abstract_sockets(void)
{
}

void check_own_memory_is_closed(void)
{
    CHECK(open("/proc/self/mem", O_RDONLY) < 0); /* not even one's own: nobody's with this uid */
}

const bool sandbox_forbids_links = true;

bool is_refusal_of_file(int code)
{
    return code == EACCES;
}

int set_uid_of_thread(uid_t uid)
{
    return (int)syscall(SYS_setuid, uid);
}

uint32_t own_loopback(void)
{
    static uint32_t address;
    if (address == 0) {
        address = (uint32_t)INADDR_LOOPBACK + ((uint32_t)getpid() & 0xffffU) * 16;
    }
    return address;
}
