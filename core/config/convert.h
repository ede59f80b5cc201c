/*
 * A value as written → a value of its option's type, within its bounds. Main thread.
 */
#ifndef DEMIT_CORE_CONFIG_CONVERT_H
#define DEMIT_CORE_CONFIG_CONVERT_H

#include <stdbool.h>

#include <apr_pools.h>

#include "core/config/findings.h"
#include "core/config/table.h"
#include "core/config/tree.h"

/*
 * Converts VALUE for OPTION. False when it does not fit; FINDINGS say why. Texts and arrays of DATUM live in POOL.
 */
bool demit_config_convert(demit_config_datum_t *datum, const demit_config_option_t *option,
                          const demit_config_value_t *value, demit_config_findings_t *findings, apr_pool_t *pool);

/* How it is said that something is no domain: what was written stands before it, and why is its argument. */
#define DEMIT_CONFIG_NO_DOMAIN "is not a domain (%s); write example.com, *.example.com or *example.com"

/*
 * Makes *PATTERN of TEXT, a domain or a pattern as in Relay_Domains: A-labels in lower case, in POOL. NULL, or what is
 * wrong.
 */
const char *demit_config_parse_pattern(const char **pattern, const char *text, apr_pool_t *pool);

/* Whether a Maildir template says %d. */
bool demit_config_maildir_has_domain(const char *maildir);

/* What the values of TYPE look like, for the manual: "true | false", "( network … )". */
const char *demit_config_type_text(demit_config_type_t type);

#endif
