/* os/solaris in worlds that the model can make: a zone, a start by SMF, and the programs that demitd could start. */
#include "tests/contract/harness.h"
#include "tests/contract/scenes.h"
#include "tests/model_solaris/model.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

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
    return is(PRIV_PERMITTED, text) && is(PRIV_EFFECTIVE, text) && is(PRIV_LIMIT, text) && is(PRIV_INHERITABLE, "none");
}

static void keep_step(void *baton, const demit_identity_step_t *step)
{
    char line[128];
    (void)snprintf(line, sizeof(line), "%s%s", step->name, step->would_succeed ? "" : " (fails)");
    keep_line(baton, line);
}

/* ---- zones ---- */

#define ZONE "all !net_rawaccess !sys_time !sys_config !proc_zone !dtrace_kernel"

static void zone_body(void)
{
    lines_t steps = {0};
    demit_os_error_t error = {0};
    demit_identity_request_t request = stranger;
    request.privileges = "basic net_privaddr net_rawaccess sys_time";
    model_enter_zone(7, ZONE);
    const demit_identity_t *identity = resolved(&request, NULL);
    demit_identity_explain(identity, keep_step, &steps);
    CHECK_HOLDS(steps.text, "setuid\n");
    CHECK_HOLDS(steps.text, "setppriv Permitted (fails)\n");
    CHECK_HOLDS(steps.text, "setppriv Limit (fails)\n");
    CHECK(demit_identity_assume(identity, &error) == EPERM);
    CHECK_HOLDS(error.text, "the Permitted set of this process lacks net_rawaccess,sys_time");
    CHECK_HOLDS(error.text, "zone 7");
    CHECK_HOLDS(error.text, "limitpriv");
    CHECK(getuid() == 0 && getpflags(PRIV_AWARE) == 0); /* named before anything is done */
}

static void zone_that_has_enough_body(void)
{
    model_enter_zone(7, ZONE);
    (void)assumed(&stranger_binding);
    CHECK(all_are("basic net_privaddr") && bind_low_port() == 0);
}

/* A zone without a part of the basic set: without Privileges that is no error, where it is asked for it is. */
static void poor_zone_body(void)
{
    demit_os_error_t error = {0};
    demit_identity_request_t request = stranger;
    model_enter_zone(8, "all !proc_info !file_link_any");
    request.privileges = "basic";
    CHECK(demit_identity_assume(resolved(&request, NULL), &error) == EPERM);
    CHECK_HOLDS(error.text, "lacks file_link_any,proc_info");
    (void)assumed(&stranger);
    CHECK(all_are("basic !proc_info !file_link_any"));
}

static void test_a_zone_that_lacks_a_privilege_is_named(void **state)
{
    (void)state;
    in_child(zone_body, NULL);
    in_child(zone_that_has_enough_body, NULL);
    in_child(poor_zone_body, NULL);
}

/* ---- SMF ---- */

static void smf_body(void)
{
    lines_t steps = {0};
    demit_os_error_t error = {0};
    model_start_as(STRANGER, STRANGER, "basic net_privaddr", "basic net_privaddr");
    const demit_identity_t *identity = resolved(&stranger_binding, NULL);
    demit_identity_explain(identity, keep_step, &steps);
    CHECK(strcmp(steps.text, "threads\nchdir\nprocess limit\nsetppriv Inheritable\n") == 0);
    CHECK(demit_identity_assume(identity, &error) == 0 && demit_identity_verify(identity, &error) == 0);
    CHECK(all_are("basic net_privaddr") && bind_low_port() == 0);
}

static void smf_gives_more_body(void)
{
    lines_t steps = {0};
    demit_os_error_t error = {0};
    model_start_as(STRANGER, STRANGER, "basic net_privaddr sys_mount", "all");
    const demit_identity_t *identity = resolved(&stranger_binding, NULL);
    demit_identity_explain(identity, keep_step, &steps);
    CHECK(strstr(steps.text, "setuid") == NULL && strstr(steps.text, "setppriv Limit\n") != NULL);
    CHECK(demit_identity_assume(identity, &error) == 0 && demit_identity_verify(identity, &error) == 0);
    CHECK(all_are("basic net_privaddr"));
}

static void smf_gives_less_body(void)
{
    demit_os_error_t error = {0};
    model_start_as(STRANGER, STRANGER, "basic", "all");
    const demit_identity_t *identity = resolved(&stranger_binding, NULL);
    CHECK(demit_identity_assume(identity, &error) == EPERM);
    CHECK_HOLDS(error.text, "lacks net_privaddr");
    CHECK_HOLDS(error.text, "method_credential");
}

/* proc_setid was given, so the groups can be put right. */
static void smf_with_groups_body(void)
{
    const char *const groups[] = {"27"};
    demit_identity_request_t request = stranger_binding;
    request.supplemental_groups = groups;
    request.supplemental_group_count = 1;
    model_start_as(STRANGER, STRANGER, "basic net_privaddr proc_setid", "all");
    (void)assumed(&request);
    gid_t found = 0;
    CHECK(getgroups(1, &found) == 1 && found == 27 && all_are("basic net_privaddr"));
}

static void test_what_smf_did_is_compared_and_not_repeated(void **state)
{
    (void)state;
    in_child(smf_body, NULL);
    in_child(smf_gives_more_body, NULL);
    in_child(smf_gives_less_body, NULL);
    in_child(smf_with_groups_body, NULL);
}

/* ---- what a launcher left ---- */

/* Nothing but the saved uid is root's: seteuid() in a launcher, and a forgotten setuid(). */
static void saved_uid_body(void)
{
    lines_t drift = {0};
    uid_t real = 0, effective = 0, saved = 0;
    CHECK(setgroups(0, NULL) == 0 && setresgid(STRANGER, STRANGER, STRANGER) == 0);
    CHECK(setresuid(STRANGER, STRANGER, 0) == 0);
    CHECK(demit_identity_audit(resolved(&stranger, NULL), keep_line, &drift) > 0);
    CHECK_HOLDS(drift.text, "saved uid is 0, should be 64123");
    (void)assumed(&stranger);
    CHECK(getresuid(&real, &effective, &saved) == 0 && saved == STRANGER);
    CHECK(seteuid(0) < 0 && all_are("basic"));
}

static void test_a_saved_uid_alone_is_closed(void **state)
{
    (void)state;
    in_child(saved_uid_body, NULL);
}

/* Not started as root, so no setuid() set the flag: what exec leaves is a process that its uid may trace. */
static void traceable_body(void)
{
    struct rlimit core;
    model_start_as(STRANGER, STRANGER, "basic net_privaddr", "all");
    CHECK(setpflags(__PROC_PROTECT, 0) == 0 && prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 1);
    (void)assumed(&stranger_binding);
    CHECK(demit_os_protect_memory() == 0 && prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0);
    CHECK(getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_cur == 0 && core.rlim_max == 0);
}

static void test_tracing_is_denied_without_a_change_of_uid(void **state)
{
    (void)state;
    in_child(traceable_body, NULL);
}

/* ---- programs ---- */

static void programs_body(void)
{
    (void)assumed(&stranger_binding);
    model_exec();
    CHECK(is(PRIV_PERMITTED, "none") && is(PRIV_EFFECTIVE, "none") && bind_low_port() == EACCES);
}

static void programs_of_root_body(void)
{
    demit_identity_request_t request = {.user = "root", .group = "root", .privileges = "basic net_privaddr"};
    (void)assumed(&request);
    model_exec();
    /* Whether aware or not, L is all that uid 0 could be given back. */
    priv_set_t held, *most = priv_str_to_set("basic net_privaddr", " ", NULL);
    CHECK(most != NULL && getppriv(PRIV_PERMITTED, &held) == 0 && priv_issubset(&held, most));
    CHECK(setuid(1) < 0 && errno == EPERM);
    priv_freeset(most);
}

static void test_exec_gives_nothing_back(void **state)
{
    (void)state;
    in_child(programs_body, NULL);
    in_child(programs_of_root_body, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_zone_that_lacks_a_privilege_is_named),
        cmocka_unit_test(test_what_smf_did_is_compared_and_not_repeated),
        cmocka_unit_test(test_a_saved_uid_alone_is_closed),
        cmocka_unit_test(test_tracing_is_denied_without_a_change_of_uid),
        cmocka_unit_test(test_exec_gives_nothing_back),
    };
    if (geteuid() != 0) {
        (void)puts("skipped: giving up root takes root");
        return 77;
    }
    return cmocka_run_group_tests_name("model: starts on Solaris", tests, NULL, NULL);
}
