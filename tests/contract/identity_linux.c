/* A start as root, as far as only capabilities and keyrings can do it: the plain back end has no such promise to keep.
 */
#include "tests/contract/powers.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The session keyring of root's login, and a key in it that only its possessor may read. */
static void keyring_body(void)
{
    enum { POSSESSOR_ALONE = 0x3f000000 };
    char secret[8] = "";
    if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0) {
        child_skips("no keyrings here (the kernel, or a seccomp filter)");
    }
    long key = syscall(SYS_add_key, "user", "demit-contract", "secret", (size_t)6, KEY_SPEC_SESSION_KEYRING);
    CHECK(key > 0 && syscall(SYS_keyctl, KEYCTL_SETPERM, key, POSSESSOR_ALONE) == 0);
    CHECK(syscall(SYS_keyctl, KEYCTL_READ, key, secret, sizeof(secret)) == 6);
    (void)assumed(&stranger);
    CHECK(syscall(SYS_keyctl, KEYCTL_READ, key, secret, sizeof(secret)) < 0 && errno == EACCES);
}

static void test_the_keys_of_the_starter_stay_behind(void **state)
{
    (void)state;
    in_child(keyring_body, NULL);
}

static void inheritable_body(void)
{
    demit_identity_request_t request = stranger;
    request.capabilities = "cap_net_bind_service+eip";
    set_capabilities(permitted_now(), BIT(CAP_NET_RAW));
    (void)assumed(&request);
}

static void inheritable_look(pid_t child)
{
    assert_held(child, STRANGER, STRANGER, "", BIT(CAP_NET_BIND_SERVICE));
}

static void test_nothing_is_ever_inheritable(void **state)
{
    (void)state;
    in_child(inheritable_body, inheritable_look);
}

static void free_ports_body(void)
{
    lines_t warnings = {0};
    if (unshare(CLONE_NEWNET) != 0) {
        child_skips("this host lets a test have no network of its own");
    }
    write_text("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0");
    (void)resolved(&stranger_binding, &warnings);
    CHECK_HOLDS(warnings.text, "not needed here");
    CHECK(demit_identity_lowest_port(resolved(&stranger, NULL)) == 1);
}

static void test_a_needless_capability_is_told(void **state)
{
    (void)state;
    in_child(free_ports_body, NULL);
}

static void lose_setpcap(void)
{
    lose(CAP_SETPCAP, NULL);
}

static void without_setpcap_body(void)
{
    refused_without(lose_setpcap, "bounding set", "cap_setpcap");
}

static void test_root_without_cap_setpcap_is_refused(void **state)
{
    (void)state;
    in_child(without_setpcap_body, NULL);
}

static void missing_capability_body(void)
{
    demit_identity_request_t request = {
        .user = "64123",
        .group = "64123",
        .capabilities = "cap_net_admin+ep cap_net_bind_service+ep cap_net_raw+ep cap_sys_resource+ep"};
    demit_os_error_t error = {0};
    set_capabilities(permitted_now() & ~(BIT(CAP_SYS_RESOURCE) | BIT(CAP_NET_RAW)), 0);
    const demit_identity_t *identity = resolved(&request, NULL);
    CHECK(demit_identity_assume(identity, &error) != 0);
    CHECK(strcmp(error.step, "cap_set_proc") == 0);
    CHECK_HOLDS(error.text, "cap_net_raw,cap_sys_resource");
    CHECK(getuid() == 0 && getgid() == 0);
}

static void test_each_missing_capability_is_named(void **state)
{
    (void)state;
    in_child(missing_capability_body, NULL);
}

int run_identity_cases_of_capabilities(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_root_without_cap_setpcap_is_refused),
        cmocka_unit_test(test_each_missing_capability_is_named),
        cmocka_unit_test(test_a_needless_capability_is_told),
        cmocka_unit_test(test_nothing_is_ever_inheritable),
        cmocka_unit_test(test_the_keys_of_the_starter_stay_behind),
    };
    return backend_is("linux") ? cmocka_run_group_tests_name("contract: identity, with capabilities", tests, NULL, NULL)
                               : 0;
}
