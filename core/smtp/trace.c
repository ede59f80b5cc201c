#include "core/smtp/trace.h"

#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>

#include "core/smtp/clients.h"

const char *demit_client_format(const apr_sockaddr_t *peer, char text[DEMIT_CLIENT_TEXT_SIZE])
{
    char address[DEMIT_CLIENT_TEXT_SIZE - sizeof "[IPv6:]"];

    if (peer == NULL || (peer->ipaddr_len != 4 && peer->ipaddr_len != 16)) {
        apr_cpystrn(text, "[local]", DEMIT_CLIENT_TEXT_SIZE);
        return text;
    }
    /* apr_sockaddr_ip_getbuf() writes an IPv4 address mapped into IPv6 as plain IPv4, which is what we want. */
    if (apr_sockaddr_ip_getbuf(address, sizeof address, (apr_sockaddr_t *)peer) != APR_SUCCESS) {
        address[0] = '\0';
    }
    bool ipv6 = strchr(address, ':') != NULL;
    /* The zone of a link-local address means nothing to others, and the grammar has no place for it. */
    char *zone = strchr(address, '%');
    if (zone != NULL) {
        *zone = '\0';
    }
    apr_snprintf(text, DEMIT_CLIENT_TEXT_SIZE, ipv6 ? "[IPv6:%s]" : "[%s]", address);
    return text;
}

/* HELO as it may stand in a Received field: what is not a domain loses whatever could end or begin something there. */
static const char *defuse(const char *helo, apr_pool_t *pool)
{
    if (demit_domain_is_valid(helo, strlen(helo), false)) {
        return helo;
    }
    char *copy = apr_pstrdup(pool, helo);
    for (char *c = copy; *c != '\0'; c++) {
        bool harmless = (*c >= '0' && *c <= '9') || (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
                        strchr("-._", *c) != NULL;
        if (!harmless) {
            *c = '?';
        }
    }
    return copy;
}

/* RFC 5322 section 3.3. apr_rfc822_date() knows only GMT, and operators read these in local time. */
static const char *format_date(apr_time_t time, apr_pool_t *pool)
{
    apr_time_exp_t local;

    if (apr_time_exp_lt(&local, time) != APR_SUCCESS) {
        memset(&local, 0, sizeof local);
    }
    int minutes = local.tm_gmtoff / 60;
    return apr_psprintf(pool, "%s, %d %s %d %02d:%02d:%02d %c%02d%02d", apr_day_snames[local.tm_wday], local.tm_mday,
                        apr_month_snames[local.tm_mon], local.tm_year + 1900, local.tm_hour, local.tm_min, local.tm_sec,
                        minutes < 0 ? '-' : '+', abs(minutes) / 60, abs(minutes) % 60);
}

demit_slice_t demit_trace_format(const demit_trace_t *trace, apr_pool_t *pool)
{
    const char *recipient = trace->recipient;
    const char *text = apr_psprintf(
        pool, "Received: from %s (%s)\r\n\tby %s with %s id %s%s%s%s;\r\n\t%s\r\n", defuse(trace->helo, pool),
        trace->client, trace->hostname, trace->protocol, trace->id, recipient != NULL ? "\r\n\tfor <" : "",
        recipient != NULL ? recipient : "", recipient != NULL ? ">" : "", format_date(trace->arrived, pool));
    return (demit_slice_t){text, strlen(text)};
}
