/* The rules of FreeBSD's mac_portacl(4), as text: who may bind a TCP port below 1024. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "os/bsd/portacl.h"

typedef struct rules_case {
    const char *rules;
    unsigned lowest;
} rules_case_t;

/* uid 990; gid 991, groups 27 and 44. */
static const rules_case_t cases[] = {
    {"", 0},
    {"uid:990:tcp:587,gid:27:tcp:465,uid:990:tcp:993", 465},
    {"uid:990:tcp:0,uid:990:tcp:25", 25},
    {"uid:990:tcp:25", 25},
    {"gid:991:tcp:25", 25},
    {"gid:44:tcp:587", 587},
    {"uid:80:tcp:80,uid:990:tcp:25", 25},
    {",uid:990:tcp:25,", 25},
    {"uid:990:tcp:25,nonsense", 25},
    {"uid:990:udp:25", 0},
    {"uid:991:tcp:25", 0},
    {"gid:990:tcp:25", 0},
    {"gid:45:tcp:25", 0},
    {"uid:990:tcp:1024", 0},
    {"uid:990:tcp:1023", 1023},
    {"uid:990:tcp:0", 0},
    {"uid:990:tcp", 0},
    {"uid:990:tcp:25:x", 0},
    {"uid::tcp:25", 0},
    {"uid:990:tcp:25::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::", 0},
    {"uid:990:tcp:", 0},
    {"uid:0x3de:tcp:25", 0},
    {"uid:990:tcp:25x", 0},
    {"UID:990:tcp:25", 0},
    {"uid:4294968286:tcp:25", 0},
    {"uid:18446744073709552606:tcp:25", 0},
    {":::", 0},
    {":", 0},
    {"uidgid:990:tcp:25", 0},
};

static void test_rules_let_whom_they_name(void **state)
{
    gid_t ids[] = {27, 44, 991};
    const os_groups_t groups = {ids, 3};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        unsigned lowest = os_portacl_lowest(cases[i].rules, 990, &groups);
        if (lowest != cases[i].lowest) {
            fail_msg("\"%s\": %u, should be %u", cases[i].rules, lowest, cases[i].lowest);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rules_let_whom_they_name)};
    return cmocka_run_group_tests_name("portacl", tests, NULL, NULL);
}
