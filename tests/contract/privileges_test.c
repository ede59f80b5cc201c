/*
 * What only privilege sets can do: what texts mean, which sets are left, what a start as root with Privileges can do no
 * more, drift. By documented calls alone, so this could run on Solaris. Root only.
 */
#include "tests/contract/harness.h"
#include "tests/contract/scenes.h"

#include <errno.h>
#include <grp.h>
#include <priv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- texts ---- */

/* Refused with these words, warned about with these words, or taken in silence. */
static const struct {
    const char *text;
    bool refused;
    const char *says; /* NULL: nothing */
} texts[] = {
    {"basic", false, NULL},
    {"basic net_privaddr", false, NULL},
    {"basic,net_privaddr", false, NULL},
    {" basic\t,\r\n, PRIV_Net_Privaddr ", false, NULL},
    {"file_read file_write net_access", false, NULL},
    {"basic !proc_exec -proc_fork !proc_info !proc_session !file_link_any net_privaddr", false, NULL},
    {"none basic", false, NULL},
    {"", true, "an empty set"},
    {" ,\t\r\n", true, "an empty set"},
    {"none", true, "an empty set"},
    {"basic none", true, "an empty set"},
    {"net_privaddr", true, "lacks file_read,file_write,net_access"},
    {"basic !net_access", true, "lacks net_access,"},
    {"basic net_privadr", true, "the word \"net_privadr\" (character 7): this system knows no such privilege"},
    {"  nonsense", true, "the word \"nonsense\" (character 3)"},
    {"basic;net_privaddr", true, "separated by white space or commas"},
    {"basic:net_privaddr", true, "separated by white space or commas"},
    {"basic !", true, "not what"},
    {"basic - proc_exec", true, "(character 7)"},
    {"basic !basic", true, "only single privileges"},
    {"basic !!proc_exec", true, "no such privilege"},
    {"cap_net_bind_service+ep", true, "a capability of Linux"},
    {"basic !proc_exce", true, "no such privilege"},
    {"basic proc_self", true, "no such privilege"},
    {"basic %s%n", true, "\"%s%n\""},
    {"basic !proc_self", false, "removes proc_self, which this system does not have"},
    {"basic -sys_ib_info !proc_exec net_privaddr", false, "removes sys_ib_info, which this system does not have"},
    {"basic proc_setid", false, "proc_setid, which is as good as root"},
    {"basic proc_owner", false, "proc_owner, which is as good as root"},
    {"basic file_dac_read", false, "file_dac_read, which is as good as root"},
    {"basic file_dac_write", false, "file_dac_write, which is as good as root"},
    {"basic file_dac_search", false, "file_dac_search, which is as good as root"},
    {"basic sys_mount", false, "sys_mount, which is as good as root"},
    {"basic sys_devices", false, "sys_devices, which is as good as root"},
    {"all !sys_mount", false, "proc_setid, which is as good as root"},
    {"all", false, "every privilege (all), which is as good as root"},
};

static int try(const char *text, lines_t *warnings, demit_os_error_t *error)
{
    const demit_identity_request_t request = {.user = "64123", .group = "64123", .privileges = text};
    demit_identity_t *identity = NULL;
    *error = (demit_os_error_t){0};
    *warnings = (lines_t){0};
    int code = demit_identity_resolve(&identity, &request, keep_line, warnings, error);
    demit_identity_free(identity);
    return code;
}

static void test_privilege_texts_mean_what_they_say(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        lines_t warnings;
        demit_os_error_t error;
        int code = try(texts[i].text, &warnings, &error);
        const char *said = texts[i].refused ? error.text : warnings.text;
        bool right = (code != 0) == texts[i].refused &&
                     (texts[i].says != NULL ? strstr(said, texts[i].says) != NULL : warnings.count == 0);
        if (!right) {
            print_message("\"%s\": code %d, %s%s\n", texts[i].text, code, error.text, warnings.text);
        }
        assert_true(right);
        assert_true(code == 0 || strcmp(error.step, "Privileges") == 0);
    }
}

/* ---- sets ---- */

/* In the child: set NAME of this process is exactly what TEXT says. */
static void check_set(const char *name, const char *text)
{
    priv_set_t *found = priv_allocset(), *wanted = priv_str_to_set(text, " ", NULL);
    CHECK(found != NULL && wanted != NULL && getppriv(name, found) == 0);
    if (!priv_isequalset(found, wanted)) {
        char what[1024];
        char *names = priv_set_to_str(found, ',', PRIV_STR_SHORT);
        (void)snprintf(what, sizeof(what), "%s is \"%s\", should be \"%s\"", name, names, text);
        child_failed(__FILE__, __LINE__, what);
    }
    priv_freeset(found);
    priv_freeset(wanted);
}

static void check_sets(const char *text)
{
    check_set(PRIV_PERMITTED, text);
    check_set(PRIV_EFFECTIVE, text);
    check_set(PRIV_LIMIT, text);
    check_set(PRIV_INHERITABLE, "none");
}

/* In the child: changes set WHICH by what TEXT says. 0 or the errno. */
static int change(priv_op_t op, const char *which, const char *text)
{
    priv_set_t *set = priv_str_to_set(text, " ", NULL);
    CHECK(set != NULL);
    int code = setppriv(op, which, set) == 0 ? 0 : errno;
    priv_freeset(set);
    return code;
}

static void binding_body(void)
{
    (void)assumed(&stranger_binding);
    check_sets("basic net_privaddr");
    CHECK(bind_low_port() == 0);
    CHECK(change(PRIV_ON, PRIV_PERMITTED, "proc_setid") == EPERM && change(PRIV_ON, PRIV_LIMIT, "proc_setid") == EPERM);
    CHECK(change(PRIV_ON, PRIV_EFFECTIVE, "file_dac_read") == EPERM);
    CHECK(change(PRIV_ON, PRIV_INHERITABLE, "file_dac_read") == EPERM);
}

static void default_body(void)
{
    (void)assumed(&stranger);
    check_sets("basic");
    CHECK(bind_low_port() == EACCES);
}

static void narrow_body(void)
{
    demit_identity_request_t request = stranger;
    request.privileges = "basic !proc_exec !proc_fork !proc_info !proc_session !file_link_any net_privaddr";
    (void)assumed(&request);
    check_sets(request.privileges);
    CHECK(fork() < 0 && errno == EPERM);
}

static void test_all_four_sets_are_exact(void **state)
{
    (void)state;
    in_child(binding_body, NULL);
    in_child(default_body, NULL);
    in_child(narrow_body, NULL);
}

static void jailed_body(void)
{
    demit_identity_request_t request = jailed();
    (void)assumed(&request);
    check_sets("basic net_privaddr");
    CHECK(chroot("/") < 0 && errno == EPERM);
}

static void test_a_jail_leaves_no_privilege_behind(void **state)
{
    (void)state;
    with_jail(jailed_body, NULL);
}

/* Warned about, and done: it is the administrator's decision. */
static void kept_setid_body(void)
{
    demit_identity_request_t request = stranger;
    request.privileges = "basic proc_setid";
    (void)assumed(&request);
    check_sets("basic proc_setid");
}

static void test_what_is_kept_on_purpose_is_not_tried(void **state)
{
    (void)state;
    in_child(kept_setid_body, NULL);
}

static void root_body(void)
{
    demit_identity_request_t request = {.user = "root", .group = "root", .privileges = "basic net_privaddr"};
    (void)assumed(&request);
    check_sets("basic net_privaddr");
    CHECK(getuid() == 0 && setuid(1) < 0 && errno == EPERM && setgroups(0, NULL) < 0 && errno == EPERM);
}

static void root_look(pid_t child)
{
    assert_held(child, 0, 0, "", kept(1 << 10)); /* of what Linux knows: to bind a low port */
}

static void test_root_with_privileges_has_these_only(void **state)
{
    (void)state;
    in_child(root_body, root_look);
}

/* ---- what is missing ---- */

static void missing_body(void)
{
    demit_identity_request_t request = stranger;
    demit_os_error_t error = {0};
    const gid_t inherited = 4;
    CHECK(setgroups(1, &inherited) == 0);
    request.privileges = "basic net_privaddr net_rawaccess sys_resource";
    lose(0, "net_rawaccess");
    lose(0, "sys_resource");
    const demit_identity_t *identity = resolved(&request, NULL);
    CHECK(demit_identity_assume(identity, &error) != 0);
    CHECK(strcmp(error.step, "setppriv Permitted") == 0 && error.code == EPERM);
    CHECK_HOLDS(error.text, "lacks net_rawaccess,sys_resource");
    CHECK(getuid() == 0 && getgid() == 0 && getgroups(0, NULL) == 1);
    check_set(PRIV_INHERITABLE, "basic"); /* refused before anything was changed */
}

/* Still permitted, but exec could not give it, so it cannot become the limit either. */
static void beyond_limit_body(void)
{
    demit_os_error_t error = {0};
    CHECK(change(PRIV_OFF, PRIV_LIMIT, "net_privaddr") == 0);
    const demit_identity_t *identity = resolved(&stranger_binding, NULL);
    CHECK(demit_identity_assume(identity, &error) != 0);
    CHECK(strcmp(error.step, "setppriv Limit") == 0 && getuid() == 0);
    CHECK_HOLDS(error.text, "the Limit set of this process lacks net_privaddr");
}

static void without_chroot_body(void)
{
    demit_identity_request_t request = jailed();
    demit_os_error_t error = {0};
    lose(0, "proc_chroot");
    const demit_identity_t *identity = resolved(&request, NULL);
    CHECK(demit_identity_assume(identity, &error) != 0);
    CHECK(strcmp(error.step, "chroot") == 0 && getuid() == 0);
    CHECK_HOLDS(error.text, "lacks proc_chroot");
}

static void test_each_missing_privilege_is_named(void **state)
{
    (void)state;
    in_child(missing_body, NULL);
    in_child(beyond_limit_body, NULL);
    with_jail(without_chroot_body, NULL);
}

static void ordinary_body(void)
{
    const demit_identity_request_t request = {.privileges = "basic net_privaddr"};
    lines_t warnings = {0};
    demit_os_error_t error = {0};
    become_stranger();
    const demit_identity_t *identity = resolved(&request, &warnings);
    CHECK_HOLDS(warnings.text, "asks for net_privaddr: not started as root, so demitd runs without");
    CHECK(demit_identity_assume(identity, &error) == 0 && demit_identity_verify(identity, &error) == 0);
    check_sets("basic");
}

static void test_an_ordinary_user_makes_do(void **state)
{
    (void)state;
    in_child(ordinary_body, NULL);
}

/* ---- drift, report, sandbox ---- */

static void drift_body(void)
{
    lines_t drift = {0};
    const demit_identity_t *identity = assumed(&stranger_binding);
    CHECK(change(PRIV_SET, PRIV_INHERITABLE, "net_privaddr") == 0);
    CHECK(change(PRIV_OFF, PRIV_LIMIT, "proc_exec") == 0);
    CHECK(change(PRIV_OFF, PRIV_EFFECTIVE, "proc_info") == 0);
    CHECK(demit_identity_audit(identity, keep_line, &drift) == 3);
    CHECK_HOLDS(drift.text, "the Inheritable set holds net_privaddr, which should be gone");
    CHECK_HOLDS(drift.text, "the Limit set lacks proc_exec");
    CHECK_HOLDS(drift.text, "the Effective set lacks proc_info");
}

static void test_audit_finds_drift_of_every_set(void **state)
{
    (void)state;
    in_child(drift_body, NULL);
}

static void keep_fact(void *baton, const demit_identity_fact_t *fact)
{
    char line[512];
    (void)snprintf(line, sizeof(line), "%s=%s", fact->name, fact->value != NULL ? fact->value : "(unknown)");
    keep_line(baton, line);
}

static void report_look(pid_t child)
{
    lines_t facts = {0};
    assert_int_equal(demit_identity_report(child, keep_fact, &facts), 0);
    assert_non_null(strstr(facts.text, "\nuid=64123 64123 64123\ngid=64123 64123 64123\ngroups=-\n"
                                       "priv_inheritable=-\npriv_permitted=basic,net_privaddr\n"
                                       "priv_effective=basic,net_privaddr\npriv_limit=basic,net_privaddr\n"));
    assert_non_null(strstr(facts.text, "\nthreads=1\n"));
    assert_non_null(strstr(facts.text, "\nbindable_ports=1-65535\n"));
}

static void assumed_binding_body(void)
{
    (void)assumed(&stranger_binding);
}

static void test_report_tells_all_four_sets(void **state)
{
    (void)state;
    in_child(assumed_binding_body, report_look);
}

static void keep_part(void *baton, const demit_sandbox_part_t *part)
{
    assert_false(part->enforced);
    assert_true(part->name[0] != '\0' && part->what[0] != '\0' && part->why_not[0] != '\0');
    ++*(size_t *)baton;
}

static void test_the_sets_are_all_the_sandbox_that_there_is(void **state)
{
    (void)state;
    const demit_sandbox_request_t request = {0};
    demit_os_error_t error = {0};
    size_t told = 0;
    assert_int_equal(demit_sandbox_explain(&request, keep_part, &told, &error), 0);
    assert_int_equal(told, 3);
    assert_int_equal(demit_sandbox_enter(&request, false, keep_part, &told, &error), 0);
    assert_int_equal(told, 6);
    assert_int_equal(demit_sandbox_verify(&request, &error), 0);
    assert_int_equal(demit_sandbox_enter(&request, true, keep_part, &told, &error), ENOTSUP);
    assert_int_equal(told, 6);
    assert_string_equal(error.step, "sandbox");
    assert_non_null(strstr(error.text, "Sandbox = auto"));
    assert_int_equal(demit_os_limit_descriptor(0, DEMIT_DESCRIPTOR_LISTENER), ENOTSUP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_privilege_texts_mean_what_they_say),
        cmocka_unit_test(test_all_four_sets_are_exact),
        cmocka_unit_test(test_a_jail_leaves_no_privilege_behind),
        cmocka_unit_test(test_what_is_kept_on_purpose_is_not_tried),
        cmocka_unit_test(test_root_with_privileges_has_these_only),
        cmocka_unit_test(test_each_missing_privilege_is_named),
        cmocka_unit_test(test_an_ordinary_user_makes_do),
        cmocka_unit_test(test_audit_finds_drift_of_every_set),
        cmocka_unit_test(test_report_tells_all_four_sets),
        cmocka_unit_test(test_the_sets_are_all_the_sandbox_that_there_is),
    };
    if (geteuid() != 0) {
        (void)puts("skipped: giving up root takes root");
        return 77;
    }
    return cmocka_run_group_tests_name("contract: privileges", tests, NULL, NULL);
}
