/* getpwnam_r(3), login_getclass(3), setusercontext(3), getrlimit(2), getpriority(2): the same on every BSD. */
#include "os/bsd/login_class.h"

#include <errno.h>
#include <sys/types.h>

#include <login_cap.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>

/* The class that the account database names for IDENTITY, or NULL with the lookup's code: 0 where it names none. */
static char *class_of_account(const demit_identity_t *identity, int *code)
{
    enum { ENTRY_MAX = 1 << 16 };
    struct passwd entry, *found = NULL;
    char *buffer = malloc(ENTRY_MAX), *class = NULL;
    if (buffer == NULL) {
        *code = ENOMEM;
        return NULL;
    }
    /* By name: several accounts may share the uid. The name may be the digits of a uid without an account. */
    *code = getpwnam_r(identity->user_name, &entry, buffer, ENTRY_MAX, &found);
    if (found != NULL && found->pw_uid == identity->uid && found->pw_class != NULL && found->pw_class[0] != '\0') {
        class = strdup(found->pw_class);
        *code = class != NULL ? 0 : ENOMEM;
    }
    free(buffer);
    return class;
}

/*
 * Root is given up with the start as root only; user = root keeps root's own limits.
 * -Wanalyzer-malloc-leak in os_class_resolve(): gcc 12 forgets that IDENTITY, which frees it, has the class.
 */
int os_class_resolve(demit_identity_t *identity, const os_sink_t *warnings, demit_os_error_t *error)
{
    (void)warnings;
    if (identity->start != OS_START_ROOT || identity->uid == 0) {
        return 0;
    }
    int code = 0;
    char *class = class_of_account(identity, &code);
    if (class == NULL && code != ENOMEM) {
        class = strdup(LOGIN_DEFCLASS);
        code = class != NULL ? 0 : ENOMEM;
    }
    identity->native->login_class = class;
    return code == 0 ? 0 : os_fail(error, code, "login class", "the login class cannot be looked up");
}

bool os_class_applies(const demit_identity_t *identity)
{
    return identity->native->login_class != NULL;
}

void os_class_describe(const demit_identity_t *identity, char *what, size_t size)
{
    os_append(what, size, "limits and priority of login class \"%s\", where they are narrower than now; umask 077",
              identity->native->login_class);
}

/* FreeBSD and DragonFly give "default" for a class that login.conf(5) does not have, the others NULL. */
static login_cap_t *open_class(const demit_identity_t *identity)
{
    login_cap_t *class = login_getclass(identity->native->login_class);
    if (class != NULL && strcmp(class->lc_class, identity->native->login_class) != 0) {
        login_close(class);
        class = NULL;
    }
    return class;
}

bool os_class_check(const demit_identity_t *identity, char *why_not, size_t size)
{
    login_cap_t *class = open_class(identity);
    if (class == NULL) {
        os_append(why_not, size,
                  "login class \"%s\" of %s is not in /etc/login.conf; add it there, or give the account another class",
                  identity->native->login_class, identity->user_name);
        return false;
    }
    login_close(class);
    return os_check_root(identity, why_not, size);
}

/* ---- run ---- */

typedef struct limits {
    struct rlimit of[RLIM_NLIMITS];
} limits_t;

static int read_limits(limits_t *limits)
{
    for (int i = 0; i < RLIM_NLIMITS; i++) {
        if (getrlimit(i, &limits->of[i]) != 0) {
            return errno;
        }
    }
    return 0;
}

/* RLIM_INFINITY is the largest limit, so less is narrower. */
static rlim_t narrower(rlim_t one, rlim_t other)
{
    return one < other ? one : other;
}

/* Takes back whatever became wider than BEFORE. */
static int narrow_again(const limits_t *before, const limits_t *after)
{
    for (int i = 0; i < RLIM_NLIMITS; i++) {
        struct rlimit wanted = before->of[i];
        if (i != RLIMIT_NOFILE) {
            wanted.rlim_cur = narrower(wanted.rlim_cur, after->of[i].rlim_cur);
            wanted.rlim_max = narrower(wanted.rlim_max, after->of[i].rlim_max);
        }
        bool differs = wanted.rlim_cur != after->of[i].rlim_cur || wanted.rlim_max != after->of[i].rlim_max;
        if (differs && setrlimit(i, &wanted) != 0) {
            return errno;
        }
    }
    return 0;
}

static bool is_wider(const limits_t *before, const limits_t *after)
{
    for (int i = 0; i < RLIM_NLIMITS; i++) {
        if (after->of[i].rlim_cur > before->of[i].rlim_cur || after->of[i].rlim_max > before->of[i].rlim_max) {
            return true;
        }
    }
    return false;
}

/* The priority of the class counts only if it is not better than today's. Without one, setusercontext(3) sets 0. */
static unsigned flags_for(login_cap_t *class)
{
    static char priority[] = "priority"; /* some of these systems want it writable */
    long long wanted = (long long)login_getcapnum(class, priority, 0, 0);
    errno = 0;
    int now = getpriority(PRIO_PROCESS, 0);
    bool known = errno == 0;
    return LOGIN_SETRESOURCES | (known && wanted >= now ? LOGIN_SETPRIORITY : 0U);
}

static int assume_class(const demit_identity_t *identity, login_cap_t *class)
{
    limits_t before, after;
    int code = read_limits(&before);
    if (code != 0) {
        return code;
    }
    errno = 0;
    if (setusercontext(class, NULL, identity->uid, flags_for(class)) != 0) {
        return errno != 0 ? errno : EPERM;
    }
    code = read_limits(&after);
    if (code == 0) {
        code = narrow_again(&before, &after);
    }
    if (code == 0) {
        code = read_limits(&after);
    }
    return code == 0 && is_wider(&before, &after) ? EPERM : code;
}

int os_class_run(const demit_identity_t *identity)
{
    login_cap_t *class = open_class(identity);
    if (class == NULL) {
        return ENOENT;
    }
    int code = assume_class(identity, class);
    login_close(class);
    return code;
}
