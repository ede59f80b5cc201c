/* One name for every domain: what becomes of each way to write it, and what is none. */
#include "demit/domain.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* Ends a literal whose next letter would be taken for a digit of its last escape. */
#define BUECHER                                                                                                        \
    "b\xc3\xbc"                                                                                                        \
    "cher"
#define A63        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define CYRILLIC10 "\xd0\xb0\xd0\xb0\xd0\xb0\xd0\xb0\xd0\xb0\xd0\xb0\xd0\xb0\xd0\xb0\xd0\xb0\xd0\xb0"

static void test_one_form(void **state)
{
    static const struct {
        const char *written, *ascii;
    } rows[] = {
        {"example.com", "example.com"},
        {"EXAMPLE.Com", "example.com"},
        {"localhost", "localhost"},
        {"a-b.1c.example", "a-b.1c.example"},
        {"_dmarc.example.com", "_dmarc.example.com"},
        {"XN--BCHER-KVA.Example", "xn--bcher-kva.example"},
        {"xn--ls8h.example", "xn--ls8h.example"}, /* an emoji: whoever registered it may have mail */
        {"192.0.2.1", "192.0.2.1"},
        {A63 "." A63 "." A63 "." A63, A63 "." A63 "." A63 "." A63}, /* 255 octets */
        {"[192.0.2.1]", "[192.0.2.1]"},
        {"[IPv6:2001:DB8::1]", "[ipv6:2001:db8::1]"},

        {BUECHER ".example", "xn--bcher-kva.example"},
        {"B\xc3\x9c"
         "CHER.EXAMPLE",
         "xn--bcher-kva.example"},
        {"bu\xcc\x88"
         "cher.example",
         "xn--bcher-kva.example"}, /* the two dots as a character of their own */
        {BUECHER ".XN--BCHER-KVA.example", "xn--bcher-kva.xn--bcher-kva.example"},
        {"_dmarc." BUECHER ".example", "_dmarc.xn--bcher-kva.example"},
        {"stra\xc3\x9f"
         "e.example",
         "xn--strae-oqa.example"},                        /* not strasse.example, which is another's */
        {"\xcf\x83\xcf\x82.example", "xn--3xab.example"}, /* a final sigma stays one, likewise */
        {"\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e\xe3\x80\x82jp", "xn--wgv71a119e.jp"}, /* an ideographic full stop */
        {"\xef\xbd\x81\xef\xbd\x82\xef\xbd\x83.example", "abc.example"},             /* full width */
        {"\xd9\x85\xd8\xab\xd8\xa7\xd9\x84.\xd8\xa5\xd8\xae\xd8\xaa\xd8\xa8\xd8\xa7\xd8\xb1",
         "xn--mgbh0fb.xn--kgbechtv"},
        {CYRILLIC10 CYRILLIC10 CYRILLIC10 CYRILLIC10 ".example", /* 80 octets in a label, and short enough */
         "xn--80aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.example"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char ascii[DEMIT_DOMAIN_SIZE], again[DEMIT_DOMAIN_SIZE];
        const char *wrong = demit_domain_to_ascii(ascii, rows[i].written, strlen(rows[i].written));
        if (wrong != NULL)
            fail_msg("%s: %s", rows[i].written, wrong);
        assert_string_equal(ascii, rows[i].ascii);
        assert_null(demit_domain_to_ascii(again, ascii, strlen(ascii))); /* what has the form keeps it */
        assert_string_equal(again, ascii);
    }
}

static void test_no_domain(void **state)
{
    static const struct {
        const char *written, *wrong;
    } rows[] = {
        {"", "empty"},
        {".", "empty"},
        {"a..b", "empty"},
        {".a", "empty"},
        {"example.com.", "empty"}, /* RFC 5321 has no root's dot */
        {"-a.example", "hyphen"},
        {"a-.example", "hyphen"},
        {"a.example-", "hyphen"},
        {"a b.example", "character"},
        {"a/b.example", "character"},
        {"a@b.example", "character"},
        {"*.example", "character"},
        {A63 "a.example", "label of the domain is too long"},
        {A63 "." A63 "." A63 "." A63 ".a", "domain is too long"},
        {"[192.0.2.1", "character"},
        {"[", "character"},

        {BUECHER "..example", "empty"},
        {BUECHER ".example.", "empty"},
        {BUECHER "\xe3\x80\x82", "empty"},
        {"\xc2\xad." BUECHER, "empty"}, /* a soft hyphen is mapped to nothing */
        {"-" BUECHER ".example", "hyphen"},
        {BUECHER "-.example", "hyphen"},
        {"ab--" BUECHER ".example", "third and fourth"},
        {"xn--" BUECHER ".example", "A-label"},
        {BUECHER ".xn--zzzzzz99999.example", "A-label"},
        {"a\xef\xbc\x8f"
         "b." BUECHER,
         "character"}, /* a full-width slash becomes a slash */
        {"a\xef\xbc\xa0"
         "b." BUECHER,
         "character"}, /* and an @ an @ */
        {"*." BUECHER, "character"},
        {"\xe2\x9d\xa4.example", "character"},     /* a heart: IDNA2008 has letters and digits */
        {"\xf0\x9f\x92\xa9.example", "character"}, /* and no other emoji either */
        {"\xcc\x88"
         "a.example",
         "character"}, /* nothing to stand above */
        {"1\xd7\x90.example", "directions"},
        {"\xff.example", "UTF-8"},
        {"\xc3", "UTF-8"},
        {"\xed\xa0\x80.example", "UTF-8"},
        {CYRILLIC10 CYRILLIC10 CYRILLIC10 CYRILLIC10 CYRILLIC10 CYRILLIC10 ".example",
         "label of the domain is too long"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char ascii[DEMIT_DOMAIN_SIZE] = "unchanged";
        const char *wrong = demit_domain_to_ascii(ascii, rows[i].written, strlen(rows[i].written));
        if (wrong == NULL || strstr(wrong, rows[i].wrong) == NULL)
            fail_msg("row %zu, %s: %s", i, rows[i].written, wrong != NULL ? wrong : ascii);
        assert_string_equal(ascii, "");
    }
}

static void test_bytes_and_sizes(void **state)
{
    char ascii[DEMIT_DOMAIN_SIZE], text[2048];
    (void)state;
    assert_null(demit_domain_to_ascii(ascii, "example.comet", 11)); /* no NUL behind it */
    assert_string_equal(ascii, "example.com");
    assert_null(demit_domain_to_ascii(ascii, BUECHER "x", strlen(BUECHER)));
    assert_string_equal(ascii, "xn--bcher-kva");
    assert_non_null(demit_domain_to_ascii(ascii, "a\0b", 3));
    assert_non_null(demit_domain_to_ascii(ascii, "[a\0b]", 5));
    assert_non_null(demit_domain_to_ascii(ascii, BUECHER "\0b", strlen(BUECHER) + 2)); /* not "bücher" */
    for (size_t size = 0; size < sizeof(text) - 1; size++) { /* dots and letters of two octets, never a domain */
        memcpy(text + size, size % 3 == 0 ? "." : size % 3 == 1 ? "\xc3" : "\xbc", 2);
        assert_non_null(demit_domain_to_ascii(ascii, text, size));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_form),
        cmocka_unit_test(test_no_domain),
        cmocka_unit_test(test_bytes_and_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
