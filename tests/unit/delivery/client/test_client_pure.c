/* What the client decides without any I/O: replies, offers, commands, the encoding of bodies, results, routes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "core/delivery/client_command.h"
#include "core/delivery/client_encode.h"
#include "core/delivery/client_outcome.h"
#include "core/delivery/client_peer.h"
#include "core/delivery/client_reply.h"
#include "core/delivery/resolver_cache.h"
#include "core/delivery/route.h"

static apr_pool_t *pool;

static int set_up(void **state)
{
    (void)state;
    return apr_pool_create(&pool, NULL) == APR_SUCCESS ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    apr_pool_destroy(pool);
    return 0;
}

/* ---- replies ----------------------------------------------------------------------------------------------------- */

/* Reads TEXT as it would come in pieces of PIECE bytes; writes what was understood to LOG. */
static void read_in_pieces(const char *text, size_t size, size_t piece, char *log, size_t log_size)
{
    demit_reply_t *reply = calloc(1, sizeof(*reply));
    size_t start = 0;
    size_t used = 0;
    log[0] = '\0';
    for (size_t end = piece < size ? piece : size;; end = end + piece < size ? end + piece : size) {
        demit_reply_progress_t progress = DEMIT_REPLY_WHOLE;
        while (start < end && progress == DEMIT_REPLY_WHOLE) {
            size_t consumed = 0;
            char line[DEMIT_REPLY_TEXT_MAX + 8];
            char *exact = malloc(end - start); /* so that a sanitizer sees a read beyond */
            memcpy(exact, text + start, end - start);
            progress = demit_reply_read(reply, exact, end - start, &consumed);
            free(exact);
            assert_true(consumed <= end - start);
            start += consumed;
            if (progress == DEMIT_REPLY_WHOLE)
                used += (size_t)snprintf(log + used, log_size - used, "[%d %s|%s]", reply->code, reply->status,
                                         demit_reply_line(reply, line, sizeof(line)));
            if (progress == DEMIT_REPLY_JUNK) {
                snprintf(log + used, log_size - used, "[junk]");
                free(reply);
                return;
            }
        }
        if (end == size)
            break;
    }
    free(reply);
}

static const struct {
    const char *text, *understood;
} replies[] = {
    {"220 hello\r\n", "[220 |220 hello]"},
    {"250-a\r\n250-b\r\n250 c\r\n250 d\r\n", "[250 |250 a b c][250 |250 d]"},
    {"250\r\n", "[250 |250]"},
    {"250-\r\n250\r\n", "[250 |250  ]"},
    {"550 5.1.1 no\n", "[550 5.1.1|550 5.1.1 no]"},
    {"550-5.1.1 no\r\n550 5.1.1 such\r\n", "[550 5.1.1|550 5.1.1 no 5.1.1 such]"},
    {"550 4.1.1 liar\r\n", "[550 |550 4.1.1 liar]"},
    {"250 2.1.5\r\n", "[250 2.1.5|250 2.1.5]"},
    {"250 2.1.5ok\r\n", "[250 |250 2.1.5ok]"},
    {"250 2.1234.5 x\r\n", "[250 |250 2.1234.5 x]"},
    {"250 2..5 x\r\n", "[250 |250 2..5 x]"},
    {"421 a\x01\x7f b\tc\r\n", "[421 |421 a   b c]"},
    {"HTTP/1.1 400 Bad\r\n", "[junk]"},
    {"25 x\r\n", "[junk]"},
    {"2500 x\r\n", "[junk]"},
    {"199 x\r\n", "[junk]"},
    {"600 x\r\n", "[junk]"},
    {"250-a\r\n251 b\r\n", "[junk]"},
    {"\r\n", "[junk]"},
    {"250 ok\r\nx", "[250 |250 ok]"},
};

static void test_replies_split_anywhere(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(replies) / sizeof(replies[0]); i++) {
        size_t size = strlen(replies[i].text);
        for (size_t piece = 1; piece <= size; piece++) {
            char log[1024];
            read_in_pieces(replies[i].text, size, piece, log, sizeof(log));
            assert_string_equal(log, replies[i].understood);
        }
    }
}

static void test_reply_limits(void **state)
{
    demit_reply_t *reply = apr_pcalloc(pool, sizeof(*reply));
    size_t consumed = 0;
    char *line = malloc(DEMIT_REPLY_LINE_MAX + 10);
    (void)state;
    memset(line, 'x', DEMIT_REPLY_LINE_MAX + 10);
    memcpy(line, "250 ", 4);
    assert_int_equal(demit_reply_read(reply, line, DEMIT_REPLY_LINE_MAX - 1, &consumed), DEMIT_REPLY_MORE);
    assert_int_equal(demit_reply_read(reply, line, DEMIT_REPLY_LINE_MAX, &consumed), DEMIT_REPLY_JUNK);
    /* The longest line that passes is cut where the text's room ends. */
    memset(reply, 0, sizeof(*reply));
    line[DEMIT_REPLY_LINE_MAX - 1] = '\n';
    assert_int_equal(demit_reply_read(reply, line, DEMIT_REPLY_LINE_MAX, &consumed), DEMIT_REPLY_WHOLE);
    assert_int_equal(reply->text_size, DEMIT_REPLY_TEXT_MAX - 1);
    free(line);
    /* A reply that never ends. */
    memset(reply, 0, sizeof(*reply));
    demit_reply_progress_t progress = DEMIT_REPLY_MORE;
    size_t lines = 0;
    for (; progress == DEMIT_REPLY_MORE && lines < 1000000; lines++)
        progress = demit_reply_read(reply, "250-again and again\r\n", 21, &consumed);
    assert_int_equal(progress, DEMIT_REPLY_JUNK);
    assert_true(lines <= DEMIT_REPLY_SIZE_MAX / 21 + 1);
}

static void read_reply(demit_reply_t *reply, const char *text)
{
    size_t consumed = 0;
    memset(reply, 0, sizeof(*reply));
    assert_int_equal(demit_reply_read(reply, text, strlen(text), &consumed), DEMIT_REPLY_WHOLE);
}

static void test_results(void **state)
{
    static const struct {
        const char *reply;
        demit_reply_to_t to;
        demit_result_t result;
        const char *status;
    } cases[] = {
        {"250 ok\r\n", DEMIT_REPLY_TO_MESSAGE, DEMIT_RESULT_DELIVERED, "2.0.0"},
        {"250 2.6.0 ok\r\n", DEMIT_REPLY_TO_MESSAGE, DEMIT_RESULT_DELIVERED, "2.6.0"},
        {"450 later\r\n", DEMIT_REPLY_TO_RCPT, DEMIT_RESULT_DEFERRED, "4.2.0"},
        {"452 many\r\n", DEMIT_REPLY_TO_RCPT, DEMIT_RESULT_DEFERRED, "4.5.3"},
        {"452 full\r\n", DEMIT_REPLY_TO_MESSAGE, DEMIT_RESULT_DEFERRED, "4.3.1"},
        {"552 many\r\n", DEMIT_REPLY_TO_RCPT, DEMIT_RESULT_DEFERRED, "4.5.3"},
        {"552 5.2.2 full\r\n", DEMIT_REPLY_TO_RCPT, DEMIT_RESULT_DEFERRED, "4.5.3"},
        {"552 big\r\n", DEMIT_REPLY_TO_MAIL, DEMIT_RESULT_FAILED, "5.3.4"},
        {"552 full\r\n", DEMIT_REPLY_TO_MESSAGE, DEMIT_RESULT_FAILED, "5.2.2"},
        {"550 no\r\n", DEMIT_REPLY_TO_RCPT, DEMIT_RESULT_FAILED, "5.0.0"},
        {"553 odd\r\n", DEMIT_REPLY_TO_RCPT, DEMIT_RESULT_FAILED, "5.1.3"},
        {"354 go\r\n", DEMIT_REPLY_TO_RCPT, DEMIT_RESULT_DEFERRED, "4.5.0"},
        {"499 what\r\n", DEMIT_REPLY_TO_MAIL, DEMIT_RESULT_DEFERRED, "4.0.0"},
    };
    demit_reply_t reply;
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        read_reply(&reply, cases[i].reply);
        assert_int_equal(demit_reply_result(&reply, cases[i].to), cases[i].result);
        assert_string_equal(demit_reply_status(&reply, cases[i].to, cases[i].result), cases[i].status);
    }
}

static void test_offers(void **state)
{
    demit_reply_t reply;
    demit_peer_offer_t offer;
    (void)state;
    read_reply(&reply,
               "250-PIPELINING\r\n250-size 35882577 \r\n250-8BitMime\r\n250-DSNX\r\n250-STARTTLS\r\n250 DSN\r\n");
    demit_peer_offer_read(&offer, &reply);
    assert_false(offer.pipelining); /* the first line is a name */
    assert_true(offer.size);
    assert_int_equal(offer.size_max_bytes, 35882577);
    assert_true(offer.eightbit);
    assert_true(offer.dsn);
    assert_false(offer.utf8);
    read_reply(&reply, "250-x\r\n250-SIZE 99999999999999999999999\r\n250-PIPELINING\r\n250 DSNX\r\n");
    demit_peer_offer_read(&offer, &reply);
    assert_int_equal(offer.size_max_bytes, 0);
    assert_true(offer.pipelining);
    assert_false(offer.dsn);
    read_reply(&reply, "250 x\r\n");
    demit_peer_offer_read(&offer, &reply);
    assert_false(offer.pipelining || offer.size || offer.dsn || offer.eightbit || offer.utf8);
}

/* ---- bodies ------------------------------------------------------------------------------------------------------ */

/* The plain definition of what the encoder does, on a whole text. */
static size_t encode_plainly(const char *text, size_t size, unsigned flags, char *out)
{
    size_t used = 0;
    bool fix = (flags & DEMIT_MESSAGE_LONE_LF) != 0;
    bool stuff = fix || (flags & DEMIT_MESSAGE_LEADING_DOT) != 0;
    for (size_t i = 0; i < size; i++) {
        bool at_start = used == 0 || out[used - 1] == '\n';
        if (fix && text[i] == '\r' && (i + 1 == size || text[i + 1] != '\n')) {
            out[used++] = ' ';
            continue;
        }
        if (fix && text[i] == '\n' && (i == 0 || text[i - 1] != '\r'))
            out[used++] = '\r';
        if (stuff && at_start && text[i] == '.')
            out[used++] = '.';
        out[used++] = text[i];
    }
    if (used > 0 && out[used - 1] != '\n') {
        memcpy(out + used, "\r\n", 2);
        used += 2;
    }
    memcpy(out + used, ".\r\n", 3);
    return used + 3;
}

static void check_encoding(const char *text, size_t size, unsigned flags)
{
    char wanted[256];
    size_t wanted_size = encode_plainly(text, size, flags, wanted);
    for (size_t piece = 1; piece <= size + 1; piece++) {
        demit_encoder_t encoder;
        char got[256];
        size_t used = 0;
        demit_encoder_begin(&encoder, flags);
        for (size_t at = 0; at < size; at += piece) {
            size_t part = size - at < piece ? size - at : piece;
            size_t made = demit_encoder_piece(&encoder, text + at, part, got + used);
            assert_true(made + 8 <= demit_encoder_room(part));
            used += made;
        }
        used += demit_encoder_end(&encoder, got + used);
        assert_int_equal(used, wanted_size);
        assert_memory_equal(got, wanted, used);
    }
}

/* Every text of up to seven characters of an alphabet of trouble, in every split into equal pieces. */
static void test_encoding(void **state)
{
    static const char alphabet[] = {'.', '\r', '\n', 'a'};
    (void)state;
    for (size_t size = 0; size <= 7; size++) {
        size_t count = (size_t)1 << (2 * size);
        for (size_t n = 0; n < count; n++) {
            char text[8];
            for (size_t i = 0; i < size; i++)
                text[i] = alphabet[n >> (2 * i) & 3];
            check_encoding(text, size, DEMIT_MESSAGE_LONE_LF);
        }
    }
    check_encoding(".\r\n..\r\na\r\n.b\r\n", 14, DEMIT_MESSAGE_LEADING_DOT);
    check_encoding(".", 1, DEMIT_MESSAGE_LEADING_DOT | DEMIT_MESSAGE_NO_FINAL_CRLF);
    check_encoding("a\r\nb\r\n", 6, 0);
    check_encoding("a\r\nb", 4, DEMIT_MESSAGE_NO_FINAL_CRLF);
}

/* ---- routes ------------------------------------------------------------------------------------------------------ */

static demit_domain_settings_t settings;
static demit_route_request_t request;

static int set_up_route(void **state)
{
    set_up(state);
    memset(&settings, 0, sizeof(settings));
    settings.remote_smtp_port = 25;
    settings.prohibited_hosts = apr_array_make(pool, 2, sizeof(apr_ipsubnet_t *));
    request = (demit_route_request_t){.domain = "example.com",
                                      .settings = &settings,
                                      .hostname = "us.example.org",
                                      .ehlo_hostname = "out.example.org"};
    return 0;
}

static void prohibit(const char *network, const char *bits)
{
    apr_array_header_t *hosts = apr_array_copy(pool, settings.prohibited_hosts);
    assert_int_equal(apr_ipsubnet_create(apr_array_push(hosts), network, bits, pool), APR_SUCCESS);
    settings.prohibited_hosts = hosts;
}

static demit_mx_t mx(const char *host, uint16_t preference, const char *ipv4, const char *ipv6)
{
    demit_mx_t made = {.host = host, .preference = preference};
    made.result = ipv4 != NULL || ipv6 != NULL ? DEMIT_DNS_OK : DEMIT_DNS_NO_DOMAIN;
    if (ipv4 != NULL)
        made.ipv4[made.ipv4_count++] = ipv4;
    if (ipv6 != NULL)
        made.ipv6[made.ipv6_count++] = ipv6;
    return made;
}

static void compose(demit_route_t *route, demit_mx_t *list, uint32_t count, uint64_t random)
{
    const demit_dns_answer_t answer = {.result = DEMIT_DNS_OK, .mx_count = count, .mx = list};
    demit_route_compose(route, &request, &answer, random, pool);
}

static void expect_no_route(const demit_route_t *route, demit_result_t result, const char *status)
{
    assert_int_equal(route->hop_count, 0);
    assert_int_equal(route->result, result);
    assert_string_equal(route->status, status);
    assert_non_null(route->text);
}

static void test_route_order(void **state)
{
    demit_mx_t list[] = {mx("c", 30, "192.0.2.3", NULL), mx("a", 10, "192.0.2.1", "2001:db8::1"),
                         mx("b", 20, "192.0.2.2", NULL), mx("b2", 20, "192.0.2.22", NULL)};
    unsigned b_first = 0;
    demit_route_t route;
    (void)state;
    for (uint64_t random = 1; random <= 200; random++) {
        compose(&route, list, 4, random * 0x9e3779b97f4a7c15u);
        assert_int_equal(route.hop_count, 5);
        assert_string_equal(route.hops[0].ip, "2001:db8::1");
        assert_string_equal(route.hops[1].ip, "192.0.2.1");
        assert_int_equal(route.hops[1].address->port, 25);
        assert_string_equal(route.hops[4].host, "c");
        b_first += strcmp(route.hops[2].host, "b") == 0;
    }
    assert_true(b_first > 50 && b_first < 150);
}

static void test_route_loops(void **state)
{
    demit_mx_t list[] = {mx("far", 10, "192.0.2.1", NULL), mx("peer", 20, "192.0.2.2", NULL),
                         mx("US.example.org", 20, "192.0.2.3", NULL), mx("worse", 30, "192.0.2.4", NULL)};
    demit_route_t route;
    (void)state;
    compose(&route, list, 4, 7);
    assert_int_equal(route.hop_count, 1);
    assert_string_equal(route.hops[0].host, "far");
    compose(&route, list + 1, 3, 7);
    expect_no_route(&route, DEMIT_RESULT_FAILED, "5.4.6");
    demit_mx_t ehlo[] = {mx("out.example.org", 5, "192.0.2.3", NULL)};
    compose(&route, ehlo, 1, 7);
    expect_no_route(&route, DEMIT_RESULT_FAILED, "5.4.6");
    settings.gateway_host = "out.example.org"; /* asked for: on another port it is another server */
    compose(&route, ehlo, 1, 7);
    assert_int_equal(route.hop_count, 1);
}

static void test_route_prohibited(void **state)
{
    demit_mx_t list[] = {mx("a", 10, "127.0.0.1", NULL), mx("b", 20, "0.0.0.0", "::"), mx("c", 30, "192.0.2.1", NULL)};
    demit_route_t route;
    (void)state;
    prohibit("127.0.0.0", "8");
    compose(&route, list, 3, 1);
    assert_int_equal(route.hop_count, 1);
    assert_string_equal(route.hops[0].host, "c");
    compose(&route, list, 2, 1);
    expect_no_route(&route, DEMIT_RESULT_FAILED, "5.4.4");
}

static void test_route_without_addresses(void **state)
{
    demit_mx_t list[] = {mx("a", 10, NULL, NULL), mx("b", 20, NULL, NULL)};
    demit_route_t route;
    (void)state;
    compose(&route, list, 2, 1);
    expect_no_route(&route, DEMIT_RESULT_FAILED, "5.4.4");
    list[1].result = DEMIT_DNS_TEMPORARY;
    compose(&route, list, 2, 1);
    expect_no_route(&route, DEMIT_RESULT_DEFERRED, "4.4.3");
    demit_mx_t null_mx[] = {mx("", 0, NULL, NULL)};
    compose(&route, null_mx, 1, 1);
    expect_no_route(&route, DEMIT_RESULT_FAILED, "5.1.10");
}

static void test_route_dns_results(void **state)
{
    static const struct {
        demit_dns_result_t dns;
        demit_result_t result;
        const char *status;
    } cases[] = {{DEMIT_DNS_NO_DOMAIN, DEMIT_RESULT_FAILED, "5.1.2"},
                 {DEMIT_DNS_BAD_NAME, DEMIT_RESULT_FAILED, "5.1.2"},
                 {DEMIT_DNS_TEMPORARY, DEMIT_RESULT_DEFERRED, "4.4.3"}};
    demit_route_t route;
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const demit_dns_answer_t answer = {.result = cases[i].dns};
        demit_route_compose(&route, &request, &answer, 1, pool);
        expect_no_route(&route, cases[i].result, cases[i].status);
    }
    settings.gateway_host = "typo.example.org"; /* our mistake: the mail waits */
    const demit_dns_answer_t answer = {.result = DEMIT_DNS_NO_DOMAIN};
    demit_route_compose(&route, &request, &answer, 1, pool);
    expect_no_route(&route, DEMIT_RESULT_DEFERRED, "4.3.5");
}

static void test_route_direct(void **state)
{
    static const struct {
        const char *domain, *gateway;
        const char *ip;     /* direct to it */
        const char *name;   /* or: ask the DNS */
        const char *status; /* or: refused */
    } cases[] = {{"example.com", NULL, NULL, "example.com", NULL},
                 {"example.com", "relay.example.org", NULL, "relay.example.org", NULL},
                 {"example.com", "10.0", NULL, "10.0", NULL},
                 {"example.com", "192.0.2.9", "192.0.2.9", NULL, NULL},
                 {"example.com", "127.0.0.1", "127.0.0.1", NULL, NULL},
                 {"example.com", "2001:db8::5", "2001:db8::5", NULL, NULL},
                 {"[192.0.2.7]", NULL, "192.0.2.7", NULL, NULL},
                 {"[ipv6:2001:db8::7]", NULL, "2001:db8::7", NULL, NULL},
                 {"[127.0.0.1]", NULL, NULL, NULL, "5.4.4"},
                 {"[0.0.0.0]", NULL, NULL, NULL, "5.4.4"},
                 {"[IPv6:::]", NULL, NULL, NULL, "5.4.4"},
                 {"[IPv6:0:0:0:0:0:0:0:0]", NULL, NULL, NULL, "5.4.4"},
                 {"[IPv6:::ffff:0.0.0.0]", NULL, NULL, NULL, "5.4.4"},
                 {"[nonsense]", NULL, NULL, NULL, "5.1.2"},
                 {"[", NULL, NULL, NULL, "5.1.2"},
                 {"b\xc3\xbc"
                  "cher.example",
                  NULL, NULL, NULL, "5.1.2"},
                 {"b\xc3\xbc"
                  "cher.example",
                  "192.0.2.9", "192.0.2.9", NULL, NULL}};
    demit_route_t route;
    (void)state;
    prohibit("127.0.0.0", "8");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *name = NULL;
        request.domain = cases[i].domain;
        settings.gateway_host = cases[i].gateway;
        bool direct = demit_route_direct(&route, &request, &name, pool);
        assert_int_equal(direct, cases[i].name == NULL);
        if (cases[i].name != NULL) {
            assert_string_equal(name, cases[i].name);
        } else if (cases[i].ip != NULL) {
            assert_int_equal(route.hop_count, 1);
            assert_string_equal(route.hops[0].ip, cases[i].ip);
        } else {
            expect_no_route(&route, DEMIT_RESULT_FAILED, cases[i].status);
        }
    }
}

static void test_said_with_a_labels(void **state)
{
    static const struct {
        const char *address;
        const char *plain; /* what a peer without SMTPUTF8 is told; NULL: nothing */
    } cases[] = {{"", ""},
                 {"a@B.example", "a@B.example"},
                 {"a@b\xc3\xbc"
                  "cher.example",
                  "a@xn--bcher-kva.example"},
                 {"\"x@y\"@b\xc3\xbc"
                  "cher.example",
                  "\"x@y\"@xn--bcher-kva.example"},
                 {"\xc3\xa4@b\xc3\xbc"
                  "cher.example",
                  NULL},
                 {"\xc3\xa4@example.com", NULL},
                 {"a@\xe2\x9d\xa4.example", NULL},
                 {"\xc3\xa4", NULL}};
    const demit_peer_offer_t plain = {.dsn = true}, utf8 = {.utf8 = true, .dsn = true};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *said = cases[i].plain, *written = cases[i].address;
        const demit_envelope_t envelope = {.sender = written, .flags = DEMIT_MESSAGE_SMTPUTF8};
        const demit_recipient_t recipient = {.address = written};
        assert_null(demit_message_refusal(&envelope, &utf8));
        assert_null(demit_recipient_refusal(&recipient, &utf8));
        assert_string_equal(demit_rcpt_command(&recipient, &utf8, pool),
                            apr_pstrcat(pool, "RCPT TO:<", written, ">\r\n", NULL));
        if (said == NULL) {
            assert_string_equal(demit_message_refusal(&envelope, &plain)->status, "5.6.7");
            assert_string_equal(demit_recipient_refusal(&recipient, &plain)->status, "5.6.7");
            continue;
        }
        assert_null(demit_message_refusal(&envelope, &plain));
        assert_null(demit_recipient_refusal(&recipient, &plain));
        assert_string_equal(demit_mail_command(&envelope, &plain, false, pool),
                            apr_pstrcat(pool, "MAIL FROM:<", said, ">\r\n", NULL));
        assert_string_equal(demit_rcpt_command(&recipient, &plain, pool),
                            apr_pstrcat(pool, "RCPT TO:<", said, ">\r\n", NULL));
    }
}

/* The header needs SMTPUTF8 whatever becomes of the addresses. */
static void test_a_labels_do_not_save_a_header(void **state)
{
    const demit_peer_offer_t plain = {.eightbit = true};
    const demit_envelope_t envelope = {.sender = "a@b\xc3\xbc"
                                                 "cher.example",
                                       .flags = DEMIT_MESSAGE_SMTPUTF8 | DEMIT_MESSAGE_HEADER_8BIT};
    (void)state;
    assert_string_equal(demit_message_refusal(&envelope, &plain)->status, "5.6.7");
}

/* RFC 6533 section 3: ORCPT passes any server as utf-8-addr-xtext. */
static void test_orcpt_without_utf8(void **state)
{
    const demit_peer_offer_t plain = {.dsn = true}, utf8 = {.utf8 = true, .dsn = true};
    const demit_recipient_t recipient = {.address = "a@b.c", .original = "utf-8;j\xc3\xb6\\x{2B}@\xf0\x9f\x92\xa9.c"};
    const demit_recipient_t broken = {.address = "a@b.c", .original = "utf-8;j\xf0\x9f"};
    (void)state;
    assert_string_equal(demit_rcpt_command(&recipient, &utf8, pool),
                        "RCPT TO:<a@b.c> ORCPT=utf-8;j\xc3\xb6\\x{2B}@\xf0\x9f\x92\xa9.c\r\n");
    assert_string_equal(demit_rcpt_command(&recipient, &plain, pool),
                        "RCPT TO:<a@b.c> ORCPT=utf-8;j\\x{F6}\\x{2B}@\\x{1F4A9}.c\r\n");
    assert_string_equal(demit_rcpt_command(&broken, &plain, pool), "RCPT TO:<a@b.c> ORCPT=utf-8;j\r\n");
}

static void test_cache(void **state)
{
    demit_dns_cache_t *cache = demit_dns_cache_create(pool);
    demit_mx_t list[] = {mx("a", 10, "192.0.2.1", "2001:db8::1")};
    const demit_dns_answer_t answer = {.result = DEMIT_DNS_OK, .mx_count = 1, .mx = list};
    demit_dns_answer_t found;
    (void)state;
    assert_false(demit_dns_cache_get(cache, "x", 0, &found, pool));
    demit_dns_cache_put(cache, "x", 0, 5, &answer);
    assert_true(demit_dns_cache_get(cache, "x", 4999999, &found, pool));
    assert_string_equal(found.mx[0].ipv6[0], "2001:db8::1");
    assert_false(demit_dns_cache_get(cache, "x", 5000000, &found, pool));
    demit_dns_cache_put(cache, "x", 0, 100000, &answer); /* a TTL is believed up to a minute */
    assert_false(demit_dns_cache_get(cache, "x", DEMIT_CACHE_SECONDS * 1000000LL, &found, pool));
    demit_dns_cache_put(cache, "zero", 0, 0, &answer);
    assert_false(demit_dns_cache_get(cache, "zero", 0, &found, pool));
    demit_dns_cache_put(cache, "old", 0, 60, &answer);
    for (int i = 0; i < DEMIT_CACHE_ENTRIES; i++)
        demit_dns_cache_put(cache, apr_psprintf(pool, "n%d", i), 0, 60, &answer);
    assert_false(demit_dns_cache_get(cache, "old", 0, &found, pool));
    assert_true(demit_dns_cache_get(cache, "n1023", 0, &found, pool));
}

int main(void)
{
#define TEST(name)       cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define ROUTE_TEST(name) cmocka_unit_test_setup_teardown(name, set_up_route, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_replies_split_anywhere),
        TEST(test_reply_limits),
        TEST(test_results),
        TEST(test_offers),
        TEST(test_encoding),
        ROUTE_TEST(test_route_order),
        ROUTE_TEST(test_route_loops),
        ROUTE_TEST(test_route_prohibited),
        ROUTE_TEST(test_route_without_addresses),
        ROUTE_TEST(test_route_dns_results),
        ROUTE_TEST(test_route_direct),
        TEST(test_said_with_a_labels),
        TEST(test_a_labels_do_not_save_a_header),
        TEST(test_orcpt_without_utf8),
        TEST(test_cache),
    };
    apr_initialize();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    apr_terminate();
    return failed;
}
