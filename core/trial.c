/*
 * The part of -t that looks at the file system: as the user that a start becomes and inside the jail, in a child, so
 * that neither root's rights nor paths of the host make anything look right that will not be.
 */
#include "core/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include <apr_file_info.h>
#include <apr_strings.h>

/* What a path is needed for, and what is lost without it. */
typedef enum need {
    NEED_DIRECTORY,     /* made by root if it is missing, and written to: without it there is no start */
    NEED_LOG,           /* a regular file to append to, or a directory where it can be made: likewise */
    NEED_ROTATION,      /* a directory where a log can be made anew */
    NEED_MAILBOXES,     /* a directory to pass through */
    NEED_NEW_MAILBOXES, /* and to make directories in */
    NEED_SOCKET,        /* to connect to */
    NEED_TO_READ        /* at a reload */
} need_t;

typedef struct look {
    need_t need;
    const char *path, *option;
    demit_source_t source; /* FILE NULL: the default */
} look_t;

typedef struct trial {
    const demit_daemon_t *daemon;
    apr_array_header_t *looks; /* look_t */
    bool failed;               /* told a line that forbids the start */
    void (*tell)(void *to, const char *line);
    void *to;
} trial_t;

/* ---- what is to be looked at: as root, outside ------------------------------------------------------------------ */

static void add(trial_t *trial, need_t need, const char *option, const char *path, demit_source_t source)
{
    APR_ARRAY_PUSH(trial->looks, look_t) = (look_t){.need = need, .path = path, .option = option, .source = source};
}

static const char *parent_of(const trial_t *trial, const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash == NULL || slash == path ? "/" : apr_pstrndup(trial->daemon->pool, path, (apr_size_t)(slash - path));
}

static void add_sockets(trial_t *trial, const apr_array_header_t *listeners)
{
    for (int i = 0; i < listeners->nelts; i++) {
        const demit_listen_settings_t *listen = &APR_ARRAY_IDX(listeners, i, demit_listen_settings_t);
        if (listen->enable && listen->unix_path != NULL) {
            add(trial, NEED_DIRECTORY, "Listen", parent_of(trial, listen->unix_path), listen->source);
        }
    }
}

/* The part of a Maildir's path that is the same for every recipient. */
static const char *prefix_of(const trial_t *trial, const char *maildir)
{
    return parent_of(trial, apr_pstrndup(trial->daemon->pool, maildir, strcspn(maildir, "%")));
}

static void add_domain(trial_t *trial, const demit_domain_settings_t *domain)
{
    if (domain->delivery_method == DEMIT_DELIVER_MAILDIR && domain->maildir != NULL) {
        add(trial, domain->maildir_create ? NEED_NEW_MAILBOXES : NEED_MAILBOXES, "Maildir",
            prefix_of(trial, domain->maildir), domain->source);
    } else if (domain->gateway_is_path) {
        add(trial, NEED_SOCKET, "Gateway", domain->gateway_host, domain->source);
    }
}

static void add_all(trial_t *trial)
{
    const demit_settings_t *settings = trial->daemon->settings;

    add(trial, NEED_DIRECTORY, "SpoolBase", settings->spool_base, settings->spool_base_source);
    if (settings->log[0] == '/') {
        add(trial, NEED_LOG, "Log", settings->log, settings->log_source);
        add(trial, NEED_ROTATION, "Log", parent_of(trial, settings->log), settings->log_source);
    }
    add_sockets(trial, settings->control_listeners);
    add_sockets(trial, settings->listeners);
    for (int i = 0; i < settings->domains->nelts; i++) {
        add_domain(trial, &APR_ARRAY_IDX(settings->domains, i, demit_domain_settings_t));
    }
    add_domain(trial, settings->any_domain);
}

/* ---- saying what was found: in the child ------------------------------------------------------------------------- */

__attribute__((format(printf, 4, 5))) static void complain(const trial_t *trial, const look_t *look, bool forbids_start,
                                                           const char *format, ...)
{
    char line[2048];
    va_list arguments;
    int used = snprintf(line, sizeof(line), "%s", forbids_start ? "E" : "W");

    if (look->source.file != NULL) {
        used += snprintf(line + used, sizeof(line) - (size_t)used, "%.1024s:%u:%u: ", look->source.file,
                         look->source.line, look->source.column);
    }
    used += snprintf(line + used, sizeof(line) - (size_t)used, "%s: ", look->option);
    va_start(arguments, format);
    (void)vsnprintf(line + used, sizeof(line) - (size_t)used, format, arguments);
    va_end(arguments);
    trial->tell(trial->to, line);
}

static bool forbids_start(need_t need)
{
    return need == NEED_DIRECTORY || need == NEED_LOG;
}

/* "uid 54321 cannot …: /x has owner 0:0 and mode 0755; chown 54321:54322 would be right". */
static void complain_of_rights(const trial_t *trial, const look_t *look, const char *path, const char *what)
{
    const demit_identity_t *identity = trial->daemon->identity;
    const unsigned long uid = demit_identity_uid(identity), gid = demit_identity_gid(identity);
    struct stat about;

    if (stat(path, &about) != 0) {
        complain(trial, look, forbids_start(look->need),
                 "uid %lu cannot %s %s: %s; a directory above it is closed to it", uid, what, path, strerror(errno));
        return;
    }
    const unsigned long owner = about.st_uid, group = about.st_gid;
    const unsigned mode = (unsigned)about.st_mode & 07777U;
    if (look->need == NEED_TO_READ) { /* the server's user must not own what says who he is */
        complain(
            trial, look, false,
            "uid %lu cannot %s %s, which has owner %lu:%lu and mode %04o; owner root, group %lu, mode 0640 would do",
            uid, what, path, owner, group, mode, gid);
        return;
    }
    complain(
        trial, look, forbids_start(look->need),
        "uid %lu cannot %s %s, which has owner %lu:%lu and mode %04o; give it to %lu:%lu (chown), or open it to that "
        "group (chmod)",
        uid, what, path, owner, group, mode, uid, gid);
}

static bool may(const char *path, int mode)
{
    return faccessat(AT_FDCWD, path, mode, AT_EACCESS) == 0;
}

static bool is_missing(const char *path)
{
    struct stat about;

    return stat(path, &about) != 0 && errno == ENOENT;
}

static void complain_of_absence(const trial_t *trial, const look_t *look, const char *path)
{
    const char *jail = demit_identity_chroot(trial->daemon->identity);

    if (jail == NULL) {
        complain(trial, look, forbids_start(look->need), "there is no %s; make it", path);
    } else {
        complain(
            trial, look, forbids_start(look->need),
            "there is no %s inside the jail, where it is looked for after the start, whatever the host has at that "
            "path; make %s%s",
            path, jail, path);
    }
}

/* ---- looking: in the child ----------------------------------------------------------------------------------------
 */

/* Root makes the last name of a path, and nothing above it. */
static bool is_made_by_root(const trial_t *trial, const look_t *look, const char *path)
{
    const char *parent = parent_of(trial, path);

    if (!is_missing(path)) {
        return false;
    }
    if (is_missing(parent)) {
        complain_of_absence(trial, look, parent);
    }
    return true;
}

static void look_at_directory(const trial_t *trial, const look_t *look, const char *path)
{
    struct stat about;

    if (is_made_by_root(trial, look, path)) {
        return;
    }
    if (stat(path, &about) == 0 && !S_ISDIR(about.st_mode)) {
        complain(trial, look, true, "%s is in the way: it is no directory", path);
    } else if (!may(path, R_OK | W_OK | X_OK)) {
        complain_of_rights(trial, look, path, "write to");
    }
}

static void look_at_log(const trial_t *trial, const look_t *look)
{
    struct stat about;

    if (lstat(look->path, &about) != 0) {
        if (errno == ENOENT) {
            look_at_directory(trial, look, parent_of(trial, look->path));
        } else {
            complain_of_rights(trial, look, look->path, "write to");
        }
    } else if (!S_ISREG(about.st_mode)) {
        complain(trial, look, true, "%s is not a regular file", look->path);
    } else if (!may(look->path, W_OK)) {
        complain_of_rights(trial, look, look->path, "write to");
    }
}

static void look_at_mailboxes(const trial_t *trial, const look_t *look)
{
    const int wanted = look->need == NEED_NEW_MAILBOXES ? W_OK | X_OK : X_OK;

    if (is_missing(look->path)) {
        complain_of_absence(trial, look, look->path);
    } else if (!may(look->path, wanted)) {
        complain_of_rights(trial, look, look->path, look->need == NEED_NEW_MAILBOXES ? "make mailboxes in" : "enter");
    }
}

static void look_at_one(const trial_t *trial, const look_t *look)
{
    switch (look->need) {
    case NEED_DIRECTORY:
        look_at_directory(trial, look, look->path);
        break;
    case NEED_LOG:
        look_at_log(trial, look);
        break;
    case NEED_ROTATION:
        if (!is_missing(look->path) && !is_missing(trial->daemon->settings->log) && !may(look->path, W_OK | X_OK)) {
            complain_of_rights(trial, look, look->path, "make a new log, after a rotation, in");
        }
        break;
    case NEED_MAILBOXES:
    case NEED_NEW_MAILBOXES:
        look_at_mailboxes(trial, look);
        break;
    case NEED_SOCKET:
        if (is_missing(look->path)) {
            complain_of_absence(trial, look, look->path);
        } else if (!may(look->path, W_OK)) {
            complain_of_rights(trial, look, look->path, "connect to");
        }
        break;
    case NEED_TO_READ:
        if (is_missing(look->path)) {
            complain_of_absence(trial, look, look->path);
        } else if (!may(look->path, R_OK)) {
            complain_of_rights(trial, look, look->path, "read, at a reload,");
        }
        break;
    }
}

/* syslog(3) connects anew when syslogd was restarted, which in a jail leads to the jail's /dev/log. */
static void look_at_syslog(const trial_t *trial)
{
    const look_t look = {.option = "Log", .source = trial->daemon->settings->log_source};

    if (trial->daemon->settings->log[0] != '/' && demit_identity_chroot(trial->daemon->identity) != NULL &&
        is_missing("/dev/log")) {
        complain(trial, &look, false,
                 "there is no /dev/log inside the jail: nothing is logged any more after a restart of syslogd, until "
                 "demitd is restarted, too; let syslogd open one there, or log to a file");
    }
}

static void look_at_all(void *baton, void (*tell)(void *to, const char *line), void *to)
{
    trial_t *trial = baton;

    trial->tell = tell;
    trial->to = to;
    for (int i = 0; i < trial->looks->nelts; i++) {
        look_at_one(trial, &APR_ARRAY_IDX(trial->looks, i, look_t));
    }
    look_at_syslog(trial);
}

/* ---- all of it -----------------------------------------------------------------------------------------------------
 */

static void print(void *baton, const char *line)
{
    trial_t *trial = baton;

    trial->failed = trial->failed || line[0] == 'E';
    fprintf(stderr, "%s%s\n", line[0] == 'E' ? "" : "warning: ", line + 1);
}

int demit_try_paths(demit_daemon_t *daemon)
{
    trial_t trial = {.daemon = daemon, .looks = apr_array_make(daemon->pool, 8, sizeof(look_t))};
    const demit_identity_trial_t request = {.check = look_at_all, .each = print, .baton = &trial};
    demit_os_error_t error;
    char *config = NULL;

    if (apr_filepath_merge(&config, NULL, daemon->options.config_file, 0, daemon->pool) == APR_SUCCESS) {
        add(&trial, NEED_TO_READ, "the configuration", config, (demit_source_t){.file = NULL});
    }
    add_all(&trial);
    const int code = demit_identity_try(daemon->identity, &request, &error);
    if (code != 0 && strcmp(error.step, "threads") == 0) {
        /* Of this look, not of the configuration: a preloaded library starts them, or a sanitizer. */
        fprintf(stderr, "warning: the paths were not looked at as that user: %s\n", error.text);
        return 0;
    }
    if (code != 0) {
        return demit_start_failed(EX_NOPERM, "%s: %s", error.step, error.text);
    }
    return trial.failed ? EX_CONFIG : 0;
}
