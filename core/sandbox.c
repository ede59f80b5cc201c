/* The sandbox: what demitd needs from now on, drawn up from the settings; entered, told, and asked by a reload. */
#include "core/daemon.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include <apr_file_info.h>
#include <apr_strings.h>

#include "demit/log.h"

/* Names of parts, as os.h has them. */
static const char FILES[] = "file system";
static const char BIND[] = "TCP bind";

/* What a set of settings needs. */
typedef struct plan {
    const demit_daemon_t *daemon;
    apr_pool_t *pool;
    apr_array_header_t *paths;   /* demit_sandbox_path_t */
    apr_array_header_t *ports;   /* uint16_t */
    apr_array_header_t *at_root; /* demit_sandbox_path_t: those of "/", each time that it is asked for */
} plan_t;

/* Read by the C library and the resolver long after the start; where they are not, nobody misses them. */
static const demit_sandbox_path_t SYSTEM_PATHS[] = {
    {"/etc/resolv.conf", DEMIT_SANDBOX_READ, "the resolver"},
    {"/etc/hosts", DEMIT_SANDBOX_READ, "the resolver"},
    {"/etc/host.conf", DEMIT_SANDBOX_READ, "the resolver"},
    {"/etc/nsswitch.conf", DEMIT_SANDBOX_READ, "the resolver"},
    {"/etc/localtime", DEMIT_SANDBOX_READ, "the time zone"},
    {"/usr/share/zoneinfo", DEMIT_SANDBOX_READ, "the time zone"},
    {"/proc", DEMIT_SANDBOX_READ, "demitctl privileges"},
};
enum { SYSTEM_PATH_COUNT = sizeof(SYSTEM_PATHS) / sizeof(SYSTEM_PATHS[0]) };

/* ---- drawing it up ----------------------------------------------------------------------------------------------- */

/* Whether PATH is DIRECTORY or lies below it, by their names alone. */
static bool is_below(const char *path, const char *directory)
{
    size_t length = strlen(directory);

    while (length > 0 && directory[length - 1] == '/') {
        length--;
    }
    return strncmp(path, directory, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

static bool suffices(demit_sandbox_access_t allowed, demit_sandbox_access_t needed)
{
    return allowed == DEMIT_SANDBOX_WRITE || allowed == needed;
}

static bool has_path(const demit_sandbox_path_t *paths, size_t count, const demit_sandbox_path_t *needed)
{
    for (size_t i = 0; i < count; i++) {
        if (is_below(needed->path, paths[i].path) && suffices(paths[i].access, needed->access)) {
            return true;
        }
    }
    return false;
}

static bool has_port(const uint16_t *ports, size_t count, uint16_t port)
{
    size_t i = 0;

    while (i < count && ports[i] != port) {
        i++;
    }
    return i < count;
}

static const char *directory_of(const plan_t *plan, const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash == NULL || slash == path ? "/" : apr_pstrmemdup(plan->pool, path, (apr_size_t)(slash - path));
}

/*
 * Whether PATH is the root directory, whatever it is called: "/.", a link to it, "/tmp/..", a mount of it. In a jail,
 * or before it, the answer is of no use: openings_of().
 */
static bool is_root(const char *path, apr_pool_t *pool)
{
    apr_finfo_t there, root;

    if (path[strspn(path, "/")] == '\0') {
        return true;
    }
    return apr_stat(&there, path, APR_FINFO_IDENT, pool) == APR_SUCCESS &&
           apr_stat(&root, "/", APR_FINFO_IDENT, pool) == APR_SUCCESS && there.device == root.device &&
           there.inode == root.inode;
}

/* The plan outlives the settings, which a reload replaces. */
static void need_path(plan_t *plan, const char *path, demit_sandbox_access_t access, const char *option)
{
    const demit_sandbox_path_t needed = {.path = apr_pstrdup(plan->pool, path), .access = access, .option = option};

    if (is_root(path, plan->pool)) {
        APR_ARRAY_PUSH(plan->at_root, demit_sandbox_path_t) = needed;
    }
    if (!has_path((const demit_sandbox_path_t *)plan->paths->elts, (size_t)plan->paths->nelts, &needed)) {
        APR_ARRAY_PUSH(plan->paths, demit_sandbox_path_t) = needed;
    }
}

static void need_port(plan_t *plan, uint16_t port)
{
    if (!has_port((const uint16_t *)plan->ports->elts, (size_t)plan->ports->nelts, port)) {
        APR_ARRAY_PUSH(plan->ports, uint16_t) = port;
    }
}

/* Sockets are made, replaced and removed in their directories. */
static void need_listeners(plan_t *plan, const apr_array_header_t *listeners, const char *option)
{
    for (int i = 0; i < listeners->nelts; i++) {
        const demit_listen_settings_t *listen = &APR_ARRAY_IDX(listeners, i, demit_listen_settings_t);
        if (listen->enable && listen->unix_path != NULL) {
            need_path(plan, directory_of(plan, listen->unix_path), DEMIT_SANDBOX_WRITE, option);
        } else if (listen->enable) {
            need_port(plan, listen->port);
        }
    }
}

static void need_domain(plan_t *plan, const demit_domain_settings_t *domain)
{
    if (domain->delivery_method == DEMIT_DELIVER_MAILDIR && domain->maildir != NULL) {
        need_path(plan, demit_maildir_base(domain->maildir, plan->pool), DEMIT_SANDBOX_WRITE, "Maildir");
    } else if (domain->gateway_is_path) {
        need_path(plan, domain->gateway_host, DEMIT_SANDBOX_CONNECT, "Gateway");
    }
}

/* The directories, for a file that is replaced by a new one of its name is another file. */
static void need_configuration(plan_t *plan, const apr_array_header_t *files)
{
    for (int i = 0; i < files->nelts; i++) {
        const char *file = APR_ARRAY_IDX(files, i, const char *);
        if (file[0] != '/') {
            file = apr_pstrcat(plan->pool, plan->daemon->start_directory, "/", file, NULL);
        }
        need_path(plan, directory_of(plan, file), DEMIT_SANDBOX_READ, "the configuration");
    }
}

static plan_t draw_up(const demit_daemon_t *daemon, const demit_settings_t *settings, apr_pool_t *pool)
{
    const demit_security_settings_t *security = &settings->security;
    plan_t plan = {.daemon = daemon,
                   .pool = pool,
                   .paths = apr_array_make(pool, 16, sizeof(demit_sandbox_path_t)),
                   .ports = apr_array_make(pool, 4, sizeof(uint16_t)),
                   .at_root = apr_array_make(pool, 1, sizeof(demit_sandbox_path_t))};

    need_path(&plan, settings->spool_base, DEMIT_SANDBOX_WRITE, "SpoolBase");
    if (settings->log[0] == '/' && !daemon->options.foreground) {
        need_path(&plan, directory_of(&plan, settings->log), DEMIT_SANDBOX_WRITE, "Log");
    }
    need_listeners(&plan, settings->listeners, "ESMTP_Listener");
    need_listeners(&plan, settings->control_listeners, "Control_Listener");
    need_domain(&plan, settings->any_domain);
    for (int i = 0; i < settings->domains->nelts; i++) {
        need_domain(&plan, &APR_ARRAY_IDX(settings->domains, i, demit_domain_settings_t));
    }
    for (int i = 0; i < security->sandbox_paths->nelts; i++) {
        need_path(&plan, APR_ARRAY_IDX(security->sandbox_paths, i, const char *), DEMIT_SANDBOX_WRITE, "Sandbox_Paths");
    }
    for (int i = 0; i < security->sandbox_ports->nelts; i++) {
        need_port(&plan, APR_ARRAY_IDX(security->sandbox_ports, i, uint16_t));
    }
    need_configuration(&plan, settings->files);
    for (size_t i = 0; i < SYSTEM_PATH_COUNT; i++) {
        need_path(&plan, SYSTEM_PATHS[i].path, SYSTEM_PATHS[i].access, SYSTEM_PATHS[i].option);
    }
    return plan;
}

static demit_sandbox_request_t request_of(const plan_t *plan)
{
    return (demit_sandbox_request_t){.paths = (const demit_sandbox_path_t *)plan->paths->elts,
                                     .path_count = (size_t)plan->paths->nelts,
                                     .ports = (const uint16_t *)plan->ports->elts,
                                     .port_count = (size_t)plan->ports->nelts};
}

/*
 * What PLAN would have the sandbox allow "/" for, and with it every file of the host, a sentence each: it lies directly
 * in there, and a sandbox allows directories. In a jail "/" is the jail, which holds by itself.
 */
static const apr_array_header_t *openings_of(const plan_t *plan)
{
    apr_array_header_t *sentences = apr_array_make(plan->pool, 1, sizeof(const char *));

    for (int i = 0; i < plan->at_root->nelts && demit_identity_chroot(plan->daemon->identity) == NULL; i++) {
        const demit_sandbox_path_t *path = &APR_ARRAY_IDX(plan->at_root, i, demit_sandbox_path_t);
        APR_ARRAY_PUSH(sentences, const char *) = apr_psprintf(
            plan->pool,
            "%s needs the whole of \"/\", so that the sandbox would keep no file of the host from being %s; "
            "give it a directory of its own",
            path->option, path->access == DEMIT_SANDBOX_WRITE ? "written" : "read");
    }
    return sentences;
}

/* ---- entering ---------------------------------------------------------------------------------------------------- */

static void keep_part(void *baton, const demit_sandbox_part_t *part)
{
    const demit_daemon_t *daemon = baton;

    APR_ARRAY_PUSH(daemon->sandbox_parts, demit_sandbox_part_t) =
        (demit_sandbox_part_t){.name = apr_pstrdup(daemon->pool, part->name),
                               .what = apr_pstrdup(daemon->pool, part->what),
                               .enforced = part->enforced,
                               .why_not = apr_pstrdup(daemon->pool, part->why_not)};
}

/* What lies at PATH, whatever it is: APR_SUCCESS, or why it cannot be reached. */
static apr_status_t look_at(const char *path, apr_pool_t *pool)
{
    apr_finfo_t info;
    const apr_status_t status = apr_stat(&info, path, APR_FINFO_TYPE, pool);

    return status == APR_INCOMPLETE ? APR_SUCCESS : status;
}

/* Leaves out of PLAN what is not there: no sandbox can allow it, and a reload that asks for it must be told so. */
static void leave_out_missing(plan_t *plan)
{
    apr_array_header_t *there = apr_array_make(plan->pool, plan->paths->nelts, sizeof(demit_sandbox_path_t));

    for (int i = 0; i < plan->paths->nelts; i++) {
        const demit_sandbox_path_t *path = &APR_ARRAY_IDX(plan->paths, i, demit_sandbox_path_t);
        if (path->access == DEMIT_SANDBOX_CONNECT || look_at(path->path, plan->pool) == APR_SUCCESS) {
            APR_ARRAY_PUSH(there, demit_sandbox_path_t) = *path;
        }
    }
    plan->paths = there;
}

int demit_enter_sandbox(demit_daemon_t *daemon)
{
    const demit_sandbox_mode_t mode = daemon->settings->security.sandbox;
    plan_t plan = draw_up(daemon, daemon->settings, daemon->pool);
    demit_os_error_t error;

    daemon->sandbox_parts = apr_array_make(daemon->pool, 4, sizeof(demit_sandbox_part_t));
    if (mode == DEMIT_SANDBOX_REQUIRED && openings_of(&plan)->nelts > 0) {
        return demit_start_failed(EX_CONFIG, "Sandbox = required: %s",
                                  APR_ARRAY_IDX(openings_of(&plan), 0, const char *));
    }
    if (mode != DEMIT_SANDBOX_OFF) {
        leave_out_missing(&plan);
        daemon->sandbox = request_of(&plan);
        if (demit_sandbox_enter(&daemon->sandbox, mode == DEMIT_SANDBOX_REQUIRED, keep_part, daemon, &error) != 0) {
            return demit_start_failed(EX_NOPERM, "%s: %s", error.step, error.text);
        }
        if (demit_sandbox_verify(&daemon->sandbox, &error) != 0) {
            return demit_start_failed(EX_NOPERM, "the sandbox could not be verified: %s", error.text);
        }
    }
    demit_log_sandbox(daemon);
    return 0;
}

static bool is_enforced(const demit_daemon_t *daemon, const char *name)
{
    for (int i = 0; daemon->sandbox_parts != NULL && i < daemon->sandbox_parts->nelts; i++) {
        const demit_sandbox_part_t *part = &APR_ARRAY_IDX(daemon->sandbox_parts, i, demit_sandbox_part_t);
        if (part->enforced && strcmp(part->name, name) == 0) {
            return true;
        }
    }
    return false;
}

/* ---- telling ----------------------------------------------------------------------------------------------------- */

/* The system's own may be missing. What an option names and is not there will be, and demitd is to be restarted then.
 */
static void log_missing(const demit_daemon_t *daemon)
{
    const plan_t plan = draw_up(daemon, daemon->settings, daemon->pool);
    char path_text[DEMIT_LOG_VALUE_MAX], why[DEMIT_LOG_VALUE_MAX];

    for (int i = 0; is_enforced(daemon, FILES) && i < plan.paths->nelts; i++) {
        const demit_sandbox_path_t *path = &APR_ARRAY_IDX(plan.paths, i, demit_sandbox_path_t);
        const bool is_option = strchr(path->option, ' ') == NULL;
        if (is_option && !has_path(daemon->sandbox.paths, daemon->sandbox.path_count, path)) {
            demit_log(DEMIT_LOG_WARNING, "sandbox_path", "option=%s path=%s why=%s advice=\"restart when it is there\"",
                      path->option, demit_log_quote(path_text, sizeof(path_text), path->path),
                      demit_log_status(why, sizeof(why), look_at(path->path, daemon->pool)));
        }
    }
}

static void log_openings(const demit_daemon_t *daemon)
{
    const plan_t plan = draw_up(daemon, daemon->settings, daemon->pool);
    const apr_array_header_t *openings = openings_of(&plan);
    char text[DEMIT_LOG_VALUE_MAX];

    for (int i = 0; is_enforced(daemon, FILES) && i < openings->nelts; i++) {
        demit_log(DEMIT_LOG_WARNING, "sandbox_open", "text=%s",
                  demit_log_quote(text, sizeof(text), APR_ARRAY_IDX(openings, i, const char *)));
    }
}

void demit_log_sandbox(const demit_daemon_t *daemon)
{
    char name[DEMIT_LOG_VALUE_MAX], why[DEMIT_LOG_VALUE_MAX];

    if (daemon->settings->security.sandbox == DEMIT_SANDBOX_OFF) {
        demit_log(DEMIT_LOG_INFO, "sandbox", "part=all enforced=no why=\"Sandbox = off\"");
        return;
    }
    for (int i = 0; i < daemon->sandbox_parts->nelts; i++) {
        const demit_sandbox_part_t *part = &APR_ARRAY_IDX(daemon->sandbox_parts, i, demit_sandbox_part_t);
        if (part->enforced && part->why_not[0] != '\0') {
            demit_log(DEMIT_LOG_WARNING, "sandbox", "part=%s enforced=yes why_not_all=%s",
                      demit_log_quote(name, sizeof(name), part->name),
                      demit_log_quote(why, sizeof(why), part->why_not));
        } else if (part->enforced) {
            demit_log(DEMIT_LOG_INFO, "sandbox", "part=%s enforced=yes",
                      demit_log_quote(name, sizeof(name), part->name));
        } else {
            demit_log(DEMIT_LOG_WARNING, "sandbox", "part=%s enforced=no why=%s",
                      demit_log_quote(name, sizeof(name), part->name),
                      demit_log_quote(why, sizeof(why), part->why_not));
        }
    }
    log_missing(daemon);
    log_openings(daemon);
}

/* ---- what a reload may ask for ----------------------------------------------------------------------------------- */

/* The option that asks for PORT, with its place if it has one. */
static const char *who_needs(const demit_settings_t *settings, uint16_t port, apr_pool_t *pool)
{
    for (int i = 0; i < settings->listeners->nelts; i++) {
        const demit_listen_settings_t *listen = &APR_ARRAY_IDX(settings->listeners, i, demit_listen_settings_t);
        if (listen->enable && listen->unix_path == NULL && listen->port == port) {
            return apr_psprintf(pool, "%s:%u:%u: Listen \"%s\"", listen->source.file, listen->source.line,
                                listen->source.column, listen->title);
        }
    }
    return "Sandbox_Ports";
}

apr_array_header_t *demit_sandbox_lacks(const demit_daemon_t *daemon, const demit_settings_t *settings,
                                        apr_pool_t *pool)
{
    const plan_t plan = draw_up(daemon, settings, pool);
    const demit_sandbox_request_t *held = &daemon->sandbox;
    apr_array_header_t *lacking = apr_array_make(pool, 2, sizeof(const char *));

    for (int i = 0; is_enforced(daemon, BIND) && i < plan.ports->nelts; i++) {
        const uint16_t port = APR_ARRAY_IDX(plan.ports, i, uint16_t);
        if (!has_port(held->ports, held->port_count, port)) {
            APR_ARRAY_PUSH(lacking, const char *) =
                apr_psprintf(pool,
                             "%s needs TCP port %u, which the sandbox does not let this demitd bind; restart it "
                             "(Sandbox_Ports allows ports for later)",
                             who_needs(settings, port, pool), port);
        }
    }
    for (int i = 0; is_enforced(daemon, FILES) && i < plan.paths->nelts; i++) {
        const demit_sandbox_path_t *path = &APR_ARRAY_IDX(plan.paths, i, demit_sandbox_path_t);
        const bool is_option = strchr(path->option, ' ') == NULL && path->access != DEMIT_SANDBOX_CONNECT;
        if (is_option && !has_path(held->paths, held->path_count, path)) {
            APR_ARRAY_PUSH(lacking, const char *) =
                apr_psprintf(pool,
                             "%s needs %s, which the sandbox keeps out of reach of this demitd; restart it "
                             "(Sandbox_Paths allows paths for later)",
                             path->option, path->path);
        }
    }
    return lacking;
}

/* ---- -e and -t --------------------------------------------------------------------------------------------------- */

static const char *text_of(demit_sandbox_access_t access)
{
    switch (access) {
    case DEMIT_SANDBOX_READ:
        return "read";
    case DEMIT_SANDBOX_WRITE:
        return "write";
    case DEMIT_SANDBOX_CONNECT:
        return "connect";
    }
    return "";
}

static void print_paths(const demit_daemon_t *daemon, const plan_t *plan)
{
    const char *jail = demit_identity_chroot(daemon->identity);

    for (int i = 0; i < plan->paths->nelts; i++) {
        const demit_sandbox_path_t *path = &APR_ARRAY_IDX(plan->paths, i, demit_sandbox_path_t);
        const char *outside = jail == NULL ? path->path : apr_pstrcat(plan->pool, jail, path->path, NULL);
        printf("      %-7s  %-36s %s%s\n", text_of(path->access), path->path, path->option,
               look_at(outside, plan->pool) == APR_SUCCESS ? "" : " (not there now)");
    }
}

static void print_openings(const plan_t *plan, FILE *file, const char *before)
{
    const apr_array_header_t *openings = openings_of(plan);

    for (int i = 0; i < openings->nelts; i++) {
        fprintf(file, "%s%s\n", before, APR_ARRAY_IDX(openings, i, const char *));
    }
}

static void print_ports(const plan_t *plan)
{
    printf("      bind     any free port");
    for (int i = 0; i < plan->ports->nelts; i++) {
        printf(", %u", APR_ARRAY_IDX(plan->ports, i, uint16_t));
    }
    printf("\n");
}

/* Fills the daemon's parts with what would be; nobody has entered anything. */
static bool explain(demit_daemon_t *daemon, const plan_t *plan)
{
    const demit_sandbox_request_t request = request_of(plan);
    demit_os_error_t error;

    daemon->sandbox_parts = apr_array_make(daemon->pool, 4, sizeof(demit_sandbox_part_t));
    if (demit_sandbox_explain(&request, keep_part, daemon, &error) != 0) {
        fprintf(stderr, "demitd: %s: %s\n", error.step, error.text);
        return false;
    }
    return true;
}

bool demit_show_sandbox(demit_daemon_t *daemon)
{
    const demit_sandbox_mode_t mode = daemon->settings->security.sandbox;
    const plan_t plan = draw_up(daemon, daemon->settings, daemon->pool);
    bool enters = mode != DEMIT_SANDBOX_REQUIRED || openings_of(&plan)->nelts == 0;

    if (mode == DEMIT_SANDBOX_OFF) {
        printf("\nSandbox = off: nothing more is taken.\n");
        return true;
    }
    if (!explain(daemon, &plan)) {
        return false;
    }
    printf("\nThe sandbox that follows, for good (Sandbox = %s):\n", mode == DEMIT_SANDBOX_AUTO ? "auto" : "required");
    for (int i = 0; i < daemon->sandbox_parts->nelts; i++) {
        const demit_sandbox_part_t *part = &APR_ARRAY_IDX(daemon->sandbox_parts, i, demit_sandbox_part_t);
        printf("    %-18s %s%s\n", part->name,
               part->enforced ? "" : "NOT ENFORCED: ", part->enforced ? part->what : part->why_not);
        if (part->enforced && part->why_not[0] != '\0') {
            printf("      WARNING  %s\n", part->why_not);
        }
        if (part->enforced && strcmp(part->name, FILES) == 0) {
            print_paths(daemon, &plan);
            print_openings(&plan, stdout, "      WARNING  ");
        } else if (part->enforced && strcmp(part->name, BIND) == 0) {
            print_ports(&plan);
        }
        enters = enters && (part->enforced || mode != DEMIT_SANDBOX_REQUIRED);
    }
    return enters;
}

bool demit_test_sandbox(demit_daemon_t *daemon)
{
    const demit_security_settings_t *security = &daemon->settings->security;
    const plan_t plan = draw_up(daemon, daemon->settings, daemon->pool);
    const bool required = security->sandbox == DEMIT_SANDBOX_REQUIRED;
    bool enters = !required || openings_of(&plan)->nelts == 0;

    if (security->sandbox == DEMIT_SANDBOX_OFF) {
        return true;
    }
    if (!explain(daemon, &plan)) {
        return !required; /* a start with "auto" will tell */
    }
    if (is_enforced(daemon, FILES)) {
        print_openings(&plan, stderr, required ? "Sandbox = required: " : "warning: ");
    }
    for (int i = 0; i < daemon->sandbox_parts->nelts; i++) {
        const demit_sandbox_part_t *part = &APR_ARRAY_IDX(daemon->sandbox_parts, i, demit_sandbox_part_t);
        if (required && !part->enforced) {
            fprintf(stderr, "%s:%u:%u: Sandbox = required, and \"%s\" cannot be enforced: %s\n",
                    security->sandbox_source.file, security->sandbox_source.line, security->sandbox_source.column,
                    part->name, part->why_not);
            enters = false;
        }
    }
    return enters;
}
