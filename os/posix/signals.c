/* Signals as bytes on a pipe: the handler does nothing but write, and everything else happens in the loop. */
#include "demit/os.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

/* The one thing that a handler cannot be given as an argument. Set before the first handler is. */
static volatile sig_atomic_t signal_fd = -1;

static void note(int number)
{
    int saved = errno;
    char byte = number == SIGHUP ? 'H' : number == SIGUSR1 ? 'U' : 'T';
    ssize_t written = write((int)signal_fd, &byte, 1);
    (void)written; /* the pipe is full: the loop has plenty to read already */
    errno = saved;
}

static int set_up(int fd)
{
    int status = fcntl(fd, F_GETFL);
    if (status < 0 || fcntl(fd, F_SETFL, status | O_NONBLOCK) != 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
        return errno;
    }
    return 0;
}

static const int numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1};

static int handle_all(void)
{
    struct sigaction action = {.sa_handler = note, .sa_flags = SA_RESTART};
    (void)sigfillset(&action.sa_mask);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        if (sigaction(numbers[i], &action, NULL) != 0) {
            return errno;
        }
    }
    return 0;
}

/* HOW: SIG_BLOCK or SIG_UNBLOCK, pthread_sigmask(3p). */
static int mask_all(int how)
{
    sigset_t set;
    (void)sigemptyset(&set);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        (void)sigaddset(&set, numbers[i]);
    }
    return pthread_sigmask(how, &set, NULL);
}

int demit_os_signals(int *fd)
{
    int ends[2];
    if (pipe(ends) != 0) {
        return errno;
    }
    int code = set_up(ends[0]);
    if (code == 0) {
        code = set_up(ends[1]);
    }
    if (code == 0) {
        signal_fd = ends[1];
        code = mask_all(SIG_BLOCK);
    }
    if (code == 0) {
        code = handle_all();
    }
    if (code != 0) {
        (void)close(ends[0]);
        (void)close(ends[1]);
        return code;
    }
    *fd = ends[0];
    return 0;
}

int demit_os_hear_signals(void)
{
    return mask_all(SIG_UNBLOCK);
}
