#include "core/options.h"

#include <stdio.h>
#include <sysexits.h>

#include <apr_getopt.h>
#include <apr_version.h>

#include "demit/build.h"

enum { OPTION_HELP_CONFIG = 256, OPTION_DEBUG };

static const apr_getopt_option_t OPTIONS[] = {
    {"config", 'c', 1, "read FILE instead of " DEMIT_PATH_CONFIG},
    {"foreground", 'd', 0, "stay in the foreground and log to standard error"},
    {"test", 't', 0, "check the configuration and say whether it is valid"},
    {"explain", 'e', 0, "show how root would be let go on this host; changes nothing"},
    {"version", 'V', 0, "show the version, the back end and the libraries"},
    {"help-config", OPTION_HELP_CONFIG, 0, "describe every option of the configuration"},
    {"debug", OPTION_DEBUG, 0, "log the details of connections as well"},
    {"help", 'h', 0, "show this help"},
    {NULL, 0, 0, NULL},
};

void demit_options_print_help(void)
{
    printf("Usage: demitd [-c FILE] [-d]\n"
           "       demitd [-c FILE] -t | -e\n"
           "       demitd -V | --help-config | --help\n\n");
    for (const apr_getopt_option_t *option = OPTIONS; option->name != NULL; option++) {
        char letter[8] = "    ";
        if (option->optch < 256) {
            snprintf(letter, sizeof(letter), "-%c, ", option->optch);
        }
        printf("  %s--%-12s %s\n", letter, option->name, option->description);
    }
    printf("\nSee demitd(8) and demit.conf(5).\n");
}

void demit_options_print_version(void)
{
    printf("demitd " DEMIT_VERSION "\n"
           "back end: os/" DEMIT_OS_NAME "\n"
           "default identity: " DEMIT_DEFAULT_USER ":" DEMIT_DEFAULT_GROUP "\n"
           "built with: " DEMIT_BUILT_WITH "\n"
           "running with: APR %s\n",
           apr_version_string());
}

int demit_options_read(demit_options_t *options, int argc, const char *const *argv, apr_pool_t *pool)
{
    apr_getopt_t *state;
    const char *value;
    apr_status_t status;
    int letter;

    *options = (demit_options_t){.config_file = DEMIT_PATH_CONFIG};
    if (apr_getopt_init(&state, pool, argc, argv) != APR_SUCCESS) {
        return EX_OSERR;
    }
    while ((status = apr_getopt_long(state, OPTIONS, &letter, &value)) == APR_SUCCESS) {
        switch (letter) {
        case 'c':
            options->config_file = value;
            break;
        case 'd':
            options->foreground = true;
            break;
        case 't':
            options->what = DEMIT_DO_TEST;
            break;
        case 'e':
            options->what = DEMIT_DO_EXPLAIN;
            break;
        case 'V':
            options->what = DEMIT_DO_VERSION;
            break;
        case OPTION_HELP_CONFIG:
            options->what = DEMIT_DO_HELP_CONFIG;
            break;
        case OPTION_DEBUG:
            options->debug = true;
            break;
        default:
            options->what = DEMIT_DO_HELP;
            break;
        }
    }
    if (!APR_STATUS_IS_EOF(status)) { /* apr_getopt_long() has said what is wrong */
        fprintf(stderr, "demitd: try `demitd --help`\n");
        return EX_USAGE;
    }
    if (state->ind < argc) {
        fprintf(stderr, "demitd: unexpected argument `%s`; try `demitd --help`\n", argv[state->ind]);
        return EX_USAGE;
    }
    return 0;
}
