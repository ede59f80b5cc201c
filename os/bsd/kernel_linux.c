/*
 * Linux under the plain setuid back end, which is there to be tested. No capability, no no_new_privs; only what the
 * contract cannot do without: counting threads, closing descriptors, naming threads. Peers and user namespaces are
 * os/linux's.
 */
#include "os/bsd/kernel.h"
#include "os/linux/namespace.h"

#include <errno.h>
#include <grp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

const os_kernel_t os_kernel = {.name = "Linux"};

const os_step_t os_backend_steps[] = {OS_STEPS_CHECKS, OS_STEPS_IDS, OS_STEPS_PROOFS};
const size_t os_backend_step_count = sizeof(os_backend_steps) / sizeof(os_backend_steps[0]);

int os_backend_set_groups(const gid_t *groups, size_t count, gid_t gid)
{
    (void)gid;
    return setgroups(count, groups) == 0 ? 0 : errno;
}

/* ---- /proc/PID/status: proc(5) ---- */

/* The next number of LINE from *AT on. */
static bool next_number(const char **at, unsigned long *number)
{
    char *end = NULL;
    *number = strtoul(*at, &end, 10);
    bool found = end != *at;
    *at = end;
    return found;
}

/* Real, effective, saved; a fourth, the file system's, follows the effective one here: nothing sets it. */
static void read_ids(const char *at, uint32_t ids[3])
{
    unsigned long number = 0;
    for (size_t i = 0; i < 3 && next_number(&at, &number); i++) {
        ids[i] = (uint32_t)number;
    }
}

static int read_groups(const char *at, os_process_t *process)
{
    enum { GROUPS_MAX = 1 << 10 };
    gid_t groups[GROUPS_MAX];
    int count = 0;
    unsigned long number = 0;
    while (next_number(&at, &number)) {
        if (count < GROUPS_MAX) {
            groups[count] = (gid_t)number;
        }
        count++;
    }
    free(process->groups.ids);
    return os_process_groups(process, groups, count, GROUPS_MAX);
}

static int read_line(const char *line, os_process_t *process)
{
    if (strncmp(line, "Uid:", 4) == 0) {
        read_ids(line + 4, process->ids.uid);
    } else if (strncmp(line, "Gid:", 4) == 0) {
        read_ids(line + 4, process->ids.gid);
    } else if (strncmp(line, "Threads:", 8) == 0) {
        process->threads = (unsigned)strtoul(line + 8, NULL, 10);
    } else if (strncmp(line, "Groups:", 7) == 0) {
        return read_groups(line + 7, process);
    }
    return 0;
}

int os_kernel_read_process(pid_t pid, os_process_t *process)
{
    char path[64], *line = NULL;
    size_t room = 0;
    (void)snprintf(path, sizeof(path), "/proc/%ld/status", (long)pid);
    FILE *status = fopen(path, "re");
    if (status == NULL) {
        return errno == ENOENT && access("/proc/self/status", F_OK) == 0 ? ESRCH : errno;
    }
    int code = 0;
    while (code == 0 && getline(&line, &room, status) >= 0) {
        code = read_line(line, process);
    }
    free(line);
    (void)fclose(status);
    return code == 0 && process->threads == 0 ? EPROTO : code;
}

int os_backend_count_threads(const demit_identity_t *identity, unsigned *count)
{
    (void)identity;
    os_process_t process = {0};
    int code = os_kernel_read_process(getpid(), &process);
    free(process.groups.ids);
    *count = process.threads;
    return code;
}

int os_backend_close_from(int first)
{
    /* By number: glibc has the wrapper since 2.34, musl has none. */
    if (syscall(SYS_close_range, (unsigned)first, ~0U, 0U) == 0) {
        return 0;
    }
    long end = sysconf(_SC_OPEN_MAX);
    for (int fd = first; fd < end; fd++) {
        (void)close(fd);
    }
    return 0;
}

int os_backend_deny_tracing(void)
{
    return prctl(PR_SET_DUMPABLE, 0UL, 0, 0, 0) == 0 ? 0 : errno;
}

bool os_backend_denies_groups(void)
{
    return os_namespace_denies_setgroups();
}

unsigned os_backend_first_free_port(void)
{
    FILE *setting = fopen("/proc/sys/net/ipv4/ip_unprivileged_port_start", "re");
    unsigned port = 1024;
    char line[16];
    if (setting == NULL) {
        return port;
    }
    if (fgets(line, sizeof(line), setting) != NULL) {
        port = (unsigned)strtoul(line, NULL, 10);
    }
    (void)fclose(setting);
    return port;
}

void demit_os_name_thread(const char *name)
{
    char cut[16]; /* what the kernel keeps, its end included */
    (void)snprintf(cut, sizeof(cut), "%s", name);
    (void)pthread_setname_np(pthread_self(), cut);
}
