/*
 * The shapes that values have: numbers with units, host names, domains, addresses with ports. Pure functions.
 */
#ifndef DEMIT_CORE_CONFIG_SYNTAX_H
#define DEMIT_CORE_CONFIG_SYNTAX_H

#include <stdbool.h>
#include <stdint.h>

#include <apr_pools.h>

/*
 * Reads TEXT, a decimal number without sign and without leading zeros, and nothing else. Here and below, a number that
 * is too large becomes INT64_MAX.
 */
bool demit_config_parse_number(const char *text, int64_t *number);

typedef struct demit_config_unit {
    const char *suffix; /* compared without case; the table ends in NULL */
    int64_t factor;
} demit_config_unit_t;

/* s, m, h, d, w: seconds. */
extern const demit_config_unit_t demit_config_time_units[];
/* K, M, G, T with or without B or iB: bytes, by powers of 1024. */
extern const demit_config_unit_t demit_config_size_units[];

/* Reads TEXT, a number with at most one of UNITS behind it. */
bool demit_config_parse_units(const char *text, const demit_config_unit_t *units, int64_t *number);

/* Whether TEXT is a host name: letters, digits and hyphens in labels (RFC 1123 2.1). */
bool demit_config_is_host_name(const char *text);

/*
 * Makes *DOMAIN of TEXT, the domain of an address, underscores and UTF-8 allowed (RFC 5321 4.1.2, RFC 6531 3.3), no
 * literal: A-labels in lower case, as demit_domain_to_ascii() has them, in POOL. NULL, or what is wrong.
 */
const char *demit_config_parse_domain(const char **domain, const char *text, apr_pool_t *pool);

/* Whether TEXT is the local part of an address, not quoted: a dot-string (RFC 5321 4.1.2, RFC 6531 3.3). */
bool demit_config_is_local_part(const char *text);

bool demit_config_is_ipv4(const char *text);
/* A zone (fe80::1%eth0) is allowed. */
bool demit_config_is_ipv6(const char *text);

/* Whether ADDRESS has bits set beyond the first BITS: 10.1.1.5/24, where 10.1.1.0/24 is meant. */
bool demit_config_has_host_bits(const char *address, bool ipv6, unsigned bits);

typedef struct demit_config_endpoint {
    const char *host; /* without brackets; may be empty */
    bool bracketed;
    bool has_port;
    uint16_t port;
} demit_config_endpoint_t;

/* Splits "host", "host:port", "[v6]", "[v6]:port". Returns NULL or what is wrong. The host is not looked at. */
const char *demit_config_parse_endpoint(demit_config_endpoint_t *endpoint, const char *text, apr_pool_t *pool);

/* TEXT with its ASCII letters in lower case. */
char *demit_config_lower(const char *text, apr_pool_t *pool);

#endif
