/*
 * Capability texts. cap_from_text(3) says yes or no to the whole and not where, so the clauses are tried one by one;
 * and it takes texts that the kernel then refuses, or that quietly mean nothing or everything, so the meaning is judged
 * as well.
 */
#include "os/linux/native.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>

enum { CLAUSE_MAX = 512, CAPABILITY_MAX = 64 };

static const char setting[] = "Capabilities";

os_capset_t os_capset_all(void)
{
    /* libcap asks the kernel once how many there are. */
    int count = cap_max_bits();
    return count >= CAPABILITY_MAX ? UINT64_MAX : (UINT64_C(1) << count) - 1;
}

void os_capability_name(int capability, char *text, size_t size)
{
    char *name = cap_to_name(capability);
    (void)snprintf(text, size, "%s", name != NULL ? name : "?");
    (void)cap_free(name);
}

static void append_names(os_capset_t set, const char *sign, char *text, size_t size)
{
    for (int c = 0; c < CAPABILITY_MAX; c++) {
        if (os_capset_has(set, c)) {
            char name[64];
            os_capability_name(c, name, sizeof(name));
            os_append(text, size, "%s%s%s", text[0] != '\0' ? "," : "", sign, name);
        }
    }
}

void os_capset_format(os_capset_t set, char *text, size_t size)
{
    enum { READABLE = 24 };
    os_capset_t all = os_capset_all();
    text[0] = '\0';
    if (set == 0) {
        os_append(text, size, "-");
    } else if (__builtin_popcountll(set) <= READABLE) {
        append_names(set, "", text, size);
    } else {
        os_append(text, size, "all");
        append_names(all & ~set, "-", text, size);
    }
}

/* ---- what is wrong with a clause ---- */

/* NAME as cap_from_text(3) takes it: "all", a name in any case, or a number in C's notation. */
static void explain_name(const char *name, char *why, size_t size)
{
    cap_value_t value = 0;
    char *end = NULL;
    unsigned long number = strtoul(name, &end, 0);
    if (name[0] == '\0') {
        os_append(why, size, "a name is missing between the commas");
    } else if (isdigit((unsigned char)name[0]) && *end == '\0') {
        if (number >= (unsigned long)cap_max_bits()) {
            os_append(why, size, "this kernel has no capability %s (the last is %d)", name, cap_max_bits() - 1);
        }
    } else if (strcasecmp(name, "all") != 0) {
        if (cap_from_name(name, &value) != 0) {
            os_append(why, size, "there is no capability \"%s\" (names begin with cap_)", name);
        } else if (value >= cap_max_bits()) {
            os_append(why, size, "this kernel has no %s", name);
        }
    }
}

/* Fills WHY if CLAUSE names something that does not exist or is written as cap_from_text(3) does not take it. */
static void explain_clause(const char *clause, char *why, size_t size)
{
    char names[CLAUSE_MAX];
    (void)snprintf(names, sizeof(names), "%s", clause);
    size_t length = strcspn(names, "=+-");
    if (strchr(clause, ';') != NULL) {
        os_append(why, size, "clauses are separated by white space, not by ';'");
        return;
    }
    if (names[length] == '\0') {
        os_append(why, size, "it does not say what to do with it: write %s+ep", clause);
        return;
    }
    const char *flags = clause + length;
    if (length == 0 && flags[0] != '=') {
        os_append(why, size, "no capability stands before the '%c': write NAME%s", flags[0], clause);
        return;
    }
    size_t odd = strspn(flags, "=+-eip");
    if (flags[odd] == ',') {
        os_append(why, size, "',' joins names only; separate clauses by white space");
        return;
    }
    if (flags[odd] != '\0') {
        os_append(why, size, "'%c' is no flag: e (effective), p (permitted) and i (inheritable) are", flags[odd]);
        return;
    }
    names[length] = '\0';
    for (char *name = names; length > 0 && name != NULL && why[0] == '\0';) {
        char *comma = strchr(name, ',');
        if (comma != NULL) {
            *comma++ = '\0';
        }
        explain_name(name, why, size);
        name = comma;
    }
}

static int check_clause(const char *clause, demit_os_error_t *error)
{
    char why[OS_TEXT_MAX] = "";
    cap_t parsed = cap_from_text(clause);
    bool understood = parsed != NULL;
    (void)cap_free(parsed);
    /* Also for a clause that parses: "63+ep" does, and grants nothing. */
    explain_clause(clause, why, sizeof(why));
    if (understood && why[0] == '\0') {
        return 0;
    }
    return os_fail(error, 0, setting, "the clause \"%s\": %s", clause,
                   why[0] != '\0' ? why
                                  : "cap_from_text(3) does not understand it; an example: cap_net_bind_service+ep");
}

static int check_clauses(const char *text, demit_os_error_t *error)
{
    static const char blanks[] = " \t\r\n\f\v";
    for (const char *at = text + strspn(text, blanks); *at != '\0'; at += strspn(at, blanks)) {
        size_t length = strcspn(at, blanks);
        char clause[CLAUSE_MAX];
        if (length >= sizeof(clause)) {
            return os_fail(error, 0, setting, "the clause that begins with \"%.40s\" is too long: split it", at);
        }
        memcpy(clause, at, length);
        clause[length] = '\0';
        int code = check_clause(clause, error);
        if (code != 0) {
            return code;
        }
        at += length;
    }
    return 0;
}

static os_capset_t flag_of(cap_t caps, cap_flag_t flag)
{
    os_capset_t set = 0;
    for (int c = 0; c < cap_max_bits() && c < CAPABILITY_MAX; c++) {
        cap_flag_value_t value = CAP_CLEAR;
        if (cap_get_flag(caps, c, flag, &value) == 0 && value == CAP_SET) {
            set |= UINT64_C(1) << c;
        }
    }
    return set;
}

int os_caps_parse(const char *text, os_caps_t *caps, demit_os_error_t *error)
{
    int code = check_clauses(text, error);
    if (code != 0) {
        return code;
    }
    cap_t parsed = cap_from_text(text);
    if (parsed == NULL) {
        return os_fail(error, 0, setting, "cap_from_text(3) does not understand \"%s\"", text);
    }
    caps->permitted = flag_of(parsed, CAP_PERMITTED);
    caps->effective = flag_of(parsed, CAP_EFFECTIVE);
    caps->inheritable = flag_of(parsed, CAP_INHERITABLE);
    (void)cap_free(parsed);
    return 0;
}

/* ---- what a set means ---- */

int os_caps_judge(os_caps_t *caps, const demit_identity_t *identity, const os_sink_t *warnings, demit_os_error_t *error)
{
    char names[OS_TEXT_MAX];
    if (caps->permitted == os_capset_all()) {
        return os_fail(error, 0, setting,
                       "this keeps every capability, so there is nothing that demitd lets go of; "
                       "name those that are needed, or say user = root and leave Capabilities out");
    }
    if ((caps->effective & ~caps->permitted) != 0) {
        os_capset_format(caps->effective & ~caps->permitted, names, sizeof(names));
        return os_fail(error, 0, setting,
                       "%s is effective (e) without being permitted (p), which the kernel refuses: "
                       "write +ep",
                       names);
    }
    if (caps->inheritable != 0) {
        os_capset_format(caps->inheritable, names, sizeof(names));
        os_tell(warnings, "Capabilities makes %s inheritable (i): ignored, demitd starts no programs", names);
        caps->inheritable = 0;
    }
    if ((caps->permitted & ~caps->effective) != 0) {
        os_capset_format(caps->permitted & ~caps->effective, names, sizeof(names));
        os_tell(warnings, "Capabilities keeps %s permitted (p) but not effective (e): demitd cannot use it; write +ep",
                names);
    }
    if (caps->permitted == 0) {
        os_tell(warnings, "Capabilities names nothing to keep%s",
                identity->uid == 0 ? ": root without any of root's powers, access to files included" : "");
    }
    os_powers_warn(caps, identity, warnings);
    return 0;
}

/* ---- setting ---- */

int os_caps_set(const os_caps_t *caps)
{
    cap_t wanted = cap_init();
    if (wanted == NULL) {
        return errno;
    }
    int code = 0;
    for (int c = 0; c < CAPABILITY_MAX && code == 0; c++) {
        cap_value_t value = c;
        if ((os_capset_has(caps->permitted, c) && cap_set_flag(wanted, CAP_PERMITTED, 1, &value, CAP_SET) != 0) ||
            (os_capset_has(caps->effective, c) && cap_set_flag(wanted, CAP_EFFECTIVE, 1, &value, CAP_SET) != 0) ||
            (os_capset_has(caps->inheritable, c) && cap_set_flag(wanted, CAP_INHERITABLE, 1, &value, CAP_SET) != 0)) {
            code = errno;
        }
    }
    if (code == 0 && cap_set_proc(wanted) != 0) {
        code = errno;
    }
    (void)cap_free(wanted);
    return code;
}
