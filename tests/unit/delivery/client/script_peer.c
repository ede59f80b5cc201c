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

enum { PATIENCE_MS = PATIENCE_S * 1000, QUIET_MS = 50 };

struct script_peer {
    int listener;
    uint16_t port;
    pthread_t thread;
    const char *const *const *scripts;
    uint32_t count, connections;
    char *messages;
    size_t messages_size;
    char complaint[512]; /* "": none */
    /* What the test and the peer say to each other. */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned marks, permits;
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

static void mark(script_peer_t *peer)
{
    pthread_mutex_lock(&peer->lock);
    peer->marks++;
    pthread_cond_broadcast(&peer->changed);
    pthread_mutex_unlock(&peer->lock);
}

/* Waits until *COUNTER is at least WANTED. False: in vain. */
static bool await_counter(script_peer_t *peer, const unsigned *counter, unsigned wanted)
{
    struct timespec until;
    int error = 0;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_S;
    pthread_mutex_lock(&peer->lock);
    while (*counter < wanted && error == 0)
        error = pthread_cond_timedwait(&peer->changed, &peer->lock, &until);
    bool reached = *counter >= wanted;
    pthread_mutex_unlock(&peer->lock);
    return reached;
}

static void await_permit(script_peer_t *peer, const char *line)
{
    if (!await_counter(peer, &peer->permits, 1)) {
        complain(peer, "nobody said to go on", line);
        return;
    }
    pthread_mutex_lock(&peer->lock);
    peer->permits--;
    pthread_mutex_unlock(&peer->lock);
}

static void await_end(script_peer_t *peer, const char *line)
{
    struct pollfd pollfd = {.fd = peer->fd, .events = POLLIN};
    char bytes[65536];
    do {
        if (poll(&pollfd, 1, PATIENCE_MS) <= 0) {
            complain(peer, "the client does not close", line);
            return;
        }
    } while (recv(peer->fd, bytes, sizeof(bytes), 0) > 0);
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
    case '@':
        mark(peer);
        return true;
    case '^':
        await_permit(peer, line);
        return true;
    case '|':
        await_end(peer, line);
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
    pthread_mutex_init(&peer->lock, NULL);
    pthread_cond_init(&peer->changed, NULL);
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

void script_peer_await(script_peer_t *peer, unsigned count)
{
    if (!await_counter(peer, &peer->marks, count))
        fail_msg("the peer did not come to mark %u", count);
}

void script_peer_go_on(script_peer_t *peer)
{
    pthread_mutex_lock(&peer->lock);
    peer->permits++;
    pthread_cond_broadcast(&peer->changed);
    pthread_mutex_unlock(&peer->lock);
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
    pthread_mutex_destroy(&peer->lock);
    pthread_cond_destroy(&peer->changed);
    free(peer->messages);
    free(peer->input);
    free(peer);
}

uint16_t free_port(void)
{
    enum { FIRST = 10000, COUNT = 9973, STEP = 151 }; /* the system gives none of these to outgoing connections */
    static unsigned next;
    const int one = 1;
    int error;
    if (next == 0)
        next = (unsigned)getpid() * STEP;
    do {
        struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        next = (next + 1) % COUNT;
        address.sin_port = htons((uint16_t)(FIRST + next));
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
        error = bind(fd, (struct sockaddr *)&address, sizeof(address));
        close(fd);
    } while (error != 0);
    return (uint16_t)(FIRST + next);
}
