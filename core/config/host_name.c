#include "core/config/build.h"

#include <netdb.h>
#include <string.h>

#include <apr_network_io.h>
#include <apr_strings.h>

#include "core/config/syntax.h"

/* The name with a dot that stands beside NAME in the hosts file, or NULL. */
static const char *qualified_in(const struct hostent *host, const char *name)
{
    bool is_this = strcmp(host->h_name, name) == 0;
    const char *qualified = strchr(host->h_name, '.') != NULL ? host->h_name : NULL;
    for (char *const *alias = host->h_aliases; *alias != NULL; alias++) {
        is_this = is_this || strcmp(*alias, name) == 0;
        if (qualified == NULL && strchr(*alias, '.') != NULL) {
            qualified = *alias;
        }
    }
    size_t size = strlen(name);
    return is_this && qualified != NULL && strncmp(qualified, name, size) == 0 && qualified[size] == '.' ? qualified
                                                                                                         : NULL;
}

/*
 * gethostbyname() or getaddrinfo() would know more, and would ask DNS: a start, or a reload, would then wait for a
 * network that may not be there. gethostent(3) walks through the hosts file only.
 */
static const char *qualify(const char *name, apr_pool_t *pool)
{
    enum { LINES_MAX = 1000 }; /* some people block advertisements with hosts files of 100,000 lines */
    const char *found = NULL;
    sethostent(1);
    for (int i = 0; i < LINES_MAX && found == NULL; i++) {
        const struct hostent *host = gethostent();
        if (host == NULL) {
            break;
        }
        found = qualified_in(host, name);
        if (found != NULL) {
            found = demit_config_is_host_name(found) ? apr_pstrdup(pool, found) : NULL;
        }
    }
    endhostent();
    return found;
}

static const char *find_host_name(apr_pool_t *pool)
{
    char name[APRMAXHOSTLEN + 1];
    if (apr_gethostname(name, sizeof(name), pool) != APR_SUCCESS || !demit_config_is_host_name(name)) {
        return "localhost";
    }
    if (strchr(name, '.') != NULL) {
        return apr_pstrdup(pool, name);
    }
    const char *qualified = qualify(name, pool);
    return qualified != NULL ? qualified : apr_pstrdup(pool, name);
}

/* A reload keeps the name that the start found: inside a jail there may be no hosts file to find it in again. */
const char *demit_config_host_name(apr_pool_t *pool)
{
    static char found[APRMAXHOSTLEN + 1];
    if (*found == '\0') {
        apr_cpystrn(found, find_host_name(pool), sizeof(found));
    }
    return apr_pstrdup(pool, found);
}
