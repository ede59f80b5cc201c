/* Into the background, with an exit code that tells the truth: the parent stays until the child is ready or dead. */
#include "demit/os.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

static int child_code(pid_t child)
{
    int status = 0;
    while (waitpid(child, &status, 0) < 0) {
        if (errno != EINTR) {
            return EX_OSERR;
        }
    }
    if (WIFEXITED(status)) {
        return WEXITSTATUS(status);
    }
    (void)dprintf(STDERR_FILENO, "demitd: ended by signal %d before it was ready\n", WTERMSIG(status));
    return EX_OSERR;
}

/* _exit(): what stdio holds and atexit() registered belongs to the child now. */
static _Noreturn void wait_for_child(pid_t child, int ready_fd)
{
    char ready = 0;
    ssize_t got = 0;
    do {
        got = read(ready_fd, &ready, 1);
    } while (got < 0 && errno == EINTR);
    _exit(got == 1 ? EX_OK : child_code(child));
}

int demit_os_detach_begin(demit_os_detach_t *detach)
{
    int ends[2] = {-1, -1};
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null_fd < 0) {
        return errno;
    }
    int code = pipe(ends) == 0 ? 0 : errno;
    pid_t child = -1;
    if (code == 0) {
        (void)fcntl(ends[1], F_SETFD, FD_CLOEXEC);
        (void)fflush(NULL); /* or both would write it */
        child = fork();
        code = child < 0 ? errno : 0;
    }
    if (code != 0) {
        (void)close(null_fd);
        (void)close(ends[0]);
        (void)close(ends[1]);
        return code;
    }
    if (child > 0) {
        (void)close(ends[1]);
        wait_for_child(child, ends[0]);
    }
    (void)close(ends[0]);
    /* Now, because later, in a sandbox, setsid(2) may be out of reach. A new child leads no group: it cannot fail. */
    (void)setsid();
    *detach = (demit_os_detach_t){.ready_fd = ends[1], .null_fd = null_fd};
    return 0;
}

int demit_os_detach_finish(demit_os_detach_t *detach)
{
    int code = getsid(0) == getpid() ? 0 : EPERM;
    for (int fd = 0; fd <= 2 && code == 0; fd++) {
        code = dup2(detach->null_fd, fd) < 0 ? errno : 0;
    }
    (void)close(detach->null_fd);
    /* Last, because the parent's exit is the promise. A parent that was killed meanwhile wants no promise: SIGPIPE is
     * ignored, so is the error. */
    if (code == 0) {
        ssize_t sent = 0;
        do {
            sent = write(detach->ready_fd, "R", 1);
        } while (sent < 0 && errno == EINTR);
    }
    (void)close(detach->ready_fd);
    *detach = (demit_os_detach_t){.ready_fd = -1, .null_fd = -1};
    return code;
}
