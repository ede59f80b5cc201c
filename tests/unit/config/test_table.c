/* The option table itself, and what is printed of it. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apr_file_io.h>

#include "core/config/table.h"

static void test_names_are_unique(void **state)
{
    (void)state;
    for (size_t i = 0; i < demit_config_option_count; i++) {
        assert_ptr_equal(demit_config_option_find(demit_config_options[i].name), &demit_config_options[i]);
        assert_null(demit_config_scope_anywhere(demit_config_options[i].name));
    }
}

static void test_scopes_are_in_order(void **state)
{
    (void)state;
    for (unsigned i = 0; i < DEMIT_CONFIG_SCOPE_COUNT; i++) {
        assert_int_equal(demit_config_scopes[i].id, i);
        assert_non_null(demit_config_scopes[i].help);
    }
}

/* A row that somebody forgot to finish. */
static void test_rows_are_complete(void **state)
{
    (void)state;
    assert_non_null(demit_config_options[0].section);
    for (size_t i = 0; i < demit_config_option_count; i++) {
        const demit_config_option_t *option = &demit_config_options[i];
        assert_int_not_equal(option->scopes, 0);
        assert_non_null(option->help);
        assert_int_equal(option->help[strlen(option->help) - 1], '.');
        assert_true((option->type == DEMIT_CONFIG_CHOICE) == (option->choices != NULL));
        if (option->home == DEMIT_CONFIG_NOWHERE) {
            assert_null(option->initial);
            continue;
        }
        assert_null(option->accepted);
        assert_true(option->initial != NULL || option->initial_text != NULL);
        bool bounded = option->type == DEMIT_CONFIG_NUMBER || option->type == DEMIT_CONFIG_SIZE ||
                       option->type == DEMIT_CONFIG_DURATION || option->type == DEMIT_CONFIG_MODE;
        assert_true(!bounded || option->maximum > option->minimum);
        /* What the field can hold. */
        if (option->size == 2)
            assert_true(option->maximum <= UINT16_MAX);
        else if (bounded && option->size == 4)
            assert_true(option->maximum <= INT32_MAX);
    }
}

static void test_distance(void **state)
{
    (void)state;
    assert_int_equal(demit_config_distance("user", "USER"), 0);
    assert_int_equal(demit_config_distance("user", "usre"), 1);
    assert_int_equal(demit_config_distance("user", "usr"), 1);
    assert_int_equal(demit_config_distance("Max-Size", "max_size"), 0);
    assert_int_equal(demit_config_distance("", "abc"), 3);
    assert_int_equal(demit_config_distance("abc", "xyz"), 3);
    assert_true(demit_config_distance("a", "a name that is longer than any name in the table is") > 40);
}

/* The text that PRINT writes. */
static char *printed(fixture_t *fixture, void (*print)(apr_file_t *out))
{
    enum { TEXT_MAX = 256 * 1024 };
    apr_file_t *file;
    char *text = apr_pcalloc(fixture->pool, TEXT_MAX);
    apr_size_t size = 0;
    assert_int_equal(
        apr_file_open(&file, "out", APR_FOPEN_CREATE | APR_FOPEN_WRITE, APR_FPROT_OS_DEFAULT, fixture->pool),
        APR_SUCCESS);
    print(file);
    assert_int_equal(apr_file_close(file), APR_SUCCESS);
    assert_int_equal(apr_file_open(&file, "out", APR_FOPEN_READ, 0, fixture->pool), APR_SUCCESS);
    assert_true(APR_STATUS_IS_EOF(apr_file_read_full(file, text, TEXT_MAX - 1, &size)));
    assert_int_equal(apr_file_close(file), APR_SUCCESS);
    return text;
}

static void test_help_is_complete_and_fits_the_screen(void **state)
{
    fixture_t *fixture = *state;
    char *help = printed(fixture, demit_config_print_help), *next = NULL;
    for (size_t i = 0; i < demit_config_option_count; i++) {
        char wanted[80];
        snprintf(wanted, sizeof(wanted), "\n  %s = ", demit_config_options[i].name);
        assert_non_null(strstr(help, wanted));
    }
    assert_non_null(strstr(help, "\n  Security { … }\n"));
    assert_non_null(strstr(help, "\n  ESMTP_Listener { Listen \"title\" { … } }\n"));
    assert_non_null(strstr(help, "\n  RFC2822_Lone_LF_in_Body = pedantic | ignore | fix\n"));
    assert_non_null(strstr(help, "\n      Scope: global, Domain. Range: 1 to 65535. Default: 25.\n"));
    assert_non_null(strstr(help, "\n      Scope: global, Domain. Not supported yet: refused, unless it is no.\n"));
    assert_non_null(strstr(help, "\n      Scope: Security. Default: ecuser. A change needs a restart.\n"));
    for (char *line = strtok_r(help, "\n", &next); line != NULL; line = strtok_r(NULL, "\n", &next))
        assert_true(strlen(line) <= 78 + 2); /* "…" has three bytes and one column */
}

static void test_manual_is_complete(void **state)
{
    fixture_t *fixture = *state;
    const char *manual = printed(fixture, demit_config_print_mdoc);
    for (size_t i = 0; i < demit_config_option_count; i++) {
        char wanted[80];
        snprintf(wanted, sizeof(wanted), "\n.It Ic %s No = Ar ", demit_config_options[i].name);
        assert_non_null(strstr(manual, wanted));
    }
    for (size_t i = DEMIT_CONFIG_GLOBAL + 1; i < DEMIT_CONFIG_SCOPE_COUNT; i++) {
        char wanted[80];
        snprintf(wanted, sizeof(wanted), "\n.It Sy %s", demit_config_scopes[i].name);
        assert_non_null(strstr(manual, wanted));
    }
}

/* Every example of the documented language, as it is written there. */
static void test_documented_examples(void **state)
{
    static const char *const examples[] = {
        "Security {\n  user = \"ecuser\"\n  group = \"ecuser\"\n  Capabilities = \"cap_net_bind_service+ep\"\n"
        "  Privileges = \"basic net_privaddr\"\n}",
        "Security {\n  user = ecuser\n  group = ecuser\n"
        "  Capabilities = \"cap_net_admin+ep cap_net_bind_service+ep cap_net_raw+ep cap_sys_resource+ep\"\n"
        "  Privileges = \"basic net_privaddr net_bindmlp sys_resource sys_net_config net_rawaccess\"\n}",
        "ESMTP_Listener { Listen \"*:25\" {} Listen \"10.0.0.1:587\" { } }",
        "Control_Listener { Listen \"/path/socket\" { File_Mode = 0660 } }",
        "Relay_Hosts = ( 127.0.0.0/8 10.10.10.0/24 \"::1\" )",
        "Relay_Domains = ( example.com *.example.com )",
        "Spool_Mode = 0640 SpoolBase = \"/var/spool/demit\" Large_Message_Threshold = 131072",
        "Gateway = \"host\"",
        "Gateway = \"10.0.0.1\"",
        "Gateway = \"[fe80::1]:2525\"",
        "Remote_SMTP_Port = 25 Delivery_Method = \"ESMTP\"",
        "Delivery_Method = \"SMTP\"",
        "Domain \"a.b\" { Delivery_Method = \"LMTP\" Gateway = \"127.0.0.1:24\" }",
        "Prohibited_Hosts = ( 127.0.0.0/8 0.0.0.0 )",
        "Retry_Interval = 1200 Max_Retry_Interval = 43200 Message_Expiration = 604800 Generate_Bounces = true "
        "Generate_Delay_DSN = false",
        "Max_Outbound_Connections = 32 Server_Max_Outbound_Connections = 20000 Max_Deliveries_Per_Connection = 0 "
        "Outbound_Throttle_Messages = \"60/3\" Idle_Timeout = 5 Body_Timeout = 600 Host_Failure_Retry = 120",
        "TLS = no",
        "Server_Max_File_Descriptors = 80000",
        "Domain \"a.b\" { Delivery_Method = \"Maildir\" Maildir = \"/path/%d/%u\" Recipient_Delimiter = \"+\" "
        "Aliases = [ postmaster = \"admin@example.com\" ] }",
        "Max_Message_Size = 52428800 Max_Recipients = 1000 Log = stderr",
    };
    for (size_t i = 0; i < sizeof(examples) / sizeof(*examples); i++)
        load_good(*state, examples[i]);
}

/* Documented, and refused until they are built: with no other error. */
static void test_documented_examples_that_are_not_built(void **state)
{
    static const char *const examples[] = {
        "Binding \"name\" { Bind_Address = \"10.1.1.1\" }",
        "Cluster { Topology \"10.1.1.0/24\" { interface = \"eth1\" cidrmask = \"32\" } }",
        "Duravip_Preference = \"nodename\"",
        "TLS = ifavailable",
    };
    for (size_t i = 0; i < sizeof(examples) / sizeof(*examples); i++) {
        loaded_t loaded = load_text(*state, examples[i]);
        assert_int_equal(loaded.report.errors->nelts, 1);
        assert_non_null(strstr(APR_ARRAY_IDX(loaded.report.errors, 0, const char *), "not supported yet"));
    }
}

static void test_shipped_configurations(void **state)
{
    static const char *const files[] = {"demit.conf", "examples/container.conf", "examples/edge.conf",
                                        "examples/mailboxes.conf", "examples/smarthost.conf"};
    fixture_t *fixture = *state;
    for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
        char path[512];
        snprintf(path, sizeof(path), DEMIT_SOURCE_DIRECTORY "/conf/%s", files[i]);
        loaded_t loaded = load_file(fixture, path);
        assert_string_equal(report_lines(loaded.report.errors, fixture->pool), "");
    }
}

static void test_the_shipped_configuration_is_safe(void **state)
{
    loaded_t loaded = load_file(*state, DEMIT_SOURCE_DIRECTORY "/conf/demit.conf");
    const demit_settings_t *s = loaded.settings;
    assert_non_null(s);
    assert_int_equal(s->relay_hosts->nelts, 0);
    assert_int_equal(s->relay_domains->nelts, 0);
    assert_int_equal(s->domains->nelts, 1);
    assert_true(demit_settings_is_local(s, "localhost"));
    assert_false(demit_settings_is_local(s, "example.com"));
    assert_false(demit_settings_domain(s, "localhost")->maildir_create);
    assert_int_equal(s->listeners->nelts, 1);
    assert_int_equal(APR_ARRAY_IDX(s->listeners, 0, demit_listen_settings_t).port, 25);
    assert_string_equal(s->security.user, "ecuser");
    assert_string_equal(s->security.capabilities, "cap_net_bind_service+ep");
    assert_string_equal(s->security.privileges, "basic net_privaddr");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_names_are_unique),
        TEST(test_scopes_are_in_order),
        TEST(test_rows_are_complete),
        TEST(test_distance),
        TEST(test_help_is_complete_and_fits_the_screen),
        TEST(test_manual_is_complete),
        TEST(test_documented_examples),
        TEST(test_documented_examples_that_are_not_built),
        TEST(test_shipped_configurations),
        TEST(test_the_shipped_configuration_is_safe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
