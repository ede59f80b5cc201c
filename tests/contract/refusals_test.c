/* What is refused by its words alone, before anything is done: ids, groups, capability texts, jails. Root only. */
#include "tests/contract/scenes.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "demit/build.h"

static int try(const demit_identity_request_t *request, lines_t *warnings, demit_os_error_t *error)
{
    demit_identity_t *identity = NULL;
    *error = (demit_os_error_t){0};
    *warnings = (lines_t){0};
    int code = demit_identity_resolve(&identity, request, keep_line, warnings, error);
    demit_identity_free(identity);
    assert_true(code == 0 || (error->step[0] != '\0' && error->text[0] != '\0' && identity == NULL));
    assert_null(strchr(error->text, '\n'));
    return code;
}

/* Thirty ways to name nobody; and what the refusal must say. */
static const struct {
    const char *text, *says;
} bad_ids[] = {
    {"", "it is empty"},
    {"-1", "not a decimal number"},
    {"-0", "not a decimal number"},
    {"+64123", "not a decimal number"},
    {" 64123", "not a decimal number"},
    {"64123 ", "not a decimal number"},
    {"64123\n", "not a decimal number"},
    {"\t64123", "not a decimal number"},
    {"64 123", "not a decimal number"},
    {"64,123", "not a decimal number"},
    {"64.123", "not a decimal number"},
    {"64123x", "not a decimal number"},
    {"0x10", "not a decimal number"},
    {"0xfa7b", "not a decimal number"},
    {"1e3", "not a decimal number"},
    {"#64123", "not a decimal number"},
    {"0644", "begins with 0"},
    {"00", "begins with 0"},
    {"0175233", "begins with 0"},
    {"064123", "begins with 0"},
    {"65535", "65535"},
    {"4294967295", "(id)-1"},
    {"4294967296", "wrap"},
    {"4295031419", "wrap"},
    {"8589934592", "wrap"},
    {"99999999999", "wrap"},
    {"18446744073709551615", "wrap"},
    {"18446744073709551616", "wrap"},
    {"184467440737095516160000000000000000", "wrap"},
    {"no-such-account", "not a decimal number"},
    {"nobody:nogroup", "not a decimal number"},
    {"root ", "not a decimal number"},
    {"\xc3\xb6sterreich", "not a decimal number"},
};

static void test_bad_users_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(bad_ids) / sizeof(bad_ids[0]); i++) {
        demit_identity_request_t request = {.user = bad_ids[i].text, .group = "64123"};
        lines_t warnings;
        demit_os_error_t error;
        assert_int_not_equal(try(&request, &warnings, &error), 0);
        assert_string_equal(error.step, "user");
        assert_non_null(strstr(error.text, bad_ids[i].says));
    }
}

static void test_bad_groups_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(bad_ids) / sizeof(bad_ids[0]); i++) {
        const char *const listed[] = {"27", bad_ids[i].text};
        demit_identity_request_t request = {.user = "64123", .group = bad_ids[i].text};
        lines_t warnings;
        demit_os_error_t error;
        assert_int_not_equal(try(&request, &warnings, &error), 0);
        assert_string_equal(error.step, "group");
        assert_non_null(strstr(error.text, bad_ids[i].says));
        request = (demit_identity_request_t){
            .user = "64123", .group = "64123", .supplemental_groups = listed, .supplemental_group_count = 2};
        assert_int_not_equal(try(&request, &warnings, &error), 0);
        assert_string_equal(error.step, "Supplemental_Groups");
        assert_non_null(strstr(error.text, bad_ids[i].says));
    }
}

static void test_good_ids_are_taken(void **state)
{
    (void)state;
    static const char *const users[] = {"64123", "1", "4294967294", "65534", "65536", "nobody"};
    for (size_t i = 0; i < sizeof(users) / sizeof(users[0]); i++) {
        demit_identity_request_t request = {.user = users[i], .group = users[i][0] == 'n' ? "nogroup" : users[i]};
        lines_t warnings;
        demit_os_error_t error;
        assert_int_equal(try(&request, &warnings, &error), 0);
        assert_int_equal(warnings.count, 0);
    }
}

static void test_a_bare_number_needs_a_group(void **state)
{
    (void)state;
    demit_identity_request_t request = {.user = "64123"};
    lines_t warnings;
    demit_os_error_t error;
    assert_int_not_equal(try(&request, &warnings, &error), 0);
    assert_string_equal(error.step, "group");
    assert_non_null(strstr(error.text, "set group too"));
    request = (demit_identity_request_t){.user = "64123", .group = "64123", .group_is_default = true};
    assert_int_not_equal(try(&request, &warnings, &error), 0);
}

static int try_in_child(const demit_identity_request_t *request, demit_identity_t **identity, lines_t *warnings,
                        demit_os_error_t *error)
{
    *error = (demit_os_error_t){0};
    *warnings = (lines_t){0};
    return demit_identity_resolve(identity, request, keep_line, warnings, error);
}

static void no_default_body(void)
{
    const demit_identity_request_t request = {.user = DEMIT_DEFAULT_USER, .user_is_default = true};
    demit_identity_t *identity = NULL;
    demit_os_error_t error;
    lines_t warnings;
    use_accounts("root:x:0:0::/:/bin/sh\n", "root:x:0:\n");
    CHECK(try_in_child(&request, &identity, &warnings, &error) != 0);
    CHECK(strcmp(error.step, "user") == 0);
    CHECK_HOLDS(error.text, "useradd ");
    CHECK_HOLDS(error.text, DEMIT_DEFAULT_USER);
}

static void test_a_missing_default_user_tells_how_to_make_it(void **state)
{
    (void)state;
    in_child(no_default_body, NULL);
}

static void default_is_root_body(void)
{
    const demit_identity_request_t request = {0};
    demit_identity_t *identity = NULL;
    demit_os_error_t error;
    lines_t warnings;
    use_accounts("root:x:0:0::/:/bin/sh\n" DEMIT_DEFAULT_USER ":x:0:0::/:/bin/sh\n", "root:x:0:\n");
    CHECK(try_in_child(&request, &identity, &warnings, &error) != 0);
    CHECK_HOLDS(error.text, "only by an explicit user = root");
}

static void test_the_default_user_is_never_root(void **state)
{
    (void)state;
    in_child(default_is_root_body, NULL);
}

static void default_body(void)
{
    const demit_identity_request_t nobody_wrote = {0};
    const demit_identity_request_t only_user = {
        .user = "other", .group = DEMIT_DEFAULT_GROUP, .group_is_default = true};
    demit_identity_t *identity = NULL;
    demit_os_error_t error;
    lines_t warnings;
    use_accounts("root:x:0:0::/:/bin/sh\n" DEMIT_DEFAULT_USER ":x:990:100::/:/bin/sh\nother:x:991:101::/:/bin/sh\n"
                 "65000:x:992:102::/:/bin/sh\nodd:x:65535:103::/:/bin/sh\n",
                 "root:x:0:\n" DEMIT_DEFAULT_GROUP ":x:980:\nodd:x:65535:\n");
    CHECK(try_in_child(&nobody_wrote, &identity, &warnings, &error) == 0 && warnings.count == 0);
    CHECK(demit_identity_uid(identity) == 990 && demit_identity_gid(identity) == 980);
    CHECK(try_in_child(&only_user, &identity, &warnings, &error) == 0 && warnings.count == 0);
    CHECK(demit_identity_uid(identity) == 991 && demit_identity_gid(identity) == 980);
    /* An account whose name is a number: the name comes first. */
    const demit_identity_request_t numeric = {.user = "65000"};
    CHECK(try_in_child(&numeric, &identity, &warnings, &error) == 0);
    CHECK(demit_identity_uid(identity) == 992);
    /* The database may not name what the parser refuses. */
    const demit_identity_request_t odd = {.user = "odd", .group = "101"};
    CHECK(try_in_child(&odd, &identity, &warnings, &error) != 0);
    CHECK_HOLDS(error.text, "65535");
    const demit_identity_request_t odd_group = {.user = "other", .group = "odd"};
    CHECK(try_in_child(&odd_group, &identity, &warnings, &error) != 0);
    CHECK_HOLDS(error.text, "65535");
}

static void no_default_group_body(void)
{
    const demit_identity_request_t only_user = {.user = "other"};
    demit_identity_t *identity = NULL;
    demit_os_error_t error;
    lines_t warnings;
    use_accounts("root:x:0:0::/:/bin/sh\nother:x:991:101::/:/bin/sh\n", "root:x:0:\nothers:x:101:\n");
    CHECK(try_in_child(&only_user, &identity, &warnings, &error) == 0);
    CHECK(demit_identity_gid(identity) == 101);
    CHECK_HOLDS(warnings.text, "using \"others\" (101)");
}

static void test_defaults_come_from_the_build_and_the_account(void **state)
{
    (void)state;
    in_child(default_body, NULL);
    in_child(no_default_group_body, NULL);
}

static void group_body(void)
{
    demit_os_group_t *group = NULL;
    demit_os_error_t error = {0};
    use_accounts("root:x:0:0::/:/bin/sh\nada:x:1001:1001::/:/bin/sh\nbob:x:1002:1002::/:/bin/sh\n",
                 "root:x:0:\nmail:x:8:ada,gone\n");
    CHECK(demit_os_group_resolve(&group, "mail", &error) == 0);
    CHECK(demit_os_group_has(group, 1001, 1001));  /* listed */
    CHECK(demit_os_group_has(group, 1002, 8));     /* primary group */
    CHECK(!demit_os_group_has(group, 1002, 1002)); /* neither */
    CHECK(!demit_os_group_has(group, 0, 0));       /* a name without an account is nobody, and not uid 0 */
    demit_os_group_free(group);
    CHECK(demit_os_group_resolve(&group, "8", &error) == 0 && demit_os_group_has(group, 1001, 1001));
    CHECK(demit_os_group_resolve(&group, "4711", &error) == 0 && !demit_os_group_has(group, 1001, 1001));
    CHECK(demit_os_group_resolve(&group, "no-such-group", &error) != 0 && group == NULL);
    CHECK(strcmp(error.step, "Control_Group") == 0);
    CHECK(demit_os_group_resolve(&group, "", &error) != 0);
    demit_os_group_free(NULL);
}

static void test_the_console_group_has_its_members(void **state)
{
    (void)state;
    in_child(group_body, NULL);
}

static void test_gid_0_is_warned_about(void **state)
{
    (void)state;
    const char *const listed[] = {"0"};
    demit_identity_request_t request = {.user = "64123", .group = "0"};
    lines_t warnings;
    demit_os_error_t error;
    assert_int_equal(try(&request, &warnings, &error), 0);
    assert_int_equal(warnings.count, 1);
    request = (demit_identity_request_t){
        .user = "64123", .group = "64123", .supplemental_groups = listed, .supplemental_group_count = 1};
    assert_int_equal(try(&request, &warnings, &error), 0);
    assert_int_equal(warnings.count, 1);
}

static void test_bad_jails_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *path, *says;
    } bad[] = {
        {"/no/such/jail", "No such file"},
        {"/etc/passwd", "Not a directory"},
        {"etc", "absolute"},
        {"./", "absolute"},
        {"/", "root directory itself"},
        {"/usr/..", "root directory itself"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        demit_identity_request_t request = {.user = "64123", .group = "64123", .chroot_directory = bad[i].path};
        lines_t warnings;
        demit_os_error_t error;
        assert_int_not_equal(try(&request, &warnings, &error), 0);
        assert_string_equal(error.step, "chroot");
        assert_non_null(strstr(error.text, bad[i].says));
    }
}

/* What each text means: refused with these words, warned about with these words, or taken in silence. */
static const struct {
    const char *text;
    bool refused;
    const char *says; /* NULL: nothing */
} capability_texts[] = {
    {"cap_net_bind_service+ep", false, NULL},
    {"CAP_NET_BIND_SERVICE=EP", true, "'E' is no flag"},
    {"Cap_Net_Bind_Service=ep", false, NULL},
    {"cap_net_bind_service,cap_net_raw+ep", false, NULL},
    {" \tcap_net_raw=+ep  cap_net_admin+p+e ", false, NULL},
    {"10+ep", false, NULL},
    {"=ep cap_sys_admin-ep", false, "as good as root"},
    {"", false, "nothing to keep"},
    {"  \t ", false, "nothing to keep"},
    {"=", false, "nothing to keep"},
    {"cap_net_raw+ep cap_net_raw-ep", false, "nothing to keep"},
    {"cap_net_raw+p", false, "permitted (p) but not effective"},
    {"cap_net_raw+eip", false, "inheritable (i): ignored"},
    {"cap_setuid+ep", false, "cap_setuid, which is as good as root"},
    {"cap_sys_admin+ep", false, "cap_sys_admin, which is as good as root"},
    {"cap_dac_override+ep", false, "cap_dac_override, which is as good as root"},
    {"cap_sys_ptrace+ep", false, "cap_sys_ptrace, which is as good as root"},
    {"cap_sys_module+ep", false, "cap_sys_module, which is as good as root"},
    {"cap_setfcap+ep", false, "cap_setfcap, which is as good as root"},
    {"=ep", true, "keeps every capability"},
    {"all=ep", true, "keeps every capability"},
    {"all+p", true, "keeps every capability"},
    {"cap_net_raw+e", true, "without being permitted"},
    {"=e", true, "without being permitted"},
    {"cap_net_raw", true, "the clause \"cap_net_raw\": it does not say what to do"},
    {"cap_net_admin+ep cap_net_raw", true, "the clause \"cap_net_raw\""},
    {"+ep", true, "no capability stands before"},
    {"-ep", true, "no capability stands before"},
    {"cap_net_raw+ep,cap_net_admin+ep", true, "',' joins names only"},
    {"cap_net_raw+ep;cap_net_admin+ep", true, "not by ';'"},
    {"cap_net_raw+ep ; cap_net_admin+ep", true, "the clause \";\""},
    {"cap_net_rew+ep", true, "no capability \"cap_net_rew\""},
    {"net_raw+ep", true, "names begin with cap_"},
    {"cap_net_admin+ep cap_nonsense+ep cap_net_raw+ep", true, "the clause \"cap_nonsense+ep\""},
    {"cap_net_raw,+ep", true, "a name is missing"},
    {",cap_net_raw+ep", true, "a name is missing"},
    {"63+ep", true, "no capability 63"},
    {"64+ep", true, "no capability 64"},
    {"4294967306+ep", true, "no capability 4294967306"},
    {"cap_net_raw+x", true, "'x' is no flag"},
    {"cap_net_raw+ep%s%n", true, "'%' is no flag"},
};

static void test_capability_texts_mean_what_they_say(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(capability_texts) / sizeof(capability_texts[0]); i++) {
        demit_identity_request_t request = {
            .user = "64123", .group = "64123", .capabilities = capability_texts[i].text};
        lines_t warnings;
        demit_os_error_t error;
        int code = try(&request, &warnings, &error);
        const char *said = capability_texts[i].refused ? error.text : warnings.text;
        bool right =
            (code != 0) == capability_texts[i].refused &&
            (capability_texts[i].says != NULL ? strstr(said, capability_texts[i].says) != NULL : warnings.count == 0);
        if (!right) {
            print_message("\"%s\": code %d, %s%s\n", capability_texts[i].text, code, error.text, warnings.text);
        }
        assert_true(right);
        assert_true(code == 0 || strcmp(error.step, "Capabilities") == 0);
    }
}

static void test_what_another_system_understands_is_ignored_aloud(void **state)
{
    (void)state;
    demit_identity_request_t request = {
        .user = "64123", .group = "64123", .privileges = "basic net_privaddr", .capabilities = "cap_net_raw+ep"};
    lines_t warnings;
    demit_os_error_t error;
    assert_int_equal(try(&request, &warnings, &error), 0);
    assert_true((strstr(warnings.text, "Privileges is ignored") != NULL) == !backend_is("solaris"));
    assert_true((strstr(warnings.text, "Capabilities is ignored") != NULL) == !backend_is("linux"));
}

static void test_a_long_clause_is_no_overflow(void **state)
{
    (void)state;
    static char text[8192];
    demit_identity_request_t request = {.user = "64123", .group = "64123", .capabilities = text};
    lines_t warnings;
    demit_os_error_t error;
    memset(text, 'a', sizeof(text) - 1);
    assert_int_equal(try(&request, &warnings, &error) != 0, backend_is("linux"));
    request = (demit_identity_request_t){.user = "64123", .group = "64123", .privileges = text};
    assert_int_equal(try(&request, &warnings, &error) != 0, backend_is("solaris"));
    request = (demit_identity_request_t){.user = text, .group = "64123"};
    assert_int_not_equal(try(&request, &warnings, &error), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_users_are_refused),
        cmocka_unit_test(test_bad_groups_are_refused),
        cmocka_unit_test(test_good_ids_are_taken),
        cmocka_unit_test(test_a_bare_number_needs_a_group),
        cmocka_unit_test(test_a_missing_default_user_tells_how_to_make_it),
        cmocka_unit_test(test_the_default_user_is_never_root),
        cmocka_unit_test(test_defaults_come_from_the_build_and_the_account),
        cmocka_unit_test(test_the_console_group_has_its_members),
        cmocka_unit_test(test_gid_0_is_warned_about),
        cmocka_unit_test(test_bad_jails_are_refused),
        cmocka_unit_test(test_what_another_system_understands_is_ignored_aloud),
        cmocka_unit_test(test_a_long_clause_is_no_overflow),
    };
    if (geteuid() != 0) {
        (void)puts("skipped: a start as root is what is tried");
        return 77;
    }
    const struct CMUnitTest of_capabilities[] = {
        cmocka_unit_test(test_capability_texts_mean_what_they_say),
    };
    int failed = cmocka_run_group_tests_name("contract: refusals", tests, NULL, NULL);
    if (backend_is("linux")) {
        failed += cmocka_run_group_tests_name("contract: capability texts", of_capabilities, NULL, NULL);
    }
    return failed;
}
