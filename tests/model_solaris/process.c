/* The sets of processes, by the rules of privileges(7) and setppriv(2). */
#include "tests/model_solaris/model.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <zone.h>

/* The kernel's table of processes, shared by all that descend from the first of them. */
enum { SLOTS = 4096 };
static model_credential_t *table;
static model_credential_t own;
/* The capabilities that the first process had: those of one that holds every privilege. */
static uint64_t all_capabilities;

__attribute__((constructor)) static void make_table(void)
{
    table = mmap(NULL, SLOTS * sizeof(*table), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (table == MAP_FAILED) {
        abort();
    }
}

/* ---- capabilities ---- */

static uint64_t capabilities_now(void)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{0}};
    if (syscall(SYS_capget, &header, data) != 0) {
        abort();
    }
    return (uint64_t)data[1].permitted << 32 | data[0].permitted;
}

static void set_capabilities(uint64_t permitted, uint64_t effective)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{0}};
    for (size_t i = 0; i < 2; i++) {
        data[i].permitted = (uint32_t)(permitted >> 32 * i);
        data[i].effective = (uint32_t)(effective >> 32 * i);
    }
    if (syscall(SYS_capset, &header, data) != 0) {
        model_conflict("capset");
    }
}

static const struct {
    const char *privilege;
    int capability;
} counterparts[] = {
    {"file_chown", CAP_CHOWN},
    {"file_dac_read", CAP_DAC_READ_SEARCH},
    {"file_dac_search", CAP_DAC_READ_SEARCH},
    {"file_dac_write", CAP_DAC_OVERRIDE},
    {"file_owner", CAP_FOWNER},
    {"file_setid", CAP_FSETID},
    {"net_privaddr", CAP_NET_BIND_SERVICE},
    {"net_rawaccess", CAP_NET_RAW},
    {"proc_chroot", CAP_SYS_CHROOT},
    {"proc_owner", CAP_KILL},
    {"proc_owner", CAP_SYS_PTRACE},
    {"proc_setid", CAP_SETGID},
    {"proc_setid", CAP_SETUID},
    {"sys_mount", CAP_SYS_ADMIN},
    {"sys_net_config", CAP_NET_ADMIN},
    {"sys_resource", CAP_SYS_RESOURCE},
    {"sys_time", CAP_SYS_TIME},
};

static uint64_t capabilities_for(const priv_set_t *set)
{
    if (priv_isfullset(set)) {
        return all_capabilities;
    }
    uint64_t capabilities = 0;
    for (size_t i = 0; i < sizeof(counterparts) / sizeof(counterparts[0]); i++) {
        if (priv_ismember(set, counterparts[i].privilege)) {
            capabilities |= UINT64_C(1) << counterparts[i].capability;
        }
    }
    return capabilities & all_capabilities;
}

void model_conflict(const char *call)
{
    (void)dprintf(STDERR_FILENO, "the model of Solaris allows %s, and the Linux kernel says: %s\n", call,
                  strerror(errno));
    abort();
}

/* prctl(2), by number: tests lead libc's through themselves. */
static void set_of_kernel(unsigned long option, unsigned long value)
{
    if (syscall(SYS_prctl, option, value, 0UL, 0UL, 0UL) != 0) {
        model_conflict("prctl");
    }
}

void model_apply(void)
{
    priv_set_t permitted = model_observed_now(MODEL_PERMITTED), effective = model_observed_now(MODEL_EFFECTIVE);
    uint64_t held = capabilities_now(), wanted = capabilities_for(&permitted) & held;
    /* Or Linux would do with the capabilities at a change of ids what Linux does. */
    long securebits = syscall(SYS_prctl, PR_GET_SECUREBITS, 0UL, 0UL, 0UL, 0UL);
    if ((held >> CAP_SETPCAP & 1U) != 0 && (securebits & SECBIT_NO_SETUID_FIXUP) == 0) {
        set_of_kernel(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP);
    }
    set_capabilities(wanted, capabilities_for(&effective) & wanted);
    table[own.pid % SLOTS] = own;
}

/* ---- credentials ---- */

/* As init starts everything: I = P = E = basic, L = all. Uid 0 is observed as more. */
static void start_from_nothing(void)
{
    priv_set_t *basic = priv_str_to_set("basic", ",", NULL);
    if (basic == NULL) {
        abort();
    }
    all_capabilities = capabilities_now();
    for (int i = 0; i < MODEL_SETS; i++) {
        own.sets[i] = *basic;
    }
    priv_fillset(&own.sets[MODEL_LIMIT]);
    priv_freeset(basic);
}

model_credential_t *model_own(void)
{
    if (own.pid != getpid()) {
        bool first = !own.known;
        own.pid = getpid();
        own.known = true;
        if (first) {
            priv_fillset(&own.zone_set);
            start_from_nothing();
        }
        table[own.pid % SLOTS] = own;
    }
    return &own;
}

const model_credential_t *model_of(pid_t pid)
{
    const model_credential_t *found = &table[pid % SLOTS];
    return found->pid == pid ? found : NULL;
}

int model_set_number(const char *name)
{
    static const char *const names[MODEL_SETS] = {PRIV_EFFECTIVE, PRIV_PERMITTED, PRIV_INHERITABLE, PRIV_LIMIT};
    for (int i = 0; i < MODEL_SETS; i++) {
        if (strcasecmp(name, names[i]) == 0) {
            return i;
        }
    }
    return -1;
}

/* privileges(7): oE = euid == 0 ? L : iE; oP = (euid == 0 || ruid == 0 || suid == 0) ? L : iP */
struct priv_set model_observed(const model_credential_t *credential, int which, const uid_t uids[3])
{
    bool any_is_root = uids[0] == 0 || uids[1] == 0 || uids[2] == 0;
    bool follows_ids =
        !credential->aware && ((which == MODEL_EFFECTIVE && uids[1] == 0) || (which == MODEL_PERMITTED && any_is_root));
    return credential->sets[follows_ids ? MODEL_LIMIT : which];
}

struct priv_set model_observed_now(int which)
{
    uid_t uids[3] = {0};
    const model_credential_t *credential = model_own();
    (void)getresuid(&uids[0], &uids[1], &uids[2]);
    return model_observed(credential, which, uids);
}

bool model_has(const char *name)
{
    priv_set_t effective = model_observed_now(MODEL_EFFECTIVE);
    return priv_ismember(&effective, name);
}

bool model_has_all(void)
{
    priv_set_t effective = model_observed_now(MODEL_EFFECTIVE);
    return priv_issubset(&model_own()->zone_set, &effective);
}

zoneid_t getzoneid(void)
{
    return (zoneid_t)model_own()->zone;
}

/* ---- setppriv(2) and its like ---- */

/* privileges(7): iE = oE, iP = oP */
static void become_aware(void)
{
    priv_set_t effective = model_observed_now(MODEL_EFFECTIVE), permitted = model_observed_now(MODEL_PERMITTED);
    own.sets[MODEL_EFFECTIVE] = effective;
    own.sets[MODEL_PERMITTED] = permitted;
    own.aware = true;
}

static bool may_raise(int which, const priv_set_t *set)
{
    priv_set_t permitted = model_observed_now(MODEL_PERMITTED), effective = model_observed_now(MODEL_EFFECTIVE);
    priv_set_t now = model_observed_now(which);
    if (which == MODEL_LIMIT) {
        return priv_issubset(set, &own.sets[MODEL_LIMIT]);
    }
    return priv_issubset(set, &permitted) || priv_issubset(set, &now) ||
           (which == MODEL_INHERITABLE && priv_issubset(set, &own.sets[MODEL_LIMIT]) && priv_issubset(set, &effective));
}

static void change(priv_op_t op, priv_set_t *target, const priv_set_t *set)
{
    switch (op) {
    case PRIV_ON:
        priv_union(set, target);
        break;
    case PRIV_OFF:
        target->bits[0] &= ~set->bits[0];
        target->bits[1] &= ~set->bits[1];
        break;
    case PRIV_SET:
        *target = *set;
        break;
    }
}

int setppriv(priv_op_t op, priv_ptype_t type, const priv_set_t *set)
{
    int which = model_set_number(type);
    (void)model_own();
    if (which < 0) {
        errno = EINVAL;
        return -1;
    }
    if (op != PRIV_OFF && !may_raise(which, set)) {
        errno = EPERM;
        return -1;
    }
    if (which != MODEL_INHERITABLE && !own.aware) {
        become_aware();
    }
    change(op, &own.sets[which], set);
    if (which == MODEL_PERMITTED) {
        priv_intersect(&own.sets[MODEL_PERMITTED], &own.sets[MODEL_EFFECTIVE]);
    }
    model_apply();
    return 0;
}

int getppriv(priv_ptype_t type, priv_set_t *set)
{
    int which = model_set_number(type);
    if (which < 0) {
        errno = EINVAL;
        return -1;
    }
    *set = model_observed_now(which);
    return 0;
}

boolean_t priv_ineffect(const char *name)
{
    return model_has(name) ? B_TRUE : B_FALSE;
}

/* privileges(7): if any uid is 0, P must be L; if the effective one is, E must be L. Then iE and iP become L & I. */
static bool give_up_awareness(void)
{
    uid_t uids[3] = {0};
    (void)getresuid(&uids[0], &uids[1], &uids[2]);
    bool any_is_root = uids[0] == 0 || uids[1] == 0 || uids[2] == 0;
    if ((any_is_root && !priv_isequalset(&own.sets[MODEL_PERMITTED], &own.sets[MODEL_LIMIT])) ||
        (uids[1] == 0 && !priv_isequalset(&own.sets[MODEL_EFFECTIVE], &own.sets[MODEL_LIMIT]))) {
        return false;
    }
    if (uids[1] == 0) {
        own.sets[MODEL_EFFECTIVE] = own.sets[MODEL_LIMIT];
        priv_intersect(&own.sets[MODEL_INHERITABLE], &own.sets[MODEL_EFFECTIVE]);
    }
    if (any_is_root) {
        own.sets[MODEL_PERMITTED] = own.sets[MODEL_LIMIT];
        priv_intersect(&own.sets[MODEL_INHERITABLE], &own.sets[MODEL_PERMITTED]);
    }
    own.aware = false;
    return true;
}

int setpflags(uint_t flag, uint_t value)
{
    (void)model_own();
    if ((flag != PRIV_AWARE && flag != __PROC_PROTECT) || value > 1) {
        errno = EINVAL;
        return -1;
    }
    if (flag == __PROC_PROTECT) {
        set_of_kernel(PR_SET_DUMPABLE, value == 0 ? 1UL : 0UL);
        return 0;
    }
    if (value == 1 && !own.aware) {
        become_aware();
    } else if (value == 0 && own.aware && !give_up_awareness()) {
        errno = EPERM;
        return -1;
    }
    model_apply();
    return 0;
}

uint_t getpflags(uint_t flag)
{
    return flag == PRIV_AWARE && model_own()->aware ? 1 : 0;
}

/* ---- the world around ---- */

void model_exec(void)
{
    (void)model_own();
    if (own.aware) {
        (void)give_up_awareness();
    }
    priv_intersect(&own.sets[MODEL_LIMIT], &own.sets[MODEL_INHERITABLE]);
    own.sets[MODEL_EFFECTIVE] = own.sets[MODEL_PERMITTED] = own.sets[MODEL_INHERITABLE];
    model_apply();
}

static priv_set_t set_of(const char *text)
{
    priv_set_t *set = priv_str_to_set(text, " ,", NULL);
    if (set == NULL) {
        abort();
    }
    priv_set_t copy = *set;
    priv_freeset(set);
    return copy;
}

void model_enter_zone(int id, const char *text)
{
    model_own()->zone = id;
    own.zone_set = own.sets[MODEL_LIMIT] = set_of(text);
    for (int i = 0; i < MODEL_LIMIT; i++) {
        priv_intersect(&own.sets[MODEL_LIMIT], &own.sets[i]);
    }
    model_apply();
}

void model_start_as(uid_t uid, gid_t gid, const char *privileges, const char *limit)
{
    (void)model_own();
    if (setgroups(0, NULL) != 0 || setgid(gid) != 0) {
        abort();
    }
    priv_set_t wanted = set_of(privileges);
    become_aware();
    own.sets[MODEL_INHERITABLE] = wanted;
    own.sets[MODEL_LIMIT] = set_of(limit);
    if (setuid(uid) != 0) {
        abort();
    }
    model_exec();
}
