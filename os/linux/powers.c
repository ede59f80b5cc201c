/* What each capability is good for, in the hands of demitd and of whoever takes it over: capabilities(7). */
#include "os/linux/native.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/capability.h>
#include <unistd.h>

typedef struct deed {
    int capability;
    const char *what;
    bool as_good_as_root; /* who holds it can become root, or do all that root can, in a step or two */
} deed_t;

static const deed_t deeds[] = {
    {CAP_CHOWN, "makes any file one's own", true},
    {CAP_DAC_OVERRIDE, "writes any file", true},
    {CAP_DAC_READ_SEARCH, "reads any file, private keys and password hashes included", true},
    {CAP_FOWNER, "changes the mode of any file", true},
    {CAP_FSETID, "keeps set-user-ID bits of files that it changes", false},
    {CAP_KILL, "signals any process", false},
    {CAP_SETGID, "joins any group", true},
    {CAP_SETUID, "becomes any user, root included", true},
    {CAP_SETPCAP, "widens what its children may inherit", false},
    {CAP_LINUX_IMMUTABLE, "changes files that are marked immutable", false},
    {CAP_NET_BIND_SERVICE, "binds every port", false},
    {CAP_NET_BROADCAST, "sends to all hosts of a network", false},
    {CAP_NET_ADMIN, "changes interfaces, addresses, routes and firewall rules", false},
    {CAP_NET_RAW, "sends and receives raw packets, and so reads and forges other programs' traffic", false},
    {CAP_IPC_LOCK, "locks memory without limit", false},
    {CAP_IPC_OWNER, "reads and writes any shared memory of System V", false},
    {CAP_SYS_MODULE, "loads code into the kernel", true},
    {CAP_SYS_RAWIO, "reads and writes memory and devices", true},
    {CAP_SYS_CHROOT, "changes its root directory, and so leaves a chroot", false},
    {CAP_SYS_PTRACE, "takes over other processes", true},
    {CAP_SYS_PACCT, "switches process accounting", false},
    {CAP_SYS_ADMIN, "mounts, and much more", true},
    {CAP_SYS_BOOT, "restarts the host or starts another kernel", false},
    {CAP_SYS_NICE, "takes processor time and memory from other processes", false},
    {CAP_SYS_RESOURCE, "exceeds limits, quotas and reserved disk space", false},
    {CAP_SYS_TIME, "sets the clock", false},
    {CAP_SYS_TTY_CONFIG, "hangs up terminals", false},
    {CAP_MKNOD, "makes device files", true},
    {CAP_LEASE, "holds up the opening of any file", false},
    {CAP_AUDIT_WRITE, "writes records into the audit log", false},
    {CAP_AUDIT_CONTROL, "switches auditing off", false},
    {CAP_SETFCAP, "gives capabilities to programs", true},
    {CAP_MAC_OVERRIDE, "is above mandatory access control", true},
    {CAP_MAC_ADMIN, "rewrites mandatory access control", true},
    {CAP_SYSLOG, "reads the kernel's log and addresses", false},
    {CAP_WAKE_ALARM, "wakes the host up", false},
    {CAP_BLOCK_SUSPEND, "keeps the host from sleeping", false},
    {CAP_AUDIT_READ, "reads the audit log", false},
    {CAP_PERFMON, "watches what other processes do", false},
    {CAP_BPF, "runs programs in the kernel", true},
    {CAP_CHECKPOINT_RESTORE, "chooses process ids and reads other processes' maps", false},
};

static const deed_t *find_deed(int capability)
{
    for (size_t i = 0; i < sizeof(deeds) / sizeof(deeds[0]); i++) {
        if (deeds[i].capability == capability) {
            return &deeds[i];
        }
    }
    return NULL;
}

void os_backend_each_power(const demit_identity_t *identity, void (*each)(void *baton, const os_kept_power_t *power),
                           void *baton)
{
    const os_kept_power_t root = {.name = "root",
                                  .deed = "does everything",
                                  .remedy = "let user name an account that is not root",
                                  .as_good_as_root = true,
                                  .binds_low = true};
    if (identity->native->keeps_everything) {
        each(baton, &root);
        return;
    }
    for (int c = 0; c < cap_max_bits(); c++) {
        char name[64];
        if (!os_capset_has(identity->native->caps.permitted, c)) {
            continue;
        }
        os_capability_name(c, name, sizeof(name));
        const deed_t *deed = find_deed(c);
        const os_kept_power_t power = {
            .name = name,
            .deed = deed != NULL ? deed->what : "is newer than this program: see capabilities(7)",
            .remedy = "take it out of Capabilities",
            .as_good_as_root = deed == NULL || deed->as_good_as_root,
            .binds_low = c == CAP_NET_BIND_SERVICE,
        };
        each(baton, &power);
    }
}

void os_powers_warn(const os_caps_t *caps, const demit_identity_t *identity, const os_sink_t *warnings)
{
    for (size_t i = 0; i < sizeof(deeds) / sizeof(deeds[0]); i++) {
        char name[64];
        if (deeds[i].as_good_as_root && os_capset_has(caps->permitted, deeds[i].capability)) {
            os_capability_name(deeds[i].capability, name, sizeof(name));
            os_tell(warnings, "Capabilities keeps %s, which is as good as root: it %s", name, deeds[i].what);
        }
    }
    if (identity->jail != NULL && os_capset_has(caps->permitted, CAP_SYS_CHROOT)) {
        os_tell(warnings, "Capabilities keeps cap_sys_chroot, with which a process leaves its chroot");
    }
}

/* ---- processes ---- */

int os_backend_count_processes(uid_t uid, unsigned *count)
{
    int fd = -1;
    const int code = os_proc_open("/proc", O_DIRECTORY, &fd);
    DIR *entries = code == 0 ? fdopendir(fd) : NULL;
    if (entries == NULL) {
        const int why = code != 0 ? code : errno;
        if (fd >= 0) {
            (void)close(fd);
        }
        return why;
    }
    *count = 0;
    for (const struct dirent *entry = readdir(entries); entry != NULL; entry = readdir(entries)) {
        os_status_t status;
        const long pid = strtol(entry->d_name, NULL, 10);
        /* One that ended meanwhile is passed over. */
        if (pid > 0 && os_status_of((pid_t)pid, 0, &status) == 0) {
            *count += status.uid[0] == uid || status.uid[2] == uid;
            os_status_free(&status);
        }
    }
    (void)closedir(entries);
    return 0;
}
