/*
 * From a domain to a peer (RFC 5321 section 5.1), by a real DNS server: dnsmasq on a port of 127.0.0.1. What it cannot
 * be made to say, a server of forty lines says.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
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

static fixture_t bench;
static char *dnsmasq;
static uint16_t dns_port;
static pid_t dns_pid;

/* ---- dnsmasq ----------------------------------------------------------------------------------------------------- */

static void run_dnsmasq(void)
{
    char port[32];
    snprintf(port, sizeof(port), "--port=%u", (unsigned)dns_port);
    const char *const arguments[] = {dnsmasq,
                                     port,
                                     "--keep-in-foreground",
                                     "--conf-file=/dev/null",
                                     "--pid-file=",
                                     "--user=root",
                                     "--listen-address=127.0.0.1",
                                     "--bind-interfaces",
                                     "--no-resolv",
                                     "--no-hosts",
                                     "--local=/test/",
                                     "--local-ttl=30",
                                     "--mx-host=two.test,dead.test,10",
                                     "--mx-host=two.test,live.test,20",
                                     "--mx-host=same.test,live.test,10",
                                     "--mx-host=same.test,alive.test,20",
                                     "--mx-host=loop.test,demit.test,10",
                                     "--mx-host=half.test,live.test,5",
                                     "--mx-host=half.test,demit.test,10",
                                     "--mx-host=empty.test,gone.test,10",
                                     "--mx-host=xn--bcher-kva.test,live.test,10",
                                     "--dns-rr=null.test,15,000000",
                                     "--host-record=dead.test,127.0.0.2",
                                     "--host-record=live.test,127.0.0.1",
                                     "--host-record=alive.test,127.0.0.1",
                                     "--host-record=demit.test,127.0.0.1",
                                     "--host-record=plain.test,127.0.0.1",
                                     "--cname=alias.test,plain.test",
                                     NULL};
    execv(dnsmasq, (char *const *)(uintptr_t)arguments);
    _exit(127);
}

static int start_dnsmasq(void **state)
{
    (void)state;
    dns_port = free_port();
    dns_pid = fork();
    if (dns_pid == 0)
        run_dnsmasq();
    for (int i = 0; i < PATIENCE_S * 20; i++) { /* until it listens, on TCP too */
        struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(dns_port)};
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        int error = connect(fd, (struct sockaddr *)&address, sizeof(address));
        close(fd);
        if (error == 0)
            return 0;
        usleep(50000);
    }
    return -1;
}

static int stop_dnsmasq(void **state)
{
    (void)state;
    kill(dns_pid, SIGTERM);
    return waitpid(dns_pid, NULL, 0) == dns_pid ? 0 : -1;
}

/* ---- the bench --------------------------------------------------------------------------------------------------- */

static void use_dns(uint16_t port)
{
    *(const char **)apr_array_push((apr_array_header_t *)(uintptr_t)bench.settings.nameservers) =
        apr_psprintf(bench.pool, "127.0.0.1:%u", (unsigned)port);
}

static int set_up(void **state)
{
    (void)state;
    fixture_init(&bench);
    bench.domain.gateway_host = NULL;
    use_dns(dns_port);
    return 0;
}

#define GREETING ">220 peer.test ESMTP", "<EHLO demit.test", ">250-peer.test", ">250 PIPELINING"
#define MESSAGE  "<MAIL", "<RCPT", "<DATA", ">250 ok", ">250 ok", ">354 go", "<.", ">250 taken"
#define GOODBYE  "<QUIT", ">221 bye"

static const char *const good_script[] = {GREETING, MESSAGE, GOODBYE, NULL};
static const char *const busy_script[] = {">450 4.3.2 busy", NULL};
static const char *const never_script[] = {">554 5.3.2 never", NULL};

static demit_delivery_t *deliver_to(const char *domain)
{
    static const fake_message_t message = {.bytes = "a\r\n", .size = 3};
    const char *recipient = apr_pstrcat(bench.pool, "user@", domain, (char *)NULL);
    demit_delivery_t *delivery = delivery_make(&bench, fake_message_add(&message), domain, &recipient, 1);
    deliver_all(&bench, &delivery, 1);
    return delivery;
}

/* Mail for DOMAIN arrives, by HOST, at a peer that follows SCRIPTS. */
static void arrives(const char *domain, const char *host, const char *const *const *scripts, uint32_t count)
{
    script_peer_t *peer = script_peer_start(scripts, count);
    bench.domain.remote_smtp_port = script_peer_port(peer);
    fixture_start(&bench);
    demit_delivery_t *delivery = deliver_to(domain);
    assert_string_equal(delivery->recipients[0].status, "2.0.0");
    assert_int_equal(delivery->recipients[0].result, DEMIT_RESULT_DELIVERED);
    assert_string_equal(delivery->remote_host, host);
    delivery_free(delivery);
    fixture_stop(&bench);
    script_peer_finish(peer);
    script_peer_free(peer);
}

/* Mail for DOMAIN goes nowhere. */
static void refused(const char *domain, demit_result_t result, const char *status)
{
    fixture_start(&bench);
    demit_delivery_t *delivery = deliver_to(domain);
    assert_string_equal(delivery->recipients[0].status, status);
    assert_int_equal(delivery->recipients[0].result, result);
    delivery_free(delivery);
    fixture_stop(&bench);
}

static void test_second_exchanger(void **state)
{
    const char *const *const scripts[] = {good_script};
    (void)state;
    arrives("two.test", "live.test", scripts, 1);
}

/* The DNS is asked for A-labels; the peer hears what was written, if it can, else A-labels, too. */
static void test_international_domain(void **state)
{
#define REST "<DATA", ">250 ok", ">250 ok", ">354 go", "<.", ">250 taken", GOODBYE, NULL
    static const char *const plain_script[] = {GREETING, "<MAIL FROM:<sender@example.org>\r\n",
                                               "<RCPT TO:<user@xn--bcher-kva.test>\r\n", REST};
    static const char *const utf8_script[] = {">220 peer.test ESMTP",
                                              "<EHLO demit.test",
                                              ">250-peer.test",
                                              ">250-SMTPUTF8",
                                              ">250 PIPELINING",
                                              "<MAIL FROM:<sender@example.org> SMTPUTF8\r\n",
                                              "<RCPT TO:<user@b\xc3\xbc"
                                              "cher.test>\r\n",
                                              REST};
    const char *const *const scripts[] = {plain_script, utf8_script};
    static const fake_message_t message = {.bytes = "a\r\n", .size = 3, .flags = DEMIT_MESSAGE_SMTPUTF8};
    const char *recipient = "user@b\xc3\xbc"
                            "cher.test";
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        script_peer_t *peer = script_peer_start(&scripts[i], 1);
        bench.domain.remote_smtp_port = script_peer_port(peer);
        fixture_start(&bench);
        demit_delivery_t *delivery =
            delivery_make(&bench, fake_message_add(&message), "xn--bcher-kva.test", &recipient, 1);
        deliver_all(&bench, &delivery, 1);
        assert_int_equal(delivery->recipients[0].result, DEMIT_RESULT_DELIVERED);
        delivery_free(delivery);
        fixture_stop(&bench);
        script_peer_finish(peer);
        script_peer_free(peer);
        set_up(state);
    }
    fixture_start(&bench);
    fixture_stop(&bench);
}

static void test_greeting_sends_us_on(void **state)
{
    const char *const *const busy[] = {busy_script, good_script};
    const char *const *const never[] = {never_script, good_script};
    arrives("same.test", "alive.test", busy, 2);
    set_up(state);
    arrives("same.test", "alive.test", never, 2);
}

static void test_all_exchangers_refuse(void **state)
{
    const char *const *const scripts[] = {busy_script, never_script};
    (void)state;
    script_peer_t *peer = script_peer_start(scripts, 2);
    bench.domain.remote_smtp_port = script_peer_port(peer);
    refused("same.test", DEMIT_RESULT_DEFERRED, "4.3.2");
    script_peer_finish(peer);
    script_peer_free(peer);
}

static void test_implicit_exchanger(void **state)
{
    const char *const *const scripts[] = {good_script};
    arrives("plain.test", "plain.test", scripts, 1);
    set_up(state);
    arrives("alias.test", "alias.test", scripts, 1);
}

static void test_before_us_in_the_list(void **state)
{
    const char *const *const scripts[] = {good_script};
    (void)state;
    arrives("half.test", "live.test", scripts, 1);
}

static void test_no_way(void **state)
{
    static const struct {
        const char *domain;
        demit_result_t result;
        const char *status;
    } cases[] = {{"null.test", DEMIT_RESULT_FAILED, "5.1.10"}, {"nx.test", DEMIT_RESULT_FAILED, "5.1.2"},
                 {"loop.test", DEMIT_RESULT_FAILED, "5.4.6"},  {"demit.test", DEMIT_RESULT_FAILED, "5.4.6"},
                 {"empty.test", DEMIT_RESULT_FAILED, "5.4.4"}, {"a..b.test", DEMIT_RESULT_FAILED, "5.1.2"},
                 {"elsewhere", DEMIT_RESULT_DEFERRED, "4.4.3"}}; /* refused: not its zone */
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        refused(cases[i].domain, cases[i].result, cases[i].status);
        set_up(state);
    }
    fixture_start(&bench);
    fixture_stop(&bench);
}

static void test_prohibited(void **state)
{
    apr_array_header_t *hosts = apr_array_make(bench.pool, 1, sizeof(apr_ipsubnet_t *));
    (void)state;
    assert_int_equal(apr_ipsubnet_create(apr_array_push(hosts), "127.0.0.0", "8", bench.pool), APR_SUCCESS);
    bench.domain.prohibited_hosts = hosts;
    refused("two.test", DEMIT_RESULT_FAILED, "5.4.4");
}

static void test_gateway_by_name(void **state)
{
    const char *const *const scripts[] = {good_script};
    bench.domain.gateway_host = "two.test"; /* its MX first */
    arrives("anything.invalid", "live.test", scripts, 1);
    set_up(state);
    bench.domain.gateway_host = "plain.test"; /* then its address */
    arrives("anything.invalid", "plain.test", scripts, 1);
    set_up(state);
    bench.domain.gateway_host = "LocalHost."; /* whatever the DNS says */
    arrives("anything.invalid", "LocalHost.", scripts, 1);
    set_up(state);
    bench.domain.gateway_host = "nx.test";
    refused("anything.invalid", DEMIT_RESULT_DEFERRED, "4.3.5");
}

/* The second question is answered from memory: the server is gone. */
static void test_cache(void **state)
{
    const char *const *const scripts[] = {good_script, good_script};
    (void)state;
    script_peer_t *peer = script_peer_start(scripts, 2);
    bench.domain.remote_smtp_port = script_peer_port(peer);
    fixture_start(&bench);
    demit_delivery_t *delivery = deliver_to("plain.test");
    assert_int_equal(delivery->recipients[0].result, DEMIT_RESULT_DELIVERED);
    delivery_free(delivery);
    kill(dns_pid, SIGSTOP);
    delivery = deliver_to("plain.test");
    kill(dns_pid, SIGCONT);
    assert_int_equal(delivery->recipients[0].result, DEMIT_RESULT_DELIVERED);
    delivery_free(delivery);
    fixture_stop(&bench);
    script_peer_finish(peer);
    script_peer_free(peer);
}

/* Ten lookups under way when everything stops: each comes back. */
static void test_stop_while_asking(void **state)
{
    enum { COUNT = 10 };
    static const fake_message_t message = {.bytes = "a\r\n", .size = 3};
    const char *recipient = "user@plain.test";
    demit_delivery_t *deliveries[COUNT];
    (void)state;
    fixture_start(&bench);
    kill(dns_pid, SIGSTOP);
    for (size_t i = 0; i < COUNT; i++) {
        deliveries[i] = delivery_make(&bench, fake_message_add(&message), "plain.test", &recipient, 1);
        deliver_start(&bench, &deliveries[i], 1);
    }
    usleep(50000);
    demit_resolver_stop(bench.resolver);
    kill(dns_pid, SIGCONT);
    deliver_wait(COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        assert_string_equal(deliveries[i]->recipients[0].status, "4.4.3");
        assert_true(deliveries[i]->connection_failed);
        delivery_free(deliveries[i]);
    }
    demit_delivery_t *late = deliver_to("plain.test"); /* who asks later is told, too */
    assert_string_equal(late->recipients[0].status, "4.4.3");
    delivery_free(late);
    bench.resolver = NULL;
    fixture_stop(&bench);
}

/* ---- a server that fails on purpose ------------------------------------------------------------------------------ */

enum { TYPE_A = 1, TYPE_MX = 15, SERVFAIL = 2 };

static int failing_fd = -1;

/* Says SERVFAIL to A (and, for names that begin with "m", to MX); nothing else exists, without an error. */
static void *serve_failures(void *baton)
{
    unsigned char packet[512];
    struct sockaddr_storage from;
    (void)baton;
    for (;;) {
        socklen_t from_size = sizeof(from);
        ssize_t size = recvfrom(failing_fd, packet, sizeof(packet), 0, (struct sockaddr *)&from, &from_size);
        if (size <= 1)
            return NULL; /* one byte: the end */
        size_t at = 12;
        while (at < (size_t)size && packet[at] != 0)
            at += packet[at] + (size_t)1;
        int type = packet[at + 1] << 8 | packet[at + 2];
        bool fails = type == TYPE_A || (type == TYPE_MX && packet[13] == 'm');
        packet[2] = 0x84;
        packet[3] = fails ? SERVFAIL : 0;
        memset(packet + 6, 0, 6);
        sendto(failing_fd, packet, at + 5, 0, (struct sockaddr *)&from, from_size);
    }
}

static void test_failing_server(void **state)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    pthread_t thread;
    (void)state;
    failing_fd = socket(AF_INET, SOCK_DGRAM, 0);
    assert_int_equal(bind(failing_fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(getsockname(failing_fd, (struct sockaddr *)&address, &size), 0);
    assert_int_equal(pthread_create(&thread, NULL, serve_failures, NULL), 0);
    dns_port = ntohs(address.sin_port);
    /* "No AAAA" is certain, but whether there is an A is not: to be tried again, not to be bounced. */
    set_up(state);
    refused("address.test", DEMIT_RESULT_DEFERRED, "4.4.3");
    set_up(state);
    refused("mx.test", DEMIT_RESULT_DEFERRED, "4.4.3");
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    (void)!sendto(fd, "", 1, 0, (struct sockaddr *)&address, size);
    pthread_join(thread, NULL);
    close(fd);
    close(failing_fd);
    set_up(state);
    refused("nobody.listens.test", DEMIT_RESULT_DEFERRED, "4.4.3");
}

static void test_bad_nameserver(void **state)
{
    demit_resolver_t *resolver = NULL;
    (void)state;
    fixture_init(&bench);
    *(const char **)apr_array_push((apr_array_header_t *)(uintptr_t)bench.settings.nameservers) = "not an address";
    assert_int_equal(demit_resolver_create(&resolver, &bench.settings, bench.pool), APR_EINVAL);
    apr_pool_destroy(bench.pool);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, set_up)
    const struct CMUnitTest tests[] = {
        TEST(test_second_exchanger),
        TEST(test_international_domain),
        TEST(test_greeting_sends_us_on),
        TEST(test_all_exchangers_refuse),
        TEST(test_implicit_exchanger),
        TEST(test_before_us_in_the_list),
        TEST(test_no_way),
        TEST(test_prohibited),
        TEST(test_gateway_by_name),
        TEST(test_cache),
        TEST(test_stop_while_asking),
        cmocka_unit_test(test_failing_server),
        cmocka_unit_test(test_bad_nameserver),
    };
    static char path[] = "/usr/sbin/dnsmasq";
    dnsmasq = path;
    if (access(dnsmasq, X_OK) != 0) {
        fprintf(stderr, "skipped: %s is not installed\n", dnsmasq);
        return SKIPPED_EXIT;
    }
    apr_initialize();
    return cmocka_run_group_tests(tests, start_dnsmasq, stop_dnsmasq);
}
