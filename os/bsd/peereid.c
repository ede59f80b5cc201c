/* getpeereid(3), which every BSD has. It does not tell the pid. */
#include "demit/os.h"

#include <errno.h>
#include <sys/socket.h> /* declares it on OpenBSD */
#include <unistd.h>

int demit_os_peer(int socket_fd, demit_peer_t *peer)
{
    *peer = (demit_peer_t){0};
    return getpeereid(socket_fd, &peer->uid, &peer->gid) == 0 ? 0 : errno;
}
