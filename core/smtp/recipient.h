/*
 * Who may send to whom, and where it goes: relaying, local domains, aliases, <postmaster>. Pure: reads settings,
 * allocates in a pool. What only the disk knows, whether a mailbox exists, is left as a list of questions.
 */
#ifndef DEMIT_SMTP_RECIPIENT_H
#define DEMIT_SMTP_RECIPIENT_H

#include <stdbool.h>
#include <stdint.h>

#include <apr_pools.h>
#include <apr_tables.h>

#include "demit/settings.h"
#include "demit/smtp.h"

/* A mailbox that would do. */
typedef struct demit_mailbox {
    const demit_domain_settings_t *domain;
    const char *domain_name; /* A-labels in lower case, as demit_domain_to_ascii() has them */
    const char *local_part;  /* without quotes */
    const char *address;     /* what the envelope says if this is the one */
} demit_mailbox_t;

typedef struct demit_resolution {
    const char *refusal;           /* the reply, or NULL */
    const char *address;           /* where it goes; NULL: to the first of MAILBOXES that exists */
    apr_array_header_t *mailboxes; /* demit_mailbox_t, in order */
    const char *fallback;          /* the address to use if none of them exists, or NULL */
} demit_resolution_t;

/* MAY_RELAY: the client is in Relay_Hosts. Strings are in POOL or in SETTINGS. */
void demit_recipient_resolve(demit_resolution_t *resolution, const demit_settings_t *settings,
                             const demit_address_t *recipient, bool may_relay, apr_pool_t *pool);

/* ADDRESS with the one form of its domain, so that one mailbox has one name. In POOL, or ADDRESS itself. */
const char *demit_address_key(const char *address, apr_pool_t *pool);

/* ORCPT for a recipient that an alias changed: ADDRESS, which the client wrote, as RFC 3461 section 5.2.1 has it. */
const char *demit_orcpt_of(const char *address, apr_pool_t *pool);

#endif
