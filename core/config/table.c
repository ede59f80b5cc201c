#include "core/config/table.h"

#include <string.h>

#include <apr_cstr.h>
#include <apr_lib.h>
#include <apr_strings.h>

const demit_config_scope_t *demit_config_scope_find(demit_config_scope_id_t parent, const char *name)
{
    for (size_t i = DEMIT_CONFIG_GLOBAL + 1; i < DEMIT_CONFIG_SCOPE_COUNT; i++) {
        const demit_config_scope_t *scope = &demit_config_scopes[i];
        if (scope->parent == parent && apr_cstr_casecmp(scope->name, name) == 0) {
            return scope;
        }
    }
    return NULL;
}

const demit_config_scope_t *demit_config_scope_anywhere(const char *name)
{
    for (size_t i = DEMIT_CONFIG_GLOBAL + 1; i < DEMIT_CONFIG_SCOPE_COUNT; i++) {
        if (apr_cstr_casecmp(demit_config_scopes[i].name, name) == 0) {
            return &demit_config_scopes[i];
        }
    }
    return NULL;
}

const char *demit_config_scope_text(demit_config_scope_id_t id, apr_pool_t *pool)
{
    const demit_config_scope_t *scope = &demit_config_scopes[id];
    if (id == DEMIT_CONFIG_GLOBAL) {
        return "the global scope";
    }
    if (scope->parent == DEMIT_CONFIG_GLOBAL) {
        return scope->name;
    }
    return apr_pstrcat(pool, scope->name, " in ", demit_config_scopes[scope->parent].name, NULL);
}

const demit_config_option_t *demit_config_option_find(const char *name)
{
    for (size_t i = 0; i < demit_config_option_count; i++) {
        if (apr_cstr_casecmp(demit_config_options[i].name, name) == 0) {
            return &demit_config_options[i];
        }
    }
    return NULL;
}

bool demit_config_option_in(const demit_config_option_t *option, demit_config_scope_id_t scope)
{
    return (option->scopes & (1u << scope)) != 0;
}

/* ---- misspelt names --------------------------------------------------------------------------------------------- */

enum { NAME_MAX_COMPARED = 40 }; /* no known name is longer */

/* Names are compared without case, and '-' is as good as '_'. */
static char folded(char c)
{
    if (c == '-') {
        return '_';
    }
    return (char)apr_tolower(c);
}

/* Optimal string alignment, in three rows. */
unsigned demit_config_distance(const char *left, const char *right)
{
    size_t rows = strlen(left), columns = strlen(right);
    if (rows > NAME_MAX_COMPARED || columns > NAME_MAX_COMPARED) {
        return (unsigned)(rows > columns ? rows : columns);
    }
    unsigned before[NAME_MAX_COMPARED + 1] = {0}, above[NAME_MAX_COMPARED + 1] = {0}, row[NAME_MAX_COMPARED + 1] = {0};
    for (size_t j = 0; j <= columns; j++) {
        above[j] = (unsigned)j;
    }
    for (size_t i = 1; i <= rows; i++) {
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= columns; j++) {
            char a = folded(left[i - 1]), b = folded(right[j - 1]);
            unsigned best = above[j - 1] + (a == b ? 0 : 1);
            if (above[j] + 1 < best) {
                best = above[j] + 1;
            }
            if (row[j - 1] + 1 < best) {
                best = row[j - 1] + 1;
            }
            if (i > 1 && j > 1 && a == folded(right[j - 2]) && b == folded(left[i - 2]) && before[j - 2] + 1 < best) {
                best = before[j - 2] + 1;
            }
            row[j] = best;
        }
        memcpy(before, above, sizeof(before));
        memcpy(above, row, sizeof(above));
    }
    return above[columns];
}

typedef struct nearest {
    const char *wanted;
    unsigned limit, distance;
    const char *name;
    bool same_scope;
} nearest_t;

static void consider(nearest_t *nearest, const char *name, bool same_scope)
{
    size_t wanted_size = strlen(nearest->wanted), size = strlen(name);
    size_t difference = wanted_size > size ? wanted_size - size : size - wanted_size;
    if (difference > nearest->limit) { /* so is the distance, and this is cheaper to find out */
        return;
    }
    unsigned distance = demit_config_distance(nearest->wanted, name);
    if (distance > nearest->limit) {
        return;
    }
    bool better = nearest->name == NULL || (same_scope && !nearest->same_scope) ||
                  (same_scope == nearest->same_scope && distance < nearest->distance);
    if (better) {
        nearest->name = name;
        nearest->distance = distance;
        nearest->same_scope = same_scope;
    }
}

const char *demit_config_nearest(const char *name, demit_config_scope_id_t scope, bool *same_scope)
{
    size_t size = strlen(name);
    nearest_t nearest = {.wanted = name, .limit = size <= 3 ? 1 : size <= 8 ? 2 : (unsigned)(size / 4)};
    for (size_t i = 0; i < demit_config_option_count; i++) {
        consider(&nearest, demit_config_options[i].name, demit_config_option_in(&demit_config_options[i], scope));
    }
    for (size_t i = DEMIT_CONFIG_GLOBAL + 1; i < DEMIT_CONFIG_SCOPE_COUNT; i++) {
        consider(&nearest, demit_config_scopes[i].name, demit_config_scopes[i].parent == scope);
    }
    if (nearest.name == NULL) { /* Retry instead of Retry_Interval: a beginning of at least four letters */
        for (size_t i = 0; i < demit_config_option_count && size >= 4 && nearest.name == NULL; i++) {
            if (apr_cstr_casecmpn(demit_config_options[i].name, name, size) == 0 &&
                demit_config_option_in(&demit_config_options[i], scope)) {
                nearest = (nearest_t){.name = demit_config_options[i].name, .same_scope = true};
            }
        }
    }
    *same_scope = nearest.same_scope;
    return nearest.name;
}
