/* Listening sockets that were open before demitd was: those of systemd and its like, and that of inetd. */
#include "os/posix/identity_priv.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { FIRST = 3, AT_MOST = 256 }; /* sd_listen_fds(3): SD_LISTEN_FDS_START */

static bool has_option(int fd, int option, int wanted)
{
    int value = -1;
    socklen_t size = sizeof(value);
    return getsockopt(fd, SOL_SOCKET, option, &value, &size) == 0 && (wanted < 0 ? value != 0 : value == wanted);
}

static bool is_listening(int fd)
{
    return has_option(fd, SO_TYPE, SOCK_STREAM) && has_option(fd, SO_ACCEPTCONN, -1);
}

/* "descriptor 4 (smtp)": as NAMES, separated by colons, calls it. */
static void describe(unsigned index, const char *names, char *text, size_t size)
{
    const char *name = names != NULL ? names : "";
    for (unsigned i = 0; i < index && *name != '\0'; i++) {
        name += strcspn(name, ":");
        name += *name == ':';
    }
    size_t length = strcspn(name, ":");
    text[0] = '\0';
    os_append(text, size, "descriptor %u", FIRST + index);
    if (length > 0) {
        os_append(text, size, " (%.*s)", (int)length, name);
    }
}

static int check_listening(int fd, const char *what, demit_os_error_t *error)
{
    static const char advice[] = "demitd takes listening stream sockets from its supervisor (systemd: ListenStream=, "
                                 "Accept=no)";
    if (fcntl(fd, F_GETFD) < 0) {
        return os_fail(error, 0, "LISTEN_FDS", "%s is announced by LISTEN_FDS and not open", what);
    }
    if (!has_option(fd, SO_TYPE, SOCK_STREAM)) {
        return os_fail(error, 0, "LISTEN_FDS", "%s is not a stream socket; %s", what, advice);
    }
    return is_listening(fd) ? 0 : os_fail(error, 0, "LISTEN_FDS", "%s does not listen; %s", what, advice);
}

static int make_ready(int fd, demit_os_error_t *error)
{
    int status = fcntl(fd, F_GETFL);
    if (status < 0 || fcntl(fd, F_SETFL, status | O_NONBLOCK) != 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
        return os_fail(error, errno, "LISTEN_FDS", "descriptor %d cannot be made non-blocking", fd);
    }
    return 0;
}

/* What the variables announce. They are for one process, and a child of it may still have them in its environment. */
static int take_announced(demit_os_inherited_t *inherited, demit_os_error_t *error)
{
    uint64_t pid = 0, count = 0;
    int code = os_environment_number("LISTEN_PID", &pid, error);
    if (code == 0) {
        code = pid != (uint64_t)getpid() ? ENOENT : os_environment_number("LISTEN_FDS", &count, error);
    }
    if (code != 0) {
        return code == ENOENT ? 0 : code;
    }
    if (count > AT_MOST) {
        return os_fail(error, 0, "LISTEN_FDS", "LISTEN_FDS = %llu sockets are more than demitd takes (%d)",
                       (unsigned long long)count, (int)AT_MOST);
    }
    const char *names = getenv("LISTEN_FDNAMES");
    for (unsigned i = 0; i < count && code == 0; i++) {
        char what[OS_TEXT_MAX];
        describe(i, names, what, sizeof(what));
        code = check_listening((int)(FIRST + i), what, error);
    }
    inherited->count = code == 0 ? (unsigned)count : 0;
    inherited->names = names;
    return code;
}

/*
 * inetd(8), that of SMF too, makes the socket of a "wait" service descriptors 0, 1 and 2. It moves behind the announced
 * ones, and /dev/null takes its place: what is written to a listening socket is lost with an error.
 */
static int take_standard_input(demit_os_inherited_t *inherited, demit_os_error_t *error)
{
    int fd = (int)(FIRST + inherited->count), code = 0;
    if (!is_listening(STDIN_FILENO)) {
        return 0;
    }
    int null_fd = dup2(STDIN_FILENO, fd) < 0 ? -1 : open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null_fd < 0) {
        return os_fail(error, errno, "LISTEN_FDS", "the listening socket on descriptor 0 cannot be moved");
    }
    for (int standard = 0; standard <= 2 && code == 0; standard++) {
        if (is_listening(standard) && dup2(null_fd, standard) < 0) {
            code = os_fail(error, errno, "LISTEN_FDS", "descriptor %d cannot be replaced", standard);
        }
    }
    if (null_fd > STDERR_FILENO && null_fd != fd) {
        (void)close(null_fd);
    }
    inherited->count++;
    return code;
}

int demit_os_inherit(demit_os_inherited_t *inherited, demit_os_error_t *error)
{
    *inherited = (demit_os_inherited_t){.first = FIRST};
    int code = take_announced(inherited, error);
    if (code == 0) {
        code = take_standard_input(inherited, error);
    }
    for (unsigned i = 0; i < inherited->count && code == 0; i++) {
        code = make_ready(inherited->first + (int)i, error);
    }
    return code;
}

/* ---- looking at one ---- */

static void look_at_inet(const struct sockaddr_in *address, demit_os_listener_t *listener)
{
    (void)inet_ntop(AF_INET, &address->sin_addr, listener->host, sizeof(listener->host));
    listener->family = DEMIT_LISTENER_IPV4;
    listener->port = ntohs(address->sin_port);
    (void)snprintf(listener->text, sizeof(listener->text), "%s:%u", listener->host, listener->port);
}

static void look_at_inet6(int fd, const struct sockaddr_in6 *address, demit_os_listener_t *listener)
{
    int only = 1;
    socklen_t size = sizeof(only);
    (void)inet_ntop(AF_INET6, &address->sin6_addr, listener->host, sizeof(listener->host));
    listener->family = DEMIT_LISTENER_IPV6;
    listener->port = ntohs(address->sin6_port);
    listener->takes_ipv4_too = IN6_IS_ADDR_UNSPECIFIED(&address->sin6_addr) &&
                               getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, &size) == 0 && only == 0;
    (void)snprintf(listener->text, sizeof(listener->text), "[%s]:%u", listener->host, listener->port);
}

/* A name in Linux's abstract namespace begins with a zero byte and is no path. */
static void look_at_unix(const struct sockaddr_un *address, size_t size, demit_os_listener_t *listener)
{
    size_t most = size > offsetof(struct sockaddr_un, sun_path) ? size - offsetof(struct sockaddr_un, sun_path) : 0;
    size_t length = strnlen(address->sun_path, most);
    listener->family = DEMIT_LISTENER_UNIX;
    (void)snprintf(listener->path, sizeof(listener->path), "%.*s", (int)length, address->sun_path);
    (void)snprintf(listener->text, sizeof(listener->text), "%s",
                   length > 0 ? listener->path : "a Unix socket without a path");
}

int demit_os_inherited_look(const demit_os_inherited_t *inherited, unsigned index, demit_os_listener_t *listener)
{
    union {
        struct sockaddr any;
        struct sockaddr_in inet;
        struct sockaddr_in6 inet6;
        struct sockaddr_un local;
        struct sockaddr_storage room;
    } address;
    socklen_t size = sizeof(address);
    memset(&address, 0, sizeof(address));
    *listener = (demit_os_listener_t){.fd = inherited->first + (int)index};
    describe(index, inherited->names, listener->what, sizeof(listener->what));
    if (getsockname(listener->fd, &address.any, &size) != 0) {
        return errno;
    }
    switch (address.any.sa_family) {
    case AF_INET:
        look_at_inet(&address.inet, listener);
        return 0;
    case AF_INET6:
        look_at_inet6(listener->fd, &address.inet6, listener);
        return 0;
    case AF_UNIX:
        look_at_unix(&address.local, size, listener);
        return 0;
    default:
        return EAFNOSUPPORT;
    }
}

bool demit_os_listener_is(const demit_os_listener_t *listener, demit_listener_family_t family, const char *host,
                          uint16_t port)
{
    unsigned char left[sizeof(struct in6_addr)] = {0}, right[sizeof(struct in6_addr)] = {0};
    int domain = family == DEMIT_LISTENER_IPV6 ? AF_INET6 : AF_INET;
    if (listener->family != family) {
        return false;
    }
    if (family == DEMIT_LISTENER_UNIX) {
        return listener->path[0] != '\0' && strcmp(listener->path, host) == 0;
    }
    return listener->port == port && inet_pton(domain, listener->host, left) == 1 &&
           (host == NULL || inet_pton(domain, host, right) == 1) && memcmp(left, right, sizeof(left)) == 0;
}
