#include "core/config/convert.h"

#include <string.h>

#include <apr_cstr.h>
#include <apr_lib.h>
#include <apr_network_io.h>
#include <apr_strings.h>

#include "core/config/syntax.h"

typedef struct conversion {
    const demit_config_option_t *option;
    const demit_config_value_t *value;
    demit_config_findings_t *findings;
    apr_pool_t *pool;
} conversion_t;

/* Converts one text; VALUE is where it stands: the value itself or an item of it. */
typedef bool text_fn(const conversion_t *in, const demit_config_value_t *value, demit_config_datum_t *datum);

static const char *shown(const conversion_t *in, const demit_config_value_t *value)
{
    return demit_config_quote(value->text, in->pool);
}

/* "VALUE <problem>", said at VALUE. */
static bool refuse(const conversion_t *in, const demit_config_value_t *value, const char *problem)
{
    demit_config_error(in->findings, &value->source, "%s %s", shown(in, value), problem);
    return false;
}

/* ---- numbers ---------------------------------------------------------------------------------------------------- */

static bool in_bounds(const conversion_t *in, const demit_config_value_t *value, int64_t number, const char *unit)
{
    const demit_config_option_t *option = in->option;
    if (number >= option->minimum && number <= option->maximum) {
        return true;
    }
    demit_config_error(in->findings, &value->source,
                       "%s is out of range; %s takes %" APR_INT64_T_FMT " to %" APR_INT64_T_FMT "%s", shown(in, value),
                       option->name, option->minimum, option->maximum, unit);
    return false;
}

static bool to_boolean(const conversion_t *in, const demit_config_value_t *value, demit_config_datum_t *datum)
{
    bool is_true = apr_cstr_casecmp(value->text, "true") == 0;
    if (!is_true && apr_cstr_casecmp(value->text, "false") != 0) {
        return refuse(in, value, "is neither true nor false; write one of the two");
    }
    datum->number = is_true;
    return true;
}

static bool to_number(const conversion_t *in, const demit_config_value_t *value, demit_config_datum_t *datum)
{
    if (!demit_config_parse_number(value->text, &datum->number)) {
        return refuse(in, value, "is not a number; write decimal digits only");
    }
    return in_bounds(in, value, datum->number, "");
}

static bool to_size(const conversion_t *in, const demit_config_value_t *value, demit_config_datum_t *datum)
{
    if (!demit_config_parse_units(value->text, demit_config_size_units, &datum->number)) {
        return refuse(in, value, "is not a size; write bytes, like 52428800, or with a unit, like 50M (K, M, G, T)");
    }
    return in_bounds(in, value, datum->number, " bytes");
}

static bool to_duration(const conversion_t *in, const demit_config_value_t *value, demit_config_datum_t *datum)
{
    int64_t seconds;
    if (!demit_config_parse_units(value->text, demit_config_time_units, &seconds)) {
        return refuse(in, value, "is not a time; write seconds, like 1200, or with a unit, like 20m (s, m, h, d, w)");
    }
    if (!in_bounds(in, value, seconds, " seconds")) {
        return false;
    }
    datum->number = seconds * APR_USEC_PER_SEC;
    return true;
}

static bool to_mode(const conversion_t *in, const demit_config_value_t *value, demit_config_datum_t *datum)
{
    const char *text = value->text;
    size_t size = strlen(text);
    if (*text != '0' || size > 5 || strspn(text, "01234567") != size) {
        return refuse(in, value, "is not a mode; write it in octal with a leading zero, like 0640");
    }
    datum->number = 0;
    for (; *text != '\0'; text++) {
        datum->number = datum->number * 8 + (*text - '0');
    }
    if (datum->number > in->option->maximum) {
        return refuse(in, value, "is out of range; a mode is 0 to 0777");
    }
    return true;
}

static bool to_retries(const conversion_t *in, const demit_config_value_t *value, demit_config_datum_t *datum)
{
    if (apr_cstr_casecmp(value->text, "auto") == 0) {
        datum->number = -1;
        return true;
    }
    if (apr_cstr_casecmp(value->text, "none") == 0) {
        return true; /* 0 */
    }
    if (!demit_config_parse_number(value->text, &datum->number)) {
        return refuse(in, value, "is neither auto, none nor a number");
    }
    return in_bounds(in, value, datum->number, "");
}

static bool to_throttle(const conversion_t *in, const demit_config_value_t *value, demit_config_datum_t *datum)
{
    enum { MESSAGES_MAX = 10000000, SECONDS_MAX = 86400 };
    if (apr_cstr_casecmp(value->text, "none") == 0) {
        return true; /* 0, 0 */
    }
    const char *slash = strchr(value->text, '/');
    const char *messages =
        slash == NULL ? "" : apr_pstrmemdup(in->pool, value->text, (apr_size_t)(slash - value->text));
    if (slash == NULL || !demit_config_parse_number(messages, &datum->number) ||
        !demit_config_parse_number(slash + 1, &datum->second) || datum->number < 1 || datum->number > MESSAGES_MAX ||
        datum->second < 1 || datum->second > SECONDS_MAX) {
        return refuse(in, value, "is not a throttle; write messages/seconds, like \"60/3\", or none");
    }
    return true;
}

static bool to_choice(const conversion_t *in, const demit_config_value_t *value, demit_config_datum_t *datum)
{
    const char *all = "";
    for (const demit_config_choice_t *choice = in->option->choices; choice->word != NULL; choice++) {
        if (apr_cstr_casecmp(value->text, choice->word) == 0) {
            datum->number = choice->value;
            return true;
        }
        all = apr_pstrcat(in->pool, all, *all == '\0' ? "" : ", ", choice->word, NULL);
    }
    demit_config_error(in->findings, &value->source, "%s is unknown; %s is one of %s", shown(in, value),
                       in->option->name, all);
    return false;
}

/* ---- texts ------------------------------------------------------------------------------------------------------ */

static bool to_text(const conversion_t *in, const demit_config_value_t *value, demit_config_datum_t *datum)
{
    if ((int64_t)strlen(value->text) < in->option->minimum) {
        demit_config_error(in->findings, &value->source, "%s is empty; leave it out for the default", in->option->name);
        return false;
    }
    datum->text = apr_pstrdup(in->pool, value->text);
    return true;
}

static bool to_host_name(const conversion_t *in, const demit_config_value_t *value, demit_config_datum_t *datum)
{
    const char *name;
    if (demit_config_parse_domain(&name, value->text, in->pool) != NULL || !demit_config_is_host_name(name)) {
        return refuse(in, value, "is not a host name; letters, digits, '-' and '.' make one");
    }
    /* What the world sees is spelled as the operator did, if it can be said in a greeting. */
    datum->text = demit_config_is_host_name(value->text) ? apr_pstrdup(in->pool, value->text) : name;
    return true;
}

static bool to_path(const conversion_t *in, const demit_config_value_t *value, demit_config_datum_t *datum)
{
    if (*value->text != '/') {
        return refuse(in, value, "is not an absolute path; begin it with '/'");
    }
    datum->text = apr_pstrdup(in->pool, value->text);
    return true;
}

static bool to_log(const conversion_t *in, const demit_config_value_t *value, demit_config_datum_t *datum)
{
    static const char *const words[] = {"stderr", "syslog"};
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
        if (apr_cstr_casecmp(value->text, words[i]) == 0) {
            datum->text = words[i];
            return true;
        }
    }
    if (*value->text != '/') {
        return refuse(in, value, "is neither stderr, syslog nor an absolute path");
    }
    datum->text = apr_pstrdup(in->pool, value->text);
    return true;
}

/* Whether PATH goes up: a directory named "..". */
static bool goes_up(const char *path)
{
    for (const char *part = path; part != NULL; part = strchr(part, '/')) {
        part += *part == '/';
        if (strncmp(part, "..", 2) == 0 && (part[2] == '/' || part[2] == '\0')) {
            return true;
        }
    }
    return false;
}

bool demit_config_maildir_has_domain(const char *maildir)
{
    for (const char *percent = strchr(maildir, '%'); percent != NULL; percent = strchr(percent + 2, '%')) {
        if (percent[1] == 'd') {
            return true;
        }
    }
    return false;
}

static bool to_maildir(const conversion_t *in, const demit_config_value_t *value, demit_config_datum_t *datum)
{
    bool has_user = false;
    if (*value->text != '/') {
        return refuse(in, value, "is not an absolute path; write one like \"/var/mail/%d/%u\"");
    }
    if (goes_up(value->text)) {
        return refuse(in, value, "goes up by \"..\"; write the path that is meant");
    }
    for (const char *percent = strchr(value->text, '%'); percent != NULL; percent = strchr(percent + 2, '%')) {
        if (percent[1] == '\0' || strchr("du%", percent[1]) == NULL) {
            return refuse(in, value, "has a '%' with an unknown meaning; known are %u, %d and %%");
        }
        has_user = has_user || percent[1] == 'u';
    }
    if (!has_user) {
        return refuse(in, value, "gives all recipients one mailbox; write %u where the local part belongs");
    }
    datum->text = apr_pstrdup(in->pool, value->text);
    return true;
}

static bool to_delimiter(const conversion_t *in, const demit_config_value_t *value, demit_config_datum_t *datum)
{
    const char *text = value->text;
    if (*text != '\0' && (text[1] != '\0' || strchr("!#$%&'*+-/=?^_`{|}~", *text) == NULL)) {
        return refuse(in, value, "is not a delimiter; write one character, like \"+\", or \"\" for none");
    }
    datum->text = apr_pstrdup(in->pool, text);
    return true;
}

/* number: the port, or 0; second: whether it is a path. */
static bool to_gateway(const conversion_t *in, const demit_config_value_t *value, demit_config_datum_t *datum)
{
    if (apr_cstr_casecmp(value->text, "none") == 0) {
        return true;
    }
    if (*value->text == '/') {
        datum->text = apr_pstrdup(in->pool, value->text);
        datum->second = true;
        return true;
    }
    demit_config_endpoint_t endpoint;
    const char *wrong = demit_config_parse_endpoint(&endpoint, value->text, in->pool);
    if (wrong == NULL && endpoint.bracketed && !demit_config_is_ipv6(endpoint.host)) {
        wrong = "no IPv6 address stands in the brackets";
    }
    if (wrong == NULL && !endpoint.bracketed && !demit_config_is_ipv4(endpoint.host) &&
        demit_config_parse_domain(&endpoint.host, endpoint.host, in->pool) != NULL) {
        wrong = "it is no host name and no address";
    }
    if (wrong != NULL) {
        demit_config_error(in->findings, &value->source, "%s is not a gateway: %s", shown(in, value), wrong);
        return false;
    }
    datum->text = endpoint.host;
    datum->number = endpoint.port;
    return true;
}

/* ---- items of lists --------------------------------------------------------------------------------------------- */

/*
 * APR takes no prefix of 0 bits: it would be a shift by the whole word. An IPv4 one can be said by its mask; for IPv6
 * the two halves of the world stand in the list instead.
 */
static apr_status_t push_network(apr_array_header_t *networks, const char *address, bool ipv6, const char *bits,
                                 apr_pool_t *pool)
{
    bool all = bits != NULL && strcmp(bits, "0") == 0;
    apr_ipsubnet_t *network;
    apr_status_t status;
    if (all && ipv6) {
        status = apr_ipsubnet_create(&network, "8000::", "1", pool);
        if (status != APR_SUCCESS) {
            return status;
        }
        APR_ARRAY_PUSH(networks, apr_ipsubnet_t *) = network;
        status = apr_ipsubnet_create(&network, "::", "1", pool);
    } else {
        status = apr_ipsubnet_create(&network, address, all ? "0.0.0.0" : bits, pool);
    }
    if (status == APR_SUCCESS) {
        APR_ARRAY_PUSH(networks, apr_ipsubnet_t *) = network;
    }
    return status;
}

static bool to_network(const conversion_t *in, const demit_config_value_t *item, demit_config_datum_t *datum)
{
    const char *slash = strchr(item->text, '/');
    const char *address =
        slash == NULL ? item->text : apr_pstrmemdup(in->pool, item->text, (apr_size_t)(slash - item->text));
    bool ipv6 = demit_config_is_ipv6(address) && strchr(address, '%') == NULL;
    if (!ipv6 && !demit_config_is_ipv4(address)) {
        return refuse(in, item, "is neither an address nor a network; write one like 10.0.0.0/8 or \"2001:db8::/32\"");
    }
    int64_t bits = 0;
    if (slash != NULL && (!demit_config_parse_number(slash + 1, &bits) || bits > (ipv6 ? 128 : 32))) {
        return refuse(in, item,
                      ipv6 ? "has no valid prefix length; an IPv6 network has 0 to 128 bits"
                           : "has no valid prefix length; an IPv4 network has 0 to 32 bits");
    }
    if (slash != NULL && demit_config_has_host_bits(address, ipv6, (unsigned)bits)) {
        demit_config_warning(in->findings, &item->source, "%s has bits beyond its prefix length, which mean nothing",
                             shown(in, item));
    }
    apr_array_header_t *networks = (apr_array_header_t *)datum->array;
    if (push_network(networks, address, ipv6, slash == NULL ? NULL : slash + 1, in->pool) != APR_SUCCESS) {
        return refuse(in, item, "is not a network that this system knows");
    }
    return true;
}

const char *demit_config_parse_pattern(const char **pattern, const char *text, apr_pool_t *pool)
{
    const char *prefix = *text != '*' ? "" : text[1] == '.' ? "*." : "*";
    const char *domain = text + strlen(prefix), *ascii = "";
    const char *wrong = *prefix != '\0' && *domain == '\0' && prefix[1] == '\0'
                            ? NULL
                            : demit_config_parse_domain(&ascii, domain, pool);
    if (wrong != NULL) {
        return wrong;
    }
    /* What ends in a U-label does not end in its A-label: "xn--" stands in front, and all the rest is another. */
    if (strcmp(prefix, "*") == 0 && strncmp(ascii, "xn--", 4) == 0) {
        return "a part of an internationalized label cannot be compared";
    }
    *pattern = apr_pstrcat(pool, prefix, ascii, NULL);
    return NULL;
}

static bool to_domain(const conversion_t *in, const demit_config_value_t *item, demit_config_datum_t *datum)
{
    const char *pattern;
    const char *wrong = demit_config_parse_pattern(&pattern, item->text, in->pool);
    if (wrong != NULL) {
        demit_config_error(in->findings, &item->source, "%s " DEMIT_CONFIG_NO_DOMAIN, shown(in, item), wrong);
        return false;
    }
    APR_ARRAY_PUSH((apr_array_header_t *)datum->array, const char *) = pattern;
    return true;
}

static bool to_name(const conversion_t *in, const demit_config_value_t *item, demit_config_datum_t *datum)
{
    if (*item->text == '\0') {
        return refuse(in, item, "is empty; remove it");
    }
    APR_ARRAY_PUSH((apr_array_header_t *)datum->array, const char *) = apr_pstrdup(in->pool, item->text);
    return true;
}

static bool to_port(const conversion_t *in, const demit_config_value_t *item, demit_config_datum_t *datum)
{
    int64_t port;
    if (!demit_config_parse_number(item->text, &port) || port < 1 || port > UINT16_MAX) {
        return refuse(in, item, "is not a port; write a number from 1 to 65535");
    }
    APR_ARRAY_PUSH((apr_array_header_t *)datum->array, uint16_t) = (uint16_t)port;
    return true;
}

static bool to_path_item(const conversion_t *in, const demit_config_value_t *item, demit_config_datum_t *datum)
{
    demit_config_datum_t path = {0};
    if (!to_path(in, item, &path)) {
        return false;
    }
    if (goes_up(item->text)) {
        return refuse(in, item, "goes up by \"..\"; write the path that is meant");
    }
    APR_ARRAY_PUSH((apr_array_header_t *)datum->array, const char *) = path.text;
    return true;
}

static bool to_nameserver(const conversion_t *in, const demit_config_value_t *item, demit_config_datum_t *datum)
{
    const char *text = NULL;
    demit_config_endpoint_t endpoint;
    if (demit_config_is_ipv6(item->text)) {
        text = apr_pstrdup(in->pool, item->text);
    } else if (demit_config_parse_endpoint(&endpoint, item->text, in->pool) == NULL) {
        if (endpoint.bracketed ? demit_config_is_ipv6(endpoint.host) : demit_config_is_ipv4(endpoint.host)) {
            text = endpoint.has_port ? apr_pstrdup(in->pool, item->text) : endpoint.host;
        }
    }
    if (text == NULL) {
        return refuse(in, item, "is not the address of a server; write one like 192.0.2.1 or \"[2001:db8::1]:5353\"");
    }
    APR_ARRAY_PUSH((apr_array_header_t *)datum->array, const char *) = text;
    return true;
}

static bool to_alias(const conversion_t *in, const demit_config_value_t *item, demit_config_datum_t *datum)
{
    apr_array_header_t *aliases = (apr_array_header_t *)datum->array;
    const char *local_part = demit_config_lower(item->key, in->pool);
    if (!demit_config_is_local_part(local_part)) {
        demit_config_error(in->findings, &item->key_source,
                           "%s is not the local part of an address; write what stands before the '@'",
                           demit_config_quote(item->key, in->pool));
        return false;
    }
    for (int i = 0; i < aliases->nelts; i++) {
        if (strcmp(APR_ARRAY_IDX(aliases, i, demit_alias_t).local_part, local_part) == 0) {
            demit_config_error(in->findings, &item->key_source, "%s is an alias twice; remove one",
                               demit_config_quote(item->key, in->pool));
            return false;
        }
    }
    const char *at = strrchr(item->text, '@'), *domain;
    const char *target = at == NULL ? "" : apr_pstrmemdup(in->pool, item->text, (apr_size_t)(at - item->text));
    if (!demit_config_is_local_part(target) || demit_config_parse_domain(&domain, at + 1, in->pool) != NULL) {
        return refuse(in, item, "is not an address; write a full one, like \"admin@example.com\"");
    }
    *(demit_alias_t *)apr_array_push(aliases) =
        (demit_alias_t){.local_part = local_part, .address = apr_pstrcat(in->pool, target, "@", domain, NULL)};
    return true;
}

/* ---- the table of types ----------------------------------------------------------------------------------------- */

typedef enum shape { ONE, LIST, DICTIONARY } shape_t;

typedef struct type {
    text_fn *convert;
    shape_t shape;
    int item_size; /* of the array that a list or dictionary becomes */
    const char *text;
} type_t;

static const type_t types[DEMIT_CONFIG_TYPE_COUNT] = {
    [DEMIT_CONFIG_BOOLEAN] = {to_boolean, ONE, 0, "true | false"},
    [DEMIT_CONFIG_NUMBER] = {to_number, ONE, 0, "number"},
    [DEMIT_CONFIG_SIZE] = {to_size, ONE, 0, "bytes"},
    [DEMIT_CONFIG_DURATION] = {to_duration, ONE, 0, "seconds"},
    [DEMIT_CONFIG_MODE] = {to_mode, ONE, 0, "octal mode"},
    [DEMIT_CONFIG_CHOICE] = {to_choice, ONE, 0, "word"},
    [DEMIT_CONFIG_TEXT] = {to_text, ONE, 0, "text"},
    [DEMIT_CONFIG_HOST_NAME] = {to_host_name, ONE, 0, "host name"},
    [DEMIT_CONFIG_PATH] = {to_path, ONE, 0, "path"},
    [DEMIT_CONFIG_LOG] = {to_log, ONE, 0, "stderr | syslog | path"},
    [DEMIT_CONFIG_NAMES] = {to_name, LIST, sizeof(const char *), "( name … )"},
    [DEMIT_CONFIG_PORTS] = {to_port, LIST, sizeof(uint16_t), "( port … )"},
    [DEMIT_CONFIG_PATHS] = {to_path_item, LIST, sizeof(const char *), "( path … )"},
    [DEMIT_CONFIG_NETWORKS] = {to_network, LIST, sizeof(apr_ipsubnet_t *), "( network … )"},
    [DEMIT_CONFIG_DOMAINS] = {to_domain, LIST, sizeof(const char *), "( domain … )"},
    [DEMIT_CONFIG_NAMESERVERS] = {to_nameserver, LIST, sizeof(const char *), "( address … )"},
    [DEMIT_CONFIG_ALIASES] = {to_alias, DICTIONARY, sizeof(demit_alias_t), "[ name = address … ]"},
    [DEMIT_CONFIG_MAILDIR] = {to_maildir, ONE, 0, "path"},
    [DEMIT_CONFIG_DELIMITER] = {to_delimiter, ONE, 0, "character"},
    [DEMIT_CONFIG_GATEWAY] = {to_gateway, ONE, 0, "host | path | none"},
    [DEMIT_CONFIG_THROTTLE] = {to_throttle, ONE, 0, "messages/seconds | none"},
    [DEMIT_CONFIG_RETRIES] = {to_retries, ONE, 0, "auto | none | number"},
};

const char *demit_config_type_text(demit_config_type_t type)
{
    return types[type].text;
}

static bool convert_items(const conversion_t *in, const type_t *type, demit_config_datum_t *datum)
{
    const apr_array_header_t *items = in->value->items;
    bool fits = true;
    datum->array = apr_array_make(in->pool, items == NULL ? 1 : items->nelts, type->item_size);
    if (items == NULL) { /* one value stands for a list of one */
        return type->convert(in, in->value, datum);
    }
    for (int i = 0; i < items->nelts; i++) {
        fits = type->convert(in, APR_ARRAY_IDX(items, i, const demit_config_value_t *), datum) && fits;
    }
    return fits;
}

static bool refuse_shape(const conversion_t *in, const char *wanted)
{
    demit_config_error(in->findings, &in->value->source, "%s takes %s", in->option->name, wanted);
    return false;
}

/* Of an option that is not built, only the value that says so is accepted. */
static bool not_yet(const conversion_t *in)
{
    const demit_config_option_t *option = in->option;
    const demit_config_value_t *value = in->value;
    if (option->accepted != NULL && value->text != NULL && apr_cstr_casecmp(value->text, option->accepted) == 0) {
        return true;
    }
    if (option->accepted != NULL) {
        demit_config_error(in->findings, &value->source, "%s is not supported yet, except as %s = %s; remove it",
                           option->name, option->name, option->accepted);
    } else {
        demit_config_error(in->findings, &value->source, "%s is not supported yet; remove it", option->name);
    }
    return false;
}

bool demit_config_convert(demit_config_datum_t *datum, const demit_config_option_t *option,
                          const demit_config_value_t *value, demit_config_findings_t *findings, apr_pool_t *pool)
{
    const conversion_t in = {.option = option, .value = value, .findings = findings, .pool = pool};
    const type_t *type = &types[option->type];
    *datum = (demit_config_datum_t){0};
    if (option->home == DEMIT_CONFIG_NOWHERE) {
        return not_yet(&in);
    }
    switch (type->shape) {
    case ONE:
        return value->text != NULL ? type->convert(&in, value, datum)
                                   : refuse_shape(&in, "one value, not a list or dictionary");
    case LIST:
        return value->kind != DEMIT_CONFIG_VALUE_DICTIONARY ? convert_items(&in, type, datum)
                                                            : refuse_shape(&in, "a list: ( a b c )");
    case DICTIONARY:
        return value->kind == DEMIT_CONFIG_VALUE_DICTIONARY ? convert_items(&in, type, datum)
                                                            : refuse_shape(&in, "a dictionary: [ name = value … ]");
    }
    return false;
}
