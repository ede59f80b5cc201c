/* Listening sockets of the supervisor: which are taken, what becomes of the rest, and what is refused. */
#include "tests/contract/harness.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* In the child: a socket at FD that listens on a free port of 127.0.0.1, which is returned. */
static uint16_t listen_at(int fd)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof(address);
    int made = socket(AF_INET, SOCK_STREAM, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(made >= 0 && bind(made, (const struct sockaddr *)&address, sizeof(address)) == 0 && listen(made, 5) == 0);
    CHECK(getsockname(made, (struct sockaddr *)&address, &size) == 0);
    if (made != fd) {
        CHECK(dup2(made, fd) == fd);
        (void)close(made);
    }
    return ntohs(address.sin_port);
}

static void announce(const char *count, const char *names)
{
    char pid[24];
    (void)snprintf(pid, sizeof(pid), "%ld", (long)getpid());
    CHECK(setenv("LISTEN_PID", pid, 1) == 0 && setenv("LISTEN_FDS", count, 1) == 0);
    CHECK(names == NULL || setenv("LISTEN_FDNAMES", names, 1) == 0);
}

static bool answers(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    bool answered = fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0;
    (void)close(fd);
    return answered;
}

/* ---- taken ---- */

static void announced_body(void)
{
    demit_os_inherited_t inherited;
    demit_os_error_t error = {0};
    demit_os_listener_t listener;
    uint16_t first = listen_at(3), second = listen_at(4);
    CHECK(listen_at(5) != 0 && dup2(open("/", O_RDONLY | O_DIRECTORY), 6) == 6);
    announce("2", "smtp:submission");
    CHECK(demit_os_inherit(&inherited, &error) == 0 && inherited.first == 3 && inherited.count == 2);
    CHECK(demit_os_tidy_process(&inherited) == 0);
    for (int fd = 5; fd < 64; fd++) {
        CHECK(fcntl(fd, F_GETFD) < 0);
    }
    for (int fd = 3; fd <= 4; fd++) {
        CHECK((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0 && (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
        CHECK(accept(fd, NULL, NULL) < 0 && errno == EAGAIN);
    }
    CHECK(getenv("LISTEN_PID") == NULL && getenv("LISTEN_FDS") == NULL && getenv("LISTEN_FDNAMES") == NULL);
    CHECK(answers(first) && answers(second));
    CHECK(demit_os_inherited_look(&inherited, 1, &listener) == 0 && listener.fd == 4 && listener.port == second);
    CHECK(strcmp(listener.what, "descriptor 4 (submission)") == 0);
    CHECK(demit_os_listener_is(&listener, DEMIT_LISTENER_IPV4, "127.0.0.1", second));
    CHECK(!demit_os_listener_is(&listener, DEMIT_LISTENER_IPV4, "127.0.0.1", first));
    CHECK(!demit_os_listener_is(&listener, DEMIT_LISTENER_IPV4, NULL, second));
    CHECK(!demit_os_listener_is(&listener, DEMIT_LISTENER_IPV6, "127.0.0.1", second));
    CHECK(!demit_os_listener_is(&listener, DEMIT_LISTENER_UNIX, "127.0.0.1", 0));
}

/* The variables of a parent are not for its child, which sd_listen_fds(3) tells by the process id. */
static void for_another_body(void)
{
    demit_os_inherited_t inherited;
    demit_os_error_t error = {0};
    CHECK(listen_at(3) != 0);
    announce("1", NULL);
    CHECK(setenv("LISTEN_PID", "1", 1) == 0);
    CHECK(demit_os_inherit(&inherited, &error) == 0 && inherited.count == 0);
    CHECK(demit_os_tidy_process(&inherited) == 0 && fcntl(3, F_GETFD) < 0);
}

static void test_exactly_the_announced_sockets_stay_open(void **state)
{
    (void)state;
    in_child(announced_body, NULL);
    in_child(for_another_body, NULL);
}

/* ---- inetd ---- */

static void inetd_body(void)
{
    demit_os_inherited_t inherited;
    demit_os_error_t error = {0};
    demit_os_listener_t listener;
    struct stat null_device, about;
    int keep = dup(STDERR_FILENO);
    uint16_t port = listen_at(0);
    CHECK(dup2(0, 1) == 1 && dup2(0, 2) == 2);
    int code = demit_os_inherit(&inherited, &error);
    CHECK(keep > 2 && dup2(keep, 9) == 9); /* for child_failed() */
    CHECK(code == 0 && inherited.count == 1);
    CHECK(stat("/dev/null", &null_device) == 0);
    for (int fd = 0; fd <= 2; fd++) {
        CHECK(fstat(fd, &about) == 0 && about.st_rdev == null_device.st_rdev);
    }
    CHECK(demit_os_tidy_process(&inherited) == 0 && fcntl(3, F_GETFD) >= 0 && fcntl(4, F_GETFD) < 0);
    CHECK(answers(port) && accept(3, NULL, NULL) >= 0);
    CHECK(demit_os_inherited_look(&inherited, 0, &listener) == 0 && listener.port == port);
}

static void beside_announced_body(void)
{
    demit_os_inherited_t inherited;
    demit_os_error_t error = {0};
    demit_os_listener_t listener;
    uint16_t port = listen_at(0);
    CHECK(listen_at(3) != 0);
    announce("1", NULL);
    CHECK(demit_os_inherit(&inherited, &error) == 0 && inherited.count == 2);
    CHECK(demit_os_inherited_look(&inherited, 1, &listener) == 0 && listener.fd == 4 && listener.port == port);
}

/* inetd's "nowait", or a remote shell: a conversation is no listener, and whose it is nobody here knows. */
static void conversation_body(void)
{
    demit_os_inherited_t inherited;
    demit_os_error_t error = {0};
    int pair[2], type = 0;
    socklen_t size = sizeof(type);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 && dup2(pair[0], 0) == 0);
    CHECK(demit_os_inherit(&inherited, &error) == 0 && inherited.count == 0);
    CHECK(getsockopt(0, SOL_SOCKET, SO_TYPE, &type, &size) == 0);
}

static void test_inetd_hands_over_descriptor_0(void **state)
{
    (void)state;
    in_child(inetd_body, NULL);
    in_child(beside_announced_body, NULL);
    in_child(conversation_body, NULL);
}

/* ---- addresses ---- */

static void check_ipv6(int only)
{
    demit_os_inherited_t inherited = {.first = 3, .count = 1};
    demit_os_listener_t listener;
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = in6addr_any};
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    if (fd < 0) {
        child_skips("this host has no IPv6");
    }
    const int code = setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof(only)) == 0 ? 0 : errno;
    if (only == 0 && code == EINVAL) { /* OpenBSD: inet6(4) */
        child_skips("this system takes no IPv4 at a socket of IPv6");
    }
    CHECK(code == 0);
    CHECK(bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 && dup2(fd, 3) == 3);
    CHECK(demit_os_inherited_look(&inherited, 0, &listener) == 0);
    CHECK(listener.takes_ipv4_too == (only == 0));
    CHECK(demit_os_listener_is(&listener, DEMIT_LISTENER_IPV6, NULL, listener.port));
    CHECK(demit_os_listener_is(&listener, DEMIT_LISTENER_IPV6, "0:0:0:0:0:0:0:0", listener.port));
    CHECK(!demit_os_listener_is(&listener, DEMIT_LISTENER_IPV6, "::1", listener.port));
    CHECK(!demit_os_listener_is(&listener, DEMIT_LISTENER_IPV4, NULL, listener.port));
    CHECK(strncmp(listener.text, "[::]:", 5) == 0);
}

static void ipv6_body(void)
{
    check_ipv6(1);
}

static void both_families_body(void)
{
    check_ipv6(0);
}

static void unix_body(void)
{
    demit_os_inherited_t inherited = {.first = 3, .count = 1};
    demit_os_listener_t listener;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char directory[64];
    (void)snprintf(directory, sizeof(directory), "%s/demit-contract-XXXXXX", geteuid() == 0 ? run_directory() : "/tmp");
    CHECK(mkdtemp(directory) != NULL);
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/s", directory);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK(fd >= 0 && bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 && dup2(fd, 3) == 3);
    CHECK(unlink(address.sun_path) == 0 && rmdir(directory) == 0);
    CHECK(demit_os_inherited_look(&inherited, 0, &listener) == 0);
    CHECK(demit_os_listener_is(&listener, DEMIT_LISTENER_UNIX, address.sun_path, 0));
    CHECK(!demit_os_listener_is(&listener, DEMIT_LISTENER_UNIX, "/run/other", 0));
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK(dup2(fd, 3) == 3 && demit_os_inherited_look(&inherited, 0, &listener) == 0);
    CHECK(!demit_os_listener_is(&listener, DEMIT_LISTENER_UNIX, "", 0)); /* bound to nothing */
}

static void test_an_address_is_told_and_compared(void **state)
{
    (void)state;
    in_child(unix_body, NULL);
    in_child(ipv6_body, NULL);
}

static void test_a_socket_of_both_families_is_told(void **state)
{
    (void)state;
    in_child(both_families_body, NULL);
}

/* ---- refused ---- */

static void refused(const char *step, const char *says)
{
    demit_os_inherited_t inherited;
    demit_os_error_t error = {0};
    CHECK(demit_os_inherit(&inherited, &error) != 0 && strcmp(error.step, step) == 0);
    CHECK_HOLDS(error.text, says);
}

static void numbers_body(void)
{
    static const char *const bad[] = {"", "x", "-1", "1 ", "0x1", "18446744073709551617"};
    CHECK(listen_at(3) != 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        announce(bad[i], NULL);
        refused("LISTEN_FDS", "is no number");
        announce("1", NULL);
        CHECK(setenv("LISTEN_PID", bad[i], 1) == 0);
        refused("LISTEN_PID", "is no number");
    }
    announce("100000", NULL);
    refused("LISTEN_FDS", "more than demitd takes");
}

static void kinds_body(void)
{
    int pair[2];
    CHECK(listen_at(3) != 0);
    (void)close(4);
    announce("2", "good:bad");
    refused("LISTEN_FDS", "descriptor 4 (bad) is announced by LISTEN_FDS and not open");
    CHECK(dup2(open("/dev/null", O_RDONLY), 4) == 4);
    refused("LISTEN_FDS", "descriptor 4 (bad) is not a stream socket");
    CHECK(dup2(socket(AF_INET, SOCK_DGRAM, 0), 4) == 4);
    refused("LISTEN_FDS", "descriptor 4 (bad) is not a stream socket");
    CHECK(dup2(open("/", O_RDONLY | O_DIRECTORY), 4) == 4);
    refused("LISTEN_FDS", "descriptor 4 (bad) is not a stream socket");
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 && dup2(pair[0], 4) == 4);
    refused("LISTEN_FDS", "descriptor 4 (bad) does not listen");
}

static void test_what_is_no_listening_socket_is_refused(void **state)
{
    (void)state;
    in_child(numbers_body, NULL);
    in_child(kinds_body, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exactly_the_announced_sockets_stay_open),
        cmocka_unit_test(test_inetd_hands_over_descriptor_0),
        cmocka_unit_test(test_an_address_is_told_and_compared),
        cmocka_unit_test(test_a_socket_of_both_families_is_told),
        cmocka_unit_test(test_what_is_no_listening_socket_is_refused),
    };
    return cmocka_run_group_tests_name("contract: inherited", tests, NULL, NULL);
}
