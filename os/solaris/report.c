/* What a process holds, fact by fact. Another one is asked for its credential: ucred_get(3C). */
#include "os/solaris/native.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucred.h>
#include <unistd.h>

enum { FACT_MAX = 1024 };

typedef struct report {
    void (*each)(void *baton, const demit_identity_fact_t *fact);
    void *baton;
    pid_t pid; /* 0: this process */
} report_t;

static void give(const report_t *report, const char *name, const char *value)
{
    demit_identity_fact_t fact = {.name = name, .value = value};
    report->each(report->baton, &fact);
}

static void report_number(const report_t *report, const char *name, unsigned long value, bool known)
{
    char text[24];
    (void)snprintf(text, sizeof(text), "%lu", value);
    give(report, name, known ? text : NULL);
}

static void report_triple(const report_t *report, const char *name, unsigned long real, unsigned long effective,
                          unsigned long saved)
{
    char text[80];
    (void)snprintf(text, sizeof(text), "%lu %lu %lu", real, effective, saved);
    give(report, name, text);
}

static void report_groups(const report_t *report, const ucred_t *credential)
{
    char list[FACT_MAX];
    const gid_t *ids = NULL;
    int count = ucred_getgroups(credential, &ids); /* ucred_get(3C) */
    os_groups_t groups = {.ids = calloc(count > 0 ? (size_t)count : 1, sizeof(gid_t))};
    if (count < 0 || groups.ids == NULL) {
        give(report, "groups", NULL);
    } else {
        if (count > 0) {
            memcpy(groups.ids, ids, (size_t)count * sizeof(*ids));
        }
        groups.count = (size_t)count;
        os_groups_sort(&groups);
        os_groups_format(&groups, list, sizeof(list));
        give(report, "groups", list);
    }
    free(groups.ids);
}

static void report_sets(const report_t *report, const ucred_t *credential)
{
    static const struct {
        os_set_t set;
        const char *fact;
    } facts[] = {
        {OS_SET_INHERITABLE, "priv_inheritable"},
        {OS_SET_PERMITTED, "priv_permitted"},
        {OS_SET_EFFECTIVE, "priv_effective"},
        {OS_SET_LIMIT, "priv_limit"},
    };
    for (size_t i = 0; i < sizeof(facts) / sizeof(facts[0]); i++) {
        const priv_set_t *set = ucred_getprivset(credential, os_set_name(facts[i].set)); /* ucred_get(3C) */
        char names[FACT_MAX];
        if (set != NULL) {
            os_set_format(set, names, sizeof(names));
        }
        give(report, facts[i].fact, set != NULL ? names : NULL);
    }
    report_number(report, "privilege_aware", ucred_getpflags(credential, PRIV_AWARE) != 0, true); /* ucred_get(3C) */
}

/* Where the links of /proc/PID/path lead: proc(5). */
static void report_link(const report_t *report, const char *name)
{
    char path[64], target[PATH_MAX];
    (void)snprintf(path, sizeof(path), "/proc/%ld/path/%s", (long)(report->pid != 0 ? report->pid : getpid()), name);
    ssize_t length = readlink(path, target, sizeof(target) - 1);
    if (length >= 0) {
        target[length] = '\0';
    }
    give(report, name, length >= 0 ? target : NULL);
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

static void report_descriptors(const report_t *report)
{
    unsigned count = 0;
    bool known = report->pid == 0 ? os_backend_each_descriptor(NULL, count_descriptor, &count) == 0
                                  : count_entries(report->pid, &count);
    report_number(report, "descriptors", count, known);
}

/* The extra ports of tcp_extra_priv_ports (ipadm(8)) are privileged as well. */
static void report_ports(const report_t *report, const ucred_t *credential)
{
    const priv_set_t *effective = ucred_getprivset(credential, PRIV_EFFECTIVE); /* ucred_get(3C) */
    const char *ports = NULL;
    if (effective != NULL) {
        ports = priv_ismember(effective, PRIV_NET_PRIVADDR) ? "1-65535" : "1024-65535";
    }
    give(report, "bindable_ports", ports);
}

static void report_credential(const report_t *report, const ucred_t *credential)
{
    unsigned threads = 0;
    bool counted = os_threads_of(report->pid, &threads) == 0;
    report_number(report, "pid", (unsigned long)(report->pid != 0 ? report->pid : getpid()), true);
    report_number(report, "threads", threads, counted);
    report_triple(report, "uid", ucred_getruid(credential), ucred_geteuid(credential), ucred_getsuid(credential));
    report_triple(report, "gid", ucred_getrgid(credential), ucred_getegid(credential), ucred_getsgid(credential));
    report_groups(report, credential);
    report_sets(report, credential);
    report_link(report, "root");
    report_link(report, "cwd");
    report_descriptors(report);
    report_ports(report, credential);
}

int demit_identity_report(pid_t pid, void (*each)(void *baton, const demit_identity_fact_t *fact), void *baton)
{
    const report_t report = {.each = each, .baton = baton, .pid = pid == getpid() ? 0 : pid};
    ucred_t *credential = ucred_get(report.pid != 0 ? report.pid : P_MYID); /* ucred_get(3C) */
    if (credential == NULL) {
        return errno;
    }
    report_credential(&report, credential);
    ucred_free(credential);
    return 0;
}
