/* What a process holds, fact by fact. */
#include "os/linux/native.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <unistd.h>

/* The facts that every thread has, in the order in which they are reported. */
enum {
    FACT_UID,
    FACT_GID,
    FACT_GROUPS,
    FACT_INH,
    FACT_PRM,
    FACT_EFF,
    FACT_BND,
    FACT_AMB,
    FACT_NNP,
    FACT_SECCOMP,
    FACTS
};

static const char *const fact_names[FACTS] = {"uid",           "gid",           "groups",       "cap_inheritable",
                                              "cap_permitted", "cap_effective", "cap_bounding", "cap_ambient",
                                              "no_new_privs",  "seccomp"};

enum { FACT_MAX = 1024 };

typedef struct facts {
    char text[FACTS][FACT_MAX];
    bool known[FACTS];
} facts_t;

typedef struct report {
    void (*each)(void *baton, const demit_identity_fact_t *fact);
    void *baton;
    pid_t process;
    facts_t first; /* those of the first thread, with which the others are compared */
} report_t;

static void give(const report_t *report, pid_t thread, const char *name, const char *value)
{
    demit_identity_fact_t fact = {.thread = thread, .name = name, .value = value};
    report->each(report->baton, &fact);
}

static void collect(const os_status_t *status, facts_t *facts)
{
    for (size_t i = 0; i < FACTS; i++) {
        facts->text[i][0] = '\0';
        facts->known[i] = true;
    }
    (void)snprintf(facts->text[FACT_UID], FACT_MAX, "%lu %lu %lu %lu", (unsigned long)status->uid[0],
                   (unsigned long)status->uid[1], (unsigned long)status->uid[2], (unsigned long)status->uid[3]);
    (void)snprintf(facts->text[FACT_GID], FACT_MAX, "%lu %lu %lu %lu", (unsigned long)status->gid[0],
                   (unsigned long)status->gid[1], (unsigned long)status->gid[2], (unsigned long)status->gid[3]);
    os_groups_format(&status->groups, facts->text[FACT_GROUPS], FACT_MAX);
    os_capset_format(status->caps.inheritable, facts->text[FACT_INH], FACT_MAX);
    os_capset_format(status->caps.permitted, facts->text[FACT_PRM], FACT_MAX);
    os_capset_format(status->caps.effective, facts->text[FACT_EFF], FACT_MAX);
    os_capset_format(status->bounding, facts->text[FACT_BND], FACT_MAX);
    os_capset_format(status->ambient, facts->text[FACT_AMB], FACT_MAX);
    facts->known[FACT_NNP] = status->has_no_new_privs;
    (void)snprintf(facts->text[FACT_NNP], FACT_MAX, "%d", status->no_new_privs ? 1 : 0);
    facts->known[FACT_SECCOMP] = status->seccomp >= 0;
    (void)snprintf(facts->text[FACT_SECCOMP], FACT_MAX, "%d", status->seccomp);
}

static const char *value_of(const facts_t *facts, size_t i)
{
    return facts->known[i] ? facts->text[i] : NULL;
}

static int report_thread(void *baton, const os_status_t *status)
{
    const report_t *report = baton;
    facts_t facts;
    if (status->pid == status->tgid) {
        return 0; /* the first: reported already */
    }
    collect(status, &facts);
    for (size_t i = 0; i < FACTS; i++) {
        if (strcmp(facts.text[i], report->first.text[i]) != 0) {
            give(report, status->pid, fact_names[i], value_of(&facts, i));
        }
    }
    return 0;
}

static void report_link(const report_t *report, pid_t pid, const char *name)
{
    char path[64], target[PATH_MAX];
    if (pid == 0) {
        (void)snprintf(path, sizeof(path), "/proc/self/%s", name);
    } else {
        (void)snprintf(path, sizeof(path), "/proc/%ld/%s", (long)pid, name);
    }
    ssize_t length = readlink(path, target, sizeof(target) - 1);
    if (length >= 0) {
        target[length] = '\0';
    }
    give(report, 0, name, length >= 0 ? target : NULL);
}

static bool count_descriptor(void *baton, int fd)
{
    (void)fd;
    ++*(unsigned *)baton;
    return true;
}

static bool count_entries(pid_t pid, unsigned *count)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%ld/fd", (long)pid);
    DIR *entries = opendir(path);
    if (entries == NULL) {
        return false;
    }
    for (const struct dirent *entry = readdir(entries); entry != NULL; entry = readdir(entries)) {
        *count += entry->d_name[0] != '.';
    }
    (void)closedir(entries);
    return true;
}

static void report_descriptors(const report_t *report, pid_t pid)
{
    unsigned count = 0;
    char text[16];
    bool known =
        pid == 0 ? os_backend_each_descriptor(NULL, count_descriptor, &count) == 0 : count_entries(pid, &count);
    (void)snprintf(text, sizeof(text), "%u", count);
    give(report, 0, "descriptors", known ? text : NULL);
}

static void report_ports(const report_t *report, const os_status_t *status)
{
    char text[32];
    bool low = os_capset_has(status->caps.effective, CAP_NET_BIND_SERVICE);
    unsigned first = low ? 1 : os_backend_first_free_port();
    (void)snprintf(text, sizeof(text), "%u-65535", first > 0 ? first : 1);
    give(report, 0, "bindable_ports", text);
}

static void report_process(report_t *report, pid_t pid, const os_status_t *status)
{
    char text[32];
    (void)snprintf(text, sizeof(text), "%ld", (long)status->tgid);
    give(report, 0, "pid", text);
    (void)snprintf(text, sizeof(text), "%u", status->threads);
    give(report, 0, "threads", status->threads > 0 ? text : NULL);
    collect(status, &report->first);
    for (size_t i = 0; i < FACTS; i++) {
        give(report, 0, fact_names[i], value_of(&report->first, i));
    }
    int securebits = pid == 0 ? prctl(PR_GET_SECUREBITS, 0, 0, 0, 0) : -1;
    (void)snprintf(text, sizeof(text), "0x%x", (unsigned)securebits);
    give(report, 0, "securebits", securebits >= 0 ? text : NULL);
    int dumpable = pid == 0 ? prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) : -1;
    (void)snprintf(text, sizeof(text), "%d", dumpable);
    give(report, 0, "dumpable", dumpable >= 0 ? text : NULL);
    report_link(report, pid, "root");
    report_link(report, pid, "cwd");
    report_descriptors(report, pid);
    report_ports(report, status);
}

int demit_identity_report(pid_t pid, void (*each)(void *baton, const demit_identity_fact_t *fact), void *baton)
{
    report_t report = {.each = each, .baton = baton};
    os_status_t status;
    pid = pid == getpid() ? 0 : pid;
    int code = os_status_of(pid, 0, &status);
    bool has_proc = code == 0;
    if (code == ENOENT && pid == 0) {
        code = os_status_of_caller(&status); /* a jail without /proc */
    }
    if (code != 0) {
        return code == ENOENT ? ESRCH : code;
    }
    report_process(&report, pid, &status);
    os_status_free(&status);
    return has_proc ? os_status_each_thread(pid, report_thread, &report) : 0;
}
