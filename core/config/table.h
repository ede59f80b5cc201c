/*
 * The option table: the one place that knows names. Checks, settings, `demitd --help-config` and demit.conf(5) all come
 * from it. Constant data; any thread.
 */
#ifndef DEMIT_CORE_CONFIG_TABLE_H
#define DEMIT_CORE_CONFIG_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <apr_pools.h>

#include "demit/settings.h"

/* ---- scopes ----------------------------------------------------------------------------------------------------- */

typedef enum demit_config_scope_id {
    DEMIT_CONFIG_GLOBAL,
    DEMIT_CONFIG_SECURITY,
    DEMIT_CONFIG_ESMTP_LISTENER,
    DEMIT_CONFIG_ESMTP_LISTEN, /* Listen in ESMTP_Listener */
    DEMIT_CONFIG_CONTROL_LISTENER,
    DEMIT_CONFIG_CONTROL_LISTEN, /* Listen in Control_Listener */
    DEMIT_CONFIG_DOMAIN,
    DEMIT_CONFIG_BINDING,
    DEMIT_CONFIG_BINDING_DOMAIN, /* Domain in Binding */
    DEMIT_CONFIG_CLUSTER,
    DEMIT_CONFIG_TOPOLOGY,
    DEMIT_CONFIG_SCOPE_COUNT
} demit_config_scope_id_t;

typedef struct demit_config_scope {
    demit_config_scope_id_t id, parent;
    const char *name;
    const char *title; /* what the title is, for messages; NULL: it takes none */
    bool once;         /* at most one stands in its parent */
    bool supported;
    const char *help;
} demit_config_scope_t;

/* In the order of demit_config_scope_id_t. */
extern const demit_config_scope_t demit_config_scopes[DEMIT_CONFIG_SCOPE_COUNT];

/* The scope NAME within PARENT, or NULL. Names are compared without case, here and below. */
const demit_config_scope_t *demit_config_scope_find(demit_config_scope_id_t parent, const char *name);

/* The first scope NAME in any place, or NULL. */
const demit_config_scope_t *demit_config_scope_anywhere(const char *name);

/* "the global scope", "Listen in ESMTP_Listener". */
const char *demit_config_scope_text(demit_config_scope_id_t id, apr_pool_t *pool);

/* ---- options ---------------------------------------------------------------------------------------------------- */

typedef enum demit_config_type {
    DEMIT_CONFIG_BOOLEAN,
    DEMIT_CONFIG_NUMBER,
    DEMIT_CONFIG_SIZE,     /* bytes; stored as bytes */
    DEMIT_CONFIG_DURATION, /* seconds; stored as microseconds */
    DEMIT_CONFIG_MODE,     /* octal */
    DEMIT_CONFIG_CHOICE,
    DEMIT_CONFIG_TEXT,
    DEMIT_CONFIG_HOST_NAME,
    DEMIT_CONFIG_PATH,
    DEMIT_CONFIG_LOG,         /* stderr, syslog or a path */
    DEMIT_CONFIG_NAMES,       /* list of words */
    DEMIT_CONFIG_PORTS,       /* list of TCP ports */
    DEMIT_CONFIG_PATHS,       /* list of absolute paths */
    DEMIT_CONFIG_NETWORKS,    /* list of networks and addresses */
    DEMIT_CONFIG_DOMAINS,     /* list of domain patterns */
    DEMIT_CONFIG_NAMESERVERS, /* list of addresses, with or without port */
    DEMIT_CONFIG_ALIASES,     /* dictionary: local part = address */
    DEMIT_CONFIG_MAILDIR,     /* path with %d and %u */
    DEMIT_CONFIG_DELIMITER,   /* one character or none */
    DEMIT_CONFIG_GATEWAY,     /* host, host:port or socket */
    DEMIT_CONFIG_THROTTLE,    /* "messages/seconds" */
    DEMIT_CONFIG_RETRIES,     /* auto, none or a number */
    DEMIT_CONFIG_TYPE_COUNT
} demit_config_type_t;

/* Which struct of settings.h an option is stored in. */
typedef enum demit_config_home {
    DEMIT_CONFIG_NOWHERE, /* not supported yet */
    DEMIT_CONFIG_IN_SETTINGS,
    DEMIT_CONFIG_IN_SECURITY,
    DEMIT_CONFIG_IN_LISTEN,
    DEMIT_CONFIG_IN_DOMAIN
} demit_config_home_t;

/* How a changed value comes into force. */
typedef enum demit_config_reload {
    DEMIT_CONFIG_LIVE,   /* by a reload: for new sessions, and for the next attempt of mail in the queue */
    DEMIT_CONFIG_RESTART /* by a restart: a reload is refused */
} demit_config_reload_t;

typedef struct demit_config_choice {
    const char *word;
    int value;
} demit_config_choice_t;

/* No SOURCE is kept for the option. */
#define DEMIT_CONFIG_NO_SOURCE SIZE_MAX

typedef struct demit_config_option {
    const char *section; /* of the manual: set in the first option of each */
    const char *name;
    unsigned scopes; /* bits: 1 << demit_config_scope_id_t */
    demit_config_type_t type;
    demit_config_home_t home; /* DEMIT_CONFIG_NOWHERE: not supported yet */
    demit_config_reload_t reload;
    size_t offset, size;      /* of the field in its home */
    size_t source_offset;     /* of its demit_source_t, or DEMIT_CONFIG_NO_SOURCE */
    int64_t minimum, maximum; /* of numbers, sizes (bytes), durations (seconds), modes */
    const demit_config_choice_t *choices;
    const char *initial;      /* the default, as one would write it; NULL: unset, or found out at the start */
    const char *initial_text; /* for people, where INITIAL does not say it */
    const char *accepted; /* not supported yet, but this value is what demit does anyway, and is accepted; or NULL */
    const char *help;
} demit_config_option_t;

extern const demit_config_option_t demit_config_options[];
extern const size_t demit_config_option_count;

/* The option NAME, in whatever scopes, or NULL. */
const demit_config_option_t *demit_config_option_find(const char *name);

/* Whether OPTION may stand in SCOPE. */
bool demit_config_option_in(const demit_config_option_t *option, demit_config_scope_id_t scope);

/*
 * The known name of an option or a scope that is most like NAME, one that may stand in SCOPE before others; NULL when
 * none is like it. SAME_SCOPE says whether it may stand there.
 */
const char *demit_config_nearest(const char *name, demit_config_scope_id_t scope, bool *same_scope);

/* How many letters are to be changed, added, removed or swapped to make LEFT of RIGHT, case apart. */
unsigned demit_config_distance(const char *left, const char *right);

#endif
