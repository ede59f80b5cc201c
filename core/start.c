/* The stages that run before root is let go, and the one that lets it go. */
#include "core/daemon.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include <apr_file_info.h>
#include <apr_strings.h>

#include "demit/config.h"
#include "demit/log.h"

int demit_start_failed(int code, const char *format, ...)
{
    char text[1024];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    fprintf(stderr, "demitd: %s\n", text);
    return code;
}

/* ---- configuration ---------------------------------------------------------------------------------------------- */

static void print_lines(const apr_array_header_t *lines, const char *kind)
{
    for (int i = 0; lines != NULL && i < lines->nelts; i++) {
        fprintf(stderr, "%s%s\n", kind, APR_ARRAY_IDX(lines, i, const char *));
    }
}

/* A reload reads the file again, when the working directory is another one. */
static int make_absolute(demit_daemon_t *daemon)
{
    char *path;
    const apr_status_t status =
        apr_filepath_merge(&path, NULL, daemon->options.config_file, APR_FILEPATH_NATIVE, daemon->pool);
    char text[256];

    if (status != APR_SUCCESS) {
        return demit_start_failed(EX_OSERR,
                                  "the working directory is unknown: %s; name the configuration by an "
                                  "absolute path",
                                  apr_strerror(status, text, sizeof(text)));
    }
    daemon->config_file = path;
    return 0;
}

int demit_read_configuration(demit_daemon_t *daemon)
{
    demit_config_report_t report = {0};
    char *directory = NULL;

    if (apr_filepath_get(&directory, APR_FILEPATH_NATIVE, daemon->pool) != APR_SUCCESS) {
        directory = apr_pstrdup(daemon->pool, "/"); /* one that was removed, or cannot be read: nothing lies below it */
    }
    daemon->start_directory = directory;
    const apr_status_t status =
        demit_config_load_shared(&daemon->settings, &report, daemon->options.config_file, daemon->pool);

    print_lines(report.warnings, "warning: ");
    print_lines(report.errors, "");
    if (status == APR_SUCCESS) {
        /* What is opened at the start may name things by these settings' texts for life: they stay, alone of all. */
        demit_settings_hold_in(daemon->settings, daemon->pool);
        return make_absolute(daemon);
    }
    return APR_STATUS_IS_ENOENT(status) ? EX_NOINPUT : EX_CONFIG;
}

void demit_forget_configuration(demit_daemon_t *daemon)
{
    demit_settings_release(daemon->settings);
}

/* ---- identity --------------------------------------------------------------------------------------------------- */

static void warn(void *baton, const char *line)
{
    demit_daemon_t *daemon = baton;

    APR_ARRAY_PUSH(daemon->identity_warnings, const char *) = apr_pstrdup(daemon->pool, line);
}

void demit_log_identity(const demit_daemon_t *daemon)
{
    char text[DEMIT_LOG_VALUE_MAX];

    for (int i = 0; i < daemon->identity_warnings->nelts; i++) {
        demit_log(DEMIT_LOG_WARNING, "identity_warning", "text=%s",
                  demit_log_quote(text, sizeof(text), APR_ARRAY_IDX(daemon->identity_warnings, i, const char *)));
    }
    demit_identity_summary(daemon->identity, text, sizeof(text));
    demit_log(DEMIT_LOG_INFO, "identity", "%s verified=yes", text);
}

/* Where the option of Security that the back end names as the failed step was written; FILE is NULL if it was not. */
static demit_source_t place_of(const demit_security_settings_t *security, const char *option)
{
    const struct {
        const char *option;
        demit_source_t source;
    } places[] = {
        {"user", security->user_source},
        {"group", security->group_source},
        {"Supplemental_Groups", security->supplemental_groups_source},
        {"chroot", security->chroot_source},
        {"Capabilities", security->capabilities_source},
        {"Privileges", security->privileges_source},
        {"Allow_Inherited_Groups", security->allow_inherited_groups_source},
    };

    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        if (strcmp(places[i].option, option) == 0) {
            return places[i].source;
        }
    }
    return (demit_source_t){.file = NULL};
}

static void print_mistake(demit_source_t place, const demit_os_error_t *error)
{
    const bool named = strncmp(error->text, error->step, strlen(error->step)) == 0;

    if (place.file == NULL) {
        fprintf(stderr, "demitd: %s%s%s\n", named ? "" : error->step, named ? "" : ": ", error->text);
    } else {
        fprintf(stderr, "%s:%u:%u: %s%s%s\n", place.file, place.line, place.column, named ? "" : error->step,
                named ? "" : ": ", error->text);
    }
}

/* A mistake of the configuration is told like every other one: with its place, and with the option's name once. */
static void identity_mistake(void *baton, const demit_os_error_t *error)
{
    const demit_security_settings_t *security = baton;
    demit_source_t place = place_of(security, error->step);

    if (place.file == NULL && strcmp(error->step, "group") == 0) {
        place = security->user_source; /* a group that is not written comes from the user */
    }
    print_mistake(place, error);
}

/* All mistakes at once, so that nobody has to start over for each. */
static int identity_refused(demit_daemon_t *daemon, const demit_identity_request_t *request,
                            const demit_os_error_t *first)
{
    demit_security_settings_t security = daemon->settings->security;

    print_lines(daemon->identity_warnings, "warning: ");
    if (demit_identity_mistakes(request, identity_mistake, &security) == 0) {
        identity_mistake(&security, first); /* gone at the second look */
    }
    return EX_CONFIG;
}

static int resolve_control_group(demit_daemon_t *daemon)
{
    const char *group = daemon->settings->control_group;
    demit_os_error_t error;

    if (group == NULL || demit_os_group_resolve(&daemon->control_group, group, &error) == 0) {
        return 0;
    }
    print_mistake(daemon->settings->control_group_source, &error);
    return EX_CONFIG;
}

int demit_resolve_identity(demit_daemon_t *daemon)
{
    const demit_security_settings_t *security = &daemon->settings->security;
    const apr_array_header_t *groups = security->supplemental_groups;
    const demit_identity_request_t request = {
        .user = security->user,
        .group = security->group,
        .user_is_default = security->user_is_default,
        .group_is_default = security->group_is_default,
        .supplemental_groups = groups == NULL ? NULL : (const char *const *)groups->elts,
        .supplemental_group_count = groups == NULL ? 0 : (size_t)groups->nelts,
        .chroot_directory = security->chroot_directory,
        .capabilities = security->capabilities,
        .privileges = security->privileges,
        .allow_inherited_groups = security->allow_inherited_groups,
    };
    demit_os_error_t error;

    daemon->identity_warnings = apr_array_make(daemon->pool, 4, sizeof(const char *));
    if (demit_identity_resolve(&daemon->identity, &request, warn, daemon, &error) != 0) {
        (void)resolve_control_group(daemon);
        return identity_refused(daemon, &request, &error);
    }
    return resolve_control_group(daemon);
}

int demit_check_configuration(demit_daemon_t *daemon)
{
    const apr_array_header_t *files = daemon->settings->files;
    demit_os_error_t error;
    int code = 0;

    for (int i = 0; i < files->nelts; i++) {
        const char *file = APR_ARRAY_IDX(files, i, const char *);
        if (file[0] != '/') {
            file = apr_pstrcat(daemon->pool, daemon->start_directory, "/", file, NULL);
        }
        if (demit_identity_cannot_change(daemon->identity, file, &error) != 0) {
            code = demit_start_failed(EX_CONFIG, "%s: %s", error.step, error.text);
        }
    }
    return code;
}

void demit_forget_identity(demit_daemon_t *daemon)
{
    demit_os_group_free(daemon->control_group);
    demit_identity_free(daemon->identity);
}

static int protect_memory(void)
{
    const int code = demit_os_protect_memory();

    if (code == ENOTSUP) {
        /* Some systems protect a process that changed its ids and offer no call for one that did not. */
        demit_log(DEMIT_LOG_WARNING, "memory_unprotected", "reason=\"this system has no call against tracing\"");
    } else if (code != 0) {
        return demit_start_failed(EX_OSERR, "core files and tracing could not be switched off: %s", strerror(code));
    }
    return 0;
}

int demit_assume_identity(demit_daemon_t *daemon)
{
    demit_os_error_t error;

    if (demit_identity_assume(daemon->identity, &error) != 0) {
        return demit_start_failed(EX_NOPERM, "%s: %s", error.step, error.text);
    }
    /* At once: from the drop on, whoever else runs as that user could attach to what still has to prove itself. */
    const int code = protect_memory();
    if (code != 0) {
        return code;
    }
    if (demit_identity_verify(daemon->identity, &error) != 0) {
        return demit_start_failed(EX_NOPERM, "the identity could not be verified: %s: %s", error.step, error.text);
    }
    demit_log_identity(daemon);
    return 0;
}

/* ---- what needs root, and no more -------------------------------------------------------------------------------- */

int demit_raise_limits(demit_daemon_t *daemon)
{
    const uint32_t wanted = daemon->settings->max_file_descriptors;
    const int code = demit_os_limit_descriptors(wanted, &daemon->descriptors);

    if (code != 0) {
        return demit_start_failed(EX_OSERR, "the limit of open descriptors cannot be read: %s", strerror(code));
    }
    if (daemon->descriptors < wanted) {
        demit_log(DEMIT_LOG_WARNING, "descriptor_limit", "wanted=%u granted=%u", wanted, daemon->descriptors);
    }
    return 0;
}

const char *demit_outside_jail(const demit_daemon_t *daemon, const char *path)
{
    const char *jail = demit_identity_chroot(daemon->identity);

    return jail == NULL ? path : apr_pstrcat(daemon->pool, jail, path, NULL);
}

static const char *parent_of(const demit_daemon_t *daemon, const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash == NULL || slash == path ? "/" : apr_pstrndup(daemon->pool, path, (apr_size_t)(slash - path));
}

static int make_directory(demit_daemon_t *daemon, const char *path, mode_t mode)
{
    demit_os_error_t error;

    if (demit_os_make_directory(demit_identity_chroot(daemon->identity), path, mode,
                                demit_identity_uid(daemon->identity), demit_identity_gid(daemon->identity),
                                &error) != 0) {
        return demit_start_failed(EX_CANTCREAT, "%s: %s", error.step, error.text);
    }
    return 0;
}

/* The directories of the Unix sockets among LISTENERS. */
static int make_socket_directories(demit_daemon_t *daemon, const apr_array_header_t *listeners)
{
    int code = 0;

    for (int i = 0; code == 0 && i < listeners->nelts; i++) {
        const demit_listen_settings_t *listen = &APR_ARRAY_IDX(listeners, i, demit_listen_settings_t);
        if (listen->enable && listen->unix_path != NULL) {
            code = make_directory(daemon, parent_of(daemon, listen->unix_path), 0755);
        }
    }
    return code;
}

int demit_make_directories(demit_daemon_t *daemon)
{
    const demit_settings_t *settings = daemon->settings;
    int code = make_directory(daemon, settings->spool_base, 0700);

    if (code == 0 && settings->log[0] == '/' && !daemon->options.foreground) {
        code = make_directory(daemon, parent_of(daemon, settings->log), 0750);
    }
    if (code == 0) {
        code = make_socket_directories(daemon, settings->control_listeners);
    }
    if (code == 0) {
        code = make_socket_directories(daemon, settings->listeners);
    }
    return code;
}

int demit_write_pid_file(demit_daemon_t *daemon)
{
    demit_os_error_t error;
    const char *path = daemon->settings->pid_file;

    if (path == NULL) {
        return 0;
    }
    const int code = demit_os_pid_file(path, &daemon->pid_file, &error);
    if (code != 0) {
        return demit_start_failed(code == EWOULDBLOCK ? EX_UNAVAILABLE : EX_CANTCREAT, "%s: %s", error.step,
                                  error.text);
    }
    int limited = demit_os_limit_descriptor(daemon->pid_file.number_fd, DEMIT_DESCRIPTOR_PID_FILE);
    if (limited == 0) {
        limited = demit_os_limit_descriptor(daemon->pid_file.lock_fd, DEMIT_DESCRIPTOR_PID_FILE);
    }
    if (limited != 0 && limited != ENOTSUP) {
        return demit_start_failed(EX_OSERR, "the rights to the pid file cannot be limited: %s", strerror(limited));
    }
    return 0;
}

void demit_unlock_pid_file(demit_daemon_t *daemon)
{
    demit_os_pid_file_close(&daemon->pid_file);
}

int demit_look_at_pid_file(const demit_daemon_t *daemon)
{
    demit_os_error_t error;
    const char *path = daemon->settings->pid_file;

    if (path == NULL || demit_os_pid_file_look(path, &error) == 0) {
        return 0;
    }
    print_mistake(daemon->settings->pid_file_source, &error);
    return EX_CONFIG;
}

int demit_open_before_chroot(demit_daemon_t *daemon)
{
    const int code = demit_os_notify_open();
    char text[256];

    if (code != 0) {
        return demit_start_failed(EX_UNAVAILABLE, "the supervisor's NOTIFY_SOCKET cannot be reached: %s",
                                  strerror(code));
    }
    if (!daemon->options.foreground) {
        demit_os_syslog_open();
    }
    const apr_status_t status = demit_resolver_create(&daemon->resolver, daemon->settings, daemon->pool);
    if (status != APR_SUCCESS) {
        return demit_start_failed(EX_OSERR, "the resolver cannot be set up: %s",
                                  apr_strerror(status, text, sizeof(text)));
    }
    return 0;
}
