/*
 * What the suites expect of a machine and a bare directory lacks: /dev/null, an account "nobody", and the like. Only
 * what is missing is made, and it is removed again.
 */
#ifndef TESTS_CONTRACT_STAGE_H
#define TESTS_CONTRACT_STAGE_H

/* Makes what is missing, as far as the kernel lets it; what cannot be made is told as a comment of TAP. */
void stage_set(void);
/* Removes what was made, in reverse order. */
void stage_strike(void);

#endif
