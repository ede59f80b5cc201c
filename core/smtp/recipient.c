#include "core/smtp/recipient.h"

#include <string.h>

#include <apr_cstr.h>
#include <apr_strings.h>

#include "demit/domain.h"

/* More aliases in a row than anybody means. */
enum { ALIAS_HOPS_MAX = 10 };

static const char *const relaying_denied = "550 5.7.1 Relaying denied";
static const char *const no_such_mailbox = "550 5.1.1 No such mailbox here";
static const char *const no_postmaster = "550 5.1.1 No mailbox or alias for postmaster is configured here";
static const char *const alias_loop = "451 4.3.5 The aliases for this address lead in a circle";
static const char *const bad_alias = "451 4.3.5 The alias for this address leads nowhere";

/* An address taken apart: what the rest works with. */
typedef struct target {
    const char *address; /* as the envelope will say it */
    const char *local;   /* without quotes */
    const char *domain;  /* the one form of it, demit_domain_to_ascii() */
} target_t;

static const char *lower(const char *text, apr_pool_t *pool)
{
    char *copy = apr_pstrdup(pool, text);

    for (char *c = copy; *c != '\0'; c++) {
        *c = (char)(*c >= 'A' && *c <= 'Z' ? *c - 'A' + 'a' : *c);
    }
    return copy;
}

/* "john q"@… and john@… : what stands between the quotes, quoted pairs resolved (RFC 5321 section 4.1.2). */
static const char *unquote(const char *local, size_t size, apr_pool_t *pool)
{
    char *copy = apr_pstrmemdup(pool, local, size), *out = copy;

    if (size < 2 || local[0] != '"') {
        return copy;
    }
    for (size_t i = 1; i + 1 < size; i++) {
        i += local[i] == '\\' ? 1 : 0;
        *out++ = local[i];
    }
    *out = '\0';
    return copy;
}

/* The grammar or the configuration has passed DOMAIN; if it is none all the same, nothing else is called so. */
static const char *domain_name(const char *domain, size_t size, apr_pool_t *pool)
{
    char ascii[DEMIT_DOMAIN_SIZE];

    if (demit_domain_to_ascii(ascii, domain, size) != NULL) {
        return lower(apr_pstrmemdup(pool, domain, size), pool);
    }
    return apr_pstrdup(pool, ascii);
}

const char *demit_address_key(const char *address, apr_pool_t *pool)
{
    const char *at = strrchr(address, '@');

    if (at == NULL) {
        return address;
    }
    return apr_pstrcat(pool, apr_pstrmemdup(pool, address, (size_t)(at + 1 - address)),
                       domain_name(at + 1, strlen(at + 1), pool), NULL);
}

static void take_apart(target_t *target, const demit_address_t *address, apr_pool_t *pool)
{
    size_t size = (size_t)(address->domain + address->domain_size - address->local_part);

    target->address = apr_pstrmemdup(pool, address->local_part, size);
    target->local = unquote(address->local_part, address->local_part_size, pool);
    target->domain = domain_name(address->domain, address->domain_size, pool);
}

static const char *find_alias(const demit_domain_settings_t *domain, const char *local)
{
    for (int i = 0; i < domain->aliases->nelts; i++) {
        const demit_alias_t *alias = &APR_ARRAY_IDX(domain->aliases, i, demit_alias_t);
        if (strcmp(alias->local_part, local) == 0) {
            return alias->address;
        }
    }
    return NULL;
}

/* LOCAL without its "+detail"; NULL when it has none. */
static const char *without_detail(const demit_domain_settings_t *domain, const char *local, apr_pool_t *pool)
{
    const char *delimiter = domain->recipient_delimiter;

    if (delimiter == NULL || delimiter[0] == '\0') {
        return NULL;
    }
    const char *at = strchr(local, delimiter[0]);
    return at != NULL && at > local ? apr_pstrmemdup(pool, local, (size_t)(at - local)) : NULL;
}

/* The alias for LOCAL in DOMAIN, the whole local part first, then what stands before the delimiter. */
static const char *alias_of(const demit_domain_settings_t *domain, const char *local, apr_pool_t *pool)
{
    const char *folded = lower(local, pool);
    const char *address = find_alias(domain, folded);
    const char *base = address == NULL ? without_detail(domain, folded, pool) : NULL;

    return base != NULL ? find_alias(domain, base) : address;
}

/* Follows aliases from TARGET as far as they lead. NULL, or the reply that refuses. */
static const char *follow_aliases(target_t *target, const demit_settings_t *settings, apr_pool_t *pool)
{
    for (int hops = 0; demit_settings_is_local(settings, target->domain); hops++) {
        const char *alias = alias_of(demit_settings_domain(settings, target->domain), target->local, pool);
        demit_address_t next;
        /* An alias that names itself is how one says "and the mailbox, too" elsewhere; here it ends the chain. */
        if (alias == NULL ||
            apr_cstr_casecmp(demit_address_key(alias, pool), demit_address_key(target->address, pool)) == 0) {
            return NULL;
        }
        if (hops == ALIAS_HOPS_MAX) {
            return alias_loop;
        }
        if (demit_address_parse(&next, alias, strlen(alias), true) != NULL || next.domain == NULL) {
            return bad_alias;
        }
        take_apart(target, &next, pool);
    }
    return NULL;
}

static void add_mailbox(demit_resolution_t *resolution, const demit_domain_settings_t *domain, const target_t *target,
                        const char *local)
{
    demit_mailbox_t *mailbox = apr_array_push(resolution->mailboxes);
    *mailbox = (demit_mailbox_t){domain, target->domain, local, target->address};
}

/* A local part that can be no directory's name below the domain's: DESIGN refuses what would leave it. */
static bool leaves_directory(const char *local)
{
    return local[0] == '\0' || local[0] == '.' || strchr(local, '/') != NULL;
}

/* Where TARGET, of a local domain and through with aliases, goes. */
static void place(demit_resolution_t *resolution, const demit_settings_t *settings, const target_t *target,
                  apr_pool_t *pool)
{
    const demit_domain_settings_t *domain = demit_settings_domain(settings, target->domain);

    if (domain->delivery_method != DEMIT_DELIVER_MAILDIR) {
        resolution->address = target->address; /* LMTP: the server behind it knows */
        return;
    }
    if (leaves_directory(target->local)) {
        resolution->refusal = no_such_mailbox;
        return;
    }
    if (domain->maildir_create) {
        resolution->address = target->address;
        return;
    }
    add_mailbox(resolution, domain, target, target->local);
    const char *base = without_detail(domain, target->local, pool);
    if (base != NULL) {
        add_mailbox(resolution, domain, target, base);
    }
}

/* The postmaster of the whole server, when a domain has none of its own. */
static const char *global_postmaster(const demit_settings_t *settings, apr_pool_t *pool)
{
    const char *alias = find_alias(settings->any_domain, "postmaster");
    demit_address_t address;
    target_t target;

    if (alias == NULL || demit_address_parse(&address, alias, strlen(alias), true) != NULL || address.domain == NULL) {
        return NULL;
    }
    take_apart(&target, &address, pool);
    return follow_aliases(&target, settings, pool) == NULL ? target.address : NULL;
}

/* One local domain that may have a postmaster. True: the search is over. */
static bool try_postmaster(demit_resolution_t *resolution, const demit_settings_t *settings, const char *domain,
                           apr_pool_t *pool)
{
    if (strchr(domain, '*') != NULL || !demit_settings_is_local(settings, domain)) {
        return false;
    }
    target_t target = {apr_pstrcat(pool, "postmaster@", domain, NULL), "postmaster", domain};
    const char *before = target.address;
    if (follow_aliases(&target, settings, pool) != NULL) {
        return false;
    }
    int known = resolution->mailboxes->nelts;
    bool local = demit_settings_is_local(settings, target.domain);
    if (local) {
        place(resolution, settings, &target, pool);
        resolution->refusal = NULL;
    } else {
        resolution->address = target.address;
    }
    if (resolution->address != NULL && known > 0) {
        /* Better than nothing, but an existing mailbox that was named before goes first. */
        resolution->fallback = resolution->address;
        resolution->address = NULL;
    }
    return resolution->address != NULL || resolution->fallback != NULL || before != target.address;
}

/* <postmaster> without a domain (RFC 5321 section 4.5.1). */
static void resolve_postmaster(demit_resolution_t *resolution, const demit_settings_t *settings, apr_pool_t *pool)
{
    resolution->address = global_postmaster(settings, pool);
    if (resolution->address != NULL) {
        return;
    }
    if (try_postmaster(resolution, settings, lower(settings->hostname, pool), pool)) {
        return;
    }
    for (int i = 0; i < settings->domains->nelts; i++) {
        const char *name = APR_ARRAY_IDX(settings->domains, i, demit_domain_settings_t).name;
        if (try_postmaster(resolution, settings, name, pool)) {
            return;
        }
    }
    if (resolution->mailboxes->nelts == 0) {
        resolution->refusal = no_postmaster;
    }
}

static bool is_relay_domain(const demit_settings_t *settings, const char *domain)
{
    for (int i = 0; i < settings->relay_domains->nelts; i++) {
        if (demit_domain_matches(APR_ARRAY_IDX(settings->relay_domains, i, const char *), domain)) {
            return true;
        }
    }
    return false;
}

void demit_recipient_resolve(demit_resolution_t *resolution, const demit_settings_t *settings,
                             const demit_address_t *recipient, bool may_relay, apr_pool_t *pool)
{
    target_t target;

    *resolution = (demit_resolution_t){.mailboxes = apr_array_make(pool, 2, sizeof(demit_mailbox_t))};
    if (recipient->domain == NULL) {
        resolve_postmaster(resolution, settings, pool);
        return;
    }
    take_apart(&target, recipient, pool);
    if (!demit_settings_is_local(settings, target.domain)) {
        bool welcome = may_relay || is_relay_domain(settings, target.domain);
        resolution->refusal = welcome ? NULL : relaying_denied;
        resolution->address = welcome ? target.address : NULL;
        return;
    }
    bool postmaster = strcmp(lower(target.local, pool), "postmaster") == 0;
    resolution->refusal = follow_aliases(&target, settings, pool);
    if (resolution->refusal != NULL) {
        return;
    }
    if (!demit_settings_is_local(settings, target.domain)) {
        resolution->address = target.address; /* an alias may lead out: whoever wrote it wants that */
        return;
    }
    place(resolution, settings, &target, pool);
    if (postmaster && resolution->mailboxes->nelts > 0) {
        resolution->fallback = global_postmaster(settings, pool);
    }
}

/* RFC 3461 section 4: xtext; RFC 6533 section 3: \x{HEX} for what is not ASCII, so that it may pass any server. */
const char *demit_orcpt_of(const char *address, apr_pool_t *pool)
{
    bool utf8 = false;

    for (const char *c = address; *c != '\0'; c++) {
        utf8 = utf8 || ((unsigned char)*c & 0x80U) != 0;
    }
    /* The worst byte becomes "\x{5C}". */
    char *text = apr_palloc(pool, sizeof "rfc822;" + 6 * strlen(address)), *out = text;
    out = apr_cpystrn(out, utf8 ? "utf-8;" : "rfc822;", sizeof "rfc822;");
    for (const unsigned char *c = (const unsigned char *)address; *c != '\0'; c++) {
        if (*c >= 0x80) {
            unsigned length = *c < 0xe0 ? 2 : *c < 0xf0 ? 3 : 4;
            unsigned long point = *c & (0xffU >> (length + 1));
            for (unsigned i = 1; i < length; i++) {
                point = (point << 6) | (*++c & 0x3fU);
            }
            out += apr_snprintf(out, sizeof "\\x{10FFFF}", "\\x{%lX}", point);
        } else if (*c <= ' ' || *c == '+' || *c == '=' || *c == 0x7f || (utf8 && *c == '\\')) {
            out += apr_snprintf(out, sizeof "\\x{5C}", utf8 ? "\\x{%X}" : "+%02X", *c);
        } else {
            *out++ = (char)*c;
        }
    }
    *out = '\0';
    return text;
}
