#include "core/config/syntax.h"

#include <string.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <apr_cstr.h>
#include <apr_lib.h>
#include <apr_strings.h>

#include "demit/domain.h"

/* ---- numbers ---------------------------------------------------------------------------------------------------- */

/* Reads digits and gives where they end; NULL when there are none or a zero leads, which means octal to some. What is
 * too large for a number becomes the largest: the bounds will refuse it. */
static const char *parse_digits(const char *text, int64_t *number)
{
    if (!apr_isdigit(*text) || (*text == '0' && apr_isdigit(text[1]))) {
        return NULL;
    }
    int64_t value = 0;
    for (; apr_isdigit(*text); text++) {
        int digit = *text - '0';
        value = value > (INT64_MAX - digit) / 10 ? INT64_MAX : value * 10 + digit;
    }
    *number = value;
    return text;
}

bool demit_config_parse_number(const char *text, int64_t *number)
{
    const char *end = parse_digits(text, number);
    return end != NULL && *end == '\0';
}

const demit_config_unit_t demit_config_time_units[] = {{"s", 1},     {"m", 60},     {"h", 3600},
                                                       {"d", 86400}, {"w", 604800}, {NULL, 0}};

#define POWER(n) ((int64_t)1 << (10 * (n)))
const demit_config_unit_t demit_config_size_units[] = {
    {"K", POWER(1)},   {"KB", POWER(1)},  {"KiB", POWER(1)}, {"M", POWER(2)},   {"MB", POWER(2)},
    {"MiB", POWER(2)}, {"G", POWER(3)},   {"GB", POWER(3)},  {"GiB", POWER(3)}, {"T", POWER(4)},
    {"TB", POWER(4)},  {"TiB", POWER(4)}, {NULL, 0}};

bool demit_config_parse_units(const char *text, const demit_config_unit_t *units, int64_t *number)
{
    const char *end = parse_digits(text, number);
    if (end == NULL) {
        return false;
    }
    if (*end == '\0') {
        return true;
    }
    for (const demit_config_unit_t *unit = units; unit->suffix != NULL; unit++) {
        if (apr_cstr_casecmp(end, unit->suffix) == 0) {
            *number = *number > INT64_MAX / unit->factor ? INT64_MAX : *number * unit->factor;
            return true;
        }
    }
    return false;
}

/* ---- names ------------------------------------------------------------------------------------------------------ */

enum { DOMAIN_MAX = 253, LABEL_MAX = 63, LOCAL_PART_MAX = 64 };

static bool is_host_letter(char c)
{
    return apr_isalnum(c) || c == '-';
}

/* Labels of letters, digits and hyphens, separated by dots; none empty, too long, or with a hyphen at an end. */
bool demit_config_is_host_name(const char *text)
{
    if (strlen(text) > DOMAIN_MAX) {
        return false;
    }
    size_t size = 0;
    for (;; text++) {
        if (is_host_letter(*text)) {
            if (size == 0 && *text == '-') {
                return false;
            }
            size++;
        } else if (*text == '.' || *text == '\0') {
            if (size == 0 || size > LABEL_MAX || text[-1] == '-') {
                return false;
            }
            if (*text == '\0') {
                return true;
            }
            size = 0;
        } else {
            return false;
        }
    }
}

const char *demit_config_parse_domain(const char **domain, const char *text, apr_pool_t *pool)
{
    char ascii[DEMIT_DOMAIN_SIZE];
    const char *wrong = demit_domain_to_ascii(ascii, text, strlen(text));
    if (wrong != NULL) {
        return wrong;
    }
    if (*ascii == '[') {
        return "an address literal is no domain";
    }
    if (strlen(ascii) > DOMAIN_MAX) {
        return "the domain is too long";
    }
    *domain = apr_pstrdup(pool, ascii);
    return NULL;
}

static bool is_atext(char c)
{
    return apr_isalnum(c) || ((unsigned char)c & 0x80) != 0 || (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

bool demit_config_is_local_part(const char *text)
{
    if (strlen(text) > LOCAL_PART_MAX) {
        return false;
    }
    bool in_atom = false;
    for (; *text != '\0'; text++) {
        if (is_atext(*text)) {
            in_atom = true;
        } else if (*text == '.' && in_atom) {
            in_atom = false;
        } else {
            return false;
        }
    }
    return in_atom;
}

/* ---- addresses -------------------------------------------------------------------------------------------------- */

bool demit_config_is_ipv4(const char *text)
{
    struct in_addr address;
    return inet_pton(AF_INET, text, &address) == 1;
}

bool demit_config_has_host_bits(const char *address, bool ipv6, unsigned bits)
{
    unsigned char bytes[sizeof(struct in6_addr)] = {0};
    unsigned size = ipv6 ? sizeof(struct in6_addr) : sizeof(struct in_addr);
    if (inet_pton(ipv6 ? AF_INET6 : AF_INET, address, bytes) != 1) {
        return false;
    }
    for (unsigned i = bits / 8; i < size; i++) {
        unsigned beyond = i == bits / 8 ? 0xffu >> (bits % 8) : 0xffu;
        if ((bytes[i] & beyond) != 0) {
            return true;
        }
    }
    return false;
}

bool demit_config_is_ipv6(const char *text)
{
    enum { ZONE_MAX = 32 }; /* the name of an interface */
    char plain[INET6_ADDRSTRLEN];
    size_t size = strcspn(text, "%");
    size_t zone_size = text[size] == '%' ? strlen(text + size + 1) : 1;
    if (size >= sizeof(plain) || zone_size == 0 || zone_size > ZONE_MAX) {
        return false;
    }
    memcpy(plain, text, size);
    plain[size] = '\0';
    struct in6_addr address;
    return inet_pton(AF_INET6, plain, &address) == 1;
}

const char *demit_config_parse_endpoint(demit_config_endpoint_t *endpoint, const char *text, apr_pool_t *pool)
{
    *endpoint = (demit_config_endpoint_t){.bracketed = *text == '['};
    const char *port;
    if (endpoint->bracketed) {
        const char *end = strchr(text, ']');
        if (end == NULL) {
            return "the closing ']' is missing";
        }
        endpoint->host = apr_pstrmemdup(pool, text + 1, (apr_size_t)(end - text - 1));
        port = end + 1;
        if (*port != '\0' && *port != ':') {
            return "after the ']' comes :port or nothing";
        }
    } else {
        port = strchr(text, ':');
        if (port == NULL) {
            port = text + strlen(text);
        } else if (strchr(port + 1, ':') != NULL) {
            return "an IPv6 address is written in brackets, like [::1]:25";
        }
        endpoint->host = apr_pstrmemdup(pool, text, (apr_size_t)(port - text));
    }
    if (*port == ':') {
        int64_t number;
        if (!demit_config_parse_number(port + 1, &number) || number < 1 || number > UINT16_MAX) {
            return "a port is a number from 1 to 65535";
        }
        endpoint->has_port = true;
        endpoint->port = (uint16_t)number;
    }
    return NULL;
}

char *demit_config_lower(const char *text, apr_pool_t *pool)
{
    char *lower = apr_pstrdup(pool, text);
    for (char *c = lower; *c != '\0'; c++) {
        *c = (char)apr_tolower(*c); /* APR's knows ASCII only where the locale is "C", and demit sets no other */
    }
    return lower;
}
