/* Those who watch: syslog and the supervisor's notify socket. Both are connected before chroot. */
#include "os/posix/identity_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

void demit_os_syslog_open(void)
{
    openlog("demitd", LOG_PID | LOG_NDELAY, LOG_MAIL);
}

void demit_os_syslog(int level, const char *line)
{
    static const int priorities[] = {LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG};
    const int last = (int)(sizeof(priorities) / sizeof(priorities[0])) - 1;
    syslog(priorities[level < 0 ? 0 : level > last ? last : level], "%s", line);
}

/* Older Solaris; SIGPIPE is ignored anyway, by demit_os_tidy_process(). */
#if !defined(MSG_NOSIGNAL)
enum { MSG_NOSIGNAL = 0 };
#endif

/* There is one supervisor, and openlog(3) keeps its socket the same way. Written by the main thread at the start. */
static int notify_fd = -1;

/* sd_notify(3): an absolute path, or a name in Linux's abstract namespace behind '@'. */
static int notify_address(const char *name, struct sockaddr_un *address, socklen_t *size)
{
    size_t length = strlen(name);
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (name[0] != '/' && name[0] != '@') {
        return EAFNOSUPPORT;
    }
    if (length < 2 || length >= sizeof(address->sun_path)) {
        return length < 2 ? EINVAL : ENAMETOOLONG;
    }
    memcpy(address->sun_path, name, length);
    /* An abstract name is as long as it is: it has no end mark, and a byte more would be another name. */
    size_t used = offsetof(struct sockaddr_un, sun_path) + length + (name[0] == '/' ? 1 : 0);
    if (name[0] == '@') {
        address->sun_path[0] = '\0';
    }
    *size = (socklen_t)used;
    return 0;
}

int demit_os_notify_open(void)
{
    const char *name = getenv("NOTIFY_SOCKET");
    if (name == NULL || name[0] == '\0') {
        return 0;
    }
    struct sockaddr_un address;
    socklen_t size = 0;
    int code = notify_address(name, &address, &size);
    if (code != 0) {
        return code;
    }
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    if (fd < 0) {
        return errno;
    }
    /* Not blocking: a supervisor that is stuck must not stop the mail. */
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 || fcntl(fd, F_SETFL, O_NONBLOCK) != 0 ||
        connect(fd, (const struct sockaddr *)&address, size) != 0) {
        code = errno;
        (void)close(fd);
        return code;
    }
    code = demit_os_limit_descriptor(fd, DEMIT_DESCRIPTOR_NOTIFY);
    if (code != 0 && code != ENOTSUP) {
        (void)close(fd);
        return code;
    }
    if (notify_fd >= 0) {
        (void)close(notify_fd);
    }
    notify_fd = fd;
    return 0;
}

void demit_os_notify(const char *state)
{
    if (notify_fd >= 0) {
        ssize_t sent = send(notify_fd, state, strlen(state), MSG_NOSIGNAL);
        (void)sent; /* a supervisor that went away is no reason to stop */
    }
}

/* ---- what the supervisor says in the environment ---- */

int os_environment_number(const char *variable, uint64_t *number, demit_os_error_t *error)
{
    enum { DIGITS = 18 }; /* whatever they are, it fits */
    const char *text = getenv(variable);
    if (text == NULL) {
        return ENOENT;
    }
    if (text[0] == '\0' || text[strspn(text, "0123456789")] != '\0' || strlen(text) > DIGITS) {
        return os_fail(error, 0, variable,
                       "%s = \"%.64s\" in the environment is no number; who starts demitd sets it wrong", variable,
                       text);
    }
    *number = strtoull(text, NULL, 10);
    return 0;
}

int demit_os_watchdog(int64_t *interval_us, demit_os_error_t *error)
{
    uint64_t interval = 0, pid = (uint64_t)getpid();
    *interval_us = 0;
    int code = os_environment_number("WATCHDOG_PID", &pid, error);
    if (code == 0 || code == ENOENT) {
        code = os_environment_number("WATCHDOG_USEC", &interval, error);
    }
    if (code != 0 || pid != (uint64_t)getpid()) {
        return code == ENOENT ? 0 : code;
    }
    if (interval == 0) {
        return os_fail(error, 0, "WATCHDOG_USEC", "WATCHDOG_USEC = 0 in the environment: nobody can ping that often");
    }
    *interval_us = (int64_t)interval;
    return 0;
}
