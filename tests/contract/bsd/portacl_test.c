/* The rules of FreeBSD's mac_portacl(4), as text: who may bind a TCP port below 1024. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "os/bsd/portacl.h"

typedef struct rules_case {
    const char *rules;
    bool lets;
} rules_case_t;

/* uid 990; gid 991, groups 27 and 44. */
static const rules_case_t cases[] = {
    {"", false},
    {"uid:990:tcp:25", true},
    {"gid:991:tcp:25", true},
    {"gid:44:tcp:587", true},
    {"uid:80:tcp:80,uid:990:tcp:25", true},
    {",uid:990:tcp:25,", true},
    {"uid:990:tcp:25,nonsense", true},
    {"uid:990:udp:25", false},
    {"uid:991:tcp:25", false},
    {"gid:990:tcp:25", false},
    {"gid:45:tcp:25", false},
    {"uid:990:tcp:1024", false},
    {"uid:990:tcp:1023", true},
    {"uid:990:tcp:0", false},
    {"uid:990:tcp", false},
    {"uid:990:tcp:25:x", false},
    {"uid::tcp:25", false},
    {"uid:990:tcp:25::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::", false},
    {"uid:990:tcp:", false},
    {"uid:0x3de:tcp:25", false},
    {"uid:990:tcp:25x", false},
    {"UID:990:tcp:25", false},
    {"uid:4294968286:tcp:25", false},
    {"uid:18446744073709552606:tcp:25", false},
    {":::", false},
    {":", false},
    {"uidgid:990:tcp:25", false},
};

static void test_rules_let_whom_they_name(void **state)
{
    gid_t ids[] = {27, 44, 991};
    const os_groups_t groups = {ids, 3};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (os_portacl_lets(cases[i].rules, 990, &groups) != cases[i].lets) {
            fail_msg("\"%s\" should%s let", cases[i].rules, cases[i].lets ? "" : " not");
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rules_let_whom_they_name)};
    return cmocka_run_group_tests_name("portacl", tests, NULL, NULL);
}
