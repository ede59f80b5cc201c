/* demit-bench-scale: the spool and the queue with a million messages, without SMTP in front. */
#include "scale.h"

#include <stdio.h>
#include <string.h>

#include <apr_general.h>

#include "demit/log.h"

static const struct {
    const char *name, *arguments;
    int least;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"fill", "DIRECTORY COUNT [BODY_BYTES [DOMAIN]]", 2, run_fill},
    {"recover", "DIRECTORY", 1, run_recover},
    {"steady", "DIRECTORY [COUNT]", 1, run_steady},
    {"compact", "DIRECTORY [COUNT]", 1, run_compact},
};

int main(int argc, char **argv)
{
    apr_initialize();
    demit_log_set_level(DEMIT_LOG_WARNING);
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (argc > 1 && strcmp(argv[1], commands[i].name) == 0 && argc - 2 >= commands[i].least) {
            return commands[i].run(argc - 2, argv + 2);
        }
    }
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        fprintf(stderr, "usage: demit-bench-scale %s %s\n", commands[i].name, commands[i].arguments);
    }
    return 64;
}
