/* The cases that only capabilities and namespaces make: identity_linux.c and the like; none with powers_bsd.c. */
#ifndef TESTS_CONTRACT_POWERS_H
#define TESTS_CONTRACT_POWERS_H

#include "tests/contract/scenes.h"

/* Each returns how many failed. */
int run_identity_cases_of_capabilities(void);
int run_starts_cases_of_linux(void);
int run_sandbox_cases_of_linux(void);

/* The steps from root into a jail, as this back end takes them on this system, each with a comma: steps_freebsd.c… */
const char *steps_in_order(void);

/* In the child: what assume says after LOSE_IT: STEP and NAME on Linux. By identity_test.c. */
void refused_without(void (*lose_it)(void), const char *step, const char *name);

#endif
