/* Sets and their texts: priv_addset(3C), priv_str_to_set(3C). No process is concerned. */
#include "tests/model_solaris/model.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* privileges(7) of illumos. */
static const char *const names[] = {
    "contract_event", "contract_identity", "contract_observer",  "cpc_cpu",           "dtrace_kernel",
    "dtrace_proc",    "dtrace_user",       "file_chown",         "file_chown_self",   "file_dac_execute",
    "file_dac_read",  "file_dac_search",   "file_dac_write",     "file_downgrade_sl", "file_flag_set",
    "file_link_any",  "file_owner",        "file_read",          "file_setid",        "file_upgrade_sl",
    "file_write",     "graphics_access",   "graphics_map",       "hyprlofs_control",  "ipc_dac_read",
    "ipc_dac_write",  "ipc_owner",         "net_access",         "net_bindmlp",       "net_icmpaccess",
    "net_mac_aware",  "net_mac_implicit",  "net_observability",  "net_privaddr",      "net_rawaccess",
    "proc_audit",     "proc_chroot",       "proc_clock_highres", "proc_exec",         "proc_fork",
    "proc_info",      "proc_lock_memory",  "proc_meminfo",       "proc_owner",        "proc_priocntl",
    "proc_prioup",    "proc_secflags",     "proc_session",       "proc_setid",        "proc_taskid",
    "proc_zone",      "sys_acct",          "sys_admin",          "sys_audit",         "sys_config",
    "sys_devices",    "sys_dl_config",     "sys_flow_config",    "sys_fs_import",     "sys_ip_config",
    "sys_ipc_config", "sys_iptun_config",  "sys_linkdir",        "sys_mount",         "sys_net_config",
    "sys_nfs",        "sys_ppp_config",    "sys_res_bind",       "sys_res_config",    "sys_resource",
    "sys_smb",        "sys_suser_compat",  "sys_time",           "sys_trans_label",   "virt_manage",
    "win_colormap",   "win_config",        "win_dac_read",       "win_dac_write",     "win_devices",
    "win_dga",        "win_downgrade_sl",  "win_fontpath",       "win_mac_read",      "win_mac_write",
    "win_selection",  "win_upgrade_sl",    "xvm_control",
};
enum { NAMES = sizeof(names) / sizeof(names[0]) };

/* privileges(7): "are considered basic privileges". */
static const char *const basic_names[] = {"file_link_any", "file_read", "file_write", "net_access",
                                          "proc_exec",     "proc_fork", "proc_info",  "proc_session"};

priv_set_t *priv_allocset(void)
{
    return calloc(1, sizeof(priv_set_t));
}

void priv_freeset(priv_set_t *set)
{
    free(set);
}

void priv_emptyset(priv_set_t *set)
{
    *set = (priv_set_t){{0, 0}};
}

void priv_fillset(priv_set_t *set)
{
    *set = (priv_set_t){{UINT64_MAX, UINT64_MAX}};
}

void priv_copyset(const priv_set_t *source, priv_set_t *target)
{
    *target = *source;
}

void priv_intersect(const priv_set_t *source, priv_set_t *target)
{
    target->bits[0] &= source->bits[0];
    target->bits[1] &= source->bits[1];
}

void priv_union(const priv_set_t *source, priv_set_t *target)
{
    target->bits[0] |= source->bits[0];
    target->bits[1] |= source->bits[1];
}

int priv_getbyname(const char *name)
{
    for (int i = 0; i < NAMES; i++) {
        if (strcasecmp(names[i], strncasecmp(name, "priv_", 5) == 0 ? name + 5 : name) == 0) {
            return i;
        }
    }
    errno = EINVAL;
    return -1;
}

const char *priv_getbynum(int number)
{
    if (number < 0 || number >= NAMES) {
        errno = EINVAL;
        return NULL;
    }
    return names[number];
}

int priv_addset(priv_set_t *set, const char *name)
{
    int number = priv_getbyname(name);
    if (number >= 0) {
        set->bits[number / 64] |= UINT64_C(1) << number % 64;
    }
    return number >= 0 ? 0 : -1;
}

int priv_delset(priv_set_t *set, const char *name)
{
    int number = priv_getbyname(name);
    if (number >= 0) {
        set->bits[number / 64] &= ~(UINT64_C(1) << number % 64);
    }
    return number >= 0 ? 0 : -1;
}

static bool has_number(const priv_set_t *set, int number)
{
    return (set->bits[number / 64] >> number % 64 & 1U) != 0;
}

boolean_t priv_ismember(const priv_set_t *set, const char *name)
{
    int number = priv_getbyname(name);
    return number >= 0 && has_number(set, number) ? B_TRUE : B_FALSE;
}

boolean_t priv_isemptyset(const priv_set_t *set)
{
    return (set->bits[0] | set->bits[1]) == 0 ? B_TRUE : B_FALSE;
}

boolean_t priv_isfullset(const priv_set_t *set)
{
    return (set->bits[0] & set->bits[1]) == UINT64_MAX ? B_TRUE : B_FALSE;
}

boolean_t priv_isequalset(const priv_set_t *one, const priv_set_t *other)
{
    return one->bits[0] == other->bits[0] && one->bits[1] == other->bits[1] ? B_TRUE : B_FALSE;
}

boolean_t priv_issubset(const priv_set_t *part, const priv_set_t *whole)
{
    return ((part->bits[0] & ~whole->bits[0]) | (part->bits[1] & ~whole->bits[1])) == 0 ? B_TRUE : B_FALSE;
}

/* ---- texts ---- */

static priv_set_t basic_set(void)
{
    priv_set_t set = {{0, 0}};
    for (size_t i = 0; i < sizeof(basic_names) / sizeof(basic_names[0]); i++) {
        (void)priv_addset(&set, basic_names[i]);
    }
    return set;
}

/* One word of a text. False: it means nothing. */
static bool add_word(priv_set_t *set, const char *word)
{
    priv_set_t basic = basic_set();
    if (strcasecmp(word, "basic") == 0) {
        priv_union(&basic, set);
    } else if (strcasecmp(word, "none") == 0) {
        priv_emptyset(set);
    } else if (strcasecmp(word, "all") == 0) {
        priv_fillset(set);
    } else if (strcasecmp(word, "zone") == 0) {
        priv_union(&model_own()->zone_set, set);
    } else if (word[0] == '-' || word[0] == '!') {
        return priv_delset(set, word + 1) == 0;
    } else {
        return priv_addset(set, word) == 0;
    }
    return true;
}

priv_set_t *priv_str_to_set(const char *text, const char *separators, const char **end)
{
    priv_set_t *set = priv_allocset();
    if (end != NULL) {
        *end = NULL;
    }
    if (set == NULL) {
        return NULL;
    }
    for (const char *at = text + strspn(text, separators); *at != '\0'; at += strspn(at, separators)) {
        size_t length = strcspn(at, separators);
        char *word = strndup(at, length);
        bool known = word != NULL && add_word(set, word);
        free(word);
        if (!known) {
            priv_freeset(set);
            if (end != NULL) {
                *end = at;
            }
            errno = EINVAL;
            return NULL;
        }
        at += length;
    }
    return set;
}

/* The privileges of SET that BASE lacks, then with '!' those of BASE that SET lacks. */
static void append_difference(char *text, const priv_set_t *set, const priv_set_t *base, char separator)
{
    for (int i = 0; i < NAMES; i++) {
        bool in_set = has_number(set, i), in_base = has_number(base, i);
        if (in_set != in_base) {
            const char mark[] = {text[0] != '\0' ? separator : '\0', '\0'};
            strcat(text, mark);
            strcat(text, in_base ? "!" : "");
            strcat(text, names[i]);
        }
    }
}

/* "basic" or "all" where that is shorter, as PRIV_STR_SHORT has it. */
char *priv_set_to_str(const priv_set_t *set, char separator, int flag)
{
    enum { LONGEST = 4096, FORMS = 3 };
    priv_set_t none = {{0, 0}}, all = {{UINT64_MAX, UINT64_MAX}}, basic = basic_set();
    const struct {
        const char *word;
        const priv_set_t *base;
    } forms[FORMS] = {{"", &none}, {"basic", &basic}, {"all", &all}};
    char *shortest = NULL;
    for (size_t i = 0; i < FORMS; i++) {
        char text[LONGEST] = "";
        strcat(text, forms[i].word);
        append_difference(text, set, forms[i].base, separator);
        bool chosen = (flag == PRIV_STR_LIT && i == 0) || (flag == PRIV_STR_PORT && i == 1) ||
                      (flag == PRIV_STR_SHORT && (shortest == NULL || strlen(text) < strlen(shortest)));
        if (chosen) {
            free(shortest);
            shortest = strdup(text[0] != '\0' ? text : "none");
        }
    }
    return shortest;
}
