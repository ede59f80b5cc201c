/*
 * Where mail for a domain goes: from what the DNS says, or the configuration, to an ordered list of addresses (RFC 5321
 * section 5.1). Pure: no I/O, no waiting.
 */
#ifndef DEMIT_ROUTE_H
#define DEMIT_ROUTE_H

#include <stdbool.h>
#include <stdint.h>

#include <apr_network_io.h>
#include <apr_pools.h>

#include "demit/delivery.h"
#include "demit/settings.h"

enum {
    DEMIT_MX_MAX = 16,       /* hosts of a domain that are looked at, the best ones */
    DEMIT_ADDRESSES_MAX = 8, /* addresses of one host and family */
    DEMIT_HOPS_MAX = 12      /* addresses in a route */
};

/* How a question to the DNS ended. */
typedef enum demit_dns_result {
    DEMIT_DNS_OK,
    DEMIT_DNS_NO_DOMAIN, /* NXDOMAIN */
    DEMIT_DNS_NO_DATA,   /* the name exists without such a record */
    DEMIT_DNS_BAD_NAME,  /* this cannot be a domain name */
    DEMIT_DNS_TEMPORARY  /* SERVFAIL, no answer, … */
} demit_dns_result_t;

/* A mail exchanger. */
typedef struct demit_mx {
    const char *host;
    uint16_t preference;
    demit_dns_result_t result; /* of its addresses: the best of both families */
    uint32_t ipv4_count, ipv6_count;
    const char *ipv4[DEMIT_ADDRESSES_MAX]; /* "192.0.2.1" */
    const char *ipv6[DEMIT_ADDRESSES_MAX];
} demit_mx_t;

/* What the DNS says about where the mail of NAME goes. */
typedef struct demit_dns_answer {
    demit_dns_result_t result; /* of the MX question; NO_DATA: MX holds the domain itself (RFC 5321 5.1) */
    const char *error;         /* when TEMPORARY: the resolver's words */
    uint32_t mx_count;
    demit_mx_t *mx;
} demit_dns_answer_t;

/* One address to try. */
typedef struct demit_hop {
    const char *host; /* name for the log and the DSN: the MX, the literal, or the path */
    const char *ip;   /* NULL for a Unix socket */
    apr_sockaddr_t *address;
    uint16_t preference;
} demit_hop_t;

/* Hops in the order in which they are to be tried; or, if there is none, why. */
typedef struct demit_route {
    uint32_t hop_count;
    demit_hop_t hops[DEMIT_HOPS_MAX];
    demit_result_t result; /* DEFERRED or FAILED */
    const char *status, *text;
} demit_route_t;

/* Who is asked about: all that decides a route besides the DNS. */
typedef struct demit_route_request {
    const char *domain; /* of the recipients, as demit_domain_to_ascii() has it */
    const demit_domain_settings_t *settings;
    const char *hostname, *ehlo_hostname; /* names of ourselves */
} demit_route_request_t;

/*
 * Makes ROUTE without the DNS if that can be: Gateway is a path or an address, the domain is an address literal or no
 * domain of the DNS. True: ROUTE is made. False: ask the DNS about *NAME.
 */
bool demit_route_direct(demit_route_t *route, const demit_route_request_t *request, const char **name,
                        apr_pool_t *result_pool);

/*
 * Makes ROUTE from ANSWER, the DNS's about the name that demit_route_direct() gave. Exchangers of equal preference are
 * taken in random order (RANDOM, any bits); the addresses of one alternate between IPv6 and IPv4.
 *
 * Prohibited hosts are left out; so are, when we stand in the list ourselves, our own preference and all that is worse.
 * A configured Gateway that does not resolve defers the mail rather than failing it: that is ours to mend.
 */
void demit_route_compose(demit_route_t *route, const demit_route_request_t *request, const demit_dns_answer_t *answer,
                         uint64_t random, apr_pool_t *result_pool);

/* Puts MX into order of preference, equals in random order. */
void demit_mx_order(demit_mx_t *mx, uint32_t count, uint64_t random);

/* What distinguishes one destination from another: deliveries with equal keys may share a connection. */
const char *demit_route_key(const char *domain, const demit_domain_settings_t *settings, apr_pool_t *result_pool);

#endif
