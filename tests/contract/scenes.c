#include "tests/contract/scenes.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

const demit_identity_request_t stranger = {.user = "64123", .group = "64123"};
const demit_identity_request_t stranger_binding = {
    .user = "64123", .group = "64123", .capabilities = "cap_net_bind_service+ep", .privileges = "basic net_privaddr"};

uint64_t kept(uint64_t capabilities)
{
    return backend_is("bsd") ? 0 : capabilities;
}

void become_stranger(void)
{
    /* Not every kernel has setresuid(2). From root these set all three ids on each: the suite "kernel". */
    CHECK(setgroups(0, NULL) == 0 && setgid(STRANGER) == 0 && setuid(STRANGER) == 0);
}

int bind_low_port(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0), code = EADDRINUSE;
    CHECK(fd >= 0);
    for (uint16_t port = 1; port < 1024 && code == EADDRINUSE; port++) {
        struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        code = bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 ? 0 : errno;
    }
    (void)close(fd);
    return code;
}

void write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY);
    CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    (void)close(fd);
}

void allow_descriptors(unsigned count)
{
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    if (limit.rlim_cur < count) {
        limit.rlim_cur = count;
        CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    }
}

void *sleep_for_ever(void *baton)
{
    (void)baton;
    for (;;) {
        (void)pause();
    }
    return NULL;
}

char jail[64];

demit_identity_request_t jailed(void)
{
    demit_identity_request_t request = stranger_binding;
    request.chroot_directory = jail;
    return request;
}

void with_jail(void (*body)(void), void (*look)(pid_t child))
{
    char path[128];
    make_private_directory(jail, sizeof(jail));
    assert_int_equal(chmod(jail, 0755), 0);
    (void)snprintf(path, sizeof(path), "%s/inner", jail);
    assert_int_equal(mkdir(path, 0755), 0);
    (void)snprintf(path, sizeof(path), "%s/mark", jail);
    assert_int_equal(close(open(path, O_CREAT | O_WRONLY, 0644)), 0);
    in_child(body, look);
    remove_directory(jail);
}
