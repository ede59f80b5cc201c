/* FreeBSD: sysctl(3), closefrom(2), procctl(2), pthread_set_name_np(3), login_cap(3), ip(4), mac_portacl(4). */
#include "os/bsd/kernel.h"
#include "os/bsd/login_class.h"
#include "os/bsd/portacl.h"

#include <errno.h>
#include <pthread.h>
#include <pthread_np.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/procctl.h>
#include <sys/sysctl.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- settings of the kernel ---- */

static bool read_setting(const char *name, int *value)
{
    size_t size = sizeof(*value);
    return sysctlbyname(name, value, &size, NULL, 0) == 0 && size == sizeof(*value);
}

static bool read_rules(char *rules, size_t size)
{
    size_t room = size - 1;
    memset(rules, 0, size);
    return sysctlbyname("security.mac.portacl.rules", rules, &room, NULL, 0) == 0;
}

/* mac_portacl(4): up to which port its rules count; 0 where it is not loaded or not enforced. */
static unsigned ruled_ports(void)
{
    int enabled = 0, high = 0;
    bool rules = read_setting("security.mac.portacl.enabled", &enabled) && enabled != 0 &&
                 read_setting("security.mac.portacl.port_high", &high) && high > 0;
    return rules ? (unsigned)high : 0;
}

/* ip(4): ports up to reservedhigh are root's, whatever the rules say; where it is 0, none is. */
static unsigned reserved_ports(void)
{
    int high = 0;
    bool known = read_setting("net.inet.ip.portrange.reservedhigh", &high) && high >= 0;
    return known ? (unsigned)high : 1023;
}

unsigned os_backend_first_free_port(void)
{
    unsigned reserved = reserved_ports(), ruled = ruled_ports();
    return (reserved > ruled ? reserved : ruled) + 1;
}

/* A rule grants, but never what is reserved. */
static unsigned lowest_granted_port(const demit_identity_t *identity)
{
    enum { RULES_MAX = 1024 }; /* the longest that the kernel takes */
    char rules[RULES_MAX + 1];
    if (ruled_ports() == 0 || reserved_ports() > 0 || !read_rules(rules, sizeof(rules))) {
        return 0;
    }
    os_groups_t groups = {calloc(identity->group_count + 1, sizeof(gid_t)), identity->group_count + 1};
    if (groups.ids == NULL) {
        return 0;
    }
    groups.ids[0] = identity->gid;
    if (identity->group_count > 0) {
        memcpy(groups.ids + 1, identity->groups, identity->group_count * sizeof(gid_t));
    }
    os_groups_sort(&groups);
    unsigned lowest = os_portacl_lowest(rules, identity->uid, &groups);
    free(groups.ids);
    return lowest;
}

/* chroot(2), since FreeBSD 14: for everybody who has given up new privileges. */
static bool lets_chroot(void)
{
    int allowed = 0;
    return read_setting("security.bsd.unprivileged_chroot", &allowed) && allowed != 0;
}

/* ---- no new privileges ---- */

/* FreeBSD has it since 13.1; before, there is neither the step nor the comparison. */
#if defined(PROC_NO_NEW_PRIVS_CTL)
static bool has_no_new_privs(pid_t pid, bool *set)
{
    int mode = 0;
    if (procctl(P_PID, pid, PROC_NO_NEW_PRIVS_STATUS, &mode) != 0) {
        return false;
    }
    *set = mode == PROC_NO_NEW_PRIVS_ENABLE;
    return true;
}

static void describe_no_new_privs(const demit_identity_t *identity, char *what, size_t size)
{
    (void)identity;
    os_append(what, size, "no_new_privs: no set-uid or set-gid file adds anything, for ever");
}

/* What gives up new privileges may chroot again where the administrator lets it, and so walk out of its jail. */
static bool check_no_new_privs(const demit_identity_t *identity, char *why_not, size_t size)
{
    bool leaves = identity->jail != NULL && identity->uid != 0 && lets_chroot();
    if (leaves) {
        os_append(why_not, size,
                  "security.bsd.unprivileged_chroot = 1 lets a process call chroot(2) once more and so leave the jail "
                  "%s: set it to 0, or leave chroot out",
                  identity->jail);
    }
    return !leaves;
}

static int run_no_new_privs(const demit_identity_t *identity)
{
    (void)identity;
    int mode = PROC_NO_NEW_PRIVS_ENABLE;
    return procctl(P_PID, getpid(), PROC_NO_NEW_PRIVS_CTL, &mode) == 0 ? 0 : errno;
}

#define STEP_NO_NEW_PRIVS {"no_new_privs", "", NULL, describe_no_new_privs, check_no_new_privs, run_no_new_privs, NULL},

static size_t compare_no_new_privs(const os_sink_t *drift)
{
    bool set = false;
    bool known = has_no_new_privs(getpid(), &set);
    if (!known || !set) {
        os_tell(drift, known ? "no_new_privs is not set" : "the kernel does not tell whether no_new_privs is set");
    }
    return known && set ? 0 : 1;
}
#else
#define STEP_NO_NEW_PRIVS
#define compare_no_new_privs NULL

static bool has_no_new_privs(pid_t pid, bool *set)
{
    (void)pid, (void)set;
    return false;
}
#endif

/* ---- report ---- */

static void report_setting(const os_report_t *report, const char *name)
{
    char text[24];
    int value = 0;
    bool known = read_setting(name, &value);
    (void)snprintf(text, sizeof(text), "%d", value);
    os_report(report, name, known ? text : NULL);
}

/* PROC_TRACE_STATUS: -1 where tracing is disabled, 0 where nobody traces, else who does. */
static void report_tracing(const os_report_t *report)
{
    char text[24];
    int tracer = 0;
    bool known = procctl(P_PID, report->pid, PROC_TRACE_STATUS, &tracer) == 0;
    (void)snprintf(text, sizeof(text), "%d", tracer);
    os_report(report, "tracing", !known ? NULL : tracer < 0 ? "disabled" : text);
}

static void report_more(const os_report_t *report)
{
    char rules[1025];
    bool set = false;
    bool known = has_no_new_privs(report->pid, &set);
    os_report(report, "no_new_privs", !known ? NULL : set ? "1" : "0");
    report_tracing(report);
    report_setting(report, "net.inet.ip.portrange.reservedhigh");
    report_setting(report, "security.mac.portacl.enabled");
    report_setting(report, "security.mac.portacl.port_high");
    report_setting(report, "security.mac.portacl.suser_exempt");
    os_report(report, "security.mac.portacl.rules", read_rules(rules, sizeof(rules)) ? rules : NULL);
}

const os_kernel_t os_kernel = {.name = "FreeBSD",
                               .resolve = os_class_resolve,
                               .lowest_granted_port = lowest_granted_port,
                               .lets_chroot = lets_chroot,
                               .compare = compare_no_new_privs,
                               .report = report_more};

/* no_new_privs last: it takes nothing that a step before it could need. */
const os_step_t os_backend_steps[] = {OS_STEPS_CHECKS, OS_STEP_LOGIN_CLASS, OS_STEPS_IDS,
                                      STEP_NO_NEW_PRIVS OS_STEPS_PROOFS};
const size_t os_backend_step_count = sizeof(os_backend_steps) / sizeof(os_backend_steps[0]);

/* ---- processes ---- */

static int read_kinfo(pid_t pid, struct kinfo_proc *process)
{
    int name[] = {CTL_KERN, KERN_PROC, KERN_PROC_PID, pid};
    size_t size = sizeof(*process);
    if (sysctl(name, sizeof(name) / sizeof(name[0]), process, &size, NULL, 0) != 0) {
        return errno;
    }
    return size >= sizeof(*process) ? 0 : ESRCH;
}

int os_backend_count_threads(const demit_identity_t *identity, unsigned *count)
{
    (void)identity;
    struct kinfo_proc process;
    int code = read_kinfo(getpid(), &process);
    if (code == 0) {
        *count = (unsigned)process.ki_numthreads;
    }
    return code;
}

/* The first of its groups is the effective gid, also where setgroups(2) does not say so any more. */
int os_kernel_read_process(pid_t pid, os_process_t *process)
{
    struct kinfo_proc found;
    int code = read_kinfo(pid, &found);
    if (code != 0) {
        return code;
    }
    process->ids = (os_ids_t){.uid = {found.ki_ruid, found.ki_uid, found.ki_svuid},
                              .gid = {found.ki_rgid, found.ki_groups[0], found.ki_svgid}};
    process->threads = (unsigned)found.ki_numthreads;
    bool all = (found.ki_cr_flags & KI_CRF_GRP_OVERFLOW) == 0;
    return os_process_groups(process, found.ki_groups, all ? found.ki_ngroups : -1, KI_NGROUPS);
}

int os_backend_close_from(int first)
{
    closefrom(first);
    return 0;
}

int os_backend_deny_tracing(void)
{
    int mode = PROC_TRACE_CTL_DISABLE;
    return procctl(P_PID, getpid(), PROC_TRACE_CTL, &mode) == 0 ? 0 : errno;
}

void demit_os_name_thread(const char *name)
{
    pthread_set_name_np(pthread_self(), name);
}
