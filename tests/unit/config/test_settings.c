/* What settings come of a right configuration: values, defaults, fallback, domains. */
#include "support.h"

#include <string.h>
#include <unistd.h>

#include <apr_network_io.h>
#include <apr_strings.h>

#include "demit/build.h"

#define SECOND INT64_C(1000000)

static const demit_listen_settings_t *listen_at(const apr_array_header_t *listens, int index)
{
    assert_true(index < listens->nelts);
    return &APR_ARRAY_IDX(listens, index, demit_listen_settings_t);
}

static const char *text_at(const apr_array_header_t *texts, int index)
{
    assert_true(index < texts->nelts);
    return APR_ARRAY_IDX(texts, index, const char *);
}

/* ---- defaults --------------------------------------------------------------------------------------------------- */

static void test_defaults_of_the_server(void **state)
{
    const demit_settings_t *s = load_good(*state, "");
    assert_string_equal(s->security.user, DEMIT_DEFAULT_USER);
    assert_string_equal(s->security.group, DEMIT_DEFAULT_GROUP);
    assert_true(s->security.user_is_default && s->security.group_is_default);
    assert_null(s->security.user_source.file);
    assert_null(s->security.supplemental_groups);
    assert_null(s->security.chroot_directory);
    assert_null(s->security.capabilities);
    assert_null(s->security.privileges);
    assert_non_null(s->hostname);
    assert_string_equal(s->ehlo_hostname, s->hostname);
    assert_null(s->pid_file);
    assert_string_equal(s->log, "syslog");
    assert_string_equal(s->spool_base, DEMIT_PATH_SPOOL);
    assert_int_equal(s->spool_mode, 0640);
    assert_true(s->force_fsync);
    assert_int_equal(s->segment_size_bytes, 64 * 1024 * 1024);
    assert_int_equal(s->spool_minimum_free_bytes, 128 * 1024 * 1024);
    assert_int_equal(s->large_message_threshold_bytes, 131072);
    assert_int_equal(s->max_file_descriptors, 80000);
    assert_int_equal(s->event_loops, 0);
    assert_int_equal(s->max_message_size_bytes, 52428800);
    assert_int_equal(s->max_recipients, 1000);
    assert_int_equal(s->max_connections, 0);
    assert_int_equal(s->max_connections_per_client, 0);
    assert_int_equal(s->max_buffer_memory_bytes, 256 * 1024 * 1024);
    assert_int_equal(s->max_session_errors, 20);
    assert_int_equal(s->max_received_hops, 100);
    assert_int_equal(s->command_timeout_us, 300 * SECOND);
    assert_int_equal(s->session_timeout_us, 3600 * SECOND);
    assert_int_equal(s->lone_lf_in_body, DEMIT_LONE_LF_REJECT);
    assert_int_equal(s->lone_lf_in_headers, DEMIT_LONE_LF_REJECT);
    assert_int_equal(s->relay_hosts->nelts, 0);
    assert_int_equal(s->relay_domains->nelts, 0);
    assert_int_equal(s->nameservers->nelts, 0);
    assert_null(s->control_group);
    assert_int_equal(s->server_max_outbound_connections, 20000);
    assert_int_equal(s->listeners->nelts, 0);
    assert_int_equal(s->domains->nelts, 0);
}

static void test_defaults_of_delivery(void **state)
{
    const demit_settings_t *s = load_good(*state, "");
    const demit_domain_settings_t *d = s->any_domain;
    assert_null(d->name);
    assert_int_equal(d->delivery_method, DEMIT_DELIVER_ESMTP);
    assert_null(d->maildir);
    assert_false(d->maildir_create);
    assert_string_equal(d->recipient_delimiter, "");
    assert_int_equal(d->aliases->nelts, 0);
    assert_null(d->gateway_host);
    assert_int_equal(d->remote_smtp_port, 25);
    assert_int_equal(d->retry_interval_us, 1200 * SECOND);
    assert_int_equal(d->max_retry_interval_us, 43200 * SECOND);
    assert_int_equal(d->message_expiration_us, 604800 * SECOND);
    assert_int_equal(d->max_retries, -1);
    assert_true(d->generate_bounces);
    assert_false(d->generate_delay_dsn);
    assert_int_equal(d->max_outbound_connections, 32);
    assert_int_equal(d->max_deliveries_per_connection, 0);
    assert_int_equal(d->throttle_messages, 0);
    assert_int_equal(d->throttle_seconds, 0);
    assert_int_equal(d->idle_timeout_us, 5 * SECOND);
    assert_int_equal(d->connect_timeout_us, 300 * SECOND);
    assert_int_equal(d->ehlo_timeout_us, 300 * SECOND);
    assert_int_equal(d->mailfrom_timeout_us, 300 * SECOND);
    assert_int_equal(d->rcptto_timeout_us, 300 * SECOND);
    assert_int_equal(d->body_timeout_us, 600 * SECOND);
    assert_int_equal(d->host_failure_retry_us, 120 * SECOND);
    assert_int_equal(d->prohibited_hosts->nelts, 4);
}

static void test_default_console(void **state)
{
    const demit_settings_t *s = load_good(*state, "Hostname = a.b Listen_Backlog = 7");
    assert_int_equal(s->control_listeners->nelts, 1);
    const demit_listen_settings_t *listen = listen_at(s->control_listeners, 0);
    assert_string_equal(listen->unix_path, DEMIT_PATH_CONTROL);
    assert_string_equal(listen->title, DEMIT_PATH_CONTROL);
    assert_int_equal(listen->file_mode, 0660);
    assert_int_equal(listen->backlog, 7);
    assert_true(listen->enable);
    assert_null(listen->source.file);
}

static void test_hostname_is_that_of_the_host(void **state)
{
    char name[256];
    const demit_settings_t *s = load_good(*state, "");
    assert_int_equal(gethostname(name, sizeof(name)), 0);
    assert_memory_equal(s->hostname, name, strlen(name)); /* perhaps with the domain of the hosts file */
}

/* ---- values ----------------------------------------------------------------------------------------------------- */

static void test_values_of_the_server(void **state)
{
    const demit_settings_t *s = load_good(
        *state, "HOSTNAME = mail.example.com  ehlo_hostname = out.example.com  PidFile = /run/x.pid\n"
                "Log = STDERR  SpoolBase = '/s p'  Spool_Mode = 0600  Force_Fsync = \"FALSE\"  Segment_Size = 1MiB\n"
                "Spool_Minimum_Free = 0  Large_Message_Threshold = 4k  Server_Max_File_Descriptors = \"100\"\n"
                "Event_Loops = 3  Max_Message_Size = 50M  Max_Recipients = 1  Max_Connections = 9\n"
                "Max_Connections_Per_Client = 2  Max_Buffer_Memory = 1048576  Max_Session_Errors = 3\n"
                "Max_Received_Hops = 30  Command_Timeout = 5  Session_Timeout = 1h\n"
                "RFC2822_Lone_LF_in_Body = Fix  RFC2822_Lone_LF_in_Headers = \"ignore\"\n"
                "Relay_Domains = ( Example.COM *.example.com *example.net )\n"
                "Nameservers = ( 192.0.2.1 192.0.2.2:5353 \"2001:db8::1\" \"[2001:db8::2]\" \"[2001:db8::3]:53\" )\n"
                "Control_Group = adm  Server_Max_Outbound_Connections = 4\n");
    assert_string_equal(s->hostname, "mail.example.com");
    assert_string_equal(s->ehlo_hostname, "out.example.com");
    assert_string_equal(s->pid_file, "/run/x.pid");
    assert_string_equal(s->log, "stderr");
    assert_string_equal(s->spool_base, "/s p");
    assert_int_equal(s->spool_mode, 0600);
    assert_false(s->force_fsync);
    assert_int_equal(s->segment_size_bytes, 1048576);
    assert_int_equal(s->spool_minimum_free_bytes, 0);
    assert_int_equal(s->large_message_threshold_bytes, 4096);
    assert_int_equal(s->max_file_descriptors, 100);
    assert_int_equal(s->event_loops, 3);
    assert_int_equal(s->max_message_size_bytes, 52428800);
    assert_int_equal(s->max_recipients, 1);
    assert_int_equal(s->max_connections, 9);
    assert_int_equal(s->max_connections_per_client, 2);
    assert_int_equal(s->max_buffer_memory_bytes, 1048576);
    assert_int_equal(s->max_session_errors, 3);
    assert_int_equal(s->max_received_hops, 30);
    assert_int_equal(s->command_timeout_us, 5 * SECOND);
    assert_int_equal(s->session_timeout_us, 3600 * SECOND);
    assert_int_equal(s->lone_lf_in_body, DEMIT_LONE_LF_FIX);
    assert_int_equal(s->lone_lf_in_headers, DEMIT_LONE_LF_IGNORE);
    assert_string_equal(text_at(s->relay_domains, 0), "example.com");
    assert_string_equal(text_at(s->relay_domains, 2), "*example.net");
    assert_int_equal(s->nameservers->nelts, 5);
    assert_string_equal(text_at(s->nameservers, 0), "192.0.2.1");
    assert_string_equal(text_at(s->nameservers, 1), "192.0.2.2:5353");
    assert_string_equal(text_at(s->nameservers, 2), "2001:db8::1");
    assert_string_equal(text_at(s->nameservers, 3), "2001:db8::2");
    assert_string_equal(text_at(s->nameservers, 4), "[2001:db8::3]:53");
    assert_string_equal(s->control_group, "adm");
    assert_int_equal(s->server_max_outbound_connections, 4);
}

static void test_values_of_delivery(void **state)
{
    const demit_settings_t *s = load_good(
        *state, "Delivery_Method = smtp  Recipient_Delimiter = \"+\"  Maildir = \"/m/%d/%u\"  Maildir_Create = true\n"
                "Gateway = \"[fe80::1]:2525\"  Remote_SMTP_Port = 26  Retry_Interval = 1m  Max_Retry_Interval = 2m\n"
                "Message_Expiration = 3d  Max_Retries = 5  Generate_Bounces = false  Generate_Delay_DSN = true\n"
                "Max_Outbound_Connections = 2  Max_Deliveries_Per_Connection = 3\n"
                "Outbound_Throttle_Messages = \"60/3\"  Idle_Timeout = 1  Connect_Timeout = 2  EHLO_Timeout = 3\n"
                "MailFrom_Timeout = 4  RcptTo_Timeout = 5  Body_Timeout = 6  Host_Failure_Retry = 0\n"
                "Prohibited_Hosts = ( ) TLS = no TLS_Verify = \"NO\"\n");
    const demit_domain_settings_t *d = s->any_domain;
    assert_int_equal(d->delivery_method, DEMIT_DELIVER_SMTP);
    assert_string_equal(d->recipient_delimiter, "+");
    assert_string_equal(d->maildir, "/m/%d/%u");
    assert_true(d->maildir_create);
    assert_string_equal(d->gateway_host, "fe80::1");
    assert_int_equal(d->gateway_port, 2525);
    assert_false(d->gateway_is_path);
    assert_int_equal(d->remote_smtp_port, 26);
    assert_int_equal(d->retry_interval_us, 60 * SECOND);
    assert_int_equal(d->max_retry_interval_us, 120 * SECOND);
    assert_int_equal(d->message_expiration_us, 3 * SECOND * 86400);
    assert_int_equal(d->max_retries, 5);
    assert_false(d->generate_bounces);
    assert_true(d->generate_delay_dsn);
    assert_int_equal(d->max_outbound_connections, 2);
    assert_int_equal(d->max_deliveries_per_connection, 3);
    assert_int_equal(d->throttle_messages, 60);
    assert_int_equal(d->throttle_seconds, 3);
    assert_int_equal(d->idle_timeout_us, 1 * SECOND);
    assert_int_equal(d->connect_timeout_us, 2 * SECOND);
    assert_int_equal(d->ehlo_timeout_us, 3 * SECOND);
    assert_int_equal(d->mailfrom_timeout_us, 4 * SECOND);
    assert_int_equal(d->rcptto_timeout_us, 5 * SECOND);
    assert_int_equal(d->body_timeout_us, 6 * SECOND);
    assert_int_equal(d->host_failure_retry_us, 0);
    assert_int_equal(d->prohibited_hosts->nelts, 0);
}

/* Both ends of a range belong to it, and what is beyond does not. */
static void test_bounds(void **state)
{
    const struct {
        const char *text;
        bool fits;
    } rows[] = {
        {"Max_Recipients = 1", true},         {"Max_Recipients = 100000", true},  {"Max_Recipients = 100001", false},
        {"Segment_Size = 1M", true},          {"Segment_Size = 1048575", false},  {"Segment_Size = 1G", true},
        {"Segment_Size = 1073741825", false}, {"Body_Timeout = 86400", true},     {"Body_Timeout = 1d", true},
        {"Body_Timeout = 86401", false},      {"Remote_SMTP_Port = 65535", true}, {"Remote_SMTP_Port = 65536", false},
        {"Spool_Mode = 0777", true},          {"Spool_Mode = 01000", false},      {"Gateway = a:65535", true},
        {"Gateway = a:65536", false},         {"Max_Retries = 0", true},          {"Max_Retries = 1000000", true},
        {"Max_Retries = 1000001", false}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        if ((load_text(*state, rows[i].text).status == APR_SUCCESS) != rows[i].fits)
            fail_msg("%s", rows[i].text);
    }
}

static void test_security(void **state)
{
    const demit_settings_t *s =
        load_good(*state, "security {\n user = root\n  Supplemental_Groups = ( mail 8 )\n chroot = /jail\n"
                          "Capabilities = \"\" Privileges = \"basic net_privaddr\" Sandbox = off }");
    assert_string_equal(s->security.user, "root");
    assert_false(s->security.user_is_default);
    assert_true(s->security.group_is_default);
    assert_string_equal(s->security.user_source.file, "test.conf");
    assert_int_equal(s->security.user_source.line, 2);
    assert_int_equal(s->security.user_source.column, 2);
    assert_int_equal(s->security.supplemental_groups_source.column, 3);
    assert_string_equal(text_at(s->security.supplemental_groups, 1), "8");
    assert_string_equal(s->security.chroot_directory, "/jail");
    assert_string_equal(s->security.capabilities, ""); /* the back end decides what that means */
    assert_string_equal(s->security.privileges, "basic net_privaddr");
    assert_int_equal(s->security.sandbox, DEMIT_SANDBOX_OFF);
    assert_int_equal(s->security.sandbox_source.line, 5);
}

static void test_sandbox(void **state)
{
    const demit_settings_t *s = load_good(*state, "");
    assert_int_equal(s->security.sandbox, DEMIT_SANDBOX_AUTO);
    assert_int_equal(s->security.sandbox_ports->nelts, 0);
    assert_int_equal(s->security.sandbox_paths->nelts, 0);
    s = load_good(*state, "Security { Sandbox = required Sandbox_Ports = ( 1 65535 ) Sandbox_Paths = /srv }");
    assert_int_equal(s->security.sandbox, DEMIT_SANDBOX_REQUIRED);
    assert_int_equal(s->security.sandbox_ports->nelts, 2);
    assert_int_equal(APR_ARRAY_IDX(s->security.sandbox_ports, 0, uint16_t), 1);
    assert_int_equal(APR_ARRAY_IDX(s->security.sandbox_ports, 1, uint16_t), 65535);
    assert_string_equal(text_at(s->security.sandbox_paths, 0), "/srv");
    assert_string_equal(text_at(s->files, 0), "test.conf");
}

static void test_gateways(void **state)
{
    const struct {
        const char *text, *host;
        uint16_t port;
    } rows[] = {{"mail.example.com", "mail.example.com", 0},
                {"mail", "mail", 0},
                {"mail:2525", "mail", 2525},
                {"10.0.0.1", "10.0.0.1", 0},
                {"10.0.0.1:1", "10.0.0.1", 1},
                {"[::1]", "::1", 0},
                {"[fe80::1%eth0]:65535", "fe80::1%eth0", 65535},
                {"none", NULL, 0}};
    fixture_t *fixture = *state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        const demit_settings_t *s =
            load_good(fixture, apr_pstrcat(fixture->pool, "Gateway = \"", rows[i].text, "\"", NULL));
        if (rows[i].host == NULL)
            assert_null(s->any_domain->gateway_host);
        else
            assert_string_equal(s->any_domain->gateway_host, rows[i].host);
        assert_int_equal(s->any_domain->gateway_port, rows[i].port);
        assert_false(s->any_domain->gateway_is_path);
    }
}

static bool holds(const apr_array_header_t *networks, const char *address, apr_pool_t *pool)
{
    apr_sockaddr_t *sockaddr;
    assert_int_equal(apr_sockaddr_info_get(&sockaddr, address, APR_UNSPEC, 0, 0, pool), APR_SUCCESS);
    for (int i = 0; i < networks->nelts; i++) {
        if (apr_ipsubnet_test(APR_ARRAY_IDX(networks, i, apr_ipsubnet_t *), sockaddr))
            return true;
    }
    return false;
}

static void test_networks(void **state)
{
    fixture_t *fixture = *state;
    const demit_settings_t *s = load_good(
        fixture, "Relay_Hosts = ( 127.0.0.0/8 10.10.10.0/24 \"::1\" 192.0.2.7 \"2001:db8::/32\" 203.0.113.0/25 )");
    static const char *const in[] = {"127.0.0.1", "127.255.255.255", "10.10.10.9",   "::1",
                                     "192.0.2.7", "2001:db8:1::1",   "203.0.113.127"};
    static const char *const out[] = {"128.0.0.1", "10.10.11.1", "::2", "192.0.2.8", "2001:db9::1", "203.0.113.128"};
    for (size_t i = 0; i < sizeof(in) / sizeof(*in); i++)
        assert_true(holds(s->relay_hosts, in[i], fixture->pool));
    for (size_t i = 0; i < sizeof(out) / sizeof(*out); i++)
        assert_false(holds(s->relay_hosts, out[i], fixture->pool));
    s = load_good(fixture, "Relay_Hosts = 10.0.0.1");
    assert_true(holds(s->relay_hosts, "10.0.0.1", fixture->pool));
    assert_false(holds(s->relay_hosts, "10.0.0.2", fixture->pool));
}

static void test_a_prefix_of_no_bits_is_everybody(void **state)
{
    fixture_t *fixture = *state;
    const demit_settings_t *s = load_good(fixture, "Relay_Hosts = 0.0.0.0/0");
    assert_true(holds(s->relay_hosts, "8.8.8.8", fixture->pool));
    assert_false(holds(s->relay_hosts, "2001:db8::1", fixture->pool));
    s = load_good(fixture, "Relay_Hosts = \"::/0\"");
    assert_true(holds(s->relay_hosts, "2001:db8::1", fixture->pool));
    assert_true(holds(s->relay_hosts, "fe80::1", fixture->pool));
    assert_false(holds(s->relay_hosts, "8.8.8.8", fixture->pool));
}

/* ---- listeners -------------------------------------------------------------------------------------------------- */

static void test_addresses(void **state)
{
    const struct {
        const char *host, *path;
        bool ipv6;
        uint16_t port;
    } rows[] = {{NULL, NULL, false, 25}, {NULL, NULL, false, 26}, {"10.0.0.1", NULL, false, 587},
                {"::1", NULL, true, 25}, {NULL, NULL, true, 26},  {NULL, "/run/smtp", false, 0}};
    const demit_settings_t *s = load_good(*state, "ESMTP_Listener { Listen \":25\" {} Listen *:26 {}\n"
                                                  "  Listen \"10.0.0.1:587\" {} Listen \"[::1]:25\" {}\n"
                                                  "Listen \"[*]:26\" {} Listen /run/smtp {} }");
    assert_int_equal(s->listeners->nelts, 6);
    for (int i = 0; i < 6; i++) {
        const demit_listen_settings_t *listen = listen_at(s->listeners, i);
        assert_true((listen->host == NULL) == (rows[i].host == NULL));
        if (listen->host != NULL)
            assert_string_equal(listen->host, rows[i].host);
        assert_true((listen->unix_path == NULL) == (rows[i].path == NULL));
        assert_int_equal(listen->ipv6, rows[i].ipv6);
        assert_int_equal(listen->port, rows[i].port);
    }
    assert_string_equal(listen_at(s->listeners, 1)->title, "*:26");
    assert_string_equal(listen_at(s->listeners, 2)->source.file, "test.conf");
    assert_int_equal(listen_at(s->listeners, 2)->source.line, 2);
    assert_int_equal(listen_at(s->listeners, 2)->source.column, 3);
}

static void test_listeners_fall_back(void **state)
{
    const demit_settings_t *s =
        load_good(*state, "Hostname = h.example.com  Listen_Backlog = 10  TCP_Send_Buffer_Size = 1K\n"
                          "ESMTP_Listener { Listen_Backlog = 20  Disable_Nagle_Algorithm = false\n"
                          "  Listen \":1\" { Listen_Backlog = 30 Enable = false Enable_Duravip = false }\n"
                          "  Listen \":2\" { Banner_Hostname = b.example.com TCP_Send_Buffer_Size = 0 } }\n"
                          "ESMTP_Listener { Listen \":3\" {} }\n"
                          "Control_Listener { File_Mode = 0600 Listen \"/a\" {} Listen \"/b\" { File_Mode = 0666 } }");
    const demit_listen_settings_t *one = listen_at(s->listeners, 0), *two = listen_at(s->listeners, 1),
                                  *three = listen_at(s->listeners, 2);
    assert_int_equal(one->backlog, 30);
    assert_int_equal(two->backlog, 20);
    assert_int_equal(three->backlog, 10);
    assert_false(one->enable);
    assert_true(two->enable);
    assert_false(two->disable_nagle);
    assert_true(three->disable_nagle);
    assert_int_equal(one->tcp_send_buffer_bytes, 1024);
    assert_int_equal(two->tcp_send_buffer_bytes, 0);
    assert_string_equal(one->banner_hostname, "h.example.com");
    assert_string_equal(two->banner_hostname, "b.example.com");
    assert_int_equal(s->control_listeners->nelts, 2);
    assert_int_equal(listen_at(s->control_listeners, 0)->file_mode, 0600);
    assert_int_equal(listen_at(s->control_listeners, 1)->file_mode, 0666);
}

/* ---- domains ---------------------------------------------------------------------------------------------------- */

static const char domains_text[] = "Retry_Interval = 100  Gateway = \"smart.example.com\"  Maildir = \"/m/%d/%u\"\n"
                                   "Domain \"*.example.com\" { Retry_Interval = 200 }\n"
                                   "Domain \"a.example.com\" { Gateway = none  Delivery_Method = Maildir  Aliases = [ "
                                   "Root = \"x@b.c\" abuse = y@b.c ] }\n"
                                   "Domain \"*example.com\" { Delivery_Method = LMTP Gateway = \"/run/lmtp\" }\n"
                                   "Domain \"Example.ORG\" { Delivery_Method = Maildir Maildir = \"/srv/%u\" }\n"
                                   "Domain \"[192.0.2.1]\" { Delivery_Method = Maildir }\n";

static void test_domains_fall_back(void **state)
{
    const demit_settings_t *s = load_good(*state, domains_text);
    assert_int_equal(s->domains->nelts, 5);
    const demit_domain_settings_t *a = demit_settings_domain(s, "a.example.com");
    assert_string_equal(a->name, "a.example.com");
    assert_int_equal(a->retry_interval_us, 100 * SECOND);
    assert_null(a->gateway_host);
    assert_string_equal(a->maildir, "/m/%d/%u");
    assert_int_equal(a->source.line, 3);
    assert_int_equal(a->aliases->nelts, 2);
    assert_string_equal(APR_ARRAY_IDX(a->aliases, 0, demit_alias_t).local_part, "root");
    assert_string_equal(APR_ARRAY_IDX(a->aliases, 0, demit_alias_t).address, "x@b.c");
    const demit_domain_settings_t *b = demit_settings_domain(s, "b.example.com");
    assert_int_equal(b->retry_interval_us, 200 * SECOND);
    assert_string_equal(b->gateway_host, "smart.example.com");
    assert_true(demit_settings_domain(s, "badexample.com")->gateway_is_path);
    assert_string_equal(demit_settings_domain(s, "example.org")->maildir, "/srv/%u");
    assert_ptr_equal(demit_settings_domain(s, "other.example.net"), s->any_domain);
}

static void test_what_is_local(void **state)
{
    const demit_settings_t *s = load_good(*state, domains_text);
    demit_settings_t unindexed = *s; /* as a test may make them */
    unindexed.exact_domains = NULL;
    unindexed.pattern_domains = NULL;
    static const char *const local[] = {"a.example.com", "example.com", "badexample.com", "example.org", "[192.0.2.1]"};
    static const char *const foreign[] = {"b.example.com", "example.net", "sub.example.org", "", "192.0.2.1"};
    for (size_t i = 0; i < sizeof(local) / sizeof(*local); i++) {
        assert_true(demit_settings_is_local(s, local[i]));
        assert_true(demit_settings_is_local(&unindexed, local[i]));
    }
    for (size_t i = 0; i < sizeof(foreign) / sizeof(*foreign); i++) {
        assert_false(demit_settings_is_local(s, foreign[i]));
        assert_false(demit_settings_is_local(&unindexed, foreign[i]));
    }
    /* All mail goes to one place by LMTP; no domain is ours for that. */
    assert_false(demit_settings_is_local(load_good(*state, "Delivery_Method = LMTP Gateway = \"/x\""), "a.b"));
}

static void test_domains_in_any_spelling(void **state)
{
    const demit_settings_t *s = load_good(*state, "Hostname = \"mx.b\xc3\xbc"
                                                  "cher.example\"  EHLO_Hostname = \"MX.Example.ORG\"\n"
                                                  "Relay_Domains = ( \"*.b\xc3\xbc"
                                                  "cher.example\" *.XN--BCHER-KVA.example "
                                                  "stra\xc3\x9f"
                                                  "e.example )\n"
                                                  "Domain \"B\xc3\x9c"
                                                  "CHER.example\" { Delivery_Method = LMTP Gateway = \"/run/lmtp\" }\n"
                                                  "Domain \"*.b\xc3\xbc"
                                                  "cher.example\" { Gateway = \"mx.b\xc3\xbc"
                                                  "cher.example:26\" }\n"
                                                  "Domain \"a.example\" { Aliases = [ j\xc3\xb6 = \"J\xc3\xb6@b\xc3\xbc"
                                                  "cher.Example\" ] }\n");
    assert_string_equal(s->hostname, "mx.xn--bcher-kva.example");
    assert_string_equal(s->ehlo_hostname, "MX.Example.ORG");
    for (int i = 0; i < 2; i++)
        assert_string_equal(APR_ARRAY_IDX(s->relay_domains, i, const char *), "*.xn--bcher-kva.example");
    assert_string_equal(APR_ARRAY_IDX(s->relay_domains, 2, const char *), "xn--strae-oqa.example");
    assert_true(demit_settings_is_local(s, "xn--bcher-kva.example"));
    const demit_domain_settings_t *below = demit_settings_domain(s, "a.xn--bcher-kva.example");
    assert_string_equal(below->name, "*.xn--bcher-kva.example");
    assert_string_equal(below->gateway_host, "mx.xn--bcher-kva.example");
    assert_int_equal(below->gateway_port, 26);
    const demit_domain_settings_t *a = demit_settings_domain(s, "a.example");
    const demit_alias_t *alias = &APR_ARRAY_IDX(a->aliases, 0, demit_alias_t);
    assert_string_equal(alias->local_part, "j\xc3\xb6");
    assert_string_equal(alias->address, "J\xc3\xb6@xn--bcher-kva.example"); /* the local part is its owner's */
}

static void test_domain_patterns(void **state)
{
    (void)state;
    const struct {
        const char *pattern, *domain;
        bool matches;
    } rows[] = {{"example.com", "example.com", true},
                {"example.com", "a.example.com", false},
                {"*.example.com", "a.example.com", true},
                {"*.example.com", "a.b.example.com", true},
                {"*.example.com", "example.com", false},
                {"*.example.com", ".example.com", false},
                {"*example.com", "example.com", true},
                {"*example.com", "a.example.com", true},
                {"*example.com", "badexample.com", true},
                {"*example.com", "xample.com", false},
                {"*", "anything", true},
                {"*", "", true}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        if (demit_domain_matches(rows[i].pattern, rows[i].domain) != rows[i].matches)
            fail_msg("%s and %s", rows[i].pattern, rows[i].domain);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_defaults_of_the_server),
        TEST(test_defaults_of_delivery),
        TEST(test_default_console),
        TEST(test_hostname_is_that_of_the_host),
        TEST(test_values_of_the_server),
        TEST(test_values_of_delivery),
        TEST(test_bounds),
        TEST(test_security),
        TEST(test_sandbox),
        TEST(test_gateways),
        TEST(test_networks),
        TEST(test_a_prefix_of_no_bits_is_everybody),
        TEST(test_addresses),
        TEST(test_listeners_fall_back),
        TEST(test_domains_fall_back),
        TEST(test_what_is_local),
        TEST(test_domains_in_any_spelling),
        TEST(test_domain_patterns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
