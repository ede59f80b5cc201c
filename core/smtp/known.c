#include "core/smtp/known.h"

#include <string.h>

#include <xxhash.h>

/* A direct-mapped cache of a fixed size, 32 KiB: whoever collides is forgotten. */
enum { ENTRIES = 256, NAME_MAX_BYTES = 112 };

typedef struct entry {
    const demit_domain_settings_t *domain; /* sessions from before a reload have others, and ask for themselves */
    int64_t until_us;
    char name[NAME_MAX_BYTES]; /* local part, NUL, domain, NUL */
} entry_t;

struct demit_known {
    entry_t entries[ENTRIES];
};

demit_known_t *demit_known_create(apr_pool_t *pool)
{
    return apr_pcalloc(pool, sizeof(demit_known_t));
}

void demit_known_forget(demit_known_t *known)
{
    memset(known, 0, sizeof(*known));
}

/* Writes MAILBOX's name; 0 when it is too long to be remembered. */
static size_t make_name(char name[NAME_MAX_BYTES], const demit_mailbox_t *mailbox)
{
    size_t local = strlen(mailbox->local_part) + 1, domain = strlen(mailbox->domain_name) + 1;

    if (local + domain > NAME_MAX_BYTES) {
        return 0;
    }
    memcpy(name, mailbox->local_part, local);
    memcpy(name + local, mailbox->domain_name, domain);
    return local + domain;
}

static size_t slot_of(const char *name, size_t size)
{
    return (size_t)(XXH64(name, size, 0) % ENTRIES);
}

void demit_known_add(demit_known_t *known, const demit_mailbox_t *mailbox, int64_t now_us)
{
    char name[NAME_MAX_BYTES];
    size_t size = make_name(name, mailbox);

    if (size == 0) {
        return;
    }
    entry_t *entry = &known->entries[slot_of(name, size)];
    entry->domain = mailbox->domain;
    entry->until_us = now_us + DEMIT_KNOWN_US;
    memcpy(entry->name, name, size);
}

bool demit_known_has(const demit_known_t *known, const demit_mailbox_t *mailbox, int64_t now_us)
{
    char name[NAME_MAX_BYTES];
    size_t size = make_name(name, mailbox);

    if (size == 0) {
        return false;
    }
    const entry_t *entry = &known->entries[slot_of(name, size)];
    return entry->domain == mailbox->domain && entry->until_us > now_us && memcmp(entry->name, name, size) == 0;
}
