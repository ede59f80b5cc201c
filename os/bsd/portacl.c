/* The rules of mac_portacl(4): pure text, so it is built and tested on every system. */
#include "os/bsd/portacl.h"

#include <stdlib.h>
#include <string.h>

enum { FIELDS = 4 };

/* IDTYPE:ID:PROTOCOL:PORT */
typedef struct rule {
    const char *field[FIELDS];
    size_t length[FIELDS];
} rule_t;

static bool split(const char *text, size_t length, rule_t *rule)
{
    size_t fields = 0, from = 0;
    for (size_t at = 0; at <= length; at++) {
        if (at < length && text[at] != ':') {
            continue;
        }
        if (fields == FIELDS) {
            return false;
        }
        rule->field[fields] = text + from;
        rule->length[fields++] = at - from;
        from = at + 1;
    }
    return fields == FIELDS;
}

static bool is(const rule_t *rule, size_t field, const char *word)
{
    return rule->length[field] == strlen(word) && strncmp(rule->field[field], word, strlen(word)) == 0;
}

static bool read_number(const rule_t *rule, size_t field, unsigned long *number)
{
    enum { DIGITS_MAX = 10 };
    char digits[DIGITS_MAX + 1] = "";
    if (rule->length[field] == 0 || rule->length[field] > DIGITS_MAX) {
        return false;
    }
    memcpy(digits, rule->field[field], rule->length[field]);
    *number = strtoul(digits, NULL, 10);
    return strspn(digits, "0123456789") == rule->length[field];
}

/* The port that RULE grants; 0: none, or none of a server's, or not to these. */
static unsigned granted_port(const rule_t *rule, uid_t uid, const os_groups_t *groups)
{
    unsigned long id = 0, port = 0;
    if (!is(rule, 2, "tcp") || !read_number(rule, 1, &id) || !read_number(rule, 3, &port) || port >= 1024) {
        return 0;
    }
    bool meant = is(rule, 0, "uid") ? id == uid : is(rule, 0, "gid") && os_groups_have(groups, (gid_t)id);
    return meant ? (unsigned)port : 0;
}

unsigned os_portacl_lowest(const char *rules, uid_t uid, const os_groups_t *groups)
{
    unsigned lowest = 0;
    while (*rules != '\0') {
        rule_t rule;
        size_t length = strcspn(rules, ",");
        unsigned port = split(rules, length, &rule) ? granted_port(&rule, uid, groups) : 0;
        lowest = port > 0 && (lowest == 0 || port < lowest) ? port : lowest;
        rules += length + (rules[length] == ',' ? 1 : 0);
    }
    return lowest;
}
