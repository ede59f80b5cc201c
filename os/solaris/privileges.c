/*
 * Privilege texts and sets. priv_str_to_set(3C) stops at the first word that it does not know, and its pointer to that
 * word is all that it says; and it takes texts with which no mail server can run, so the meaning is judged as well.
 */
#include "os/solaris/native.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char setting[] = "Privileges";

/* With "," alone "basic net_privaddr" would be one unknown word. */
static const char separators[] = " ,\t\r\n";

enum { WORD_MAX = 64 };

const char *os_set_name(os_set_t which)
{
    static const char *const names[OS_SETS] = {PRIV_PERMITTED, PRIV_LIMIT, PRIV_EFFECTIVE, PRIV_INHERITABLE};
    return names[which];
}

priv_set_t *os_set_copy(const priv_set_t *set)
{
    priv_set_t *copy = priv_allocset(); /* priv_addset(3C) describes all of these */
    if (copy != NULL) {
        priv_copyset(set, copy);
    }
    return copy;
}

int os_set_read(os_set_t which, priv_set_t **set)
{
    *set = priv_allocset();
    if (*set == NULL) {
        return ENOMEM;
    }
    if (getppriv(os_set_name(which), *set) != 0) { /* getppriv(2) */
        int code = errno;
        priv_freeset(*set);
        *set = NULL;
        return code;
    }
    return 0;
}

void os_set_format(const priv_set_t *set, char *text, size_t size)
{
    text[0] = '\0';
    if (priv_isemptyset(set)) {
        os_append(text, size, "-");
        return;
    }
    char *names = priv_set_to_str(set, ',', PRIV_STR_SHORT); /* priv_str_to_set(3C) */
    os_append(text, size, "%s", names != NULL ? names : "?");
    free(names);
}

size_t os_set_missing(const priv_set_t *wanted, const priv_set_t *found, char *text, size_t size)
{
    size_t count = 0;
    text[0] = '\0';
    for (int i = 0; priv_getbynum(i) != NULL; i++) { /* priv_getbynum(3C) */
        const char *name = priv_getbynum(i);
        if (priv_ismember(wanted, name) && !priv_ismember(found, name)) {
            os_append(text, size, "%s%s", count > 0 ? "," : "", name);
            count++;
        }
    }
    return count;
}

/* ---- text ---- */

/*
 * The basic set differs between releases: Solaris 10 has no net_access, file_read and file_write, illumos alone has
 * proc_secflags, Solaris 11 alone sys_ib_info and proc_self. Where one is not known there is nothing to remove.
 */
static bool is_basic_somewhere(const char *name)
{
    static const char *const names[] = {"file_link_any", "file_read",    "file_write", "net_access",
                                        "proc_exec",     "proc_fork",    "proc_info",  "proc_secflags",
                                        "proc_self",     "proc_session", "sys_ib_info"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(name, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_keyword(const char *word)
{
    return strcmp(word, "basic") == 0 || strcmp(word, "none") == 0 || strcmp(word, "all") == 0 ||
           strcmp(word, "zone") == 0;
}

static void explain_word(const char *word, char *why, size_t size)
{
    bool removes = word[0] == '!' || word[0] == '-';
    const char *name = word + (removes ? 1 : 0);
    if (name[0] == '\0') {
        os_append(why, size, "it says to remove something and not what: write %cproc_exec", word[0]);
    } else if (removes && is_keyword(name)) {
        os_append(why, size, "only single privileges can be removed");
    } else if (strchr(word, ';') != NULL || strchr(word, ':') != NULL) {
        os_append(why, size, "words are separated by white space or commas");
    } else if (strncmp(name, "cap_", 4) == 0) {
        os_append(why, size,
                  "that is a capability of Linux; net_privaddr is to Solaris what cap_net_bind_service is "
                  "there");
    } else {
        os_append(why, size, "this system knows no such privilege; \"ppriv -l\" lists those that it has");
    }
}

/* BAD begins a word of COPY that is not known. 0: it was blanked out, for another attempt. */
static int handle_unknown(char *copy, size_t at, const os_sink_t *warnings, demit_os_error_t *error)
{
    char word[WORD_MAX], why[OS_TEXT_MAX] = "";
    size_t length = strcspn(copy + at, separators);
    (void)snprintf(word, sizeof(word), "%.*s", (int)(length < sizeof(word) ? length : sizeof(word) - 1), copy + at);
    if ((word[0] == '!' || word[0] == '-') && is_basic_somewhere(word + 1)) {
        os_tell(warnings, "Privileges removes %s, which this system does not have: nothing to remove", word + 1);
        memset(copy + at, ' ', length);
        return 0;
    }
    explain_word(word, why, sizeof(why));
    return os_fail(error, 0, setting, "the word \"%s\" (character %zu): %s", word, at + 1, why);
}

int os_privileges_parse(const char *text, priv_set_t **set, const os_sink_t *warnings, demit_os_error_t *error)
{
    char *copy = strdup(text);
    if (copy == NULL) {
        return os_fail(error, ENOMEM, setting, "the text cannot be read");
    }
    int code = 0;
    *set = NULL;
    while (*set == NULL && code == 0) {
        const char *bad = NULL;
        *set = priv_str_to_set(copy, separators, &bad); /* priv_str_to_set(3C) */
        if (*set == NULL) {
            code = bad == NULL ? os_fail(error, errno != 0 ? errno : ENOMEM, setting, "the text cannot be read")
                               : handle_unknown(copy, (size_t)(bad - copy), warnings, error);
        }
    }
    free(copy);
    return code;
}

/* ---- what a set means ---- */

int os_privileges_judge(const priv_set_t *set, const demit_identity_t *identity, const os_sink_t *warnings,
                        demit_os_error_t *error)
{
    /* Members of the basic set where they exist; where they do not, everybody may. */
    static const char *const needed[] = {"file_read", "file_write", "net_access"};
    char missing[OS_TEXT_MAX] = "";
    if (priv_isemptyset(set)) {
        return os_fail(error, 0, setting,
                       "this is an empty set, with which a process can neither open a file nor a connection: "
                       "write \"basic net_privaddr\", or leave Privileges out for the basic set");
    }
    for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
        if (priv_getbyname(needed[i]) >= 0 && !priv_ismember(set, needed[i])) { /* priv_getbyname(3C) */
            os_append(missing, sizeof(missing), "%s%s", missing[0] != '\0' ? "," : "", needed[i]);
        }
    }
    if (missing[0] != '\0') {
        return os_fail(error, 0, setting,
                       "the set lacks %s, without which demitd can do nothing: begin it with \"basic\", and remove "
                       "from that what is not wanted (!proc_exec)",
                       missing);
    }
    os_powers_warn(set, identity, warnings);
    return 0;
}
