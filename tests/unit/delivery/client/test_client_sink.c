/* Against a server that we did not write: Postfix's smtp-sink(1), with everything it can be told to do wrong. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "fixture.h"

#define SKIPPED_EXIT 77

enum { ARGUMENTS_MAX = 16, BATCHES = 40, PER_BATCH = 25 };

static char sink_path[4096];

/* Where smtp-sink is: unpacked for the tests, or installed. */
static bool find_sink(void)
{
    const char *const directories[] = {getenv("DEMIT_TOOLS"), "/usr/sbin", "/usr/local/sbin", "/usr/libexec/postfix"};
    for (size_t i = 0; i < sizeof(directories) / sizeof(directories[0]); i++) {
        if (directories[i] == NULL)
            continue;
        snprintf(sink_path, sizeof(sink_path), "%s/smtp-sink", directories[i]);
        if (access(sink_path, X_OK) == 0)
            return true;
    }
    return false;
}

static void await_listener(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int i = 0; i < PATIENCE_S * 50; i++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        int error = connect(fd, (struct sockaddr *)&address, sizeof(address));
        close(fd);
        if (error == 0)
            return;
        usleep(20000);
    }
    fail_msg("smtp-sink does not listen");
}

static pid_t start_sink(const char *const *options, uint16_t port)
{
    char where[32];
    const char *arguments[ARGUMENTS_MAX] = {sink_path};
    size_t count = 1;
    snprintf(where, sizeof(where), "127.0.0.1:%u", (unsigned)port);
    if (geteuid() == 0) { /* it refuses to stay root */
        arguments[count++] = "-u";
        arguments[count++] = "nobody";
    }
    for (; *options != NULL; options++)
        arguments[count++] = *options;
    arguments[count++] = where;
    arguments[count] = "100";
    pid_t pid = fork();
    if (pid == 0) {
        execv(sink_path, (char *const *)(uintptr_t)arguments);
        _exit(127);
    }
    await_listener(port);
    return pid;
}

static void stop_sink(pid_t pid)
{
    kill(pid, SIGTERM);
    waitpid(pid, NULL, 0);
}

#define TRANSIENT DEMIT_RESULT_DEFERRED, '4'
#define PERMANENT DEMIT_RESULT_FAILED, '5'
#define TAKEN     DEMIT_RESULT_DELIVERED, '2'

static const struct {
    const char *options[4];
    demit_result_t result;
    char class;
    bool lmtp;
    uint32_t flags;
} cases[] = {
    {{NULL}, TAKEN, false, 0},
    {{"-p"}, TAKEN, false, 0},
    {{"-e"}, TAKEN, false, 0},
    {{"-E"}, TAKEN, false, 0},
    {{"-N"}, TAKEN, false, 0},
    {{"-P"}, TAKEN, false, 0},
    {{"-8"}, TAKEN, false, 0},
    {{"-8"}, PERMANENT, false, DEMIT_MESSAGE_BODY_8BIT},
    {{"-L"}, TAKEN, true, 0},
    {{"-L", "-p"}, TAKEN, true, 0},
    {{"-f", "CONNECT"}, PERMANENT, false, 0},
    {{"-f", "EHLO"}, TAKEN, false, 0},
    {{"-f", "EHLO,HELO"}, PERMANENT, false, 0},
    {{"-f", "MAIL"}, PERMANENT, false, 0},
    {{"-f", "RCPT"}, PERMANENT, false, 0},
    {{"-f", "DATA"}, PERMANENT, false, 0},
    {{"-f", "."}, PERMANENT, false, 0},
    {{"-f", "QUIT"}, TAKEN, false, 0},
    {{"-L", "-f", "LHLO"}, PERMANENT, true, 0},
    {{"-L", "-f", "RCPT"}, PERMANENT, true, 0},
    {{"-r", "CONNECT"}, TRANSIENT, false, 0},
    {{"-r", "EHLO"}, TRANSIENT, false, 0},
    {{"-r", "MAIL"}, TRANSIENT, false, 0},
    {{"-r", "RCPT"}, TRANSIENT, false, 0},
    {{"-r", "DATA"}, TRANSIENT, false, 0},
    {{"-r", "."}, TRANSIENT, false, 0},
    {{"-L", "-r", "."}, TRANSIENT, true, 0},
    {{"-q", "CONNECT"}, TRANSIENT, false, 0},
    {{"-q", "EHLO"}, TRANSIENT, false, 0},
    {{"-q", "MAIL"}, TRANSIENT, false, 0},
    {{"-q", "RCPT"}, TRANSIENT, false, 0},
    {{"-q", "DATA"}, TRANSIENT, false, 0},
    {{"-q", "."}, TRANSIENT, false, 0},
    {{"-q", "QUIT"}, TAKEN, false, 0},
    {{"-Q", "CONNECT"}, TRANSIENT, false, 0},
    {{"-Q", "EHLO"}, TRANSIENT, false, 0},
    {{"-Q", "MAIL"}, TRANSIENT, false, 0},
    {{"-Q", "RCPT"}, TRANSIENT, false, 0},
    {{"-Q", "DATA"}, TRANSIENT, false, 0},
    {{"-Q", "."}, TRANSIENT, false, 0},
    {{"-L", "-Q", "."}, TRANSIENT, true, 0},
};

static void test_every_way_of_refusing(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        fixture_t bench;
        fixture_init(&bench);
        bench.domain.gateway_port = free_port();
        bench.domain.delivery_method = cases[i].lmtp ? DEMIT_DELIVER_LMTP : DEMIT_DELIVER_ESMTP;
        pid_t pid = start_sink(cases[i].options, bench.domain.gateway_port);
        fixture_start(&bench);
        demit_delivery_t *delivery =
            deliver_text(&bench, "Subject: a\r\n\r\n.b\r\n", cases[i].flags | DEMIT_MESSAGE_LEADING_DOT);
        const demit_delivery_recipient_t *recipient = &delivery->recipients[0];
        if (recipient->result != cases[i].result || recipient->status[0] != cases[i].class)
            fail_msg("smtp-sink %s %s: result %d, %s, \"%s\"", cases[i].options[0],
                     cases[i].options[1] == NULL ? "" : cases[i].options[1], (int)recipient->result, recipient->status,
                     recipient->diagnostic);
        delivery_free(delivery);
        fixture_stop(&bench);
        stop_sink(pid);
    }
}

/* A large message to a peer that takes its time with a small window: the connection pushes back, and all arrives. */
static void test_slow_reader(void **state)
{
    static const char *const options[] = {"-H", "1", "-T", "2000", NULL};
    static const char *const recipients[] = {"user@example.com"};
    enum { SIZE = 3 << 20 };
    fixture_t bench;
    (void)state;
    char *text = malloc(SIZE);
    memset(text, 'x', SIZE);
    fixture_init(&bench);
    bench.domain.gateway_port = free_port();
    pid_t pid = start_sink(options, bench.domain.gateway_port);
    fixture_start(&bench);
    const fake_message_t message = {.bytes = text, .size = SIZE, .flags = DEMIT_MESSAGE_NO_FINAL_CRLF};
    demit_delivery_t *delivery = delivery_make(&bench, fake_message_add(&message), "example.com", recipients, 1);
    deliver_all(&bench, &delivery, 1);
    assert_int_equal(delivery->recipients[0].result, DEMIT_RESULT_DELIVERED);
    delivery_free(delivery);
    fixture_stop(&bench);
    stop_sink(pid);
    free(text);
}

/* Many batches at once, on connections that are used again. */
static void test_many(void **state)
{
    static const char *const options[] = {NULL};
    static const char *const recipients[] = {"user@example.com", "other@example.com"};
    static const fake_message_t message = {.bytes = "Subject: a\r\n\r\nb\r\n", .size = 17};
    demit_delivery_t *deliveries[BATCHES * PER_BATCH];
    fixture_t bench;
    (void)state;
    fixture_init(&bench);
    bench.domain.gateway_port = free_port();
    bench.domain.idle_timeout_us = 1000000;
    bench.domain.max_deliveries_per_connection = 60;
    pid_t pid = start_sink(options, bench.domain.gateway_port);
    fixture_start(&bench);
    uint32_t index = fake_message_add(&message);
    for (size_t i = 0; i < BATCHES * PER_BATCH; i++)
        deliveries[i] = delivery_make(&bench, index, "example.com", recipients, 2);
    for (size_t i = 0; i < BATCHES; i++)
        deliver_start(&bench, deliveries + i * PER_BATCH, PER_BATCH);
    deliver_wait(BATCHES * PER_BATCH);
    for (size_t i = 0; i < BATCHES * PER_BATCH; i++) {
        assert_int_equal(deliveries[i]->recipients[1].result, DEMIT_RESULT_DELIVERED);
        delivery_free(deliveries[i]);
    }
    fixture_stop(&bench);
    stop_sink(pid);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_way_of_refusing),
        cmocka_unit_test(test_slow_reader),
        cmocka_unit_test(test_many),
    };
    if (!find_sink()) {
        fprintf(stderr, "skipped: smtp-sink is not installed (Debian: postfix)\n");
        return SKIPPED_EXIT;
    }
    apr_initialize();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
