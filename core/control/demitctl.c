/* demitctl: the operator's side of the console, and what can be done without a daemon. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apr_errno.h>
#include <apr_file_io.h>
#include <apr_general.h>
#include <apr_getopt.h>

#include "core/control/client.h"
#include "core/control/exit_code.h"
#include "demit/build.h"
#include "demit/spool.h"

enum { OPTION_JSON = 256, OPTION_TIMEOUT, TIMEOUT_DEFAULT_S = 60, TIMEOUT_MAX_S = 3600 };

static const apr_getopt_option_t options[] = {
    {"socket", 's', 1, NULL}, {"json", OPTION_JSON, 0, NULL}, {"timeout", OPTION_TIMEOUT, 1, NULL},
    {"help", 'h', 0, NULL},   {"version", 'V', 0, NULL},      {NULL, 0, 0, NULL},
};

static void print_usage(FILE *out)
{
    fputs("usage: demitctl [-s SOCKET] [--json] [--timeout SECONDS] COMMAND...\n"
          "       demitctl [--json] spool check DIRECTORY\n"
          "       demitctl -h | -V\n",
          out);
}

static int print_help(void)
{
    print_usage(stdout);
    fputs("\n"
          "  -s, --socket SOCKET   the daemon's console (default " DEMIT_PATH_CONTROL ")\n"
          "      --json            answers for programs\n"
          "      --timeout SECONDS how long to wait for an answer (default 60)\n"
          "  -h, --help            this text\n"
          "  -V, --version         version of this program (\"demitctl version\": of the daemon)\n"
          "\n"
          "\"demitctl help\" lists the commands of the running daemon; demitctl(8) explains them.\n"
          "\"spool check\" needs no daemon: it verifies a spool, and changes nothing.\n",
          stdout);
    return fflush(stdout) == 0 ? CONSOLE_EXIT_OK : CONSOLE_EXIT_IO;
}

/* ---- spool check ----------------------------------------------------------------------------------------------- */

static int spool_exit_code(apr_status_t status)
{
    if (status == APR_SUCCESS) {
        return CONSOLE_EXIT_OK;
    }
    if (status == APR_EINVAL) {
        return CONSOLE_EXIT_DIFFERENT; /* what is damaged was printed */
    }
    return APR_STATUS_IS_ENOENT(status) || APR_STATUS_IS_ENOTDIR(status) ? CONSOLE_EXIT_NOT_FOUND
           : APR_STATUS_IS_EACCES(status)                                ? CONSOLE_EXIT_NO_PERMISSION
                                                                         : CONSOLE_EXIT_IO;
}

static int check_spool(const char *directory, bool json, apr_pool_t *pool)
{
    apr_file_t *out;
    apr_status_t status = apr_file_open_stdout(&out, pool);

    if (status == APR_SUCCESS) {
        status = demit_spool_check(directory, out, json, pool);
    }
    if (status != APR_SUCCESS && status != APR_EINVAL) {
        char reason[128];
        fprintf(stderr, "demitctl: cannot check %s: %s\n", directory, apr_strerror(status, reason, sizeof(reason)));
    }
    return spool_exit_code(status);
}

/* ---- the command line ------------------------------------------------------------------------------------------ */

static int usage_error(const char *what, const char *which)
{
    fprintf(stderr, "demitctl: %s%s\n", what, which);
    print_usage(stderr);
    return CONSOLE_EXIT_USAGE;
}

/* Whole seconds from 1 to TIMEOUT_MAX_S; 0 for anything else. */
static int64_t read_timeout_us(const char *text)
{
    char *end;
    const long seconds = strtol(text, &end, 10);

    return *text < '0' || *text > '9' || *end != '\0' || seconds > TIMEOUT_MAX_S ? 0 : (int64_t)seconds * 1000000;
}

static int run_command(const console_question_t *question, apr_pool_t *pool)
{
    const char *const *words = question->words;

    if (question->word_count == 0) {
        return usage_error("which command? (\"demitctl help\" asks the daemon for a list, demitctl(8) has one)", "");
    }
    if (strcmp(words[0], "spool") == 0) {
        return question->word_count == 3 && strcmp(words[1], "check") == 0
                   ? check_spool(words[2], question->json, pool)
                   : usage_error("usage: ", "demitctl spool check DIRECTORY");
    }
    return console_ask(question, pool);
}

static int run(int argc, const char *const *argv, apr_pool_t *pool)
{
    console_question_t question = {.socket_path = DEMIT_PATH_CONTROL,
                                   .timeout_us = (int64_t)TIMEOUT_DEFAULT_S * 1000000};
    apr_getopt_t *getopt;
    const char *argument;
    apr_status_t status;
    int option;

    if (apr_getopt_init(&getopt, pool, argc, argv) != APR_SUCCESS) {
        return CONSOLE_EXIT_SYSTEM;
    }
    getopt->interleave = 1; /* `demitctl mailq --json` is what fingers type */
    while ((status = apr_getopt_long(getopt, options, &option, &argument)) == APR_SUCCESS) {
        switch (option) {
        case 's':
            question.socket_path = argument;
            break;
        case OPTION_JSON:
            question.json = true;
            break;
        case OPTION_TIMEOUT:
            question.timeout_us = read_timeout_us(argument);
            if (question.timeout_us == 0) {
                return usage_error("--timeout takes whole seconds from 1 to 3600, not ", argument);
            }
            break;
        case 'h':
            return print_help();
        default: /* 'V': the table has no other */
            printf("demitctl %s\n", DEMIT_VERSION);
            return fflush(stdout) == 0 ? CONSOLE_EXIT_OK : CONSOLE_EXIT_IO;
        }
    }
    if (status != APR_EOF) {
        print_usage(stderr); /* APR has said what is wrong */
        return CONSOLE_EXIT_USAGE;
    }
    question.words = getopt->argv + getopt->ind;
    question.word_count = argc - getopt->ind;
    return run_command(&question, pool);
}

int main(int argc, const char *const *argv)
{
    apr_pool_t *pool;

    /* A reader that leaves (`demitctl mailq | head`) is an error of writing, not a signal. */
    (void)signal(SIGPIPE, SIG_IGN);
    if (apr_app_initialize(&argc, &argv, NULL) != APR_SUCCESS) {
        return CONSOLE_EXIT_SYSTEM;
    }
    atexit(apr_terminate);
    if (apr_pool_create(&pool, NULL) != APR_SUCCESS) {
        return CONSOLE_EXIT_SYSTEM;
    }
    return run(argc, argv, pool);
}
