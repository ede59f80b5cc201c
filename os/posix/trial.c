/* A look from the other side of the drop: a child becomes what the daemon would be, and tells what it finds. */
#include "os/posix/backend.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TELL_FD = 3 };

static void tell_line(void *baton, const char *line)
{
    const char *kind = baton;
    (void)dprintf(TELL_FD, "%c%s\n", *kind, line);
}

static _Noreturn void be_child(const demit_identity_t *identity, const demit_identity_trial_t *trial, int tell_fd)
{
    static char found[] = "L", failed[] = "F";
    demit_os_error_t error = {0};
    /* A start closes them, too: what was left open is no reason to refuse the jail. */
    int code = tell_fd == TELL_FD || dup2(tell_fd, TELL_FD) >= 0 ? os_backend_close_from(TELL_FD + 1) : errno;
    if (code == 0) {
        code = demit_identity_assume(identity, &error);
    }
    if (code == 0) {
        /* As after a start: this is root's memory, and from now on others run as that user. */
        int unprotected = demit_os_protect_memory();
        code = unprotected == ENOTSUP ? 0 : unprotected;
    }
    if (code != 0) {
        tell_line(failed, error.step);
        tell_line(failed, error.text[0] != '\0' ? error.text : strerror(code));
        _exit(1);
    }
    trial->check(trial->baton, tell_line, found);
    _exit(0);
}

/* Reads what the child tells, to its end. Whether it failed to become the identity, ERROR says. */
static void listen_to_child(FILE *told, const demit_identity_trial_t *trial, demit_os_error_t *error)
{
    char *line = NULL;
    size_t size = 0;
    ssize_t length = 0;
    while ((length = getline(&line, &size, told)) > 0) {
        if (line[length - 1] == '\n') {
            line[length - 1] = '\0';
        }
        if (line[0] == 'L') {
            trial->each(trial->baton, line + 1);
        } else if (error->step[0] == '\0') {
            (void)snprintf(error->step, sizeof(error->step), "%s", line + 1);
        } else {
            (void)snprintf(error->text, sizeof(error->text), "%s", line + 1);
        }
    }
    free(line);
}

static int wait_for(pid_t child, demit_os_error_t *error)
{
    int status = 0;
    while (waitpid(child, &status, 0) < 0) {
        if (errno != EINTR) {
            return os_fail(error, errno, "trial", "the child that looked as that user is lost");
        }
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        return 0;
    }
    if (error->text[0] == '\0') {
        return os_fail(error, 0, "trial", "the child that looked as that user ended with status 0x%x",
                       (unsigned)status);
    }
    error->code = EPERM;
    return EPERM;
}

int demit_identity_try(const demit_identity_t *identity, const demit_identity_trial_t *trial, demit_os_error_t *error)
{
    int ends[2];
    *error = (demit_os_error_t){0};
    if (pipe(ends) != 0) {
        return os_fail(error, errno, "trial", "no pipe can be made");
    }
    FILE *told = fdopen(ends[0], "r");
    (void)fflush(NULL); /* or both would write it */
    pid_t child = told != NULL ? fork() : -1;
    if (child < 0) {
        int code = os_fail(error, errno, "trial", "no child can be made that looks as that user");
        (void)(told != NULL ? fclose(told) : close(ends[0]));
        (void)close(ends[1]);
        return code;
    }
    if (child == 0) {
        be_child(identity, trial, ends[1]);
    }
    (void)close(ends[1]);
    listen_to_child(told, trial, error);
    (void)fclose(told);
    return wait_for(child, error);
}
