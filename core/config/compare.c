/* What a reload would change. */
#include <string.h>

#include <apr_strings.h>

#include "core/config/table.h"
#include "demit/config.h"

typedef struct comparison {
    const demit_settings_t *older, *newer;
    apr_array_header_t *found; /* demit_config_difference_t */
    apr_pool_t *pool;
} comparison_t;

/* ---- values ----------------------------------------------------------------------------------------------------- */

static bool same_text(const char *left, const char *right)
{
    return left == right || (left != NULL && right != NULL && strcmp(left, right) == 0);
}

static bool same_words(const apr_array_header_t *left, const apr_array_header_t *right)
{
    if (left == NULL || right == NULL || left->nelts != right->nelts) {
        return left == right;
    }
    for (int i = 0; i < left->nelts; i++) {
        if (strcmp(APR_ARRAY_IDX(left, i, const char *), APR_ARRAY_IDX(right, i, const char *)) != 0) {
            return false;
        }
    }
    return true;
}

static const demit_written_t *written(const demit_settings_t *settings, const char *name)
{
    /* apr_hash_get() changes nothing; only its signature forgot the const. */
    return apr_hash_get((apr_hash_t *)settings->written, name, APR_HASH_KEY_STRING);
}

/* For types whose values are not compared: APR's networks are closed. */
static bool same_as_written(const comparison_t *in, const demit_config_option_t *option)
{
    const demit_written_t *older = written(in->older, option->name), *newer = written(in->newer, option->name);
    return same_text(older != NULL ? older->text : NULL, newer != NULL ? newer->text : NULL);
}

static bool same_gateway(const demit_domain_settings_t *left, const demit_domain_settings_t *right)
{
    return same_text(left->gateway_host, right->gateway_host) && left->gateway_port == right->gateway_port &&
           left->gateway_is_path == right->gateway_is_path;
}

static bool same_throttle(const demit_domain_settings_t *left, const demit_domain_settings_t *right)
{
    return left->throttle_messages == right->throttle_messages && left->throttle_seconds == right->throttle_seconds;
}

/* Whether OPTION has one value in OLDER and NEWER, two structs of its home. */
static bool same_value(const comparison_t *in, const demit_config_option_t *option, const void *older,
                       const void *newer)
{
    const void *left = (const char *)older + option->offset, *right = (const char *)newer + option->offset;
    switch (option->type) {
    case DEMIT_CONFIG_BOOLEAN:
    case DEMIT_CONFIG_NUMBER:
    case DEMIT_CONFIG_SIZE:
    case DEMIT_CONFIG_DURATION:
    case DEMIT_CONFIG_MODE:
    case DEMIT_CONFIG_CHOICE:
    case DEMIT_CONFIG_RETRIES:
        return memcmp(left, right, option->size) == 0;
    case DEMIT_CONFIG_TEXT:
    case DEMIT_CONFIG_HOST_NAME:
    case DEMIT_CONFIG_PATH:
    case DEMIT_CONFIG_LOG:
    case DEMIT_CONFIG_MAILDIR:
    case DEMIT_CONFIG_DELIMITER:
        return same_text(*(const char *const *)left, *(const char *const *)right);
    case DEMIT_CONFIG_NAMES:
    case DEMIT_CONFIG_PATHS:
    case DEMIT_CONFIG_DOMAINS:
    case DEMIT_CONFIG_NAMESERVERS:
        return same_words(*(const apr_array_header_t *const *)left, *(const apr_array_header_t *const *)right);
    case DEMIT_CONFIG_GATEWAY:
        return same_gateway(older, newer);
    case DEMIT_CONFIG_THROTTLE:
        return same_throttle(older, newer);
    case DEMIT_CONFIG_PORTS:
    case DEMIT_CONFIG_NETWORKS:
    case DEMIT_CONFIG_ALIASES:
    case DEMIT_CONFIG_TYPE_COUNT:
        break;
    }
    return same_as_written(in, option);
}

/* ---- listeners -------------------------------------------------------------------------------------------------- */

/* Whether LISTEN has no host, or one that means every address. */
static bool is_any(const demit_listen_settings_t *listen)
{
    return listen->unix_path == NULL &&
           (listen->host == NULL || strcmp(listen->host, listen->ipv6 ? "::" : "0.0.0.0") == 0);
}

static bool same_port(const demit_listen_settings_t *left, const demit_listen_settings_t *right)
{
    return left->unix_path == NULL && right->unix_path == NULL && left->port == right->port &&
           left->ipv6 == right->ipv6;
}

bool demit_listen_same_address(const demit_listen_settings_t *left, const demit_listen_settings_t *right)
{
    if (left->unix_path != NULL || right->unix_path != NULL) {
        return left->unix_path != NULL && right->unix_path != NULL && strcmp(left->unix_path, right->unix_path) == 0;
    }
    return same_port(left, right) && is_any(left) == is_any(right) &&
           (is_any(left) || same_text(left->host, right->host));
}

bool demit_listen_overlaps(const demit_listen_settings_t *left, const demit_listen_settings_t *right)
{
    return same_port(left, right) && is_any(left) != is_any(right);
}

bool demit_listen_same_options(const demit_listen_settings_t *left, const demit_listen_settings_t *right,
                               bool is_console)
{
    const demit_config_scope_id_t scope = is_console ? DEMIT_CONFIG_CONTROL_LISTEN : DEMIT_CONFIG_ESMTP_LISTEN;
    const comparison_t in = {.older = NULL};
    for (size_t i = 0; i < demit_config_option_count; i++) {
        const demit_config_option_t *option = &demit_config_options[i];
        if (option->home == DEMIT_CONFIG_IN_LISTEN && demit_config_option_in(option, scope) &&
            !same_value(&in, option, left, right)) {
            return false;
        }
    }
    return true;
}

/* ---- differences ------------------------------------------------------------------------------------------------ */

static void add(const comparison_t *in, const char *name, bool needs_restart, const demit_source_t *source)
{
    demit_config_difference_t *difference = apr_array_push(in->found);
    *difference = (demit_config_difference_t){.name = name, .needs_restart = needs_restart};
    difference->source = source != NULL ? *source : (demit_source_t){.file = in->newer->file};
}

static void compare_options(const comparison_t *in, demit_config_home_t home, const void *older, const void *newer)
{
    for (size_t i = 0; i < demit_config_option_count; i++) {
        const demit_config_option_t *option = &demit_config_options[i];
        if (option->home == home && !same_value(in, option, older, newer)) {
            const demit_written_t *where = written(in->newer, option->name);
            add(in, option->name, option->reload == DEMIT_CONFIG_RESTART, where != NULL ? &where->source : NULL);
        }
    }
}

static void compare_domains(const comparison_t *in)
{
    for (int i = 0; i < in->newer->domains->nelts; i++) {
        const demit_domain_settings_t *newer = &APR_ARRAY_IDX(in->newer->domains, i, demit_domain_settings_t);
        const demit_domain_settings_t *older = demit_settings_scope(in->older, newer->name);
        if (older == NULL || !same_text(older->text, newer->text)) {
            add(in, apr_psprintf(in->pool, "Domain \"%s\"", newer->name), false, &newer->source);
        }
    }
    for (int i = 0; i < in->older->domains->nelts; i++) {
        const char *name = APR_ARRAY_IDX(in->older->domains, i, demit_domain_settings_t).name;
        if (demit_settings_scope(in->newer, name) == NULL) {
            add(in, apr_psprintf(in->pool, "Domain \"%s\"", name), false, NULL);
        }
    }
}

apr_array_header_t *demit_config_differences(const demit_settings_t *older, const demit_settings_t *newer,
                                             apr_pool_t *pool)
{
    const comparison_t in = {.older = older,
                             .newer = newer,
                             .found = apr_array_make(pool, 8, sizeof(demit_config_difference_t)),
                             .pool = pool};
    compare_options(&in, DEMIT_CONFIG_IN_SECURITY, &older->security, &newer->security);
    compare_options(&in, DEMIT_CONFIG_IN_SETTINGS, older, newer);
    compare_options(&in, DEMIT_CONFIG_IN_DOMAIN, older->any_domain, newer->any_domain);
    compare_domains(&in);
    return in.found;
}
