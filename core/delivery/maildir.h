/*
 * Maildirs: which directory is whose, and how a message gets into it. Blocks on the disk: disk workers only.
 *
 * What an address says never leads out of the directory that the operator wrote: the values of %d and %u are checked,
 * and below the template's fixed part no symbolic link is followed, whoever planted it.
 */
#ifndef DEMIT_DELIVERY_MAILDIR_H
#define DEMIT_DELIVERY_MAILDIR_H

#include <stdbool.h>
#include <stdint.h>

#include "demit/delivery.h"

/* Where a mailbox is: RELATIVE below BASE, which exists and is the operator's own affair. */
typedef struct demit_mailbox {
    const char *base, *relative;
} demit_mailbox_t;

/*
 * Expands the template of SETTINGS for LOCAL_PART (as in an address; quotes and an extension are taken off) at DOMAIN.
 * APR_EINVAL: the address cannot name a mailbox. APR_EGENERAL: the template is none.
 */
apr_status_t demit_mailbox_locate(demit_mailbox_t *mailbox, const demit_domain_settings_t *settings, const char *domain,
                                  const char *local_part, apr_pool_t *result_pool) __attribute__((warn_unused_result));

/*
 * Opens the mailbox's directory; CREATE makes what is missing below the base. 0, or an errno: ENOENT when there is no
 * such mailbox; a base that is missing is EIO, because then nothing is known about its mailboxes.
 */
int demit_mailbox_open(const demit_mailbox_t *mailbox, const demit_files_t *files, bool create, int *fd)
    __attribute__((warn_unused_result));

/* Opens the directory NAME in DIRECTORY, making it if it is missing and CREATE says so. 0 or an errno. */
int demit_mailbox_enter(const demit_files_t *files, int directory, const char *name, bool create, int *fd)
    __attribute__((warn_unused_result));

/* ---- writing: many messages at a time, one sync per directory ---- */

typedef struct demit_maildir_store demit_maildir_store_t;

typedef struct demit_maildir_context {
    demit_spool_t *spool;
    const demit_files_t *files;
    uint32_t (*next_number)(void *baton); /* of a file, never twice in this process */
    void *baton;
} demit_maildir_context_t;

/* A store, in POOL, which must outlive demit_maildir_store_finish(). */
demit_maildir_store_t *demit_maildir_store_begin(const demit_maildir_context_t *context, apr_pool_t *pool);
/* Writes the message to all its recipients' mailboxes. Results may be missing until the next sync. */
void demit_maildir_store_add(demit_maildir_store_t *store, demit_delivery_t *delivery);
/* Syncs the directories: every recipient has its result now. */
void demit_maildir_store_finish(demit_maildir_store_t *store);

#endif
