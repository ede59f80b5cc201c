/* The peer that follows a script: a thread with blocking sockets, simple enough to be believed. */
#include "fixture.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

enum { PATIENCE_MS = 15000, QUIET_MS = 50 };

struct script_peer {
    int listener;
    uint16_t port;
    pthread_t thread;
    const char *const *const *scripts;
    uint32_t count, connections;
    char *messages;
    size_t messages_size;
    char complaint[512]; /* "": none */
    /* the connection at hand */
    int fd;
    char *input;
    size_t input_size, input_capacity;
};

static void complain(script_peer_t *peer, const char *what, const char *line)
{
    if (peer->complaint[0] == '\0')
        snprintf(peer->complaint, sizeof(peer->complaint), "connection %u, at \"%s\": %s", peer->connections, line,
                 what);
}

/* Reads more. False: the client closed, or nothing came. */
static bool more(script_peer_t *peer, int wait_ms)
{
    struct pollfd pollfd = {.fd = peer->fd, .events = POLLIN};
    if (poll(&pollfd, 1, wait_ms) <= 0)
        return false;
    if (peer->input_capacity - peer->input_size < 65536) {
        peer->input_capacity += 1 << 20;
        peer->input = realloc(peer->input, peer->input_capacity);
    }
    ssize_t n = recv(peer->fd, peer->input + peer->input_size, 65536, 0);
    if (n <= 0)
        return false;
    peer->input_size += (size_t)n;
    return true;
}

static void consume(script_peer_t *peer, size_t size)
{
    memmove(peer->input, peer->input + size, peer->input_size - size);
    peer->input_size -= size;
}

static bool take_line(script_peer_t *peer, const char *wanted)
{
    const char *end;
    while (peer->input_size == 0 || (end = memchr(peer->input, '\n', peer->input_size)) == NULL) {
        if (!more(peer, PATIENCE_MS)) {
            complain(peer, "no line came", wanted);
            return false;
        }
    }
    size_t size = (size_t)(end - peer->input) + 1;
    if (size < 2 || peer->input[size - 2] != '\r' || size < strlen(wanted) ||
        memcmp(peer->input, wanted, strlen(wanted)) != 0) {
        char text[200];
        snprintf(text, sizeof(text), "there came \"%.*s\"", (int)(size < 150 ? size : 150), peer->input);
        complain(peer, text, wanted);
        return false;
    }
    consume(peer, size);
    return true;
}

static bool take_message(script_peer_t *peer)
{
    size_t at = 0;
    for (;;) {
        for (; at + 3 <= peer->input_size; at++) {
            bool line_start = at == 0 || (at >= 2 && memcmp(peer->input + at - 2, "\r\n", 2) == 0);
            if (line_start && memcmp(peer->input + at, ".\r\n", 3) == 0) {
                peer->messages = realloc(peer->messages, peer->messages_size + at + 4);
                memcpy(peer->messages + peer->messages_size, peer->input, at + 3);
                peer->messages_size += at + 3;
                peer->messages[peer->messages_size] = '\0';
                consume(peer, at + 3);
                return true;
            }
        }
        if (!more(peer, PATIENCE_MS)) {
            complain(peer, "no whole message came", "<.");
            return false;
        }
    }
}

static void say(script_peer_t *peer, const char *text, const char *end)
{
    (void)!send(peer->fd, text, strlen(text), MSG_NOSIGNAL);
    (void)!send(peer->fd, end, strlen(end), MSG_NOSIGNAL);
}

static bool follow(script_peer_t *peer, const char *line)
{
    switch (line[0]) {
    case '>':
        if (line[1] == '>')
            say(peer, line + 2, "");
        else
            say(peer, line + 1, "\r\n");
        return true;
    case '<':
        return strcmp(line, "<.") == 0 ? take_message(peer) : take_line(peer, line + 1);
    case '?':
        if (peer->input_size > 0 || more(peer, QUIET_MS))
            complain(peer, "the client did not wait", line);
        return true;
    case '~':
        usleep((useconds_t)atoi(line + 1) * 1000);
        return true;
    case '!': {
        struct linger linger = {1, 0};
        setsockopt(peer->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
        return false;
    }
    default:
        complain(peer, "no such script line", line);
        return false;
    }
}

static void *run(void *baton)
{
    script_peer_t *peer = baton;
    for (uint32_t i = 0; i < peer->count; i++) {
        struct pollfd pollfd = {.fd = peer->listener, .events = POLLIN};
        if (poll(&pollfd, 1, PATIENCE_MS) <= 0) {
            complain(peer, "nobody connected", peer->scripts[i][0] == NULL ? "" : peer->scripts[i][0]);
            break;
        }
        peer->fd = accept(peer->listener, NULL, NULL);
        int one = 1; /* or each reply waits for the ACK of its first half */
        (void)setsockopt(peer->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        peer->connections++;
        peer->input_size = 0;
        for (const char *const *line = peer->scripts[i]; *line != NULL && follow(peer, *line); line++)
            continue;
        close(peer->fd);
    }
    return NULL;
}

static script_peer_t *start(int listener, const char *const *const *scripts, uint32_t count)
{
    script_peer_t *peer = calloc(1, sizeof(*peer));
    peer->listener = listener;
    peer->scripts = scripts;
    peer->count = count;
    peer->messages = calloc(1, 1);
    assert_int_equal(listen(listener, 16), 0);
    return peer;
}

script_peer_t *script_peer_start(const char *const *const *scripts, uint32_t count)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, size), 0);
    script_peer_t *peer = start(listener, scripts, count);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    peer->port = ntohs(address.sin_port);
    assert_int_equal(pthread_create(&peer->thread, NULL, run, peer), 0);
    return peer;
}

script_peer_t *script_peer_start_unix(const char *path, const char *const *const *scripts, uint32_t count)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
    script_peer_t *peer = start(listener, scripts, count);
    assert_int_equal(pthread_create(&peer->thread, NULL, run, peer), 0);
    return peer;
}

uint16_t script_peer_port(const script_peer_t *peer)
{
    return peer->port;
}

void script_peer_finish(script_peer_t *peer)
{
    pthread_join(peer->thread, NULL);
    close(peer->listener);
    if (peer->complaint[0] != '\0')
        fail_msg("%s", peer->complaint);
}

const char *script_peer_messages(const script_peer_t *peer, size_t *size)
{
    if (size != NULL)
        *size = peer->messages_size;
    return peer->messages;
}

uint32_t script_peer_connections(const script_peer_t *peer)
{
    return peer->connections;
}

void script_peer_free(script_peer_t *peer)
{
    free(peer->messages);
    free(peer->input);
    free(peer);
}

uint16_t free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    close(fd);
    return ntohs(address.sin_port);
}
