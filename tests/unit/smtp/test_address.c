/* Mailboxes and domains, as a table (RFC 5321 section 4.1.2, RFC 6531 section 3.3). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/smtp/grammar.h"

#define A10 "aaaaaaaaaa"
#define A60 A10 A10 A10 A10 A10 A10
#define A63 A60 "aaa"
#define A64 A60 "aaaa"
/* 64 + 1 + 189 = 254 bytes, the longest mailbox that fits a path of 256. */
#define DOMAIN189 A63 "." A63 "." A60 "a"

typedef enum validity { INVALID, VALID, VALID_WITH_UTF8 } validity_t;

#define CYRILLIC10 "\xd0\xb0\xd0\xb0\xd0\xb0\xd0\xb0\xd0\xb0\xd0\xb0\xd0\xb0\xd0\xb0\xd0\xb0\xd0\xb0"

typedef struct row {
    const char *text;
    validity_t validity;
    size_t local_size; /* of a valid one; 0: up to the last "@" */
} row_t;

static const row_t rows[] = {
    {"a@b", VALID, 0},
    {"user@example.com", VALID, 0},
    {"USER@EXAMPLE.COM", VALID, 0},
    {"first.last@example.com", VALID, 0},
    {"user+tag@example.com", VALID, 0},
    {"!#$%&'*+-/=?^_`{|}~@example.com", VALID, 0},
    {"1234567890@example.com", VALID, 0},
    {"_@example.com", VALID, 0},
    {"x=y/z@example.com", VALID, 0},
    {"user%far.test@example.com", VALID, 0},
    {"bang!path!user@example.com", VALID, 0},
    {"postmaster", VALID, 10},
    {"PostMaster", VALID, 10},
    {"postmaster@example.com", VALID, 0},
    {"a@1.2.3.4", VALID, 0},
    {"a@example.co1", VALID, 0},
    {"a@1example.com", VALID, 0},
    {"a@ex-ample.com", VALID, 0},
    {"a@xn--bcher-kva.example", VALID, 0},
    {"a@[192.0.2.1]", VALID, 0},
    {"a@[0.0.0.0]", VALID, 0},
    {"a@[255.255.255.255]", VALID, 0},
    {"a@[IPv6:::1]", VALID, 0},
    {"a@[IPv6:2001:db8::1]", VALID, 0},
    {"a@[ipv6:2001:DB8::1]", VALID, 0},
    {"a@[IPv6:1:2:3:4:5:6:7:8]", VALID, 0},
    {"a@[IPv6:::ffff:192.0.2.1]", VALID, 0},
    {"\"quoted\"@example.com", VALID, 0},
    {"\"\"@example.com", VALID, 2},
    {"\" \"@example.com", VALID, 3},
    {"\"a b\"@example.com", VALID, 0},
    {"\"a@b\"@example.com", VALID, 5},
    {"\"a\\\"b\"@example.com", VALID, 6},
    {"\"a\\\\\"@example.com", VALID, 5},
    {"\"a>b\"@example.com", VALID, 5},
    {"\"..\"@example.com", VALID, 4},
    {"\"a,b;c:d<e>\"@example.com", VALID, 0},
    {A64 "@example.com", VALID, 0},
    {"a@" A63 ".com", VALID, 0},
    {A64 "@" DOMAIN189, VALID, 0},
    {"j\xc3\xb6rg@example.com", VALID_WITH_UTF8, 0},
    {"\xe7\x94\xa8\xe6\x88\xb7@example.com", VALID_WITH_UTF8, 0},
    {"a@b\xc3\xbc"
     "cher.example",
     VALID_WITH_UTF8, 0},
    {"a@B\xc3\x9c"
     "CHER.xn--bcher-kva.EXAMPLE",
     VALID_WITH_UTF8, 0},
    {"a@" CYRILLIC10 CYRILLIC10 CYRILLIC10 CYRILLIC10 ".example", VALID_WITH_UTF8, 0}, /* 80 octets in a label */
    {"\xf0\x9f\x93\xa7@example.com", VALID_WITH_UTF8, 0},
    {"\"j\xc3\xb6 rg\"@example.com", VALID_WITH_UTF8, 0},

    {"", INVALID, 0},
    {"a", INVALID, 0},
    {"postmaster@", INVALID, 0},
    {"@", INVALID, 0},
    {"@example.com", INVALID, 0},
    {"a@", INVALID, 0},
    {"a@@b", INVALID, 0},
    {"a@b@c", INVALID, 0},
    {".a@b", INVALID, 0},
    {"a.@b", INVALID, 0},
    {"a..b@c", INVALID, 0},
    {".@b", INVALID, 0},
    {"a b@c", INVALID, 0},
    {" a@b", INVALID, 0},
    {"a @b", INVALID, 0},
    {"a@ b", INVALID, 0},
    {"a@b ", INVALID, 0},
    {"a\tb@c", INVALID, 0},
    {"a\r\nb@c", INVALID, 0},
    {"a@b\r\n", INVALID, 0},
    {"a@b\nRCPT", INVALID, 0},
    {"a\x01@b", INVALID, 0},
    {"a\x7f@b", INVALID, 0},
    {"a<b@c", INVALID, 0},
    {"a>b@c", INVALID, 0},
    {"a(b)@c", INVALID, 0},
    {"a,b@c", INVALID, 0},
    {"a;b@c", INVALID, 0},
    {"a:b@c", INVALID, 0},
    {"a\\b@c", INVALID, 0},
    {"a[b]@c", INVALID, 0},
    {"a\"b\"@c", INVALID, 0},
    {"\"a\"b@c", INVALID, 0},
    {"\"a@b", INVALID, 0},
    {"\"a\\\"@b", INVALID, 0},
    {"\"a\\", INVALID, 0},
    {"\"", INVALID, 0},
    {"\"a\nb\"@c", INVALID, 0},
    {"\"a\\\nb\"@c", INVALID, 0},
    {"\"a\tb\"@c", INVALID, 0},
    {"\"a\".b@c", INVALID, 0},
    {"a@-b.c", INVALID, 0},
    {"a@b-.c", INVALID, 0},
    {"a@b..c", INVALID, 0},
    {"a@.b", INVALID, 0},
    {"a@b.", INVALID, 0},
    {"a@b_c.d", INVALID, 0},
    {"a@b,c", INVALID, 0},
    {"a@b/c", INVALID, 0},
    {"a@\"b\"", INVALID, 0},
    {"a@\xf0\x9f\x93\xa7.example", INVALID, 0}, /* IDNA2008 has no emoji */
    {"a@-b\xc3\xbc"
     "cher.example",
     INVALID, 0},
    {"a@b\xc3\xbc"
     "cher..example",
     INVALID, 0},
    {"a@b\xc3\xbc"
     "cher.example.",
     INVALID, 0},
    {"a@b_\xc3\xbc.example", INVALID, 0},
    {"a@ab--\xc3\xbc.example", INVALID, 0},
    {"a@xn--\xc3\xbc.example", INVALID, 0},
    {"a@b\xef\xbc\x8f"
     "c.example",
     INVALID, 0},                        /* a full-width slash */
    {"a@1\xd7\x90.example", INVALID, 0}, /* two directions of writing */
    {"a@" CYRILLIC10 CYRILLIC10 CYRILLIC10 CYRILLIC10 CYRILLIC10 CYRILLIC10 ".example", INVALID, 0},
    {"a@[192.0.2.1", INVALID, 0},
    {"a@192.0.2.1]", INVALID, 0},
    {"a@[192.0.2]", INVALID, 0},
    {"a@[192.0.2.256]", INVALID, 0},
    {"a@[192.0.2.1.2]", INVALID, 0},
    {"a@[ 192.0.2.1]", INVALID, 0},
    {"a@[]", INVALID, 0},
    {"a@[", INVALID, 0},
    {"a@[2001:db8::1]", INVALID, 0},
    {"a@[IPv6:]", INVALID, 0},
    {"a@[IPv6:1:2:3]", INVALID, 0},
    {"a@[IPv6:fe80::1%eth0]", INVALID, 0},
    {"a@[IPv6:1::2::3]", INVALID, 0},
    {"a@[IPv6:12345::]", INVALID, 0},
    {"a@[tag:whatever]", INVALID, 0},
    {A64 "a@example.com", INVALID, 0},
    {"\"" A63 "\"@example.com", INVALID, 0},
    {"a@" A63 "a.com", INVALID, 0},
    {A64 "@" DOMAIN189 "a", INVALID, 0},
    {"a\xff@b", INVALID, 0},
    {"a\xc3@b", INVALID, 0},
    {"a\xc0\x80@b", INVALID, 0},
    {"a\xed\xa0\x80@b", INVALID, 0},
    {"a\xf4\x90\x80\x80@b", INVALID, 0},
    {"a\xe2\x82@b", INVALID, 0},
    {"a\xc2\x9b@b", INVALID, 0},
    {"a@b\xff.c", INVALID, 0},
};

/* The text in a block that ends where it ends, so that a sanitizer sees a read beyond. */
static const char *parse(demit_address_t *address, const char *text, size_t size, bool utf8)
{
    char *copy = malloc(size + (size == 0));
    assert_non_null(copy);
    memcpy(copy, text, size);
    const char *reason = demit_address_parse(address, copy, size, utf8);
    if (reason == NULL) {
        address->local_part = text + (address->local_part - copy);
        address->domain = address->domain != NULL ? text + (address->domain - copy) : NULL;
    }
    free(copy);
    return reason;
}

static void check_parts(const row_t *row, const demit_address_t *address)
{
    size_t size = strlen(row->text);
    const char *at = strrchr(row->text, '@');
    size_t local = row->local_size != 0 ? row->local_size : (size_t)(at - row->text);

    assert_ptr_equal(address->local_part, row->text);
    assert_int_equal(address->local_part_size, local);
    assert_int_equal(address->is_utf8, row->validity == VALID_WITH_UTF8);
    if (local == size) {
        assert_null(address->domain);
        return;
    }
    assert_ptr_equal(address->domain, row->text + local + 1);
    assert_int_equal(address->domain_size, size - local - 1);
    assert_int_equal(address->is_literal, row->text[local + 1] == '[');
}

static void test_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        demit_address_t address;
        size_t size = strlen(rows[i].text);
        bool plain = parse(&address, rows[i].text, size, false) == NULL;
        bool utf8 = parse(&address, rows[i].text, size, true) == NULL;
        if (plain != (rows[i].validity == VALID) || utf8 != (rows[i].validity != INVALID)) {
            fail_msg("<%s>: %d without, %d with SMTPUTF8", rows[i].text, plain, utf8);
        }
        if (utf8) {
            check_parts(&rows[i], &address);
        }
    }
}

/* Nothing that is well-formed stays so when a byte that must not be there is put anywhere. */
static void test_no_byte_slips_in(void **state)
{
    static const char bad[] = {'\0', '\r', '\n', '\t', '\x7f', '\x1b', '\x80', '\xff'};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t size = strlen(rows[i].text);
        for (size_t at = 0; rows[i].validity == VALID && at <= size; at++) {
            for (size_t b = 0; b < sizeof bad; b++) {
                char text[512];
                demit_address_t address;
                memcpy(text, rows[i].text, at);
                text[at] = bad[b];
                memcpy(text + at + 1, rows[i].text + at, size - at);
                assert_non_null(parse(&address, text, size + 1, false));
                assert_non_null(parse(&address, text, size + 1, true));
            }
        }
    }
}

static void test_domains(void **state)
{
    (void)state;
    char long_domain[300];
    memset(long_domain, 'a', sizeof long_domain);
    for (size_t i = 50; i < sizeof long_domain; i += 50) {
        long_domain[i] = '.';
    }
    assert_true(demit_domain_is_valid(long_domain, 255, false));
    assert_false(demit_domain_is_valid(long_domain, 256, false));
    assert_false(demit_domain_is_valid("", 0, false));
    assert_false(demit_domain_is_valid("a\0b", 3, false));
    assert_true(demit_domain_is_valid("localhost", 9, false));
    assert_true(demit_domain_is_valid("[127.0.0.1]", 11, false));
    assert_false(demit_domain_is_valid("b\xc3\xbc", 3, false));
    assert_true(demit_domain_is_valid("b\xc3\xbc", 3, true));
    assert_false(demit_domain_is_valid("*.example.com", 13, false));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_no_byte_slips_in),
        cmocka_unit_test(test_domains),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
