/*
 * What the configuration says, typed and complete: every fallback resolved, every default filled in, every value
 * within its bounds. Made by core/config from the option table, read by everybody, changed by nobody: a reload makes
 * a new one, and who works with the old one keeps it by demit_settings_hold() until he is through. Units are in the
 * names. Strings live in the settings' pool. Domains are A-labels in lower case, as demit_domain_to_ascii() makes them
 * (demit/domain.h), but for names of this host, whose letters stay as they are.
 */
#ifndef DEMIT_SETTINGS_H
#define DEMIT_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <apr_hash.h>
#include <apr_network_io.h>
#include <apr_pools.h>
#include <apr_tables.h>

/* Where in the text a thing was said. FILE is NULL for a default. */
typedef struct demit_source {
    const char *file;
    unsigned line, column; /* from 1 */
} demit_source_t;

/* An option that is written, and how. */
typedef struct demit_written {
    demit_source_t source;
    const char *text; /* "Relay_Hosts = ( 10.0.0.0/8 )\n" */
} demit_written_t;

typedef enum demit_lone_lf {
    DEMIT_LONE_LF_REJECT /* pedantic */,
    DEMIT_LONE_LF_IGNORE,
    DEMIT_LONE_LF_FIX
} demit_lone_lf_t;
typedef enum demit_delivery_method {
    DEMIT_DELIVER_ESMTP,
    DEMIT_DELIVER_SMTP, /* HELO only, no extensions */
    DEMIT_DELIVER_LMTP,
    DEMIT_DELIVER_MAILDIR
} demit_delivery_method_t;
typedef enum demit_sandbox_mode { DEMIT_SANDBOX_AUTO, DEMIT_SANDBOX_REQUIRED, DEMIT_SANDBOX_OFF } demit_sandbox_mode_t;

/* Security scope. NULL: not set. The defaults of user and group are filled in; *_is_default says so. */
typedef struct demit_security_settings {
    const char *user, *group;
    bool user_is_default, group_is_default;
    const apr_array_header_t *supplemental_groups; /* const char * */
    const char *chroot_directory;
    const char *capabilities;    /* NULL: keep nothing. Text for cap_from_text(3), checked by the back end. */
    const char *privileges;      /* NULL: keep nothing. Text for priv_str_to_set(3C). */
    bool allow_inherited_groups; /* where the kernel denies setgroups(2), go on with the groups that were found */
    demit_source_t user_source, group_source, supplemental_groups_source, chroot_source, capabilities_source,
        privileges_source, allow_inherited_groups_source;
    demit_sandbox_mode_t sandbox;
    const apr_array_header_t *sandbox_ports; /* uint16_t; never NULL */
    const apr_array_header_t *sandbox_paths; /* const char *, absolute, without ".."; never NULL */
    demit_source_t sandbox_source, sandbox_ports_source, sandbox_paths_source;
} demit_security_settings_t;

/* One Listen of an ESMTP_Listener or Control_Listener. */
typedef struct demit_listen_settings {
    const char *title;     /* as written: "*:25" */
    const char *unix_path; /* a Unix socket, or NULL */
    const char *host;      /* NULL: every address of its family. Without brackets. */
    bool ipv6;             /* "[…]": IPv6, and IPv6 only */
    uint16_t port;
    bool enable;
    int backlog;
    int tcp_recv_buffer_bytes, tcp_send_buffer_bytes; /* 0: the system's */
    bool disable_nagle;
    const char *banner_hostname;
    uint32_t file_mode; /* Unix sockets */
    demit_source_t source;
} demit_listen_settings_t;

/* What applies to recipients of one domain: its Domain scope, or (name NULL) what holds for any other. */
typedef struct demit_domain_settings {
    const char *name; /* may be a pattern as in Relay_Domains; NULL: every domain without a scope */
    demit_delivery_method_t delivery_method;
    const char *maildir; /* "/path/%d/%u", or NULL */
    bool maildir_create;
    const char *recipient_delimiter;   /* "" or one character */
    const apr_array_header_t *aliases; /* demit_alias_t; never NULL */
    const char *gateway_host;          /* NULL: by MX. Host name or address without brackets. */
    bool gateway_is_path;              /* LMTP to a Unix socket: gateway_host is its path */
    uint16_t gateway_port;             /* 0: remote_smtp_port */
    uint16_t remote_smtp_port;
    int64_t retry_interval_us, max_retry_interval_us, message_expiration_us;
    int32_t max_retries; /* -1: auto (until the message expires); 0: none */
    bool generate_bounces, generate_delay_dsn;
    uint32_t max_outbound_connections;
    uint32_t max_deliveries_per_connection;       /* 0: no limit */
    uint32_t throttle_messages, throttle_seconds; /* 0, 0: no throttle */
    int64_t idle_timeout_us, connect_timeout_us, ehlo_timeout_us, mailfrom_timeout_us, rcptto_timeout_us,
        body_timeout_us, host_failure_retry_us;
    const apr_array_header_t *prohibited_hosts; /* apr_ipsubnet_t *; never NULL */
    demit_source_t source;
    const char *text; /* the scope as it is written; NULL: none */
} demit_domain_settings_t;

typedef struct demit_alias {
    const char *local_part; /* lower case */
    const char *address;    /* a full address, its domain in the one form, too */
} demit_alias_t;

typedef struct demit_settings_life demit_settings_life_t;

typedef struct demit_settings {
    demit_settings_life_t *life; /* who holds them; NULL: they live as long as their maker says */
    const char *file;            /* the configuration that they were read from */
    const char *text;            /* what it says, includes in their places: for people */
    const apr_hash_t *written;   /* name of an option of the global scope or of Security → const demit_written_t * */
    uint64_t serial;             /* 1, 2, … in the order of loading: no two have the same, unlike their addresses */
    demit_security_settings_t security;
    const apr_array_header_t *files; /* const char *: every file that the configuration was read from, the main one
                                        first, as they were named */

    const char *hostname, *ehlo_hostname;
    const char *pid_file; /* NULL: none */
    const char *log;      /* "stderr", "syslog" or a path */
    const char *spool_base;
    uint32_t spool_mode;
    bool force_fsync;
    uint64_t segment_size_bytes, spool_minimum_free_bytes;
    uint32_t large_message_threshold_bytes;
    uint32_t max_file_descriptors;
    uint32_t event_loops; /* 0: one per core */
    uint64_t max_message_size_bytes;
    uint32_t max_recipients;
    uint32_t max_connections;            /* 0: what the descriptor limit allows */
    uint32_t max_connections_per_client; /* 0: no limit */
    uint64_t max_buffer_memory_bytes;    /* bodies held in memory by all sessions together */
    uint32_t max_session_errors;
    uint32_t max_received_hops;
    int64_t command_timeout_us, session_timeout_us; /* server side */
    demit_lone_lf_t lone_lf_in_body, lone_lf_in_headers;
    const apr_array_header_t *relay_hosts;   /* apr_ipsubnet_t *; never NULL */
    const apr_array_header_t *relay_domains; /* const char * patterns; never NULL */
    const apr_array_header_t *nameservers;   /* const char * "192.0.2.1", "192.0.2.1:5353", "2001:db8::1" or
                                                "[2001:db8::1]:5353"; empty: the system's */
    const char *control_group;               /* NULL: root and the daemon's own user only */
    demit_source_t spool_base_source, log_source, pid_file_source, control_group_source;
    uint32_t server_max_outbound_connections;

    const apr_array_header_t *listeners;         /* demit_listen_settings_t, ESMTP; never NULL */
    const apr_array_header_t *control_listeners; /* demit_listen_settings_t; the default one if none is written */
    const apr_array_header_t *domains;           /* demit_domain_settings_t with a name, in file order */
    const demit_domain_settings_t *any_domain;   /* for all others */
    /* How demit_settings_domain() finds one of many. NULL: it looks through DOMAINS. */
    const apr_hash_t *exact_domains;           /* name → const demit_domain_settings_t * */
    const apr_array_header_t *pattern_domains; /* const demit_domain_settings_t *, in file order */
} demit_settings_t;

/* ---- life ------------------------------------------------------------------------------------------------------- */

/*
 * One holder more, and one less. Settings and all that is in them stay as they are while somebody holds them; the last
 * demit_settings_release() frees them, in whatever thread it happens. Both are cheap, take any thread, and do nothing
 * with settings whose life is NULL. hold() returns SETTINGS.
 */
const demit_settings_t *demit_settings_hold(const demit_settings_t *settings);
void demit_settings_release(const demit_settings_t *settings);

/* Holds SETTINGS until POOL is cleared or destroyed. */
void demit_settings_hold_in(const demit_settings_t *settings, apr_pool_t *pool);

/* What lives as long as SETTINGS may be made here. The thread that loaded them, only. NULL: their life is NULL. */
apr_pool_t *demit_settings_pool(const demit_settings_t *settings);

/* ---- domains ---------------------------------------------------------------------------------------------------- */

/*
 * The settings that apply to DOMAIN, which has the form of demit_domain_to_ascii() as all domains in settings have:
 * exact name first, then the first pattern, else any_domain. Never NULL. Any thread.
 */
const demit_domain_settings_t *demit_settings_domain(const demit_settings_t *settings, const char *domain);

/* The Domain scope with the title NAME, as it stands in settings; any_domain for "". NULL: there is none. Any thread.
 */
const demit_domain_settings_t *demit_settings_scope(const demit_settings_t *settings, const char *name);

/* Whether PATTERN as in Relay_Domains ("example.com", "*.example.com", "*example.com") matches DOMAIN, both in the form
 * of demit_domain_to_ascii(). Any thread. */
bool demit_domain_matches(const char *pattern, const char *domain);

/* Whether mail for DOMAIN stays here: it has a Domain scope that delivers by Maildir or LMTP. Any thread. */
bool demit_settings_is_local(const demit_settings_t *settings, const char *domain);

#endif
