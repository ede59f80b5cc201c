/* From the operator's words to ids, through the account database. Private to os/. */
#ifndef OS_POSIX_ACCOUNTS_H
#define OS_POSIX_ACCOUNTS_H

#include "os/posix/identity_priv.h"

typedef struct os_user {
    uid_t uid;
    bool has_account;
    gid_t primary_gid; /* only with an account */
    char *name;        /* the account's, or the number; the caller frees it */
} os_user_t;

/*
 * Reads TEXT as an id: decimal digits, no sign, no blank, no leading zero, neither (id)-1 nor 65535 (which are "no
 * change" and 16-bit "nobody" to some system calls). True, or false with *WHY a sentence that stays valid.
 */
bool os_parse_id(const char *text, unsigned long *id, const char **why);

/* Name first, then strict decimal. SETTING is the option's name, for ERROR. ENOENT: neither a known name nor a number.
 */
int os_find_user(const char *setting, const char *text, os_user_t *user, demit_os_error_t *error) DEMIT_CHECKED;
/* The same for a group. *NAME (may be NULL) is the caller's to free. */
int os_find_group(const char *setting, const char *text, gid_t *gid, char **name,
                  demit_os_error_t *error) DEMIT_CHECKED;

/* The name of an id, or its digits; the caller frees it. NULL: no memory. */
char *os_user_name(uid_t uid);
char *os_group_name(gid_t gid);

/* The uids of the members that the group database lists for GID; names without an account are passed over. */
int os_group_members(gid_t gid, uid_t **members, size_t *count) DEMIT_CHECKED;

#endif
