/* What each privilege is good for, in the hands of demitd and of whoever takes it over: privileges(7). */
#include "os/solaris/native.h"

#include <errno.h>
#include <string.h>

typedef struct deed {
    const char *privilege, *what;
    bool as_good_as_root; /* who holds it can become root, or do all that root can, in a step or two */
} deed_t;

static const deed_t deeds[] = {
    {"contract_event", "asks for critical events of process contracts", false},
    {"contract_identity", "passes itself off as another service", false},
    {"contract_observer", "watches the process contracts of other users", false},
    {"cpc_cpu", "reads the counters of processors", false},
    {"dtrace_kernel", "runs programs in the kernel", true},
    {"dtrace_proc", "looks into other processes", true},
    {"dtrace_user", "traces its user's processes", false},
    {"file_chown", "makes any file one's own", true},
    {"file_chown_self", "gives its files away", false},
    {"file_dac_execute", "executes any file", true},
    {"file_dac_read", "reads any file, private keys and password hashes included", true},
    {"file_dac_search", "enters any directory", true},
    {"file_dac_write", "writes any file that is not root's", true},
    {"file_flag_set", "makes files immutable", false},
    {"file_owner", "changes the mode of any file", true},
    {"file_setid", "makes set-uid programs", true},
    {"ipc_dac_read", "reads any shared memory of System V", false},
    {"ipc_dac_write", "writes any shared memory of System V", false},
    {"ipc_owner", "changes the owner of shared memory of System V", false},
    {"net_bindmlp", "binds multi-level ports", false},
    {"net_icmpaccess", "sends and receives ICMP packets", false},
    {"net_mac_aware", "talks to hosts without a label", false},
    {"net_observability", "reads the traffic of its zone", false},
    {"net_privaddr", "binds every port", false},
    {"net_rawaccess", "sends and receives raw packets, and so reads and forges other programs' traffic", false},
    {"proc_audit", "writes records into the audit trail", false},
    {"proc_chroot", "changes its root directory, and so leaves a chroot", false},
    {"proc_clock_highres", "uses timers of high resolution", false},
    {"proc_lock_memory", "locks memory without limit", false},
    {"proc_owner", "takes over other processes", true},
    {"proc_priocntl", "takes processor time from other processes", false},
    {"proc_setid", "becomes any user", true},
    {"proc_taskid", "moves itself to another task", false},
    {"proc_zone", "reaches into other zones", true},
    {"sys_acct", "switches process accounting", false},
    {"sys_admin", "administers the system", true},
    {"sys_audit", "switches auditing off", false},
    {"sys_config", "changes what the kernel runs on", true},
    {"sys_devices", "reads and writes devices", true},
    {"sys_dl_config", "changes data links", false},
    {"sys_ip_config", "changes interfaces, addresses and routes", false},
    {"sys_ipc_config", "enlarges message queues of System V", false},
    {"sys_linkdir", "links directories", true},
    {"sys_mount", "mounts", true},
    {"sys_net_config", "changes interfaces, addresses, routes and data links", false},
    {"sys_nfs", "binds the ports of NFS", false},
    {"sys_res_config", "takes processors from other processes", false},
    {"sys_resource", "exceeds limits and reserved disk space", false},
    {"sys_smb", "binds the ports of SMB", false},
    {"sys_suser_compat", "is root to drivers that ask for uid 0", true},
    {"sys_time", "sets the clock", false},
};

static const deed_t *find_deed(const char *privilege)
{
    for (size_t i = 0; i < sizeof(deeds) / sizeof(deeds[0]); i++) {
        if (strcmp(deeds[i].privilege, privilege) == 0) {
            return &deeds[i];
        }
    }
    return NULL;
}

static void tell_power(const char *name, void (*each)(void *baton, const os_kept_power_t *power), void *baton)
{
    const deed_t *deed = find_deed(name);
    const os_kept_power_t power = {
        .name = name,
        .deed = deed != NULL ? deed->what : "is not known to this program: see privileges(7)",
        .remedy = "take it out of Privileges",
        .as_good_as_root = deed == NULL || deed->as_good_as_root,
        .binds_low = strcmp(name, PRIV_NET_PRIVADDR) == 0,
    };
    each(baton, &power);
}

/* The basic set is what every process has, and no power. */
void os_backend_each_power(const demit_identity_t *identity, void (*each)(void *baton, const os_kept_power_t *power),
                           void *baton)
{
    const os_kept_power_t root = {.name = "root",
                                  .deed = "does everything",
                                  .remedy = "let user name an account that is not root",
                                  .as_good_as_root = true,
                                  .binds_low = true};
    priv_set_t *basic = identity->native->trims ? priv_str_to_set("basic", ",", NULL) : NULL; /* priv_str_to_set(3C) */
    if (basic == NULL) {
        each(baton, &root);
        return;
    }
    for (int i = 0; priv_getbynum(i) != NULL; i++) { /* priv_getbynum(3C) */
        const char *name = priv_getbynum(i);
        if (priv_ismember(identity->native->held[OS_SET_PERMITTED], name) && !priv_ismember(basic, name)) {
            tell_power(name, each, baton);
        }
    }
    priv_freeset(basic);
}

void os_powers_warn(const priv_set_t *set, const demit_identity_t *identity, const os_sink_t *warnings)
{
    if (priv_isfullset(set)) {
        os_tell(warnings,
                "Privileges keeps every privilege (all), which is as good as root: nothing is let go of; name "
                "those that are needed");
        return;
    }
    for (size_t i = 0; i < sizeof(deeds) / sizeof(deeds[0]); i++) {
        /* One that this system does not know is no member: priv_ismember(3C). */
        if (deeds[i].as_good_as_root && priv_ismember(set, deeds[i].privilege)) {
            os_tell(warnings, "Privileges keeps %s, which is as good as root: it %s", deeds[i].privilege,
                    deeds[i].what);
        }
    }
    if (identity->jail != NULL && priv_ismember(set, PRIV_PROC_CHROOT)) {
        os_tell(warnings, "Privileges keeps proc_chroot, with which a process leaves its chroot");
    }
}

/* ---- ports, programs, processes ---- */

/* tcp_smallest_nonpriv_port of ipadm(8), unless an administrator changed it; no call tells that. */
unsigned os_backend_first_free_port(void)
{
    return 1024;
}

unsigned demit_identity_lowest_port(const demit_identity_t *identity)
{
    return priv_ismember(identity->native->held[OS_SET_EFFECTIVE], PRIV_NET_PRIVADDR) ? 1
                                                                                      : os_backend_first_free_port();
}

const char *demit_os_low_port_advice(void)
{
    return "Privileges = \"basic net_privaddr\" in Security and a restart would keep it";
}

/*
 * A program starts with what is inheritable, which is nothing, and root's set-uid bit is not honoured unless the limit
 * set has all of the "unsafe" privileges: privileges(7).
 */
bool os_backend_exec_gains(const demit_identity_t *identity)
{
    const priv_set_t *limit = identity->native->held[OS_SET_LIMIT];
    return !identity->native->trims || (priv_ismember(limit, PRIV_PROC_SETID) && priv_ismember(limit, "proc_audit") &&
                                        priv_ismember(limit, "sys_resource"));
}

/* /proc tells the saved uid of others to their owner alone: proc(5). */
int os_backend_count_processes(uid_t uid, unsigned *count)
{
    (void)uid, (void)count;
    return ENOTSUP;
}
