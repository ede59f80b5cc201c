/*
 * demit-contract: the whole contract as one program, to be carried to any machine. It needs root and a kernel, prints
 * TAP, removes what it made, and exits with 1 if any case failed. A case that cannot run there is skipped, with the
 * reason.
 *
 *     demit-contract [SUITE…]    default: all
 *     demit-contract --list      their names
 *
 * Every suite is a program of cmocka's whose main the build calls contract_SUITE. Each runs in a process of its own,
 * and what it prints is relayed: cmocka numbers the cases of each of its groups anew, and TAP wants one plan.
 */
#include "tests/contract/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "contract_suites.h" /* by the build: their declarations, and CONTRACT_SUITES */
#include "demit/build.h"
#include "tests/contract/stage.h"

typedef struct suite {
    const char *name;
    int (*run)(void);
} suite_t;

#define SUITE(name) {#name, contract_##name},
static const suite_t suites[] = {CONTRACT_SUITES};
enum { SUITE_COUNT = sizeof(suites) / sizeof(suites[0]), NOT_HERE = 77 };

/* What was told so far. */
typedef struct tap {
    unsigned number, failed;
    unsigned told_here, failed_here; /* in this suite */
    char reason[256];                /* why the case that comes is skipped */
} tap_t;

static const char *without(const char *line, const char *prefix)
{
    size_t length = strlen(prefix);
    return strncmp(line, prefix, length) == 0 ? line + length : NULL;
}

/* NUMBER, and what comes after it: "ok 3 - name" or "not ok 3 # SKIP name". */
static void tell_case(tap_t *tap, const char *suite, bool ok, const char *rest)
{
    const char *name = rest + strspn(rest, "0123456789 -");
    const char *skipped = without(name, "# SKIP ");
    tap->number++;
    tap->told_here++;
    if (skipped != NULL) {
        const char *why = tap->reason[0] != '\0' ? tap->reason : "no reason was given";
        (void)printf("ok %u - %s: %s # SKIP %s\n", tap->number, suite, skipped, why);
    } else {
        (void)printf("%s %u - %s: %s\n", ok ? "ok" : "not ok", tap->number, suite, name);
        tap->failed += !ok;
        tap->failed_here += !ok;
    }
    tap->reason[0] = '\0';
}

static void relay(tap_t *tap, const char *suite, const char *line)
{
    const char *passed = without(line, "ok "), *failed = without(line, "not ok ");
    const char *reason = without(line, "skipped: ");
    if (passed != NULL || failed != NULL) {
        tell_case(tap, suite, passed != NULL, passed != NULL ? passed : failed);
    } else if (reason != NULL) {
        (void)snprintf(tap->reason, sizeof(tap->reason), "%.*s", (int)sizeof(tap->reason) - 1, reason);
    } else if (without(line, "1..") == NULL && line[0] != '\0') {
        (void)printf("%s%s\n", line[0] == '#' ? "" : "# ", line);
    }
    (void)fflush(stdout);
}

/* A suite that ended otherwise than by telling of its cases is a case itself. */
static void tell_end(tap_t *tap, const char *suite, int status)
{
    if (WIFEXITED(status) && WEXITSTATUS(status) == NOT_HERE && tap->told_here == 0) {
        tell_case(tap, suite, true, "# SKIP all of it");
    } else if (WIFSIGNALED(status)) {
        (void)printf("# ended by signal %d\n", WTERMSIG(status));
        tell_case(tap, suite, false, "the suite runs to its end");
    } else if (WEXITSTATUS(status) != 0 && tap->failed_here == 0) {
        (void)printf("# exit code %d\n", WEXITSTATUS(status));
        tell_case(tap, suite, false, "what it sets up and tears down works");
    }
}

static void run(tap_t *tap, const suite_t *suite)
{
    int ends[2], status = 0;
    char line[4096];
    tap->failed_here = tap->told_here = 0;
    (void)fflush(stdout);
    pid_t child = pipe(ends) == 0 ? fork() : -1;
    if (child < 0) {
        perror("demit-contract");
        tap->failed++;
        return;
    }
    if (child == 0) {
        (void)dup2(ends[1], STDOUT_FILENO);
        (void)dup2(ends[1], STDERR_FILENO);
        (void)close(ends[0]);
        (void)close(ends[1]);
        (void)setvbuf(stdout, NULL, _IOLBF, 0); /* a child that ends by _exit() must not repeat what was not yet told */
        exit(suite->run());
    }
    (void)close(ends[1]);
    FILE *told = fdopen(ends[0], "r");
    while (told != NULL && fgets(line, sizeof(line), told) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        relay(tap, suite->name, line);
    }
    (void)fclose(told);
    (void)waitpid(child, &status, 0);
    tell_end(tap, suite->name, status);
}

static bool is_wanted(const char *name, int count, char **names)
{
    for (int i = 0; i < count; i++) {
        if (strcmp(name, names[i]) == 0) {
            return true;
        }
    }
    return count == 0;
}

static int list(void)
{
    for (size_t i = 0; i < SUITE_COUNT; i++) {
        (void)puts(suites[i].name);
    }
    return 0;
}

static bool is_suite(const char *name)
{
    for (size_t i = 0; i < SUITE_COUNT; i++) {
        if (strcmp(suites[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

int main(int argc, char **argv)
{
    tap_t tap = {0};
    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        return list();
    }
    for (int i = 1; i < argc; i++) {
        if (!is_suite(argv[i])) {
            (void)fprintf(stderr, "usage: demit-contract [--list | SUITE...]\nno suite \"%s\"\n", argv[i]);
            return 64;
        }
    }
    if (geteuid() != 0) {
        (void)puts("1..0 # SKIP giving up root takes root");
        return NOT_HERE;
    }
    (void)setenv("CMOCKA_MESSAGE_OUTPUT", "TAP", 1);
    (void)printf("# demit %s, back end %s\n", DEMIT_VERSION, DEMIT_OS_NAME);
    stage_set();
    if (!open_scratch()) {
        perror("demit-contract: a directory to work in");
        stage_strike();
        return 1;
    }
    for (size_t i = 0; i < SUITE_COUNT; i++) {
        if (is_wanted(suites[i].name, argc - 1, argv + 1)) {
            run(&tap, &suites[i]);
        }
    }
    if (!close_scratch()) {
        (void)printf("# what the cases made could not be removed\n");
    }
    stage_strike();
    (void)printf("1..%u\n", tap.number);
    return tap.failed > 0 || tap.number == 0 ? 1 : 0;
}
