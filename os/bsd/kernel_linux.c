/*
 * Linux under the plain setuid back end, which is there to be tested. No capability, no no_new_privs; only what the
 * contract cannot do without: counting threads, closing descriptors, naming threads, telling peers.
 */
#include "os/bsd/kernel.h"

#include <errno.h>
#include <grp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

const char os_kernel_name[] = "Linux";

int os_backend_set_groups(const gid_t *groups, size_t count, gid_t gid)
{
    (void)gid;
    return setgroups(count, groups) == 0 ? 0 : errno;
}

int os_backend_count_threads(const demit_identity_t *identity, unsigned *count)
{
    (void)identity;
    FILE *status = fopen("/proc/self/status", "re");
    if (status == NULL) {
        return errno;
    }
    static const char name[] = "Threads:";
    char line[256];
    int code = EPROTO;
    while (code != 0 && fgets(line, sizeof(line), status) != NULL) {
        if (strncmp(line, name, strlen(name)) == 0) {
            *count = (unsigned)strtoul(line + strlen(name), NULL, 10);
            code = 0;
        }
    }
    (void)fclose(status);
    return code;
}

int os_backend_close_from(int first)
{
    /* By number: glibc has the wrapper since 2.34, musl has none. */
    if (syscall(SYS_close_range, (unsigned)first, ~0U, 0U) == 0) {
        return 0;
    }
    long end = sysconf(_SC_OPEN_MAX);
    for (int fd = first; fd < end; fd++) {
        (void)close(fd);
    }
    return 0;
}

int os_backend_deny_tracing(void)
{
    return prctl(PR_SET_DUMPABLE, 0UL, 0, 0, 0) == 0 ? 0 : errno;
}

unsigned os_kernel_first_free_port(void)
{
    FILE *setting = fopen("/proc/sys/net/ipv4/ip_unprivileged_port_start", "re");
    unsigned port = 1024;
    char line[16];
    if (setting == NULL) {
        return port;
    }
    if (fgets(line, sizeof(line), setting) != NULL) {
        port = (unsigned)strtoul(line, NULL, 10);
    }
    (void)fclose(setting);
    return port;
}

void demit_os_name_thread(const char *name)
{
    char cut[16]; /* what the kernel keeps, its end included */
    (void)snprintf(cut, sizeof(cut), "%s", name);
    (void)pthread_setname_np(pthread_self(), cut);
}

int demit_os_peer(int socket_fd, demit_peer_t *peer)
{
    struct ucred credentials;
    socklen_t size = sizeof(credentials);
    if (getsockopt(socket_fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) {
        return errno;
    }
    if (credentials.uid == (uid_t)-1) {
        return ENOTCONN;
    }
    *peer = (demit_peer_t){.uid = credentials.uid, .gid = credentials.gid, .pid = credentials.pid};
    return 0;
}
