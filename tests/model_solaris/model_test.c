/* The model against the sentences of the manual that it claims to follow; and the order that fails. Root only. */
#include "tests/contract/harness.h"
#include "tests/contract/scenes.h"
#include "tests/model_solaris/model.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Not the errno of an earlier call. */
static int code_of(int result)
{
    return result == 0 ? 0 : errno;
}

static int change(priv_op_t op, const char *which, const char *text)
{
    priv_set_t *set = priv_str_to_set(text, " ", NULL);
    CHECK(set != NULL);
    int code = code_of(setppriv(op, which, set));
    priv_freeset(set);
    return code;
}

static bool is(const char *which, const char *text)
{
    priv_set_t found, *wanted = priv_str_to_set(text, " ", NULL);
    CHECK(wanted != NULL && getppriv(which, &found) == 0);
    bool equal = priv_isequalset(&found, wanted) != B_FALSE;
    priv_freeset(wanted);
    return equal;
}

static bool all_are(const char *text)
{
    return is(PRIV_EFFECTIVE, text) && is(PRIV_PERMITTED, text);
}

/* ---- the naive order, and the one that works ---- */

/* "setuid, then setppriv": by then there is nothing left to keep. */
static void naive_body(void)
{
    CHECK(setgroups(0, NULL) == 0 && setgid(STRANGER) == 0 && setuid(STRANGER) == 0);
    CHECK(all_are("basic") && is(PRIV_LIMIT, "all"));
    CHECK(change(PRIV_SET, PRIV_PERMITTED, "basic net_privaddr") == EPERM);
    CHECK(bind_low_port() == EACCES);
}

static void aware_body(void)
{
    CHECK(change(PRIV_SET, PRIV_PERMITTED, "basic net_privaddr proc_setid") == 0);
    CHECK(getpflags(PRIV_AWARE) == 1 && is(PRIV_EFFECTIVE, "basic net_privaddr proc_setid"));
    CHECK(setgroups(0, NULL) == 0 && setgid(STRANGER) == 0 && setuid(STRANGER) == 0);
    CHECK(all_are("basic net_privaddr proc_setid"));
    CHECK(change(PRIV_SET, PRIV_PERMITTED, "basic net_privaddr") == 0);
    CHECK(all_are("basic net_privaddr") && bind_low_port() == 0);
}

static void test_the_naive_order_fails(void **state)
{
    (void)state;
    in_child(naive_body, NULL);
    in_child(aware_body, NULL);
}

/* ---- what is observed ---- */

static void observed_body(void)
{
    CHECK(getpflags(PRIV_AWARE) == 0 && all_are("all") && is(PRIV_INHERITABLE, "basic"));
    CHECK(seteuid(STRANGER) == 0);
    CHECK(is(PRIV_EFFECTIVE, "basic") && is(PRIV_PERMITTED, "all")); /* the real uid is 0 */
    CHECK(setgroups(0, NULL) < 0 && errno == EPERM);
    CHECK(seteuid(0) == 0 && all_are("all") && setgroups(0, NULL) == 0);
    CHECK(change(PRIV_SET, PRIV_INHERITABLE, "basic net_privaddr") == 0 && getpflags(PRIV_AWARE) == 0);
}

static void awareness_body(void)
{
    CHECK(setpflags(PRIV_AWARE, 1) == 0 && all_are("all")); /* invariant in becoming aware */
    CHECK(setpflags(PRIV_AWARE, 0) == 0 && getpflags(PRIV_AWARE) == 0);
    CHECK(change(PRIV_OFF, PRIV_EFFECTIVE, "sys_mount") == 0 && getpflags(PRIV_AWARE) == 1);
    CHECK(setpflags(PRIV_AWARE, 0) < 0 && errno == EPERM); /* euid 0, and E is not L */
    CHECK(seteuid(STRANGER) == 0 && !is(PRIV_EFFECTIVE, "basic") && is(PRIV_PERMITTED, "all"));
    CHECK(setpflags(PRIV_AWARE, 0) == 0 && is(PRIV_PERMITTED, "all"));
    CHECK(setpflags(0x4000, 1) < 0 && errno == EINVAL);
}

static void test_sets_are_observed_by_uid_until_the_process_is_aware(void **state)
{
    (void)state;
    in_child(observed_body, NULL);
    in_child(awareness_body, NULL);
}

/* ---- what may be set ---- */

static void bounds_body(void)
{
    CHECK(change(PRIV_SET, PRIV_EFFECTIVE, "basic proc_setid") == 0 && is(PRIV_PERMITTED, "all"));
    CHECK(change(PRIV_ON, PRIV_EFFECTIVE, "sys_mount") == 0); /* from P */
    CHECK(change(PRIV_SET, PRIV_PERMITTED, "basic proc_setid net_rawaccess") == 0);
    CHECK(is(PRIV_EFFECTIVE, "basic proc_setid")); /* what leaves P leaves E */
    CHECK(change(PRIV_ON, PRIV_PERMITTED, "sys_mount") == EPERM &&
          change(PRIV_ON, PRIV_EFFECTIVE, "sys_mount") == EPERM);
    CHECK(change(PRIV_SET, PRIV_PERMITTED, "all") == EPERM && change(PRIV_OFF, PRIV_PERMITTED, "sys_mount") == 0);
    CHECK(change(PRIV_SET, PRIV_INHERITABLE, "sys_mount") == EPERM);
    CHECK(change(PRIV_SET, PRIV_INHERITABLE, "net_rawaccess") == 0);
    CHECK(change(PRIV_SET, PRIV_LIMIT, "basic proc_setid") == 0 &&
          is(PRIV_PERMITTED, "basic proc_setid net_rawaccess"));
    CHECK(change(PRIV_ON, PRIV_LIMIT, "net_rawaccess") == EPERM && is(PRIV_LIMIT, "basic proc_setid"));
    CHECK(change(PRIV_SET, "Nonsense", "basic") == EINVAL);
}

static void test_sets_stay_within_their_bounds(void **state)
{
    (void)state;
    in_child(bounds_body, NULL);
}

/* ---- ids ---- */

static void ids_body(void)
{
    uid_t real = 0, effective = 0, saved = 0;
    CHECK(change(PRIV_SET, PRIV_PERMITTED, "basic") == 0); /* aware, uid 0, and no proc_setid */
    CHECK(setgid(STRANGER) < 0 && errno == EPERM && setgroups(0, NULL) < 0 && errno == EPERM);
    CHECK(setuid(STRANGER) < 0 && errno == EPERM && seteuid(STRANGER) < 0 && errno == EPERM);
    CHECK(setuid(0) == 0 && chroot("/") < 0 && errno == EPERM);
    CHECK(getresuid(&real, &effective, &saved) == 0 && real + effective + saved == 0);
    CHECK(setuid((uid_t)-1) < 0 && errno == EINVAL);
}

/* "setuid: all three; without proc_setid the effective one alone". */
static void saved_body(void)
{
    uid_t real = 0, effective = 0, saved = 0;
    CHECK(setresuid(STRANGER, STRANGER, 0) == 0);
    CHECK(setuid(STRANGER) == 0 && getresuid(&real, &effective, &saved) == 0 && saved == 0);
    CHECK(is(PRIV_EFFECTIVE, "basic") && is(PRIV_PERMITTED, "all"));
    CHECK(seteuid(0) == 0 && all_are("all"));
}

/* "Assuming uid 0 requires all privileges to be asserted." */
static void uid_0_body(void)
{
    CHECK(change(PRIV_SET, PRIV_PERMITTED, "basic proc_setid file_dac_write") == 0 && setuid(STRANGER) == 0);
    CHECK(setuid(0) < 0 && errno == EPERM && seteuid(0) < 0 && errno == EPERM);
    CHECK(setuid(STRANGER + 1) == 0 && getuid() == STRANGER + 1);
}

static void all_body(void)
{
    CHECK(setpflags(PRIV_AWARE, 1) == 0 && setuid(STRANGER) == 0 && all_are("all"));
    CHECK(setuid(0) == 0 && getuid() == 0);
}

static void fork_body(void)
{
    CHECK(change(PRIV_OFF, PRIV_EFFECTIVE, "proc_fork") == 0);
    CHECK(fork() < 0 && errno == EPERM);
}

static void test_ids_change_as_the_sets_allow(void **state)
{
    (void)state;
    in_child(ids_body, NULL);
    in_child(saved_body, NULL);
    in_child(uid_0_body, NULL);
    in_child(all_body, NULL);
    in_child(fork_body, NULL);
}

/* ---- exec, zones ---- */

static void exec_body(void)
{
    CHECK(change(PRIV_SET, PRIV_INHERITABLE, "basic net_privaddr") == 0);
    CHECK(change(PRIV_SET, PRIV_LIMIT, "basic proc_setid") == 0);
    CHECK(is(PRIV_PERMITTED, "all")); /* "Changes to L take effect on the next exec" */
    CHECK(change(PRIV_SET, PRIV_PERMITTED, "basic proc_setid") == 0 && setuid(STRANGER) == 0);
    model_exec();
    CHECK(all_are("basic") && is(PRIV_INHERITABLE, "basic") && getpflags(PRIV_AWARE) == 0);
}

/* Root's program observes L: what bounds it is L alone. */
static void root_exec_body(void)
{
    CHECK(change(PRIV_SET, PRIV_PERMITTED, "basic") == 0 && change(PRIV_SET, PRIV_LIMIT, "basic") == 0);
    model_exec();
    CHECK(getpflags(PRIV_AWARE) == 0 && all_are("basic"));
}

static void root_exec_without_limit_body(void)
{
    CHECK(change(PRIV_SET, PRIV_LIMIT, "all") == 0 && setpflags(PRIV_AWARE, 0) == 0);
    model_exec();
    CHECK(all_are("all"));
}

static void test_exec_takes_what_is_inheritable_within_the_limit(void **state)
{
    (void)state;
    in_child(exec_body, NULL);
    in_child(root_exec_body, NULL);
    in_child(root_exec_without_limit_body, NULL);
}

static void zone_body(void)
{
    model_enter_zone(7, "all !net_rawaccess !sys_time");
    CHECK(all_are("all !net_rawaccess !sys_time") && all_are("zone"));
    CHECK(change(PRIV_SET, PRIV_PERMITTED, "basic net_rawaccess") == EPERM);
    CHECK(setpflags(PRIV_AWARE, 1) == 0 && setuid(STRANGER) == 0 && setuid(0) == 0); /* all of the zone's is enough */
}

static void test_a_zone_bounds_even_root(void **state)
{
    (void)state;
    in_child(zone_body, NULL);
}

/* ---- texts ---- */

static void check_text(const char *text, int flag, const char *expected)
{
    priv_set_t *set = priv_str_to_set(text, " ", NULL);
    assert_non_null(set);
    char *found = priv_set_to_str(set, ',', flag);
    assert_string_equal(found, expected);
    free(found);
    priv_freeset(set);
}

static void test_texts_of_sets(void **state)
{
    (void)state;
    const char *end = "";
    check_text("basic net_privaddr", PRIV_STR_SHORT, "basic,net_privaddr");
    check_text("basic -proc_exec", PRIV_STR_PORT, "basic,!proc_exec");
    check_text("net_privaddr", PRIV_STR_LIT, "net_privaddr");
    check_text("net_privaddr", PRIV_STR_SHORT, "net_privaddr");
    check_text("all !sys_mount", PRIV_STR_SHORT, "all,!sys_mount");
    check_text("all", PRIV_STR_SHORT, "all");
    check_text("none", PRIV_STR_LIT, "none");
    assert_null(priv_str_to_set("basic, net_privaddr", ",", &end)); /* " net_privaddr" is one word then */
    assert_string_equal(end, " net_privaddr");
    assert_int_equal(priv_getbyname("PRIV_Net_PrivAddr"), priv_getbyname("net_privaddr"));
    assert_int_equal(priv_getbyname("net"), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_naive_order_fails),
        cmocka_unit_test(test_sets_are_observed_by_uid_until_the_process_is_aware),
        cmocka_unit_test(test_sets_stay_within_their_bounds),
        cmocka_unit_test(test_ids_change_as_the_sets_allow),
        cmocka_unit_test(test_exec_takes_what_is_inheritable_within_the_limit),
        cmocka_unit_test(test_a_zone_bounds_even_root),
        cmocka_unit_test(test_texts_of_sets),
    };
    if (geteuid() != 0) {
        (void)puts("skipped: what root can do takes root");
        return 77;
    }
    return cmocka_run_group_tests_name("model: Solaris", tests, NULL, NULL);
}
