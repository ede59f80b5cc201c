/* Exit codes of commands: those of sysexits.h, which not every system has, and 1. */
#ifndef DEMIT_CONTROL_EXIT_CODE_H
#define DEMIT_CONTROL_EXIT_CODE_H

enum {
    CONSOLE_EXIT_OK = 0,
    CONSOLE_EXIT_DIFFERENT = 1, /* what was asked to be checked is not as it should be */
    CONSOLE_EXIT_USAGE = 64,
    CONSOLE_EXIT_NOT_FOUND = 66,
    CONSOLE_EXIT_UNAVAILABLE = 69,
    CONSOLE_EXIT_SYSTEM = 71,
    CONSOLE_EXIT_IO = 74,
    CONSOLE_EXIT_NO_PERMISSION = 77
};

#endif
