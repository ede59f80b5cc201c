/* What settings say about a domain. Looked at for every recipient, from many threads. */
#include "demit/settings.h"

#include <string.h>

bool demit_domain_matches(const char *pattern, const char *domain)
{
    if (*pattern != '*') {
        return strcmp(pattern, domain) == 0;
    }
    const char *ending = pattern + 1;
    size_t ending_size = strlen(ending), size = strlen(domain);
    /* "*.example.com" wants something before the dot; "*example.com" does not. */
    size_t least = *ending == '.' ? ending_size + 1 : ending_size;
    return size >= least && strcmp(domain + size - ending_size, ending) == 0;
}

static const demit_domain_settings_t *search(const demit_settings_t *settings, const char *domain, bool patterns)
{
    for (int i = 0; i < settings->domains->nelts; i++) {
        const demit_domain_settings_t *candidate = &APR_ARRAY_IDX(settings->domains, i, demit_domain_settings_t);
        if ((*candidate->name == '*') == patterns && demit_domain_matches(candidate->name, domain)) {
            return candidate;
        }
    }
    return NULL;
}

static const demit_domain_settings_t *look_up(const demit_settings_t *settings, const char *domain)
{
    /* apr_hash_get() changes nothing; only its signature forgot the const. */
    const demit_domain_settings_t *exact =
        apr_hash_get((apr_hash_t *)settings->exact_domains, domain, APR_HASH_KEY_STRING);
    if (exact != NULL) {
        return exact;
    }
    for (int i = 0; i < settings->pattern_domains->nelts; i++) {
        const demit_domain_settings_t *candidate =
            APR_ARRAY_IDX(settings->pattern_domains, i, const demit_domain_settings_t *);
        if (demit_domain_matches(candidate->name, domain)) {
            return candidate;
        }
    }
    return NULL;
}

const demit_domain_settings_t *demit_settings_domain(const demit_settings_t *settings, const char *domain)
{
    const demit_domain_settings_t *found;
    if (settings->exact_domains != NULL) {
        found = look_up(settings, domain);
    } else {
        found = search(settings, domain, false);
        if (found == NULL) {
            found = search(settings, domain, true);
        }
    }
    return found != NULL ? found : settings->any_domain;
}

const demit_domain_settings_t *demit_settings_scope(const demit_settings_t *settings, const char *name)
{
    if (*name == '\0') {
        return settings->any_domain;
    }
    if (*name != '*' && settings->exact_domains != NULL) {
        return apr_hash_get((apr_hash_t *)settings->exact_domains, name, APR_HASH_KEY_STRING);
    }
    for (int i = 0; i < settings->domains->nelts; i++) {
        const demit_domain_settings_t *candidate = &APR_ARRAY_IDX(settings->domains, i, demit_domain_settings_t);
        if (strcmp(candidate->name, name) == 0) {
            return candidate;
        }
    }
    return NULL;
}

bool demit_settings_is_local(const demit_settings_t *settings, const char *domain)
{
    const demit_domain_settings_t *found = demit_settings_domain(settings, domain);
    return found != settings->any_domain &&
           (found->delivery_method == DEMIT_DELIVER_MAILDIR || found->delivery_method == DEMIT_DELIVER_LMTP);
}
