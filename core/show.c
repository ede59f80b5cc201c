/* Looks that change nothing: -t and -e. */
#include "core/daemon.h"

#include <stdio.h>
#include <sysexits.h>
#include <unistd.h>

#include "demit/build.h"

static void print_warnings(const demit_daemon_t *daemon)
{
    for (int i = 0; i < daemon->identity_warnings->nelts; i++) {
        fprintf(stderr, "warning: %s\n", APR_ARRAY_IDX(daemon->identity_warnings, i, const char *));
    }
}

int demit_show_test(demit_daemon_t *daemon)
{
    int code = demit_read_configuration(daemon);

    if (code == 0 && geteuid() == 0) {
        /* As root this is the host that will run it: names, ids and privileges must resolve as at a start. */
        code = demit_resolve_identity(daemon);
        if (code == 0) {
            print_warnings(daemon);
            code = demit_check_configuration(daemon);
        }
        if (code == 0) {
            code = demit_look_at_pid_file(daemon);
        }
        if (code == 0) {
            code = demit_test_sandbox(daemon) ? demit_try_paths(daemon) : EX_CONFIG;
        }
        demit_forget_identity(daemon);
    }
    if (code == 0) {
        printf("Configuration valid\n");
    }
    return code;
}

typedef struct explanation {
    unsigned number;
    bool would_fail;
} explanation_t;

static void print_step(void *baton, const demit_identity_step_t *step)
{
    explanation_t *explanation = baton;

    printf("%2u  %-18s %s\n", ++explanation->number, step->name, step->what);
    if (step->needs[0] != '\0') {
        printf("    %-18s needs %s\n", "", step->needs);
    }
    if (!step->would_succeed) {
        printf("    %-18s WOULD FAIL: %s\n", "", step->why_not);
        explanation->would_fail = true;
    }
}

int demit_show_explain(demit_daemon_t *daemon)
{
    explanation_t explanation = {0};
    char summary[512];
    int code = demit_read_configuration(daemon);

    if (code == 0) {
        code = demit_resolve_identity(daemon);
    }
    if (code != 0) {
        return code;
    }
    print_warnings(daemon);
    printf("Steps that demitd (back end os/%s) would take on this host, in order:\n\n", DEMIT_OS_NAME);
    demit_identity_explain(daemon->identity, print_step, &explanation);
    demit_identity_summary(daemon->identity, summary, sizeof(summary));
    printf("\nHeld afterwards:\n    %s\n", summary);
    demit_print_reach(daemon);
    explanation.would_fail = !demit_show_sandbox(daemon) || explanation.would_fail;
    explanation.would_fail = demit_check_configuration(daemon) != 0 || explanation.would_fail;
    explanation.would_fail = demit_look_at_pid_file(daemon) != 0 || explanation.would_fail;
    printf("\n%s\n", explanation.would_fail ? "A start here and now would fail." : "Every step would succeed.");
    demit_forget_identity(daemon);
    return explanation.would_fail ? EX_NOPERM : 0;
}
