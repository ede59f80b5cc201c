#include "os/linux/namespace.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "demit/os.h"

/* Reads the beginning of a small file of the kernel's. False: it is not there. */
static bool read_file(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, text, size - 1);
    if (fd >= 0) {
        (void)close(fd);
    }
    text[got > 0 ? got : 0] = '\0';
    return got >= 0;
}

bool os_namespace_denies_setgroups(void)
{
    char text[16];
    return read_file("/proc/self/setgroups", text, sizeof(text)) && strncmp(text, "deny", 4) == 0;
}

/* ---- peers ---- */

/* The ids that the kernel shows instead of those that have no number in this namespace. */
static struct namespace_view {
    bool hides_users, hides_groups; /* some have none */
    uid_t uid;
    gid_t gid;
} view;
static pthread_once_t looked = PTHREAD_ONCE_INIT;

/* Unless the map's first line, INSIDE OUTSIDE COUNT, is for everybody of the host: user_namespaces(7). */
static bool hides_some(const char *path)
{
    char text[128];
    unsigned long numbers[3] = {0};
    char *at = text;
    if (!read_file(path, text, sizeof(text))) {
        return false;
    }
    for (size_t i = 0; i < 3; i++) {
        numbers[i] = strtoul(at, &at, 10); /* an empty map makes them 0 */
    }
    return numbers[2] < UINT32_MAX;
}

static unsigned long read_id(const char *path)
{
    char text[24];
    return read_file(path, text, sizeof(text)) ? strtoul(text, NULL, 10) : UINT16_MAX - 1;
}

static void look(void)
{
    view.hides_users = hides_some("/proc/self/uid_map");
    view.hides_groups = hides_some("/proc/self/gid_map");
    view.uid = (uid_t)read_id("/proc/sys/kernel/overflowuid");
    view.gid = (gid_t)read_id("/proc/sys/kernel/overflowgid");
}

void os_namespace_look(void)
{
    (void)pthread_once(&looked, look);
}

int demit_os_peer(int socket_fd, demit_peer_t *peer)
{
    struct ucred credentials;
    socklen_t size = sizeof(credentials);
    if (getsockopt(socket_fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) {
        return errno;
    }
    /* Of a socket that is not connected, or no Unix socket, the kernel tells uid -1: unix(7). */
    if (credentials.uid == (uid_t)-1) {
        return ENOTCONN;
    }
    os_namespace_look();
    /* The account that has this number here cannot be told from anybody of outside, so it is nobody either. */
    bool hidden_user = view.hides_users && credentials.uid == view.uid;
    bool hidden_group = view.hides_groups && credentials.gid == view.gid;
    *peer = (demit_peer_t){.uid = hidden_user ? (uid_t)-1 : credentials.uid,
                           .gid = hidden_group ? (gid_t)-1 : credentials.gid,
                           .pid = credentials.pid};
    return 0;
}
