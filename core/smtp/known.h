/*
 * Mailboxes that were found a moment ago. Under load the disk workers are busy with deliveries, and the recipients are
 * mostly the same few: asking the disk again for each message would make the acceptance of mail as slow as its
 * delivery. Only what exists is remembered, so that a mailbox works from the instant in which it is made; one that
 * is removed is missed a few seconds later. One loop's; no other thread touches it.
 */
#ifndef DEMIT_SMTP_KNOWN_H
#define DEMIT_SMTP_KNOWN_H

#include <stdbool.h>
#include <stdint.h>

#include <apr_pools.h>

#include "core/smtp/recipient.h"

typedef struct demit_known demit_known_t;

/* How long a mailbox is taken to exist without another look. */
enum { DEMIT_KNOWN_US = 5 * 1000 * 1000 };

demit_known_t *demit_known_create(apr_pool_t *pool);
/* MAILBOX exists at NOW_US, a monotonic time. */
void demit_known_add(demit_known_t *known, const demit_mailbox_t *mailbox, int64_t now_us);
/* Forgets all. */
void demit_known_forget(demit_known_t *known);
bool demit_known_has(const demit_known_t *known, const demit_mailbox_t *mailbox, int64_t now_us);

#endif
