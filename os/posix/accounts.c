#include "os/posix/accounts.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An entry of the account database with the memory that its strings live in. */
typedef struct account {
    struct passwd user;
    struct group group;
    char *buffer;
} account_t;

typedef enum lookup { USER_BY_NAME, USER_BY_ID, GROUP_BY_NAME, GROUP_BY_ID } lookup_t;

bool os_parse_id(const char *text, unsigned long *id, const char **why)
{
    if (text[0] == '\0') {
        *why = "it is empty";
        return false;
    }
    if (text[strspn(text, "0123456789")] != '\0') {
        *why = "there is no such name, and it is not a decimal number";
        return false;
    }
    if (text[0] == '0' && text[1] != '\0') {
        *why = "it begins with 0: octal or decimal? Write it in decimal without leading zeros";
        return false;
    }
    unsigned long long value = strtoull(text, NULL, 10); /* what overflows becomes ULLONG_MAX: strtoul(3) */
    if (value > UINT32_MAX) {
        *why = "it is larger than any id and would wrap around";
        return false;
    }
    if (value == UINT32_MAX) {
        *why = "it is (id)-1, which means \"no change\" to the kernel";
        return false;
    }
    if (value == UINT16_MAX) {
        *why = "65535 is (id)-1 to 16-bit interfaces; choose another id";
        return false;
    }
    *id = (unsigned long)value;
    return true;
}

static int look_up_once(lookup_t lookup, const char *name, unsigned long id, account_t *account, char *buffer,
                        size_t size)
{
    struct passwd *user = NULL;
    struct group *group = NULL;
    int code = 0;
    switch (lookup) {
    case USER_BY_NAME:
        code = getpwnam_r(name, &account->user, buffer, size, &user);
        break;
    case USER_BY_ID:
        code = getpwuid_r((uid_t)id, &account->user, buffer, size, &user);
        break;
    case GROUP_BY_NAME:
        code = getgrnam_r(name, &account->group, buffer, size, &group);
        break;
    case GROUP_BY_ID:
        code = getgrgid_r((gid_t)id, &account->group, buffer, size, &group);
        break;
    }
    if (user != NULL || group != NULL) {
        return 0;
    }
    /* getpwnam(3) lists these as the ways in which systems say "not found". */
    bool absent = code == 0 || code == ESRCH || code == EBADF || code == EPERM || code == EWOULDBLOCK;
    return absent ? ENOENT : code;
}

/* getpwnam_r(3) and its sisters with as much memory as the entry wants. ENOENT: no such entry. */
static int look_up(lookup_t lookup, const char *name, unsigned long id, account_t *account)
{
    enum { AT_MOST = 16 << 20 };
    int code = ERANGE;
    for (size_t size = 4096; size <= AT_MOST && (code == ERANGE || code == EINTR); size *= 4) {
        char *buffer = malloc(size);
        if (buffer == NULL) {
            return ENOMEM;
        }
        code = look_up_once(lookup, name, id, account, buffer, size);
        if (code == 0) {
            account->buffer = buffer;
            break;
        }
        free(buffer);
    }
    return code;
}

static char *digits(unsigned long id)
{
    char text[24];
    (void)snprintf(text, sizeof(text), "%lu", id);
    return strdup(text);
}

char *os_user_name(uid_t uid)
{
    account_t account;
    if (look_up(USER_BY_ID, NULL, uid, &account) != 0) {
        return digits(uid);
    }
    char *name = strdup(account.user.pw_name);
    free(account.buffer);
    return name;
}

char *os_group_name(gid_t gid)
{
    account_t account;
    if (look_up(GROUP_BY_ID, NULL, gid, &account) != 0) {
        return digits(gid);
    }
    char *name = strdup(account.group.gr_name);
    free(account.buffer);
    return name;
}

/* An id that came from the database obeys the same rules as one that was written. */
static int refuse_odd_id(const char *setting, const char *text, unsigned long id, demit_os_error_t *error)
{
    const char *why = NULL;
    char written[24];
    unsigned long same = 0;
    (void)snprintf(written, sizeof(written), "%lu", id);
    if (os_parse_id(written, &same, &why)) {
        return 0;
    }
    return os_fail(error, 0, setting, "%s = \"%s\" has the id %lu in the account database: %s", setting, text, id, why);
}

static int take_user(const char *setting, const char *text, const account_t *account, os_user_t *user,
                     demit_os_error_t *error)
{
    int code = refuse_odd_id(setting, text, account->user.pw_uid, error);
    if (code != 0) {
        return code;
    }
    user->uid = account->user.pw_uid;
    user->primary_gid = account->user.pw_gid;
    user->has_account = true;
    user->name = strdup(account->user.pw_name);
    return user->name != NULL ? 0 : os_fail(error, ENOMEM, setting, "%s = \"%s\"", setting, text);
}

int os_find_user(const char *setting, const char *text, os_user_t *user, demit_os_error_t *error)
{
    *user = (os_user_t){0};
    account_t account;
    unsigned long id = 0;
    const char *why = NULL;
    int code = text[0] == '\0' ? ENOENT : look_up(USER_BY_NAME, text, 0, &account);
    if (code == ENOENT) {
        if (!os_parse_id(text, &id, &why)) {
            (void)os_fail(error, 0, setting, "%s = \"%s\": %s", setting, text, why);
            return ENOENT;
        }
        code = look_up(USER_BY_ID, NULL, id, &account);
        if (code == ENOENT) {
            user->uid = (uid_t)id;
            user->name = digits(id);
            return user->name != NULL ? 0 : os_fail(error, ENOMEM, setting, "%s = \"%s\"", setting, text);
        }
    }
    if (code != 0) {
        return os_fail(error, code, setting, "%s = \"%s\": the account database cannot be read", setting, text);
    }
    code = take_user(setting, text, &account, user, error);
    free(account.buffer);
    return code;
}

int os_find_group(const char *setting, const char *text, gid_t *gid, char **name, demit_os_error_t *error)
{
    account_t account;
    unsigned long id = 0;
    const char *why = NULL;
    int code = text[0] == '\0' ? ENOENT : look_up(GROUP_BY_NAME, text, 0, &account);
    if (code == 0) {
        id = account.group.gr_gid;
        free(account.buffer);
        code = refuse_odd_id(setting, text, id, error);
        if (code != 0) {
            return code;
        }
    } else if (code != ENOENT) {
        return os_fail(error, code, setting, "%s = \"%s\": the group database cannot be read", setting, text);
    } else if (!os_parse_id(text, &id, &why)) {
        (void)os_fail(error, 0, setting, "%s = \"%s\": %s", setting, text, why);
        return ENOENT;
    }
    *gid = (gid_t)id;
    if (name != NULL) {
        *name = os_group_name(*gid);
        if (*name == NULL) {
            return os_fail(error, ENOMEM, setting, "%s = \"%s\"", setting, text);
        }
    }
    return 0;
}

int os_group_members(gid_t gid, uid_t **members, size_t *count)
{
    *members = NULL;
    *count = 0;
    account_t group;
    int code = look_up(GROUP_BY_ID, NULL, gid, &group);
    if (code != 0) {
        return code == ENOENT ? 0 : code;
    }
    size_t listed = 0;
    while (group.group.gr_mem[listed] != NULL) {
        listed++;
    }
    uid_t *uids = calloc(listed + 1, sizeof(*uids));
    if (uids == NULL) {
        free(group.buffer);
        return ENOMEM;
    }
    for (size_t i = 0; i < listed; i++) {
        account_t user;
        if (look_up(USER_BY_NAME, group.group.gr_mem[i], 0, &user) == 0) {
            uids[(*count)++] = user.user.pw_uid;
            free(user.buffer);
        }
    }
    free(group.buffer);
    *members = uids;
    return 0;
}
