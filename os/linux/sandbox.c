/* The sandbox's parts on Linux, and the order in which they are entered. */
#include "os/linux/sandbox.h"
#include "os/linux/native.h"

#include <errno.h>
#include <string.h>
#include <sys/prctl.h>

typedef struct part {
    const char *name, *what;
    unsigned landlock;                       /* an os_landlock_part_t; 0: seccomp */
    bool (*can)(char *why_not, size_t size); /* of seccomp */
} part_t;

/* The filter last: it could make the proof of another part fail for the wrong reason. */
static const part_t PARTS[] = {
    {"file system", "only the paths listed can be opened, made, renamed or removed; no program can be started",
     OS_LANDLOCK_FILES, NULL},
    {"TCP bind", "only the ports listed can be bound; listen(2) without bind(2) still gets any free port",
     OS_LANDLOCK_BIND, NULL},
    {"other processes", "no signal to a process outside, no abstract Unix socket of one", OS_LANDLOCK_OTHERS, NULL},
    {"system calls", "those that demitd does not need fail: other ids, programs, processes, mounts, modules, …", 0,
     os_seccomp_can},
    {"socket kinds", "local, IPv4, IPv6 and netlink sockets only, and no stream but TCP", 0, os_seccomp_can_sockets},
};
enum { PART_COUNT = sizeof(PARTS) / sizeof(PARTS[0]) };

enum { BIND = 1, KINDS = 4 }; /* of them */
static const char AROUND_BIND[] =
    "MPTCP and SCTP sockets get around it, and no filter keeps them away: \"socket kinds\" is not enforced";

static bool can_enforce(const part_t *part, char *why_not, size_t size)
{
    why_not[0] = '\0';
    return part->landlock != 0 ? os_landlock_can((os_landlock_part_t)part->landlock, why_not, size)
                               : part->can(why_not, size);
}

static void tell(void (*each)(void *baton, const demit_sandbox_part_t *part), void *baton, const bool enforced[])
{
    char why_not[OS_REASON_MAX] = "";
    for (size_t i = 0; i < PART_COUNT; i++) {
        why_not[0] = '\0';
        if (!enforced[i]) {
            (void)can_enforce(&PARTS[i], why_not, sizeof(why_not));
        } else if (i == BIND && !enforced[KINDS]) {
            os_append(why_not, sizeof(why_not), "%s", AROUND_BIND);
        }
        const demit_sandbox_part_t part = {
            .name = PARTS[i].name, .what = PARTS[i].what, .enforced = enforced[i], .why_not = why_not};
        each(baton, &part);
    }
}

int demit_sandbox_explain(const demit_sandbox_request_t *request,
                          void (*each)(void *baton, const demit_sandbox_part_t *part), void *baton,
                          demit_os_error_t *error)
{
    char why_not[OS_REASON_MAX];
    bool enforced[PART_COUNT];
    (void)request, (void)error;
    for (size_t i = 0; i < PART_COUNT; i++) {
        enforced[i] = can_enforce(&PARTS[i], why_not, sizeof(why_not));
    }
    tell(each, baton, enforced);
    return 0;
}

/* A thread that is there already would stay outside. In a jail without /proc the identity's verification has counted.
 */
static int check_threads(demit_os_error_t *error)
{
    os_status_t status;
    if (os_status_of(0, 0, &status) != 0) {
        return 0;
    }
    os_status_free(&status);
    return status.threads == 1
               ? 0
               : os_fail(error, EBUSY, "sandbox", "%u threads run, and all but one would stay outside", status.threads);
}

static int refuse(const part_t *part, const char *why_not, demit_os_error_t *error)
{
    (void)os_fail(error, 0, "sandbox", "Sandbox = required, and \"%s\" cannot be enforced: %s", part->name, why_not);
    error->code = ENOTSUP;
    return ENOTSUP;
}

int demit_sandbox_enter(const demit_sandbox_request_t *request, bool required,
                        void (*each)(void *baton, const demit_sandbox_part_t *part), void *baton,
                        demit_os_error_t *error)
{
    char why_not[OS_REASON_MAX];
    bool enforced[PART_COUNT], filters = false;
    unsigned landlock = 0;
    for (size_t i = 0; i < PART_COUNT; i++) {
        enforced[i] = can_enforce(&PARTS[i], why_not, sizeof(why_not));
        if (required && !enforced[i]) {
            return refuse(&PARTS[i], why_not, error);
        }
        landlock |= enforced[i] ? PARTS[i].landlock : 0;
        filters = filters || (enforced[i] && PARTS[i].landlock == 0);
    }
    int code = check_threads(error);
    /* Without it neither part may be entered by who is not root; usually the identity has set it. */
    if (code == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1UL, 0, 0, 0) != 0) {
        code = os_fail(error, errno, "sandbox", "no_new_privs cannot be set");
    }
    if (code == 0) {
        code = os_landlock_enter(request, landlock, error);
    }
    if (code == 0 && filters) {
        code = os_seccomp_enter(error);
    }
    if (code == 0) {
        tell(each, baton, enforced);
    }
    return code;
}

int demit_sandbox_verify(const demit_sandbox_request_t *request, demit_os_error_t *error)
{
    char why_not[OS_REASON_MAX] = "";
    int code = os_landlock_verify(request, error);
    return code == 0 && os_seccomp_can(why_not, sizeof(why_not)) ? os_seccomp_verify(error) : code;
}

int demit_os_limit_descriptor(int fd, demit_descriptor_use_t use)
{
    (void)fd, (void)use;
    return ENOTSUP;
}
