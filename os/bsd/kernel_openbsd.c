/* OpenBSD: setgroups(2), sysctl(2), closefrom(2), issetugid(2), pthread_set_name_np(3), login_cap(3). */
#include "os/bsd/kernel.h"
#include "os/bsd/login_class.h"
#include "os/bsd/sandbox_openbsd.h"

#include <errno.h>
#include <pthread.h>
#include <pthread_np.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/param.h>
#include <sys/proc.h>
#include <sys/sysctl.h>
#include <unistd.h>

static void report_sandbox(const os_report_t *report);

const os_kernel_t os_kernel = {.name = "OpenBSD", .resolve = os_class_resolve, .report = report_sandbox};

const os_step_t os_backend_steps[] = {OS_STEPS_CHECKS, OS_STEP_LOGIN_CLASS, OS_STEPS_IDS, OS_STEPS_PROOFS};
const size_t os_backend_step_count = sizeof(os_backend_steps) / sizeof(os_backend_steps[0]);

int os_backend_set_groups(const gid_t *groups, size_t count, gid_t gid)
{
    (void)gid;
    return setgroups((int)count, groups) == 0 ? 0 : errno;
}

/*
 * The entries for process PID: one for itself, whose p_tid is -1, and one for each thread. The caller frees them. A
 * process that made its pledge(2) without "ps" would be killed here, so it is not asked: EPERM.
 */
static int read_entries(pid_t pid, struct kinfo_proc **entries, size_t *count)
{
    int name[] = {CTL_KERN, KERN_PROC, KERN_PROC_PID | KERN_PROC_SHOW_THREADS, pid, (int)sizeof(struct kinfo_proc), 0};
    const unsigned parts = sizeof(name) / sizeof(name[0]);
    size_t size = 0;
    if (os_openbsd_has_pledged()) {
        return EPERM;
    }
    if (sysctl(name, parts, NULL, &size, NULL, 0) != 0) {
        return errno;
    }
    *entries = malloc(size + 1);
    if (*entries == NULL) {
        return ENOMEM;
    }
    name[5] = (int)(size / sizeof(**entries));
    if (sysctl(name, parts, *entries, &size, NULL, 0) != 0) {
        int code = errno;
        free(*entries);
        return code;
    }
    *count = size / sizeof(**entries);
    return 0;
}

static unsigned count_threads(const struct kinfo_proc *entries, size_t count)
{
    unsigned threads = 0;
    for (size_t i = 0; i < count; i++) {
        threads += entries[i].p_tid != -1;
    }
    return threads;
}

int os_backend_count_threads(const demit_identity_t *identity, unsigned *count)
{
    (void)identity;
    struct kinfo_proc *entries = NULL;
    size_t entry_count = 0;
    int code = read_entries(getpid(), &entries, &entry_count);
    if (code != 0) {
        return code;
    }
    *count = count_threads(entries, entry_count);
    free(entries);
    return 0;
}

int os_kernel_read_process(pid_t pid, os_process_t *process)
{
    struct kinfo_proc *entries = NULL;
    size_t count = 0;
    int code = read_entries(pid, &entries, &count);
    if (code != 0) {
        return code;
    }
    code = ESRCH;
    if (count > 0) {
        const struct kinfo_proc *found = &entries[0]; /* credentials belong to the process: any entry tells them */
        process->ids = (os_ids_t){.uid = {found->p_ruid, found->p_uid, found->p_svuid},
                                  .gid = {found->p_rgid, found->p_gid, found->p_svgid}};
        process->threads = count_threads(entries, count);
        code = os_process_groups(process, found->p_groups, found->p_ngroups, KI_NGROUPS);
    }
    free(entries);
    return code;
}

/* As ps(1) shows them: the promises as a set of bits, and whether the view of files is limited, and for good. */
static void report_sandbox(const os_report_t *report)
{
    struct kinfo_proc *entries = NULL;
    size_t count = 0;
    if (read_entries(report->pid, &entries, &count) != 0 || count == 0) {
        os_report(report, "pledge", NULL);
        os_report(report, "unveil", NULL);
        return;
    }
    char promises[24];
    (void)snprintf(promises, sizeof(promises), "%#llx", (unsigned long long)entries[0].p_pledge);
    os_report(report, "pledge", promises);
    bool limited = (entries[0].p_eflag & EPROC_UNVEIL) != 0, locked = (entries[0].p_eflag & EPROC_LKUNVEIL) != 0;
    os_report(report, "unveil", !limited ? "-" : locked ? "locked" : "open");
    free(entries);
}

/* EBADF: nothing is open from FIRST on. */
int os_backend_close_from(int first)
{
    return closefrom(first) == 0 || errno == EBADF ? 0 : errno;
}

/* A process whose ids were changed is marked (issetugid(2)), and only root may trace it; another cannot ask for that.
 */
int os_backend_deny_tracing(void)
{
    return issetugid() ? 0 : ENOTSUP;
}

unsigned os_backend_first_free_port(void)
{
    return 1024;
}

void demit_os_name_thread(const char *name)
{
    pthread_set_name_np(pthread_self(), name);
}
