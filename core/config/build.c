#include "core/config/build.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <apr_strings.h>

#include "core/config/convert.h"
#include "core/config/lexer.h"
#include "core/config/parser.h"
#include "core/config/syntax.h"
#include "core/config/table.h"
#include "core/config/text.h"
#include "demit/build.h"
#include "demit/config.h"

typedef struct build {
    demit_config_findings_t *findings;
    apr_pool_t *pool, *scratch_pool;
    const demit_config_node_t *defaults; /* every option that has a default, set to it */
    demit_settings_t *settings;
} build_t;

/* ---- storing ---------------------------------------------------------------------------------------------------- */

static void store_number(void *field, size_t size, int64_t number)
{
    switch (size) {
    case 1:
        *(bool *)field = number != 0;
        break;
    case 2:
        *(uint16_t *)field = (uint16_t)number;
        break;
    case 4: /* int, uint32_t, an enumeration: the same bytes */
        memcpy(field, &(int32_t){(int32_t)number}, sizeof(int32_t));
        break;
    default:
        *(int64_t *)field = number;
        break;
    }
}

/* A text or list that an outer scope set is the inner one's too, so pointers are shared. */
static void store(void *home, const demit_config_node_t *node)
{
    const demit_config_option_t *option = node->option;
    const demit_config_datum_t *datum = &node->datum;
    char *field = (char *)home + option->offset;
    switch (option->type) {
    case DEMIT_CONFIG_BOOLEAN:
    case DEMIT_CONFIG_NUMBER:
    case DEMIT_CONFIG_SIZE:
    case DEMIT_CONFIG_DURATION:
    case DEMIT_CONFIG_MODE:
    case DEMIT_CONFIG_CHOICE:
    case DEMIT_CONFIG_RETRIES:
        store_number(field, option->size, datum->number);
        break;
    case DEMIT_CONFIG_TEXT:
    case DEMIT_CONFIG_HOST_NAME:
    case DEMIT_CONFIG_PATH:
    case DEMIT_CONFIG_LOG:
    case DEMIT_CONFIG_MAILDIR:
    case DEMIT_CONFIG_DELIMITER:
        *(const char **)(void *)field = datum->text;
        break;
    case DEMIT_CONFIG_NAMES:
    case DEMIT_CONFIG_PORTS:
    case DEMIT_CONFIG_PATHS:
    case DEMIT_CONFIG_NETWORKS:
    case DEMIT_CONFIG_DOMAINS:
    case DEMIT_CONFIG_NAMESERVERS:
    case DEMIT_CONFIG_ALIASES:
        *(const apr_array_header_t **)(void *)field = datum->array;
        break;
    case DEMIT_CONFIG_GATEWAY: {
        demit_domain_settings_t *domain = home;
        domain->gateway_host = datum->text;
        domain->gateway_port = (uint16_t)datum->number;
        domain->gateway_is_path = datum->second != 0;
        break;
    }
    case DEMIT_CONFIG_THROTTLE: {
        demit_domain_settings_t *domain = home;
        domain->throttle_messages = (uint32_t)datum->number;
        domain->throttle_seconds = (uint32_t)datum->second;
        break;
    }
    case DEMIT_CONFIG_TYPE_COUNT:
        break;
    }
    if (option->source_offset != DEMIT_CONFIG_NO_SOURCE) {
        *(demit_source_t *)(void *)((char *)home + option->source_offset) = node->source;
    }
}

/* Stores into HOME those options of SCOPE that live in a struct of its kind. */
static void apply(void *home, demit_config_home_t kind, const demit_config_node_t *scope)
{
    for (int i = 0; i < scope->children->nelts; i++) {
        const demit_config_node_t *node = APR_ARRAY_IDX(scope->children, i, const demit_config_node_t *);
        if (node->option != NULL && node->option->home == kind) {
            store(home, node);
        }
    }
}

/* ---- defaults --------------------------------------------------------------------------------------------------- */

static void no_include(void *baton, demit_config_node_t *scope, const char *path, const demit_source_t *where)
{
    (void)baton, (void)scope, (void)path, (void)where; /* a default cannot include */
}

/* Defaults are configuration: the table's text goes the way of every other text. Their sources have no file. */
static const demit_config_node_t *read_defaults(const build_t *build)
{
    demit_config_node_t *root = demit_config_root_create(build->scratch_pool);
    demit_config_parser_t *parser =
        demit_config_parser_create(root, no_include, NULL, build->findings, build->scratch_pool);
    demit_config_lexer_t *lexer =
        demit_config_lexer_create(NULL, demit_config_parser_token, parser, build->findings, build->scratch_pool);
    for (size_t i = 0; i < demit_config_option_count; i++) {
        const demit_config_option_t *option = &demit_config_options[i];
        if (option->initial == NULL) {
            continue;
        }
        const char *line = apr_pstrcat(build->scratch_pool, option->name, " = ", option->initial, "\n", NULL);
        (void)demit_config_lexer_feed(lexer, line, strlen(line));
    }
    demit_config_lexer_finish(lexer);
    for (int i = 0; i < root->children->nelts; i++) {
        demit_config_node_t *node = APR_ARRAY_IDX(root->children, i, demit_config_node_t *);
        const demit_config_option_t *option = demit_config_option_find(node->name);
        node->source = (demit_source_t){0};
        if (demit_config_convert(&node->datum, option, node->value, build->findings, build->pool)) {
            node->option = option;
        }
    }
    return root;
}

/* ---- listeners -------------------------------------------------------------------------------------------------- */

static const char *check_socket_path(const char *path)
{
    if (strlen(path) >= sizeof(((struct sockaddr_un *)NULL)->sun_path)) {
        return "the path is longer than a socket's may be";
    }
    return NULL;
}

/* Reads the title of a Listen. Returns NULL or what is wrong with it. */
static const char *read_address(demit_listen_settings_t *listen, apr_pool_t *pool)
{
    if (*listen->title == '/') {
        listen->unix_path = listen->title;
        return check_socket_path(listen->title);
    }
    demit_config_endpoint_t endpoint;
    const char *wrong = demit_config_parse_endpoint(&endpoint, listen->title, pool);
    if (wrong != NULL) {
        return wrong;
    }
    if (!endpoint.has_port) {
        int64_t number;
        return demit_config_parse_number(listen->title, &number) ? "write a ':' before the port, like \":25\""
                                                                 : "write the port, too, like \"*:25\"";
    }
    listen->port = endpoint.port;
    listen->ipv6 = endpoint.bracketed;
    if (strcmp(endpoint.host, "*") == 0 || (!endpoint.bracketed && *endpoint.host == '\0')) {
        return NULL;
    }
    if (endpoint.bracketed && !demit_config_is_ipv6(endpoint.host)) {
        return "no IPv6 address stands in the brackets";
    }
    if (!endpoint.bracketed && !demit_config_is_ipv4(endpoint.host)) {
        return "write an IP address, not a name, like \"127.0.0.1:25\"";
    }
    listen->host = endpoint.host;
    return NULL;
}

static void compare_addresses(const build_t *build, const demit_listen_settings_t *listen,
                              const apr_array_header_t *others)
{
    for (int i = 0; i < others->nelts; i++) {
        const demit_listen_settings_t *other = &APR_ARRAY_IDX(others, i, demit_listen_settings_t);
        const char *place = demit_config_place(&other->source, &listen->source, build->scratch_pool);
        if (demit_listen_same_address(listen, other)) {
            demit_config_error(build->findings, &listen->source,
                               "Listen \"%s\" has the same address as \"%s\" on %s; "
                               "remove one",
                               listen->title, other->title, place);
        } else if (demit_listen_overlaps(listen, other) && listen->enable && other->enable) {
            demit_config_warning(build->findings, &listen->source,
                                 "Listen \"%s\" and \"%s\" on %s overlap; most systems refuse to open both",
                                 listen->title, other->title, place);
        }
    }
}

static void add_listen(const build_t *build, apr_array_header_t *listens, const demit_config_node_t *root,
                       const demit_config_node_t *node)
{
    demit_listen_settings_t listen = {.title = apr_pstrdup(build->pool, node->title), .source = node->source};
    const demit_config_node_t *const chain[] = {build->defaults, root, node->parent, node}; /* outer to inner */
    for (size_t i = 0; i < sizeof(chain) / sizeof(chain[0]); i++) {
        apply(&listen, DEMIT_CONFIG_IN_LISTEN, chain[i]);
    }
    if (listen.banner_hostname == NULL) {
        listen.banner_hostname = build->settings->hostname;
    }
    const char *wrong = NULL;
    if (node->scope->id == DEMIT_CONFIG_CONTROL_LISTEN && *listen.title != '/') {
        wrong = "the console listens at a Unix socket only; write its absolute path";
    } else {
        wrong = read_address(&listen, build->pool);
    }
    if (wrong != NULL) {
        demit_config_error(build->findings, &node->title_source, "%s is no address to listen at: %s",
                           demit_config_quote(node->title, build->scratch_pool), wrong);
        return;
    }
    compare_addresses(build, &listen, build->settings->listeners);
    compare_addresses(build, &listen, build->settings->control_listeners);
    *(demit_listen_settings_t *)apr_array_push(listens) = listen;
}

static void add_listens(const build_t *build, apr_array_header_t *listens, const demit_config_node_t *root,
                        const demit_config_node_t *listener)
{
    for (int i = 0; i < listener->children->nelts; i++) {
        const demit_config_node_t *node = APR_ARRAY_IDX(listener->children, i, const demit_config_node_t *);
        if (node->scope != NULL) {
            add_listen(build, listens, root, node);
        }
    }
}

/* The console that there is when nobody wrote a Control_Listener. */
static void add_default_control(const build_t *build, apr_array_header_t *listens, const demit_config_node_t *root)
{
    demit_listen_settings_t listen = {.title = DEMIT_PATH_CONTROL, .unix_path = DEMIT_PATH_CONTROL};
    apply(&listen, DEMIT_CONFIG_IN_LISTEN, build->defaults);
    apply(&listen, DEMIT_CONFIG_IN_LISTEN, root);
    listen.banner_hostname = build->settings->hostname;
    *(demit_listen_settings_t *)apr_array_push(listens) = listen;
}

/* ---- domains ---------------------------------------------------------------------------------------------------- */

static void add_domain(const build_t *build, apr_array_header_t *domains, const demit_config_node_t *node)
{
    demit_domain_settings_t *domain = apr_array_push(domains);
    *domain = *build->settings->any_domain;
    domain->name = node->title;
    domain->source = node->source;
    domain->text = demit_config_text(node, build->pool, build->scratch_pool);
    apply(domain, DEMIT_CONFIG_IN_DOMAIN, node);
}

/* Exact names are found by hash; of patterns the first that fits is to be found, in order. */
static void index_domains(const build_t *build, const apr_array_header_t *domains)
{
    apr_hash_t *exact = apr_hash_make(build->pool);
    apr_array_header_t *patterns = apr_array_make(build->pool, 4, sizeof(const demit_domain_settings_t *));
    for (int i = 0; i < domains->nelts; i++) {
        const demit_domain_settings_t *domain = &APR_ARRAY_IDX(domains, i, demit_domain_settings_t);
        if (*domain->name == '*') {
            APR_ARRAY_PUSH(patterns, const demit_domain_settings_t *) = domain;
        } else {
            apr_hash_set(exact, domain->name, APR_HASH_KEY_STRING, domain);
        }
    }
    build->settings->exact_domains = exact;
    build->settings->pattern_domains = patterns;
}

/* ---- all of it -------------------------------------------------------------------------------------------------- */

static const demit_config_node_t *find_scope(const demit_config_node_t *root, demit_config_scope_id_t id)
{
    for (int i = 0; i < root->children->nelts; i++) {
        const demit_config_node_t *node = APR_ARRAY_IDX(root->children, i, const demit_config_node_t *);
        if (node->scope != NULL && node->scope->id == id) {
            return node;
        }
    }
    return NULL;
}

/* Remembers how the options of SCOPE are written: a reload tells by it what has changed, and where that stands. */
static void note_written(const build_t *build, apr_hash_t *written, const demit_config_node_t *scope)
{
    for (int i = 0; i < scope->children->nelts; i++) {
        const demit_config_node_t *node = APR_ARRAY_IDX(scope->children, i, const demit_config_node_t *);
        if (node->option != NULL) {
            demit_written_t *note = apr_palloc(build->pool, sizeof(*note));
            *note = (demit_written_t){.source = node->source,
                                      .text = demit_config_text(node, build->pool, build->scratch_pool)};
            apr_hash_set(written, node->option->name, APR_HASH_KEY_STRING, note);
        }
    }
}

static void build_written(const build_t *build, const demit_config_node_t *root)
{
    const demit_config_node_t *security = find_scope(root, DEMIT_CONFIG_SECURITY);
    apr_hash_t *written = apr_hash_make(build->pool);
    note_written(build, written, root);
    if (security != NULL) {
        note_written(build, written, security);
    }
    build->settings->written = written;
    build->settings->text = demit_config_text(root, build->pool, build->scratch_pool);
}

static void build_security(const build_t *build, const demit_config_node_t *root)
{
    demit_security_settings_t *security = &build->settings->security;
    const demit_config_node_t *scope = find_scope(root, DEMIT_CONFIG_SECURITY);
    apply(security, DEMIT_CONFIG_IN_SECURITY, build->defaults);
    if (scope != NULL) {
        apply(security, DEMIT_CONFIG_IN_SECURITY, scope);
    }
    security->user_is_default = security->user_source.file == NULL;
    security->group_is_default = security->group_source.file == NULL;
}

static void build_scopes(const build_t *build, const demit_config_node_t *root)
{
    demit_settings_t *settings = build->settings;
    apr_array_header_t *listens = apr_array_make(build->pool, 4, sizeof(demit_listen_settings_t));
    apr_array_header_t *controls = apr_array_make(build->pool, 1, sizeof(demit_listen_settings_t));
    apr_array_header_t *domains = apr_array_make(build->pool, 8, sizeof(demit_domain_settings_t));
    settings->listeners = listens;
    settings->control_listeners = controls;
    for (int i = 0; i < root->children->nelts; i++) {
        const demit_config_node_t *node = APR_ARRAY_IDX(root->children, i, const demit_config_node_t *);
        if (node->scope == NULL) {
            continue;
        }
        if (node->scope->id == DEMIT_CONFIG_ESMTP_LISTENER) {
            add_listens(build, listens, root, node);
        } else if (node->scope->id == DEMIT_CONFIG_CONTROL_LISTENER) {
            add_listens(build, controls, root, node);
        } else if (node->scope->id == DEMIT_CONFIG_DOMAIN) {
            add_domain(build, domains, node);
        }
    }
    if (find_scope(root, DEMIT_CONFIG_CONTROL_LISTENER) == NULL) {
        add_default_control(build, controls, root);
    }
    settings->domains = domains;
    index_domains(build, domains);
}

demit_settings_t *demit_config_build(const demit_config_node_t *root, demit_config_findings_t *findings,
                                     apr_pool_t *result_pool, apr_pool_t *scratch_pool)
{
    demit_settings_t *settings = apr_pcalloc(result_pool, sizeof(*settings));
    build_t build = {.findings = findings, .pool = result_pool, .scratch_pool = scratch_pool, .settings = settings};
    build.defaults = read_defaults(&build);
    apply(settings, DEMIT_CONFIG_IN_SETTINGS, build.defaults);
    apply(settings, DEMIT_CONFIG_IN_SETTINGS, root);
    if (settings->hostname == NULL) {
        settings->hostname = demit_config_host_name(result_pool);
    }
    if (settings->ehlo_hostname == NULL) {
        settings->ehlo_hostname = settings->hostname;
    }

    demit_domain_settings_t *any = apr_pcalloc(result_pool, sizeof(*any));
    apply(any, DEMIT_CONFIG_IN_DOMAIN, build.defaults);
    apply(any, DEMIT_CONFIG_IN_DOMAIN, root);
    settings->any_domain = any;

    settings->file = root->source.file;
    build_security(&build, root);
    build_scopes(&build, root);
    build_written(&build, root);
    return settings;
}
