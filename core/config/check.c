#include "core/config/check.h"

#include <string.h>

#include <apr_hash.h>
#include <apr_strings.h>

#include "core/config/convert.h"
#include "core/config/syntax.h"

typedef struct check {
    demit_config_findings_t *findings;
    apr_pool_t *result_pool, *pool;
} check_t;

static const char *quoted(const check_t *check, const char *text)
{
    return demit_config_quote(text, check->pool);
}

/* ---- names that do not belong ----------------------------------------------------------------------------------- */

/* "A, B or C", of the scopes whose bits are set; the supported ones, if any is. */
static const char *scopes_text(const check_t *check, unsigned scopes)
{
    unsigned supported = 0;
    for (unsigned id = 0; id < DEMIT_CONFIG_SCOPE_COUNT; id++) {
        supported |= demit_config_scopes[id].supported ? 1u << id : 0;
    }
    if ((scopes & supported) != 0) {
        scopes &= supported;
    }
    const char *text = "";
    for (unsigned id = 0; id < DEMIT_CONFIG_SCOPE_COUNT; id++) {
        if ((scopes & (1u << id)) == 0) {
            continue;
        }
        scopes &= ~(1u << id);
        const char *separator = *text == '\0' ? "" : scopes != 0 ? ", " : " or ";
        text = apr_pstrcat(check->pool, text, separator,
                           demit_config_scope_text((demit_config_scope_id_t)id, check->pool), NULL);
    }
    return text;
}

/* After a missing '}' everything seems to stand in the wrong scope; that was said once already. */
static bool may_be_misplaced(const demit_config_node_t *node)
{
    for (const demit_config_node_t *scope = node->parent; scope != NULL; scope = scope->parent) {
        if (scope->unclosed) {
            return true;
        }
    }
    return false;
}

static void misplaced(const check_t *check, const demit_config_node_t *node, unsigned scopes)
{
    if (may_be_misplaced(node)) {
        return;
    }
    demit_config_error(check->findings, &node->source, "%s does not belong in %s; it belongs in %s",
                       quoted(check, node->name), demit_config_scope_text(node->parent->scope->id, check->pool),
                       scopes_text(check, scopes));
}

static void unknown(const check_t *check, const demit_config_node_t *node)
{
    demit_config_scope_id_t scope = node->parent->scope->id;
    const char *what = node->is_scope ? "scope" : "option";
    bool same_scope = false;
    const char *nearest =
        demit_config_errors_full(check->findings) ? NULL : demit_config_nearest(node->name, scope, &same_scope);
    if (nearest == NULL) {
        demit_config_error(check->findings, &node->source, "unknown %s %s in %s; demitd --help-config lists all", what,
                           quoted(check, node->name), demit_config_scope_text(scope, check->pool));
        return;
    }
    const char *where = "";
    if (!same_scope) {
        const demit_config_option_t *option = demit_config_option_find(nearest);
        const demit_config_scope_t *other = demit_config_scope_anywhere(nearest);
        unsigned scopes = option != NULL ? option->scopes : 1u << other->parent;
        where = apr_pstrcat(check->pool, ", which belongs in ", scopes_text(check, scopes), NULL);
    }
    demit_config_error(check->findings, &node->source, "unknown %s %s in %s; did you mean %s%s?", what,
                       quoted(check, node->name), demit_config_scope_text(scope, check->pool), nearest, where);
}

/* ---- options ---------------------------------------------------------------------------------------------------- */

/* The bits of the parents of all scopes NAME. */
static unsigned parents_of(const char *name)
{
    unsigned parents = 0;
    for (unsigned id = 0; id < DEMIT_CONFIG_SCOPE_COUNT; id++) {
        parents |= demit_config_scope_find((demit_config_scope_id_t)id, name) != NULL ? 1u << id : 0;
    }
    return parents;
}

/*
 * What the type alone cannot know: mail for all the world must not fall into Maildirs, and a Maildir that several
 * domains share must keep them apart.
 */
static bool fits_scope(const check_t *check, const demit_config_node_t *node)
{
    const demit_config_node_t *scope = node->parent;
    bool many_domains = scope->scope->id == DEMIT_CONFIG_GLOBAL || (scope->title != NULL && *scope->title == '*');
    if (node->option->type == DEMIT_CONFIG_MAILDIR && many_domains &&
        !demit_config_maildir_has_domain(node->datum.text)) {
        demit_config_error(check->findings, &node->value->source,
                           "%s mixes the mailboxes of several domains; write %%d where the domain belongs",
                           quoted(check, node->value->text));
        return false;
    }
    bool is_method = node->option->choices != NULL && node->option->home == DEMIT_CONFIG_IN_DOMAIN;
    if (is_method && scope->scope->id == DEMIT_CONFIG_GLOBAL && node->datum.number == DEMIT_DELIVER_MAILDIR) {
        demit_config_error(check->findings, &node->value->source,
                           "Maildir for every domain of the world; write it into the Domain scopes of local domains");
        return false;
    }
    return true;
}

static void check_option(const check_t *check, demit_config_node_t *node)
{
    const demit_config_option_t *option = demit_config_option_find(node->name);
    if (option == NULL) {
        const demit_config_scope_t *scope = demit_config_scope_anywhere(node->name);
        if (scope != NULL) {
            demit_config_error(check->findings, &node->source, "%s is a scope, not an option; write %s%s { … }",
                               quoted(check, node->name), scope->name, scope->title != NULL ? " \"title\"" : "");
        } else {
            unknown(check, node);
        }
    } else if (!demit_config_option_in(option, node->parent->scope->id)) {
        misplaced(check, node, option->scopes);
    } else if (demit_config_convert(&node->datum, option, node->value, check->findings, check->result_pool)) {
        node->option = option;
        if (!fits_scope(check, node)) {
            node->option = NULL;
        }
    }
}

/* ---- scopes ----------------------------------------------------------------------------------------------------- */

/* The title of a Domain: a name or a pattern, or an address literal. */
static bool check_domain_title(const check_t *check, demit_config_node_t *node)
{
    const char *title;
    const char *wrong = demit_config_parse_pattern(&title, node->title, check->result_pool);
    if (wrong != NULL && *node->title == '[' && node->title[strlen(node->title) - 1] == ']') {
        title = demit_config_lower(node->title, check->result_pool);
        wrong = NULL;
    }
    if (wrong != NULL) {
        demit_config_error(check->findings, &node->title_source, "%s " DEMIT_CONFIG_NO_DOMAIN,
                           quoted(check, node->title), wrong);
        return false;
    }
    node->title = title;
    return true;
}

static bool check_title(const check_t *check, demit_config_node_t *node, const demit_config_scope_t *scope)
{
    if (node->title == NULL && scope->title == NULL) {
        return true;
    }
    if (scope->title == NULL) {
        demit_config_error(check->findings, &node->title_source, "%s takes no title; write %s { … }", scope->name,
                           scope->name);
        return false;
    }
    if (node->title == NULL || *node->title == '\0') {
        demit_config_error(check->findings, node->title == NULL ? &node->source : &node->title_source,
                           "%s has no title; write %s behind it", scope->name, scope->title);
        return false;
    }
    return scope->id != DEMIT_CONFIG_DOMAIN || check_domain_title(check, node);
}

static void check_children(const check_t *check, demit_config_node_t *scope);

static void check_scope(const check_t *check, demit_config_node_t *node)
{
    const demit_config_scope_t *scope = demit_config_scope_find(node->parent->scope->id, node->name);
    if (scope == NULL) {
        const demit_config_option_t *option = demit_config_option_find(node->name);
        if (demit_config_scope_anywhere(node->name) != NULL) {
            misplaced(check, node, parents_of(node->name));
        } else if (option != NULL) {
            demit_config_error(check->findings, &node->source, "%s is an option, not a scope; write %s = value",
                               quoted(check, node->name), option->name);
        } else {
            unknown(check, node);
        }
    } else if (!scope->supported) {
        demit_config_error(check->findings, &node->source, "the scope %s is not supported yet; remove it", scope->name);
    } else {
        bool titled = check_title(check, node, scope);
        node->scope = scope;
        check_children(check, node); /* also where the title is wrong: what is within may be wrong, too */
        if (!titled) {
            node->scope = NULL;
        }
    }
}

/* ---- the walk --------------------------------------------------------------------------------------------------- */

/* What may stand only once within its scope, as a key; NULL: NODE may be repeated. */
static const char *unique_key(const check_t *check, const demit_config_node_t *node)
{
    const char *name = demit_config_lower(node->name, check->pool);
    if (!node->is_scope) {
        return name;
    }
    const demit_config_scope_t *scope = demit_config_scope_find(node->parent->scope->id, node->name);
    if (scope == NULL || scope->id == DEMIT_CONFIG_ESMTP_LISTEN || scope->id == DEMIT_CONFIG_CONTROL_LISTEN) {
        return NULL; /* listeners are compared by address, not by what the title looks like */
    }
    if (scope->once) {
        return name;
    }
    if (node->title == NULL) {
        return NULL;
    }
    const char *title;
    if (scope->id != DEMIT_CONFIG_DOMAIN || demit_config_parse_pattern(&title, node->title, check->pool) != NULL) {
        title = demit_config_lower(node->title, check->pool);
    }
    return apr_pstrcat(check->pool, name, " ", title, NULL);
}

static bool is_repeated(const check_t *check, apr_hash_t *seen, const demit_config_node_t *node)
{
    const char *key = unique_key(check, node);
    if (key == NULL) {
        return false;
    }
    const demit_config_node_t *first = apr_hash_get(seen, key, APR_HASH_KEY_STRING);
    if (first == NULL) {
        apr_hash_set(seen, key, APR_HASH_KEY_STRING, node);
        return false;
    }
    if (may_be_misplaced(node)) {
        return true;
    }
    const char *title =
        node->is_scope && node->title != NULL ? apr_pstrcat(check->pool, " ", quoted(check, node->title), NULL) : "";
    demit_config_error(check->findings, &node->source, "%s%s is set twice; the first is on %s, remove one",
                       quoted(check, node->name), title,
                       demit_config_place(&first->source, &node->source, check->pool));
    return true;
}

static void check_children(const check_t *check, demit_config_node_t *scope)
{
    apr_hash_t *seen = apr_hash_make(check->pool);
    for (int i = 0; i < scope->children->nelts; i++) {
        demit_config_node_t *node = APR_ARRAY_IDX(scope->children, i, demit_config_node_t *);
        bool repeated = is_repeated(check, seen, node);
        if (node->is_scope) {
            check_scope(check, node);
        } else {
            check_option(check, node);
        }
        if (repeated) { /* looked at, so that all errors are told, and of no effect */
            node->scope = NULL;
            node->option = NULL;
        }
    }
}

void demit_config_check(demit_config_node_t *root, demit_config_findings_t *findings, apr_pool_t *result_pool,
                        apr_pool_t *scratch_pool)
{
    const check_t check = {.findings = findings, .result_pool = result_pool, .pool = scratch_pool};
    root->scope = &demit_config_scopes[DEMIT_CONFIG_GLOBAL];
    check_children(&check, root);
}
