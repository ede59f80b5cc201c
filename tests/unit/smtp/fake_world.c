/* A server in a fake world, its settings, and the questions that core/config would answer. */
#include "tests/unit/smtp/fake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <apr_general.h>
#include <apr_strings.h>

#include <cmocka.h>

#include "tests/unit/smtp/fake_priv.h"

fake_world_t fake;

/* ---- core/config ------------------------------------------------------------------------------------------------- */

bool demit_domain_matches(const char *pattern, const char *domain)
{
    size_t size = strlen(domain), suffix = strlen(pattern);

    if (pattern[0] != '*') {
        return strcmp(pattern, domain) == 0;
    }
    return size >= suffix - 1 && strcmp(domain + size - (suffix - 1), pattern + 1) == 0;
}

const demit_domain_settings_t *demit_settings_domain(const demit_settings_t *settings, const char *domain)
{
    for (int i = 0; i < settings->domains->nelts; i++) {
        const demit_domain_settings_t *one = &APR_ARRAY_IDX(settings->domains, i, demit_domain_settings_t);
        if (demit_domain_matches(one->name, domain)) {
            return one;
        }
    }
    return settings->any_domain;
}

bool demit_settings_is_local(const demit_settings_t *settings, const char *domain)
{
    const demit_domain_settings_t *one = demit_settings_domain(settings, domain);
    return one->name != NULL &&
           (one->delivery_method == DEMIT_DELIVER_MAILDIR || one->delivery_method == DEMIT_DELIVER_LMTP);
}

/* ---- settings ---------------------------------------------------------------------------------------------------- */

static demit_domain_settings_t *add_domain(const char *name, demit_delivery_method_t method)
{
    demit_domain_settings_t *domain =
        &APR_ARRAY_PUSH((apr_array_header_t *)fake.settings.domains, demit_domain_settings_t);
    *domain = (demit_domain_settings_t){.name = name,
                                        .delivery_method = method,
                                        .maildir = "/mail/%d/%u",
                                        .recipient_delimiter = "+",
                                        .aliases = apr_array_make(fake.pool, 8, sizeof(demit_alias_t))};
    return domain;
}

static void add_alias(const demit_domain_settings_t *domain, const char *local_part, const char *address)
{
    APR_ARRAY_PUSH((apr_array_header_t *)domain->aliases, demit_alias_t) = (demit_alias_t){local_part, address};
}

static void add_subnet(const char *address, const char *mask)
{
    apr_ipsubnet_t *subnet;
    assert_int_equal(apr_ipsubnet_create(&subnet, address, mask, fake.pool), APR_SUCCESS);
    APR_ARRAY_PUSH((apr_array_header_t *)fake.settings.relay_hosts, apr_ipsubnet_t *) = subnet;
}

static void make_domains(void)
{
    static demit_domain_settings_t any;

    fake.settings.domains = apr_array_make(fake.pool, 8, sizeof(demit_domain_settings_t));
    any = (demit_domain_settings_t){.delivery_method = DEMIT_DELIVER_ESMTP,
                                    .recipient_delimiter = "+",
                                    .aliases = apr_array_make(fake.pool, 1, sizeof(demit_alias_t))};
    fake.settings.any_domain = &any;
    const demit_domain_settings_t *local = add_domain("local.test", DEMIT_DELIVER_MAILDIR);
    add_alias(local, "sales", "joe@local.test");
    add_alias(local, "out", "someone@far.test");
    add_alias(local, "ghost", "nobody@local.test");
    add_alias(local, "round", "about@local.test");
    add_alias(local, "about", "round@local.test");
    add_alias(local, "ann", "ann@local.test");
    add_alias(local, "broken-alias", "not an address");
    add_domain("lmtp.test", DEMIT_DELIVER_LMTP);
    add_domain("create.test", DEMIT_DELIVER_MAILDIR)->maildir_create = true;
}

static void make_settings(void)
{
    demit_settings_t *settings = &fake.settings;

    *settings = (demit_settings_t){
        .hostname = "mx.test",
        .max_message_size_bytes = 1024 * 1024,
        .max_recipients = 5,
        .max_session_errors = 20,
        .max_received_hops = 5,
        .large_message_threshold_bytes = 131072,
        .max_connections_per_client = 0,
        .max_buffer_memory_bytes = 64 * 1024 * 1024,
        .command_timeout_us = 300 * APR_USEC_PER_SEC,
        .session_timeout_us = 3600 * APR_USEC_PER_SEC,
        .lone_lf_in_body = DEMIT_LONE_LF_REJECT,
        .lone_lf_in_headers = DEMIT_LONE_LF_REJECT,
        .relay_hosts = apr_array_make(fake.pool, 2, sizeof(apr_ipsubnet_t *)),
        .relay_domains = apr_array_make(fake.pool, 2, sizeof(const char *)),
    };
    APR_ARRAY_PUSH((apr_array_header_t *)settings->relay_domains, const char *) = "relay.test";
    APR_ARRAY_PUSH((apr_array_header_t *)settings->relay_domains, const char *) = "*.relay.test";
    add_subnet("127.0.0.0", "8");
    add_subnet("2001:db8::", "32");
    make_domains();
}

/* joe, ann and "q u" have mailboxes; "broken" nobody can tell. */
static apr_status_t mailbox_exists(const demit_domain_settings_t *domain, const char *domain_name,
                                   const char *local_part, apr_pool_t *scratch_pool)
{
    static const char *const known[] = {"joe", "ann", "q u"};

    assert_non_null(domain);
    assert_non_null(scratch_pool);
    assert_string_equal(domain_name, domain->name);
    fake.looks++;
    if (strcmp(local_part, "broken") == 0) {
        return APR_EACCES;
    }
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(local_part, known[i]) == 0) {
            return APR_SUCCESS;
        }
    }
    return APR_ENOENT;
}

static void accepted(void *baton, const demit_envelope_t *envelope, demit_spool_location_t location)
{
    assert_ptr_equal(baton, &fake);
    assert_int_equal(location.segment, 1);
    assert_int_equal(envelope->id, fake.messages[fake.message_count - 1].envelope.id);
    fake.accepted++;
}

void fake_setup(void)
{
    static const demit_listen_settings_t listen = {.title = "*:25"};

    fake = (fake_world_t){.append_status = APR_ENOSPC};
    assert_int_equal(apr_pool_create(&fake.pool, NULL), APR_SUCCESS);
    make_settings();
    fake_loop_setup();
    fake_spool_setup();
    demit_smtp_server_options_t options = {
        .mailbox_exists = mailbox_exists, .accepted = accepted, .accepted_baton = &fake};
    assert_int_equal(demit_smtp_server_create(&fake.server, &options, fake.pool), APR_SUCCESS);
    fake.acceptor = demit_smtp_acceptor(fake.server, &fake.settings, &listen, fake.pool);
}

void fake_teardown(void)
{
    demit_smtp_statistics_t statistics;

    fake_loop_teardown();
    demit_smtp_statistics(fake.server, &statistics);
    assert_int_equal(statistics.sessions, 0);
    assert_int_equal(statistics.messages, fake.accepted);
    assert_int_equal(fake.accepted, fake.message_count);
    fake_spool_teardown();
    apr_pool_destroy(fake.pool);
}
