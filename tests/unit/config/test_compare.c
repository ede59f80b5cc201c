/* What a reload would change: two configurations, side by side. */
#include "support.h"

#include <string.h>

#include <apr_strings.h>

/* ---- options ---------------------------------------------------------------------------------------------------- */

/* The differences as "PLACE NAME", with a '!' behind what needs a restart. */
static const char *differences(fixture_t *fixture, const char *older, const char *newer)
{
    const demit_settings_t *before = load_good(fixture, older), *after = load_good(fixture, newer);
    const apr_array_header_t *found = demit_config_differences(before, after, fixture->pool);
    const char *text = "";
    for (int i = 0; i < found->nelts; i++) {
        const demit_config_difference_t *one = &APR_ARRAY_IDX(found, i, demit_config_difference_t);
        text = apr_psprintf(fixture->pool, "%s%s:%u:%u %s%s\n", text, one->source.file, one->source.line,
                            one->source.column, one->name, one->needs_restart ? "!" : "");
    }
    return text;
}

static void test_nothing_is_different(void **state)
{
    static const char one[] =
        "Hostname = mx.example.com\n"
        "Max_Message_Size = 52428800\n"
        "Relay_Hosts = ( 10.0.0.0/8 )\n"
        "Security { user = joe Supplemental_Groups = ( a b ) }\n"
        "Domain \"example.com\" { Gateway = \"10.0.0.1:25\" Aliases = [ a = \"b@example.com\" ] }\n";
    static const char same[] =
        "security { Supplemental_Groups = ( a \"b\" ) user = \"joe\" } # other order, other form\n"
        "Relay_Hosts = ( 10.0.0.0/8 ) hostname = \"mx.example.com\" Event_Loops = 0\n"
        "Domain \"example.com\" {\n  Gateway = \"10.0.0.1:25\"\n  Aliases = [ a = \"b@example.com\" ] }\n";
    assert_string_equal(differences(*state, "", ""), "");
    assert_string_equal(differences(*state, one, one), "");
    assert_string_equal(differences(*state, one, same), "");
}

static void test_every_type_is_compared(void **state)
{
    static const struct {
        const char *older, *newer, *expected;
    } cases[] = {
        {"Force_Fsync = true", "Force_Fsync = false", "test.conf:1:1 Force_Fsync!\n"},
        {"Max_Recipients = 7", "Max_Recipients = 8", "test.conf:1:1 Max_Recipients\n"},
        {"", "  Max_Message_Size = 2048", "test.conf:1:3 Max_Message_Size\n"},
        {"Spool_Mode = 0600", "Spool_Mode = 0640", "test.conf:1:1 Spool_Mode!\n"},
        {"", "RFC2822_Lone_LF_in_Body = fix", "test.conf:1:1 RFC2822_Lone_LF_in_Body\n"},
        {"Hostname = a.test EHLO_Hostname = b.test", "Hostname = a.test", "test.conf:0:0 EHLO_Hostname\n"},
        {"", "pidfile = /run/a.pid", "test.conf:1:1 pidfile!\n"},
        {"Log = stderr", "Log = /var/log/a", "test.conf:1:1 Log!\n"},
        {"Nameservers = ( 192.0.2.1 192.0.2.2 )", "Nameservers = ( 192.0.2.2 192.0.2.1 )",
         "test.conf:1:1 Nameservers!\n"},
        {"Relay_Domains = ( a.test )", "Relay_Domains = ( a.test b.test )", "test.conf:1:1 Relay_Domains\n"},
        {"Relay_Hosts = ( 10.0.0.0/8 )", "Relay_Hosts = ( 10.0.0.0/9 )", "test.conf:1:1 Relay_Hosts\n"},
        {"Gateway = \"a.test:25\"", "Gateway = \"a.test:26\"", "test.conf:1:1 Gateway\n"},
        {"Outbound_Throttle_Messages = \"6/3\"", "Outbound_Throttle_Messages = \"6/4\"",
         "test.conf:1:1 Outbound_Throttle_Messages\n"},
        {"Max_Retries = none", "Max_Retries = 3", "test.conf:1:1 Max_Retries\n"},
        {"Recipient_Delimiter = \"+\"", "", "test.conf:0:0 Recipient_Delimiter\n"},
        {"Control_Group = adm", "Control_Group = mail", "test.conf:1:1 Control_Group!\n"},
        {"Retry_Interval = 60", "Retry_Interval = 61", "test.conf:1:1 Retry_Interval\n"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_string_equal(differences(*state, cases[i].older, cases[i].newer), cases[i].expected);
    }
}

static void test_security_needs_a_restart(void **state)
{
    assert_string_equal(differences(*state, "",
                                    "Security { user = joe group = mail Supplemental_Groups = ( a )\n"
                                    "chroot = /srv Capabilities = \"\" Privileges = basic }"),
                        "test.conf:1:12 user!\n"
                        "test.conf:1:23 group!\n"
                        "test.conf:1:36 Supplemental_Groups!\n"
                        "test.conf:2:1 chroot!\n"
                        "test.conf:2:15 Capabilities!\n"
                        "test.conf:2:33 Privileges!\n");
    assert_string_equal(differences(*state, "Security { Capabilities = \"\" }", ""), "test.conf:0:0 Capabilities!\n");
}

static void test_domains(void **state)
{
    static const char one[] = "Domain \"a.test\" { Gateway = \"10.0.0.1\" }\n"
                              "Domain \"*.b.test\" { Gateway = \"10.0.0.1\" }\n"
                              "Domain \"gone.test\" { Gateway = \"10.0.0.1\" }\n";
    static const char other[] = "Domain \"a.test\" { Gateway = \"10.0.0.2\" }\n"
                                "Domain \"*.b.test\" { Gateway = \"10.0.0.1\" Retry_Interval = 7 }\n"
                                "Domain \"new.test\" { }\n";
    assert_string_equal(differences(*state, one, other), "test.conf:1:1 Domain \"a.test\"\n"
                                                         "test.conf:2:1 Domain \"*.b.test\"\n"
                                                         "test.conf:3:1 Domain \"new.test\"\n"
                                                         "test.conf:0:0 Domain \"gone.test\"\n");
}

/* ---- listeners -------------------------------------------------------------------------------------------------- */

/* The Listen of a configuration that has one. */
static const demit_listen_settings_t *listen_of(fixture_t *fixture, const char *text)
{
    const char *scope = apr_pstrcat(fixture->pool, "ESMTP_Listener { Listen ", text, " }\n", NULL);
    const demit_settings_t *settings = load_good(fixture, scope);
    assert_int_equal(settings->listeners->nelts, 1);
    return &APR_ARRAY_IDX(settings->listeners, 0, demit_listen_settings_t);
}

static void test_addresses(void **state)
{
    enum { SAME, OVERLAP, APART };
    static const struct {
        const char *left, *right;
        int relation;
    } cases[] = {
        {"\"*:25\" {}", "\":25\" {}", SAME},
        {"\"*:25\" {}", "\"0.0.0.0:25\" {}", SAME},
        {"\"[*]:25\" {}", "\"[::]:25\" {}", SAME},
        {"\"10.0.0.1:25\" {}", "\"10.0.0.1:25\" { Listen_Backlog = 7 }", SAME},
        {"\"/run/a\" {}", "\"/run/a\" {}", SAME},
        {"\"*:25\" {}", "\"10.0.0.1:25\" {}", OVERLAP},
        {"\"[*]:25\" {}", "\"[::1]:25\" {}", OVERLAP},
        {"\"*:25\" {}", "\"*:26\" {}", APART},
        {"\"*:25\" {}", "\"[*]:25\" {}", APART},
        {"\"*:25\" {}", "\"[::1]:25\" {}", APART},
        {"\"10.0.0.1:25\" {}", "\"10.0.0.2:25\" {}", APART},
        {"\"*:25\" {}", "\"10.0.0.1:26\" {}", APART},
        {"\"/run/a\" {}", "\"/run/b\" {}", APART},
        {"\"/run/a\" {}", "\"*:25\" {}", APART},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const demit_listen_settings_t *left = listen_of(*state, cases[i].left);
        const demit_listen_settings_t *right = listen_of(*state, cases[i].right);
        assert_int_equal(demit_listen_same_address(left, right), cases[i].relation == SAME);
        assert_int_equal(demit_listen_same_address(right, left), cases[i].relation == SAME);
        assert_int_equal(demit_listen_overlaps(left, right), cases[i].relation == OVERLAP);
        assert_int_equal(demit_listen_overlaps(right, left), cases[i].relation == OVERLAP);
    }
}

static void test_options_of_listeners(void **state)
{
    static const char *const options[] = {"Listen_Backlog = 7",          "File_Mode = 0600",
                                          "TCP_Recv_Buffer_Size = 7000", "TCP_Send_Buffer_Size = 7000",
                                          "Banner_Hostname = a.test",    "Disable_Nagle_Algorithm = false"};
    const demit_listen_settings_t *plain = listen_of(*state, "\"*:25\" {}");
    fixture_t *fixture = *state;
    assert_true(
        demit_listen_same_options(plain, listen_of(fixture, "\"10.0.0.1:26\" { Listen_Backlog = 4096 }"), false));
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        const char *text = apr_psprintf(fixture->pool, "\"*:25\" { %s }", options[i]);
        assert_false(demit_listen_same_options(plain, listen_of(fixture, text), false));
    }
    /* What the console has no use for makes no other console. */
    assert_true(demit_listen_same_options(plain, listen_of(fixture, "\"*:25\" { Banner_Hostname = a.test }"), true));
    assert_false(demit_listen_same_options(plain, listen_of(fixture, "\"*:25\" { File_Mode = 0600 }"), true));
}

/* ---- text and life ---------------------------------------------------------------------------------------------- */

/* The text of settings is a configuration, which gives the same settings again. */
static void test_text_reads_back(void **state)
{
    static const char text[] = "/* a comment */ Hostname = mx.example.com\n"
                               "Relay_Hosts = ( 10.0.0.0/8 \"::1\" ) # another\n"
                               "include \"part.conf\"\n"
                               "Security { user = joe }\n"
                               "Domain \"example.com\" { Delivery_Method = Maildir Maildir = '/srv/\"a\\b\"/%u'\n"
                               "  Aliases = [ a = \"b@example.com\" ] }\n"
                               "ESMTP_Listener { Listen \"*:25\" { Listen_Backlog = 7 } }\n";
    fixture_t *fixture = *state;
    write_text("part.conf", "Max_Recipients = 7\n");
    const demit_settings_t *first = load_good(fixture, text);
    const demit_settings_t *second = load_good(fixture, apr_pstrdup(fixture->pool, first->text));
    assert_string_equal(second->text, first->text);
    assert_null(strstr(first->text, "comment"));
    assert_non_null(strstr(first->text, "Max_Recipients = 7\n"));
    assert_int_equal(demit_config_differences(first, second, fixture->pool)->nelts, 0);
    assert_true(first->serial < second->serial);
}

static apr_status_t count(void *baton)
{
    ++*(int *)baton;
    return APR_SUCCESS;
}

/* They go with the last who holds them, and not before. */
static void test_life(void **state)
{
    fixture_t *fixture = *state;
    const demit_settings_t *settings;
    demit_config_report_t report;
    apr_pool_t *pool;
    int ends = 0;
    write_text("shared.conf", "Hostname = mx.example.com\n");
    assert_int_equal(demit_config_load_shared(&settings, &report, "shared.conf", fixture->pool), APR_SUCCESS);
    apr_pool_cleanup_register(demit_settings_pool(settings), &ends, count, apr_pool_cleanup_null);
    assert_ptr_equal(demit_settings_hold(settings), settings);
    assert_int_equal(apr_pool_create(&pool, fixture->pool), APR_SUCCESS);
    demit_settings_hold_in(settings, pool);
    demit_settings_release(settings);
    demit_settings_release(settings);
    assert_int_equal(ends, 0);
    assert_string_equal(settings->hostname, "mx.example.com");
    apr_pool_destroy(pool);
    assert_int_equal(ends, 1);
}

static void test_bad_ones_never_live(void **state)
{
    fixture_t *fixture = *state;
    const demit_settings_t *settings = NULL;
    demit_config_report_t report;
    write_text("bad.conf", "Hostname = 7-\n");
    assert_int_equal(demit_config_load_shared(&settings, &report, "bad.conf", fixture->pool), APR_EINVAL);
    assert_int_equal(report.errors->nelts, 1);
    assert_int_equal(demit_config_load_shared(&settings, &report, "none.conf", fixture->pool), APR_ENOENT);
    assert_int_equal(report.errors->nelts, 1);
    assert_null(settings);
    /* Settings without a life of their own are nobody's to hold. */
    const demit_settings_t *plain = load_good(fixture, "");
    demit_settings_release(demit_settings_hold(plain));
    assert_null(demit_settings_pool(plain));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_nothing_is_different),
        TEST(test_every_type_is_compared),
        TEST(test_security_needs_a_restart),
        TEST(test_domains),
        TEST(test_addresses),
        TEST(test_options_of_listeners),
        TEST(test_text_reads_back),
        TEST(test_life),
        TEST(test_bad_ones_never_live),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
