/*
 * Other starts: root that stays root, an ordinary user, the configured user. And what is told: explain, report, audit,
 * against the kernel as it is. Root only.
 */
#include "tests/contract/powers.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- root that stays root ---- */

static void root_without_capabilities_body(void)
{
    const gid_t inherited[] = {4, 27};
    demit_identity_request_t request = {.user = "root", .group = "0"};
    lines_t warnings = {0};
    demit_os_error_t error = {0};
    uint64_t before = permitted_now();
    CHECK(setgroups(2, inherited) == 0);
    const demit_identity_t *identity = resolved(&request, &warnings);
    CHECK_HOLDS(warnings.text, "is root: not recommended");
    CHECK(demit_identity_assume(identity, &error) == 0 && demit_identity_verify(identity, &error) == 0);
    CHECK(permitted_now() == before && count_groups() == 0);
    CHECK(demit_identity_lowest_port(identity) == 1 && bind_low_port() == 0);
}

static void test_root_without_capabilities_keeps_all(void **state)
{
    (void)state;
    in_child(root_without_capabilities_body, NULL);
}

/* ---- not from root ---- */

static void ordinary_body(void)
{
    const demit_identity_request_t request = {.capabilities = "cap_net_bind_service+ep"};
    lines_t warnings = {0};
    demit_os_error_t error = {0};
    become_stranger();
    const demit_identity_t *identity = resolved(&request, &warnings);
    CHECK_HOLDS(warnings.text, backend_is("linux") ? "runs without" : "ignored");
    CHECK(demit_identity_assume(identity, &error) == 0);
    CHECK(demit_identity_verify(identity, &error) == 0);
    CHECK(demit_identity_uid(identity) == STRANGER && demit_identity_gid(identity) == STRANGER);
}

static void ordinary_look(pid_t child)
{
    view_t view;
    assert_int_equal(look_at_threads(child, &view, 1), 1);
    assert_int_equal(view.uid[2], STRANGER);
    assert_int_equal(view.permitted | view.ambient | view.inheritable, 0);
    assert_int_equal(view.no_new_privs, !looks.at_no_new_privs ? -1 : backend_is("linux") ? 1 : 0);
}

static void test_an_ordinary_user_runs_as_himself(void **state)
{
    (void)state;
    in_child(ordinary_body, ordinary_look);
}

static void saved_root_body(void)
{
    /* Real and effective uid gone, the saved one forgotten: what seteuid() in a launcher leaves behind. */
    CHECK(setgroups(0, NULL) == 0 && setregid(STRANGER, (gid_t)-1) == 0 && setegid(STRANGER) == 0);
    CHECK(setreuid(STRANGER, (uid_t)-1) == 0 && seteuid(STRANGER) == 0);
    (void)assumed(&stranger);
    CHECK(seteuid(0) != 0 && setegid(0) != 0);
}

static void test_a_saved_root_is_closed(void **state)
{
    (void)state;
    in_child(saved_root_body, ordinary_look);
}

static void configured_body(void)
{
    const gid_t leftover[] = {STRANGER, 27}; /* some kernels take the first as the effective gid */
    const char *const missing[] = {"44"};
    lines_t warnings = {0};
    demit_os_error_t error = {0};
    demit_identity_t *identity = NULL;
    demit_identity_request_t request = stranger;
    CHECK(setgroups(2, leftover) == 0 && setgid(STRANGER) == 0 && setuid(STRANGER) == 0);
    request.supplemental_groups = missing;
    request.supplemental_group_count = 1;
    CHECK(demit_identity_resolve(&identity, &request, NULL, NULL, &error) != 0);
    CHECK_HOLDS(error.text, "group 44");
    identity = resolved(&stranger, &warnings);
    CHECK_HOLDS(warnings.text, "group 27 stays");
    CHECK(demit_identity_assume(identity, &error) == 0 && demit_identity_verify(identity, &error) == 0);
}

static void test_a_start_as_the_configured_user_trims(void **state)
{
    (void)state;
    in_child(configured_body, NULL);
}

static void refuse_others_body(void)
{
    demit_identity_request_t request = {.user = "nobody"};
    demit_identity_t *identity = NULL;
    demit_os_error_t error = {0};
    become_stranger();
    CHECK(demit_identity_resolve(&identity, &request, NULL, NULL, &error) != 0);
    CHECK_HOLDS(error.text, "start it as root");
    request = (demit_identity_request_t){.user = "root"};
    CHECK(demit_identity_resolve(&identity, &request, NULL, NULL, &error) != 0);
    request = (demit_identity_request_t){.user = "64123", .group = "27"};
    CHECK(demit_identity_resolve(&identity, &request, NULL, NULL, &error) != 0);
    CHECK(strcmp(error.step, "group") == 0);
}

static void test_an_ordinary_user_cannot_become_another(void **state)
{
    (void)state;
    in_child(refuse_others_body, NULL);
}

/* Where setgroups(2) works, the waiver waives nothing. */
static void needless_waiver_body(void)
{
    const gid_t inherited[] = {27, 44};
    demit_identity_request_t request = stranger;
    char summary[512];
    CHECK(setgroups(2, inherited) == 0);
    request.allow_inherited_groups = true;
    const demit_identity_t *identity = assumed(&request);
    CHECK(count_groups() == 0);
    demit_identity_summary(identity, summary, sizeof(summary));
    CHECK_HOLDS(summary, "groups=- ");
}

static void test_a_needless_waiver_waives_nothing(void **state)
{
    (void)state;
    in_child(needless_waiver_body, NULL);
}

/* ---- telling ---- */

typedef struct steps {
    char names[512];
    size_t failing;
} steps_t;

static void keep_step(void *baton, const demit_identity_step_t *step)
{
    steps_t *steps = baton;
    size_t used = strlen(steps->names);
    (void)snprintf(steps->names + used, sizeof(steps->names) - used, "%s,", step->name);
    CHECK(step->what[0] != '\0' && step->would_succeed == (step->why_not[0] == '\0'));
    steps->failing += !step->would_succeed;
}

static void explain_body(void)
{
    demit_identity_request_t request = jailed();
    steps_t steps = {0};
    uint64_t before = permitted_now();
    const demit_identity_t *identity = resolved(&request, NULL);
    demit_identity_explain(identity, keep_step, &steps);
    CHECK(strcmp(steps.names, steps_in_order()) == 0);
    CHECK(steps.failing == 0);
    CHECK(getuid() == 0 && getgid() == 0 && access("/etc", F_OK) == 0 && permitted_now() == before);
    CHECK(open("/", O_RDONLY | O_DIRECTORY) >= 0);
    demit_identity_explain(identity, keep_step, &steps);
    CHECK(steps.failing == 1);
}

static void explain_look(pid_t child)
{
    view_t view;
    assert_int_equal(look_at_threads(child, &view, 1), 1);
    assert_int_equal(view.no_new_privs, looks.at_no_new_privs ? 0 : -1);
}

static void test_explain_changes_nothing(void **state)
{
    (void)state;
    with_jail(explain_body, explain_look);
}

typedef struct seen {
    char uid[80], permitted[256], order[512];
} seen_t;

static void keep_fact(void *baton, const demit_identity_fact_t *fact)
{
    seen_t *seen = baton;
    size_t used = strlen(seen->order);
    (void)snprintf(seen->order + used, sizeof(seen->order) - used, "%s,", fact->name);
    if (strcmp(fact->name, "uid") == 0) {
        (void)snprintf(seen->uid, sizeof(seen->uid), "%s", fact->value);
    } else if (strcmp(fact->name, "cap_permitted") == 0 || strcmp(fact->name, "priv_permitted") == 0) {
        (void)snprintf(seen->permitted, sizeof(seen->permitted), "%s", fact->value);
    }
}

static void report_body(void)
{
    seen_t seen = {0};
    (void)assumed(&stranger_binding);
    CHECK(demit_os_protect_memory() == 0); /* from here on /proc/self is root's */
    CHECK(demit_identity_report(0, keep_fact, &seen) == 0);
    CHECK(strncmp(seen.uid, "64123 64123 64123", 17) == 0);
    CHECK(strncmp(seen.order, "pid,threads,uid,gid,groups,", 27) == 0);
}

static void report_look(pid_t child)
{
    seen_t seen = {0};
    int code = demit_identity_report(child, keep_fact, &seen);
    assert_int_equal(code, 0);
    assert_string_equal(seen.uid, backend_is("linux") ? "64123 64123 64123 64123" : "64123 64123 64123");
    const char *permitted = backend_is("linux") ? "cap_net_bind_service"
                            : backend_is("bsd") ? ""
                                                : "basic,net_privaddr";
    assert_string_equal(seen.permitted, permitted);
    assert_int_equal(demit_identity_report(0x3fffffff, keep_fact, &seen), ESRCH);
}

static void test_report_tells_of_oneself_and_of_others(void **state)
{
    (void)state;
    in_child(report_body, report_look);
}

static void audit_body(void)
{
    lines_t drift = {0};
    const demit_identity_t *identity = assumed(&stranger_binding);
    CHECK(demit_identity_audit(identity, keep_line, &drift) == 0 && drift.count == 0);
    if (!backend_is("bsd")) {
        lose_low_port();
        CHECK(demit_identity_audit(identity, keep_line, &drift) == 2 && drift.count == 2);
        CHECK_HOLDS(drift.text, backend_is("linux") ? "the permitted set lacks cap_net_bind_service"
                                                    : "the Permitted set lacks net_privaddr");
    }
}

static void audit_before_body(void)
{
    lines_t drift = {0};
    const demit_identity_t *identity = resolved(&stranger, NULL);
    int differences = demit_identity_audit(identity, keep_line, &drift);
    CHECK(differences >= 6 && drift.count == (size_t)differences);
    CHECK_HOLDS(drift.text, "saved uid is 0, should be 64123");
}

static void test_audit_finds_drift(void **state)
{
    (void)state;
    in_child(audit_body, NULL);
    in_child(audit_before_body, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_root_without_capabilities_keeps_all),
        cmocka_unit_test(test_an_ordinary_user_runs_as_himself),
        cmocka_unit_test(test_a_saved_root_is_closed),
        cmocka_unit_test(test_a_start_as_the_configured_user_trims),
        cmocka_unit_test(test_an_ordinary_user_cannot_become_another),
        cmocka_unit_test(test_a_needless_waiver_waives_nothing),
        cmocka_unit_test(test_explain_changes_nothing),
        cmocka_unit_test(test_report_tells_of_oneself_and_of_others),
        cmocka_unit_test(test_audit_finds_drift),
    };
    if (geteuid() != 0) {
        (void)puts("skipped: giving up root takes root");
        return 77;
    }
    int failed = cmocka_run_group_tests_name("contract: starts", tests, NULL, NULL);
    return failed + run_starts_cases_of_linux();
}
