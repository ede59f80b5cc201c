/* Calls that the linker leads through the test (--wrap), to fail them or to make them lie. */
#ifndef TESTS_CONTRACT_FAULTS_H
#define TESTS_CONTRACT_FAULTS_H

#include <stdbool.h>

/* True: the call must not reach the kernel; *RESULT and errno are set. */
bool misbehaves(const char *name, int *result);

#define WRAP(name, parameters, arguments)                                                                              \
    int __real_##name parameters;                                                                                      \
    int __wrap_##name parameters;                                                                                      \
    int __wrap_##name parameters                                                                                       \
    {                                                                                                                  \
        int result = 0;                                                                                                \
        return misbehaves(#name, &result) ? result : __real_##name arguments;                                          \
    }

#endif
