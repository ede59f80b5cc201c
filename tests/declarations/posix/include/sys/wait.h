/* <sys/wait.h>(0p) */
#ifndef DECLARED_SYS_WAIT_H
#define DECLARED_SYS_WAIT_H

#include <sys/types.h>

/* wait(3p) */
#define WIFEXITED(status)   (((status)&0177) == 0)
#define WEXITSTATUS(status) (((status) >> 8) & 0377)
#define WIFSIGNALED(status) (((status)&0177) != 0 && ((status)&0177) != 0177)
#define WTERMSIG(status)    ((status)&0177)
pid_t waitpid(pid_t pid, int *status, int options);

#endif
