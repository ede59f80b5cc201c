/* What the process holds: shown beforehand by -e, logged at the start, compared with the configuration. */
#include "core/daemon.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include <apr_strings.h>

#include "demit/log.h"

/* ---- what the configuration uses ----------------------------------------------------------------------------------
 */

/* The TCP ports of the enabled listeners, each with its place. demit_port_use_t */
static apr_array_header_t *ports_in_use(const demit_daemon_t *daemon)
{
    const apr_array_header_t *listeners = daemon->settings->listeners;
    apr_array_header_t *uses = apr_array_make(daemon->pool, listeners->nelts, sizeof(demit_port_use_t));

    for (int i = 0; i < listeners->nelts; i++) {
        const demit_listen_settings_t *listen = &APR_ARRAY_IDX(listeners, i, demit_listen_settings_t);
        if (listen->enable && listen->unix_path == NULL) {
            APR_ARRAY_PUSH(uses, demit_port_use_t) =
                (demit_port_use_t){.port = listen->port,
                                   .by = apr_psprintf(daemon->pool, "%s:%u:%u: Listen \"%s\"", listen->source.file,
                                                      listen->source.line, listen->source.column, listen->title)};
        }
    }
    return uses;
}

static void advise(demit_daemon_t *daemon, void (*each)(void *baton, const char *line), void *baton)
{
    const apr_array_header_t *uses = ports_in_use(daemon);

    demit_identity_advise(daemon->identity, (const demit_port_use_t *)uses->elts, (size_t)uses->nelts, each, baton);
}

/* ---- beforehand ---------------------------------------------------------------------------------------------------
 */

static void print_over(const char *over, const char *what)
{
    printf("    %-10s %s\n", over, what);
}

static void print_reach(void *baton, const demit_identity_reach_t *reach)
{
    (void)baton;
    print_over(reach->over, reach->what);
}

/* What the operating system cannot keep from it, since it is what demitd is there for. */
static void print_mail(const demit_daemon_t *daemon)
{
    const apr_array_header_t *domains = daemon->settings->domains;

    print_over("mail", apr_psprintf(daemon->pool, "all that waits in %s, and all that passes through", //
                                    daemon->settings->spool_base));
    for (int i = 0; i < domains->nelts; i++) {
        const demit_domain_settings_t *domain = &APR_ARRAY_IDX(domains, i, demit_domain_settings_t);
        if (domain->delivery_method == DEMIT_DELIVER_MAILDIR) {
            print_over("mail", apr_psprintf(daemon->pool, "the mailboxes of %s: %s", domain->name, domain->maildir));
        }
    }
}

static void print_advice(void *baton, const char *line)
{
    print_over("advice", line);
    ++*(unsigned *)baton;
}

void demit_print_reach(demit_daemon_t *daemon)
{
    unsigned advised = 0;

    printf("\nWhoever takes the process over can do this, before any sandbox:\n");
    demit_identity_each_reach(daemon->identity, print_reach, NULL);
    print_mail(daemon);
    printf("\nMeasured against this configuration:\n");
    advise(daemon, print_advice, &advised);
    if (advised == 0) {
        print_over("advice", "none: nothing is kept in vain, and no reload of these ports needs more");
    }
}

/* ---- at the start --------------------------------------------------------------------------------------------------
 */

/* Facts as they come, gathered into one line for the process and one for each thread that differs. */
typedef struct gathering {
    apr_pool_t *pool;
    pid_t thread;
    const char *line; /* NULL: nothing gathered */
} gathering_t;

static void log_gathered(gathering_t *gathering)
{
    if (gathering->line != NULL && gathering->thread == 0) {
        demit_log(DEMIT_LOG_INFO, "privileges", "%s", gathering->line);
    } else if (gathering->line != NULL) {
        demit_log(DEMIT_LOG_WARNING, "privileges_of_thread", "thread=%ld %s", (long)gathering->thread, gathering->line);
    }
    gathering->line = NULL;
}

static void gather(void *baton, const demit_identity_fact_t *fact)
{
    gathering_t *gathering = baton;
    char value[DEMIT_LOG_VALUE_MAX];

    if (fact->thread != gathering->thread) {
        log_gathered(gathering);
        gathering->thread = fact->thread;
    }
    demit_log_quote(value, sizeof(value), fact->value);
    gathering->line = gathering->line == NULL
                          ? apr_pstrcat(gathering->pool, fact->name, "=", value, NULL)
                          : apr_pstrcat(gathering->pool, gathering->line, " ", fact->name, "=", value, NULL);
}

static void log_advice(void *baton, const char *line)
{
    char text[DEMIT_LOG_VALUE_MAX];

    (void)baton;
    demit_log(DEMIT_LOG_INFO, "privileges_advice", "text=%s", demit_log_quote(text, sizeof(text), line));
}

static void log_drift(void *baton, const char *line)
{
    char text[DEMIT_LOG_VALUE_MAX];

    (void)baton;
    demit_log(DEMIT_LOG_ERROR, "privileges_drift", "text=%s", demit_log_quote(text, sizeof(text), line));
}

int demit_audit_threads(demit_daemon_t *daemon)
{
    gathering_t gathering = {.pool = daemon->pool};
    const int code = demit_identity_report(0, gather, &gathering);

    log_gathered(&gathering);
    if (code != 0) {
        demit_log(DEMIT_LOG_WARNING, "privileges_unknown", "reason=\"the kernel does not tell (is /proc mounted?)\"");
    }
    advise(daemon, log_advice, NULL);
    if (demit_identity_audit(daemon->identity, log_drift, NULL) > 0) {
        return demit_start_failed(EX_NOPERM, "a thread holds something else than the identity that was verified; the "
                                             "log's event=privileges_drift says what");
    }
    return 0;
}
