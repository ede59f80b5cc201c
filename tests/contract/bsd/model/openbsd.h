/* Put before os/bsd/sandbox_openbsd.c where there is no pledge(2) and no unveil(2): the test is the kernel. */
#ifndef TESTS_MODEL_OPENBSD_H
#define TESTS_MODEL_OPENBSD_H

int pledge(const char *promises, const char *promises_after_exec);
int unveil(const char *path, const char *permissions);

#endif
