/*
 * Another configuration while the daemon runs. It is read as a whole, compared with the one in force, and refused as a
 * whole if one thing in it is wrong or cannot be brought into force; then nothing has changed. If all of it can: new
 * connections and the next attempts of mail in the queue go by it, sessions and deliveries under way end as they began.
 */
#include "core/daemon.h"

#include <errno.h>
#include <stdio.h>
#include <sysexits.h>
#include <unistd.h>

#include <apr_strings.h>

#include "demit/config.h"
#include "demit/log.h"

/* ---- the outcome ------------------------------------------------------------------------------------------------- */

static void begin_outcome(demit_reload_outcome_t *outcome, apr_pool_t *pool)
{
    *outcome = (demit_reload_outcome_t){.errors = apr_array_make(pool, 4, sizeof(const char *)),
                                        .warnings = apr_array_make(pool, 4, sizeof(const char *)),
                                        .added = apr_array_make(pool, 4, sizeof(const char *)),
                                        .removed = apr_array_make(pool, 4, sizeof(const char *)),
                                        .changed = apr_array_make(pool, 4, sizeof(const char *)),
                                        .options = apr_array_make(pool, 4, sizeof(const char *))};
}

static void refuse(demit_reload_outcome_t *outcome, int exit_code, const char *line)
{
    outcome->exit_code = exit_code;
    APR_ARRAY_PUSH(outcome->errors, const char *) = line;
}

static const char *joined(const apr_array_header_t *words, char *buffer, size_t size)
{
    return demit_log_quote(buffer, size, apr_array_pstrcat(words->pool, words, ' '));
}

static void log_outcome(const demit_reload_outcome_t *outcome)
{
    char text[DEMIT_LOG_VALUE_MAX], added[DEMIT_LOG_VALUE_MAX], removed[DEMIT_LOG_VALUE_MAX];
    char changed[DEMIT_LOG_VALUE_MAX], options[DEMIT_LOG_VALUE_MAX];

    for (int i = 0; i < outcome->warnings->nelts; i++) {
        demit_log(DEMIT_LOG_WARNING, "reload_warning", "text=%s",
                  demit_log_quote(text, sizeof(text), APR_ARRAY_IDX(outcome->warnings, i, const char *)));
    }
    for (int i = 0; i < outcome->errors->nelts; i++) {
        demit_log(DEMIT_LOG_ERROR, "reload_refused", "reason=%s",
                  demit_log_quote(text, sizeof(text), APR_ARRAY_IDX(outcome->errors, i, const char *)));
    }
    if (outcome->exit_code == 0) {
        demit_log(DEMIT_LOG_INFO, "reloaded", "added=%s removed=%s changed=%s options=%s",
                  joined(outcome->added, added, sizeof(added)), joined(outcome->removed, removed, sizeof(removed)),
                  joined(outcome->changed, changed, sizeof(changed)),
                  joined(outcome->options, options, sizeof(options)));
    }
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

/* Why the file that root could read at the start cannot be read now, and what would help. */
static const char *why_unreadable(const demit_daemon_t *daemon, apr_status_t status, apr_pool_t *pool)
{
    const char *file = daemon->config_file, *jail = demit_identity_chroot(daemon->identity);
    const unsigned long gid = (unsigned long)demit_identity_gid(daemon->identity);
    char text[256];

    apr_strerror(status, text, sizeof(text));
    if (jail != NULL && (APR_STATUS_IS_ENOENT(status) || APR_STATUS_IS_ENOTDIR(status))) {
        return apr_psprintf(pool,
                            "%s: cannot be read: %s; demitd is inside the jail %s now and looks for it there: keep the "
                            "configuration at %s%s, too, or restart",
                            file, text, jail, jail, file);
    }
    if (APR_STATUS_IS_EACCES(status)) {
        return apr_psprintf(
            pool,
            "%s: cannot be read: %s; demitd reads it as uid %lu, gid %lu now: owner root, group %lu, mode "
            "0640 would do, and mode 0755 for the directories above it",
            file, text, (unsigned long)demit_identity_uid(daemon->identity), gid, gid);
    }
    return apr_psprintf(pool, "%s: cannot be read: %s", file, text);
}

static const demit_settings_t *read_settings(const demit_daemon_t *daemon, demit_reload_outcome_t *outcome,
                                             apr_pool_t *pool)
{
    const demit_settings_t *newer = NULL;
    demit_config_report_t report = {0};
    const apr_status_t status = demit_config_load_shared(&newer, &report, daemon->config_file, pool);

    outcome->warnings = report.warnings;
    if (status == APR_SUCCESS) {
        return newer;
    }
    if (status == APR_EINVAL) {
        outcome->exit_code = EX_CONFIG;
        outcome->errors = report.errors;
    } else {
        refuse(outcome, EX_CONFIG, why_unreadable(daemon, status, pool));
    }
    return NULL;
}

/* ---- comparing --------------------------------------------------------------------------------------------------- */

static const char *place_text(const demit_source_t *source, apr_pool_t *pool)
{
    return source->line == 0 ? source->file
                             : apr_psprintf(pool, "%s:%u:%u", source->file, source->line, source->column);
}

/* Lists what is different; refuses what a reload cannot change. */
static void compare(const demit_daemon_t *daemon, const demit_settings_t *newer, demit_reload_outcome_t *outcome,
                    apr_pool_t *pool)
{
    const apr_array_header_t *found = demit_config_differences(daemon->settings, newer, pool);

    for (int i = 0; i < found->nelts; i++) {
        const demit_config_difference_t *difference = &APR_ARRAY_IDX(found, i, demit_config_difference_t);
        APR_ARRAY_PUSH(outcome->options, const char *) = apr_pstrdup(pool, difference->name);
        if (difference->needs_restart) {
            refuse(outcome, EX_CONFIG,
                   apr_psprintf(pool, "%s: %s %s; this needs a restart", place_text(&difference->source, pool),
                                difference->name,
                                difference->source.line == 0 ? "is not set any more" : "has another value"));
        }
    }
}

/* ---- into force -------------------------------------------------------------------------------------------------- */

static void change_over(demit_daemon_t *daemon, const demit_settings_t *newer, demit_relisten_t *listeners,
                        demit_reload_outcome_t *outcome)
{
    const demit_settings_t *older = daemon->settings;

    daemon->settings = newer;
    demit_relisten_commit(listeners, older, outcome);
    demit_share_descriptors(daemon);
    demit_queue_use_settings(daemon->queue, newer);
    demit_control_use_settings(daemon->control, newer);
    demit_settings_release(older);
}

/* Whoever mends what the sandbox lacks must not find out by the next reload that the privilege is missing, too. */
static void refuse_what_lacks(const demit_daemon_t *daemon, const demit_settings_t *newer,
                              demit_reload_outcome_t *outcome, apr_pool_t *pool)
{
    const apr_array_header_t *lacking = demit_sandbox_lacks(daemon, newer, pool);

    for (int i = 0; i < lacking->nelts; i++) {
        refuse(outcome, EX_NOPERM, APR_ARRAY_IDX(lacking, i, const char *));
    }
    if (lacking->nelts > 0) {
        demit_relisten_foresee(daemon, newer, outcome);
    }
}

static void try_reload(demit_daemon_t *daemon, demit_reload_outcome_t *outcome, apr_pool_t *pool)
{
    demit_relisten_t *listeners;

    if (daemon->stop_deadline_us != 0) {
        refuse(outcome, EX_UNAVAILABLE, "the daemon is stopping");
        return;
    }
    const demit_settings_t *newer = read_settings(daemon, outcome, pool);
    if (newer == NULL) {
        return;
    }
    compare(daemon, newer, outcome, pool);
    if (outcome->exit_code == 0) {
        refuse_what_lacks(daemon, newer, outcome, pool);
    }
    if (outcome->exit_code == 0 && demit_relisten_prepare(&listeners, daemon, newer, outcome, pool) == 0) {
        change_over(daemon, newer, listeners, outcome);
    } else {
        demit_settings_release(newer);
    }
}

/* sd_notify(3): a supervisor that waits for the end of a reload compares its own clock with this one. */
static void tell_reloading(void)
{
    char state[64];

    (void)snprintf(state, sizeof(state), "RELOADING=1\nMONOTONIC_USEC=%lld", (long long)demit_os_monotonic_us());
    demit_os_notify(state);
}

void demit_reload(demit_daemon_t *daemon, demit_reload_outcome_t *outcome, apr_pool_t *pool)
{
    begin_outcome(outcome, pool);
    tell_reloading();
    try_reload(daemon, outcome, pool);
    log_outcome(outcome);
    demit_os_notify(daemon->stop_deadline_us == 0 ? "READY=1" : "STOPPING=1");
}
