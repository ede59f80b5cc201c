/* Options that fit each by itself and not together. */
#include "core/config/build.h"

#include <inttypes.h>
#include <string.h>

#include <apr_cstr.h>

#include "core/config/table.h"

typedef struct together {
    const demit_settings_t *settings;
    const demit_config_node_t *root;
    demit_config_findings_t *findings;
    apr_pool_t *pool;
    demit_source_t start; /* of the file, for what is written nowhere */
} together_t;

/* Where SCOPE says what is stored in the field at OFFSET of HOME; NULL: it does not. */
static const demit_config_node_t *node_of(const demit_config_node_t *scope, demit_config_home_t home, size_t offset)
{
    for (int i = 0; i < scope->children->nelts; i++) {
        const demit_config_node_t *node = APR_ARRAY_IDX(scope->children, i, const demit_config_node_t *);
        if (node->option != NULL && node->option->home == home && node->option->offset == offset) {
            return node;
        }
    }
    return NULL;
}

/* The place of the value of a field: in SCOPE, else in the global scope, else at OTHERWISE. */
static const demit_source_t *place(const together_t *in, const demit_config_node_t *scope, demit_config_home_t home,
                                   size_t offset, const demit_source_t *otherwise)
{
    const demit_config_node_t *node = node_of(scope, home, offset);
    if (node == NULL) {
        node = node_of(in->root, home, offset);
    }
    return node != NULL ? &node->value->source : otherwise;
}

#define SETTING_PLACE(in, field)                                                                                       \
    place((in), (in)->root, DEMIT_CONFIG_IN_SETTINGS, offsetof(demit_settings_t, field), &(in)->start)
#define DOMAIN_PLACE(in, node, field, otherwise)                                                                       \
    place((in), (node), DEMIT_CONFIG_IN_DOMAIN, offsetof(demit_domain_settings_t, field), (otherwise))

/* ---- the spool and memory --------------------------------------------------------------------------------------- */

static void check_memory(const together_t *in)
{
    enum { BLOCK_BYTES = 4096 }; /* what the spool writes; spool-format */
    const demit_settings_t *settings = in->settings;
    if (settings->segment_size_bytes % BLOCK_BYTES != 0) {
        demit_config_error(in->findings, SETTING_PLACE(in, segment_size_bytes),
                           "Segment_Size is no multiple of %d; write %" PRIu64, BLOCK_BYTES,
                           settings->segment_size_bytes / BLOCK_BYTES * BLOCK_BYTES);
    }
    if (settings->large_message_threshold_bytes > settings->segment_size_bytes / 2) {
        demit_config_error(in->findings, SETTING_PLACE(in, large_message_threshold_bytes),
                           "Large_Message_Threshold (%" PRIu32 ") is more than half of Segment_Size (%" PRIu64
                           "); a message must fit into one segment with room to spare",
                           settings->large_message_threshold_bytes, settings->segment_size_bytes);
    }
    if (settings->max_buffer_memory_bytes < settings->large_message_threshold_bytes) {
        demit_config_error(in->findings, SETTING_PLACE(in, max_buffer_memory_bytes),
                           "Max_Buffer_Memory (%" PRIu64 ") is less than Large_Message_Threshold (%" PRIu32
                           "); not one message would fit",
                           settings->max_buffer_memory_bytes, settings->large_message_threshold_bytes);
    }
    if ((settings->spool_mode & 0600) != 0600) {
        demit_config_error(in->findings, SETTING_PLACE(in, spool_mode),
                           "Spool_Mode keeps the server from its own spool; the owner needs 0600 at least");
    }
    if ((settings->spool_mode & 0007) != 0) {
        demit_config_warning(in->findings, SETTING_PLACE(in, spool_mode),
                             "Spool_Mode lets everybody at the mail in the spool; 0640 or 0600 does not");
    }
    if (!settings->force_fsync) {
        demit_config_warning(in->findings, SETTING_PLACE(in, force_fsync),
                             "Force_Fsync = false: accepted mail is lost when the power fails");
    }
    if (settings->max_connections > settings->max_file_descriptors) {
        demit_config_warning(in->findings, SETTING_PLACE(in, max_connections),
                             "Max_Connections (%" PRIu32 ") is more than Server_Max_File_Descriptors (%" PRIu32
                             ") lets be open",
                             settings->max_connections, settings->max_file_descriptors);
    }
}

/* ---- who may send what ------------------------------------------------------------------------------------------ */

/* Items of a list as it was written; a single value stands for a list of one. */
static const demit_config_value_t *item_of(const demit_config_value_t *value, int index)
{
    if (value->items == NULL) {
        return index == 0 ? value : NULL;
    }
    return index < value->items->nelts ? APR_ARRAY_IDX(value->items, index, const demit_config_value_t *) : NULL;
}

static void warn_of_open_relay(const together_t *in)
{
    const demit_config_node_t *hosts =
        node_of(in->root, DEMIT_CONFIG_IN_SETTINGS, offsetof(demit_settings_t, relay_hosts));
    const demit_config_value_t *item;
    for (int i = 0; hosts != NULL && (item = item_of(hosts->value, i)) != NULL; i++) {
        const char *slash = strchr(item->text, '/');
        if (slash != NULL && strcmp(slash, "/0") == 0) {
            demit_config_warning(in->findings, &item->source,
                                 "%s makes this an open relay: all the world may send to anywhere; name your own "
                                 "networks",
                                 demit_config_quote(item->text, in->pool));
        }
    }
    const demit_config_node_t *domains =
        node_of(in->root, DEMIT_CONFIG_IN_SETTINGS, offsetof(demit_settings_t, relay_domains));
    for (int i = 0; domains != NULL && (item = item_of(domains->value, i)) != NULL; i++) {
        if (strcmp(item->text, "*") == 0) {
            demit_config_warning(
                in->findings, &item->source,
                "\"*\" makes this an open relay: all the world may send to anywhere; name the domains");
        }
    }
}

static void warn_of_silence(const together_t *in)
{
    for (int i = 0; i < in->settings->listeners->nelts; i++) {
        if (APR_ARRAY_IDX(in->settings->listeners, i, demit_listen_settings_t).enable) {
            return;
        }
    }
    demit_config_warning(in->findings, &in->start,
                         "no mail can be received: no Listen of an ESMTP_Listener is enabled; write ESMTP_Listener { "
                         "Listen \":25\" {} }");
}

static void warn_of_host_name(const together_t *in)
{
    if (strchr(in->settings->hostname, '.') == NULL) {
        demit_config_warning(in->findings, SETTING_PLACE(in, hostname),
                             "Hostname %s is not fully qualified, and other servers may refuse it; set Hostname",
                             demit_config_quote(in->settings->hostname, in->pool));
    }
}

/* ---- domains ---------------------------------------------------------------------------------------------------- */

static void check_delivery(const together_t *in, const demit_config_node_t *node, const demit_domain_settings_t *domain,
                           const demit_source_t *source)
{
    const demit_source_t *method = DOMAIN_PLACE(in, node, delivery_method, source);
    if (domain->delivery_method == DEMIT_DELIVER_MAILDIR) {
        if (domain->maildir == NULL) {
            demit_config_error(in->findings, method,
                               "Delivery_Method = Maildir without Maildir; write Maildir = \"/path/%%d/%%u\"");
        }
        return;
    }
    if (domain->delivery_method == DEMIT_DELIVER_LMTP) {
        if (domain->gateway_host == NULL) {
            demit_config_error(in->findings, method,
                               "Delivery_Method = LMTP without Gateway; write Gateway = \"host:port\" or the path of a "
                               "socket");
        } else if (!domain->gateway_is_path && domain->gateway_port == 0) {
            demit_config_error(in->findings, DOMAIN_PLACE(in, node, gateway_host, source),
                               "LMTP has no usual port; write Gateway = \"%s:24\" or whatever the port is",
                               domain->gateway_host);
        }
        return;
    }
    if (domain->gateway_is_path) {
        demit_config_error(in->findings, DOMAIN_PLACE(in, node, gateway_host, source),
                           "a socket as Gateway needs Delivery_Method = LMTP");
    }
}

static void check_schedule(const together_t *in, const demit_config_node_t *node, const demit_domain_settings_t *domain,
                           const demit_source_t *source)
{
    const demit_source_t *interval = DOMAIN_PLACE(in, node, retry_interval_us, source);
    if (domain->max_retry_interval_us < domain->retry_interval_us) {
        demit_config_error(in->findings, DOMAIN_PLACE(in, node, max_retry_interval_us, interval),
                           "Max_Retry_Interval (%" PRId64 ") is less than Retry_Interval (%" PRId64 ")",
                           domain->max_retry_interval_us / 1000000, domain->retry_interval_us / 1000000);
    }
    if (domain->message_expiration_us < domain->retry_interval_us) {
        demit_config_warning(in->findings, DOMAIN_PLACE(in, node, message_expiration_us, interval),
                             "Message_Expiration (%" PRId64 ") is less than Retry_Interval (%" PRId64
                             "): nothing is tried a second time",
                             domain->message_expiration_us / 1000000, domain->retry_interval_us / 1000000);
    }
}

/* What a domain only inherits was complained about in the global scope. */
static bool says_any(const demit_config_node_t *node, const size_t *offsets, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (node_of(node, DEMIT_CONFIG_IN_DOMAIN, offsets[i]) != NULL) {
            return true;
        }
    }
    return false;
}

static void check_domain(const together_t *in, const demit_config_node_t *node, const demit_domain_settings_t *domain)
{
    static const size_t delivery[] = {offsetof(demit_domain_settings_t, delivery_method),
                                      offsetof(demit_domain_settings_t, maildir),
                                      offsetof(demit_domain_settings_t, gateway_host)};
    static const size_t schedule[] = {offsetof(demit_domain_settings_t, retry_interval_us),
                                      offsetof(demit_domain_settings_t, max_retry_interval_us),
                                      offsetof(demit_domain_settings_t, message_expiration_us)};
    if (says_any(node, delivery, sizeof(delivery) / sizeof(*delivery))) {
        check_delivery(in, node, domain, &domain->source);
    }
    if (says_any(node, schedule, sizeof(schedule) / sizeof(*schedule))) {
        check_schedule(in, node, domain, &domain->source);
    }
    bool local = domain->delivery_method == DEMIT_DELIVER_MAILDIR || domain->delivery_method == DEMIT_DELIVER_LMTP;
    if (local && strcmp(domain->name, "*") == 0) {
        demit_config_warning(in->findings, &domain->source,
                             "Domain \"*\" takes the mail for every domain of the world; name your own");
    }
}

void demit_config_check_together(const demit_settings_t *settings, const demit_config_node_t *root,
                                 demit_config_findings_t *findings, apr_pool_t *scratch_pool)
{
    together_t in = {.settings = settings, .root = root, .findings = findings, .pool = scratch_pool};
    in.start = (demit_source_t){.file = root->source.file};
    check_memory(&in);
    warn_of_open_relay(&in);
    warn_of_silence(&in);
    warn_of_host_name(&in);
    check_delivery(&in, root, settings->any_domain, &in.start);
    check_schedule(&in, root, settings->any_domain, &in.start);
    for (int i = 0, next = 0; i < root->children->nelts; i++) { /* domains are in the order of their nodes */
        const demit_config_node_t *node = APR_ARRAY_IDX(root->children, i, const demit_config_node_t *);
        if (node->scope != NULL && node->scope->id == DEMIT_CONFIG_DOMAIN) {
            check_domain(&in, node, &APR_ARRAY_IDX(settings->domains, next++, demit_domain_settings_t));
        }
    }
}
