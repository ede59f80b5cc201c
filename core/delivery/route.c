#include "core/delivery/route.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#include <apr_strings.h>

#include "core/delivery/client_command.h"

static void no_route(demit_route_t *route, demit_result_t result, const char *status, const char *text)
{
    route->hop_count = 0;
    route->result = result;
    route->status = status;
    route->text = text;
}

static uint16_t port_of(const demit_domain_settings_t *settings)
{
    return settings->gateway_host != NULL && settings->gateway_port != 0 ? settings->gateway_port
                                                                         : settings->remote_smtp_port;
}

static bool is_prohibited(const demit_domain_settings_t *settings, apr_sockaddr_t *address)
{
    for (int i = 0; i < settings->prohibited_hosts->nelts; i++) {
        if (apr_ipsubnet_test(APR_ARRAY_IDX(settings->prohibited_hosts, i, apr_ipsubnet_t *), address)) {
            return true;
        }
    }
    return false;
}

/* 0.0.0.0 or ::, however written, and the former within IPv6, would be this very host (connect(2) takes it so). */
static bool is_unspecified(const apr_sockaddr_t *address)
{
    static const unsigned char nothing[16] = {0};
    static const unsigned char mapped[16] = {[10] = 0xff, [11] = 0xff};
    size_t size = (size_t)address->ipaddr_len;
    return memcmp(address->ipaddr_ptr, nothing, size) == 0 ||
           (size == sizeof(mapped) && memcmp(address->ipaddr_ptr, mapped, size) == 0);
}

/* TEXT as an address of FAMILY, or NULL. apr_sockaddr_info_get() would look up whatever is not strictly an address. */
static apr_sockaddr_t *numeric(const char *text, apr_int32_t family, uint16_t port, apr_pool_t *pool)
{
    unsigned char bytes[16];
    apr_sockaddr_t *address = NULL;
    size_t size = strcspn(text, "%"); /* fe80::1%eth0 */
    if (text[size] != '\0' && family != APR_INET6) {
        return NULL;
    }
    if (inet_pton(family, apr_pstrmemdup(pool, text, size), bytes) != 1) {
        return NULL;
    }
    return apr_sockaddr_info_get(&address, text, family, port, 0, pool) == APR_SUCCESS ? address : NULL;
}

static apr_sockaddr_t *any_numeric(const char *text, uint16_t port, apr_pool_t *pool)
{
    return numeric(text, strchr(text, ':') != NULL ? APR_INET6 : APR_INET, port, pool);
}

static void one_hop(demit_route_t *route, const char *host, const char *ip, apr_sockaddr_t *address)
{
    route->hops[0] = (demit_hop_t){.host = host, .ip = ip, .address = address};
    route->hop_count = 1;
}

static void route_path(demit_route_t *route, const char *path, apr_pool_t *pool)
{
    apr_sockaddr_t *address = NULL;
    if (apr_sockaddr_info_get(&address, path, APR_UNIX, 0, 0, pool) == APR_SUCCESS) {
        one_hop(route, apr_pstrdup(pool, path), NULL, address);
    } else {
        no_route(route, DEMIT_RESULT_DEFERRED, "4.3.5", "the Gateway's path is too long for a socket");
    }
}

/* RFC 5321 4.1.3: [192.0.2.1], [IPv6:2001:db8::1]. */
static void route_literal(demit_route_t *route, const demit_route_request_t *request, apr_pool_t *pool)
{
    size_t size = strlen(request->domain);
    const char *text = request->domain + 1;
    apr_sockaddr_t *address = NULL;
    if (size > 2 && request->domain[size - 1] == ']') {
        char *ip = apr_pstrmemdup(pool, text, size - 2);
        uint16_t port = port_of(request->settings);
        if (strncasecmp(ip, "IPv6:", 5) == 0) {
            address = numeric(ip += 5, APR_INET6, port, pool);
        } else {
            address = numeric(ip, APR_INET, port, pool);
        }
        text = ip;
    }
    if (address == NULL) {
        no_route(route, DEMIT_RESULT_FAILED, "5.1.2", "the domain is no address literal that we understand");
    } else if (is_prohibited(request->settings, address) || is_unspecified(address)) {
        no_route(route, DEMIT_RESULT_FAILED, "5.4.4", "delivery to this address is prohibited here");
    } else {
        one_hop(route, apr_pstrdup(pool, request->domain), text, address);
    }
}

bool demit_route_direct(demit_route_t *route, const demit_route_request_t *request, const char **name,
                        apr_pool_t *result_pool)
{
    const demit_domain_settings_t *settings = request->settings;
    memset(route, 0, sizeof(*route));
    if (settings->gateway_host != NULL) {
        if (settings->gateway_is_path) {
            route_path(route, settings->gateway_host, result_pool);
            return true;
        }
        /* Written as an address, the Gateway is the operator's word, not the DNS's: Prohibited_Hosts guards against
           the latter. */
        apr_sockaddr_t *address = any_numeric(settings->gateway_host, port_of(settings), result_pool);
        *name = settings->gateway_host;
        if (address != NULL) {
            one_hop(route, apr_pstrdup(result_pool, *name), apr_pstrdup(result_pool, *name), address);
        }
        return address != NULL;
    }
    *name = request->domain;
    if (request->domain[0] == '[') {
        route_literal(route, request, result_pool);
        return true;
    }
    if (demit_text_is_8bit(request->domain)) { /* it could not be made A-labels of */
        no_route(route, DEMIT_RESULT_FAILED, "5.1.2", "the domain is no internationalized domain name");
        return true;
    }
    return false;
}

/* xorshift64: spreads load, hides nothing. */
static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

void demit_mx_order(demit_mx_t *mx, uint32_t count, uint64_t random)
{
    uint64_t state = random | 1;
    for (uint32_t i = count; i > 1; i--) { /* shuffle, then sort stably: equals stay shuffled */
        uint32_t j = (uint32_t)(next_random(&state) >> 16) % i;
        demit_mx_t swap = mx[i - 1];
        mx[i - 1] = mx[j];
        mx[j] = swap;
    }
    for (uint32_t i = 1; i < count; i++) {
        demit_mx_t moved = mx[i];
        uint32_t j = i;
        for (; j > 0 && mx[j - 1].preference > moved.preference; j--) {
            mx[j] = mx[j - 1];
        }
        mx[j] = moved;
    }
}

static bool is_ourselves(const demit_route_request_t *request, const char *host)
{
    return (request->hostname != NULL && strcasecmp(host, request->hostname) == 0) ||
           (request->ehlo_hostname != NULL && strcasecmp(host, request->ehlo_hostname) == 0);
}

/* RFC 5321 5.1: how many of MX, in order, come before ourselves. */
static uint32_t count_before_us(const demit_route_request_t *request, const demit_mx_t *mx, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (!is_ourselves(request, mx[i].host)) {
            continue;
        }
        while (i > 0 && mx[i - 1].preference == mx[i].preference) {
            i--;
        }
        return i;
    }
    return count;
}

/* Adds one address of MX. True: it is prohibited. */
static bool add_hop(demit_route_t *route, const demit_route_request_t *request, const demit_mx_t *mx, const char *ip,
                    apr_pool_t *pool)
{
    apr_sockaddr_t *address = any_numeric(ip, port_of(request->settings), pool);
    if (address == NULL || route->hop_count == DEMIT_HOPS_MAX) {
        return false;
    }
    if (is_unspecified(address) || is_prohibited(request->settings, address)) {
        return true;
    }
    route->hops[route->hop_count++] = (demit_hop_t){.host = apr_pstrdup(pool, mx->host),
                                                    .ip = apr_pstrdup(pool, ip),
                                                    .address = address,
                                                    .preference = mx->preference};
    return false;
}

/* Adds all addresses of MX. True: one or more are prohibited. */
static bool add_hops(demit_route_t *route, const demit_route_request_t *request, const demit_mx_t *mx, apr_pool_t *pool)
{
    bool prohibited = false;
    for (uint32_t i = 0; i < mx->ipv6_count || i < mx->ipv4_count; i++) {
        if (i < mx->ipv6_count && add_hop(route, request, mx, mx->ipv6[i], pool)) {
            prohibited = true;
        }
        if (i < mx->ipv4_count && add_hop(route, request, mx, mx->ipv4[i], pool)) {
            prohibited = true;
        }
    }
    return prohibited;
}

static void compose_mx(demit_route_t *route, const demit_route_request_t *request, const demit_dns_answer_t *answer,
                       uint64_t random, apr_pool_t *pool)
{
    demit_mx_t *mx = apr_pmemdup(pool, answer->mx, answer->mx_count * sizeof(*mx));
    demit_mx_order(mx, answer->mx_count, random);

    /* A Gateway may well bear our own name on another port: only its address can tell, once we are connected. */
    bool by_domain = request->settings->gateway_host == NULL;
    uint32_t count = by_domain ? count_before_us(request, mx, answer->mx_count) : answer->mx_count;
    bool prohibited = false;
    bool temporary = false;
    for (uint32_t i = 0; i < count; i++) {
        prohibited |= add_hops(route, request, &mx[i], pool);
        temporary |= mx[i].result == DEMIT_DNS_TEMPORARY;
    }
    if (route->hop_count > 0) {
        return;
    }
    if (temporary) {
        no_route(route, DEMIT_RESULT_DEFERRED, "4.4.3", "the addresses of the mail exchangers cannot be looked up now");
    } else if (count < answer->mx_count) {
        no_route(route, DEMIT_RESULT_FAILED, "5.4.6", "mail for this domain loops back to this host");
    } else if (prohibited) {
        no_route(route, DEMIT_RESULT_FAILED, "5.4.4", "delivery to every host of this domain is prohibited here");
    } else if (answer->result == DEMIT_DNS_NO_DATA) {
        no_route(route, DEMIT_RESULT_FAILED, "5.1.2", "the domain has neither a mail exchanger nor an address");
    } else {
        no_route(route, DEMIT_RESULT_FAILED, "5.4.4", "no mail exchanger of the domain has an address");
    }
}

/* RFC 7505: one MX, whose host is the root. */
static bool is_null_mx(const demit_dns_answer_t *answer)
{
    return answer->mx_count == 1 && (answer->mx[0].host[0] == '\0' || strcmp(answer->mx[0].host, ".") == 0);
}

void demit_route_compose(demit_route_t *route, const demit_route_request_t *request, const demit_dns_answer_t *answer,
                         uint64_t random, apr_pool_t *result_pool)
{
    memset(route, 0, sizeof(*route));
    switch (answer->result) {
    case DEMIT_DNS_OK:
    case DEMIT_DNS_NO_DATA:
        if (is_null_mx(answer)) {
            no_route(route, DEMIT_RESULT_FAILED, "5.1.10", "the domain says that it accepts no mail (null MX)");
        } else {
            compose_mx(route, request, answer, random, result_pool);
        }
        break;
    case DEMIT_DNS_NO_DOMAIN:
        no_route(route, DEMIT_RESULT_FAILED, "5.1.2", "the domain does not exist");
        break;
    case DEMIT_DNS_BAD_NAME:
        no_route(route, DEMIT_RESULT_FAILED, "5.1.2", "this is not a domain name");
        break;
    case DEMIT_DNS_TEMPORARY:
        no_route(route, DEMIT_RESULT_DEFERRED, "4.4.3",
                 apr_pstrcat(result_pool, "the domain cannot be looked up now: ",
                             answer->error == NULL ? "no answer" : answer->error, (char *)NULL));
        break;
    }
    if (route->hop_count == 0 && route->result == DEMIT_RESULT_FAILED && request->settings->gateway_host != NULL) {
        no_route(route, DEMIT_RESULT_DEFERRED, "4.3.5",
                 apr_pstrcat(result_pool, "the Gateway ", request->settings->gateway_host,
                             " cannot be used: ", route->text, (char *)NULL));
    }
}

const char *demit_route_key(const char *domain, const demit_domain_settings_t *settings, apr_pool_t *result_pool)
{
    /* The method decides how a session greets. A Gateway takes the mail of all domains that name it. */
    const char *method = settings->delivery_method == DEMIT_DELIVER_LMTP   ? "lmtp"
                         : settings->delivery_method == DEMIT_DELIVER_SMTP ? "smtp"
                                                                           : "esmtp";
    bool gateway = settings->gateway_host != NULL;
    return apr_psprintf(result_pool, "%s %s %s:%u", method, gateway ? "gateway" : "domain",
                        gateway ? settings->gateway_host : domain, (unsigned)port_of(settings));
}
