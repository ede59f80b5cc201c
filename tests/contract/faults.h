/* Calls that the linker leads through the test (--wrap), to fail them or to make them lie. */
#ifndef TESTS_CONTRACT_FAULTS_H
#define TESTS_CONTRACT_FAULTS_H

#include <stdbool.h>

/* True: the call must not reach the kernel; *RESULT and errno are set. */
bool misbehaves(const char *name, int *result);

/*
 * What hangs on the kernel, in faults_kernel_linux.c and its sisters, which wrap the calls that only some have or that
 * take other types.
 */
/* Whether all is as it should be although the call NAME, the NUMBER-th of them all, did nothing. */
bool is_harmless(const char *name, unsigned number);
/* By which calls verify tries to regain what was given up, in this order, each with a comma. */
const char *calls_that_regain(void);

#define WRAP(name, parameters, arguments)                                                                              \
    int __real_##name parameters;                                                                                      \
    int __wrap_##name parameters;                                                                                      \
    int __wrap_##name parameters                                                                                       \
    {                                                                                                                  \
        int result = 0;                                                                                                \
        return misbehaves(#name, &result) ? result : __real_##name arguments;                                          \
    }

#endif
