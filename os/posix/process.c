/* A process as demitd wants to find itself: descriptors, environment, signals, limits. */
#include "os/posix/backend.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <termios.h> /* TIOCNOTTY, on Solaris: termio(4I) */
#include <time.h>
#include <unistd.h>

extern char **environ;

/* A file that is opened while 0, 1 or 2 is free would get that number, and perror() would write into it. */
static int open_standard_descriptors(void)
{
    for (int fd = 0; fd <= 2; fd++) {
        if (fcntl(fd, F_GETFD) >= 0) {
            continue;
        }
        int opened = open("/dev/null", fd == 0 ? O_RDONLY : O_WRONLY);
        if (opened < 0) {
            return errno;
        }
        if (opened != fd) {
            return EBADF; /* the lowest free number is FD: open(2) */
        }
    }
    return 0;
}

static bool is_wanted(const char *variable)
{
    static const char *const names[] = {"PATH=", "LANG=", "LC_", "TZ=", "NOTIFY_SOCKET=", "WATCHDOG_"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strncmp(variable, names[i], strlen(names[i])) == 0) {
            return true;
        }
    }
    return false;
}

/* In place: the environment only ever shrinks, so its own array has the room. */
static void reduce_environment(void)
{
    char **kept = environ;
    for (char **variable = environ; variable != NULL && *variable != NULL; variable++) {
        if (is_wanted(*variable)) {
            *kept++ = *variable;
        }
    }
    if (kept != NULL) {
        *kept = NULL;
    }
}

/* Whoever started demitd may have left signals blocked or ignored, and both survive exec. */
static int reset_signals(void)
{
    sigset_t none;
    struct sigaction standard = {.sa_handler = SIG_DFL}, ignore = {.sa_handler = SIG_IGN};
    (void)sigemptyset(&none);
    (void)sigemptyset(&standard.sa_mask);
    (void)sigemptyset(&ignore.sa_mask);
    /* SIGCHLD ignored would make the kernel reap children, and waitpid() lose their exit codes. */
    if (sigaction(SIGCHLD, &standard, NULL) != 0 || sigaction(SIGPIPE, &ignore, NULL) != 0) {
        return errno;
    }
    return pthread_sigmask(SIG_SETMASK, &none, NULL);
}

/*
 * A process types into its controlling terminal with TIOCSTI, whatever its uid, and root's shell behind it reads that.
 * So nobody who takes demitd over in the foreground may find one. It stays in its process group: Ctrl-C still reaches
 * it. A session's leader has no shell behind it, and giving up would hang up the session.
 */
static int leave_terminal(void)
{
    int code = 0;
#if defined(TIOCNOTTY)
    int fd = getsid(0) == getpid() ? -1 : open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (fd >= 0) {
        code = ioctl(fd, TIOCNOTTY) == 0 ? 0 : errno;
        (void)close(fd);
    }
#endif
    return code;
}

int demit_os_tidy_process(const demit_os_inherited_t *inherited)
{
    int code = open_standard_descriptors();
    if (code == 0) {
        code = os_backend_close_from(inherited != NULL ? inherited->first + (int)inherited->count : 3);
    }
    if (code == 0) {
        code = reset_signals();
    }
    if (code == 0) {
        code = leave_terminal();
    }
    if (code != 0) {
        return code;
    }
    reduce_environment();
    (void)umask(077);
    tzset(); /* now: its file is out of reach in a jail */
    return 0;
}

/* ---- limits ---- */

static bool try_limit(rlim_t soft, rlim_t hard)
{
    struct rlimit limit = {.rlim_cur = soft, .rlim_max = hard};
    return setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

/* The largest limit between LOW, which holds, and HIGH, which does not: kernels do not tell their own maximum alike. */
static void search_limit(rlim_t low, rlim_t high)
{
    while (high - low > 1) {
        rlim_t middle = low + (high - low) / 2;
        if (try_limit(middle, middle)) {
            low = middle;
        } else {
            high = middle;
        }
    }
}

int demit_os_limit_descriptors(uint32_t wanted, uint32_t *granted)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return errno;
    }
    if (limit.rlim_cur < wanted && !try_limit(wanted, limit.rlim_max > wanted ? limit.rlim_max : wanted)) {
        rlim_t most = limit.rlim_max < wanted ? limit.rlim_max : limit.rlim_cur;
        (void)try_limit(most, limit.rlim_max);
        if (limit.rlim_max < wanted) {
            search_limit(most, wanted);
        }
    }
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return errno;
    }
    *granted = limit.rlim_cur < UINT32_MAX ? (uint32_t)limit.rlim_cur : UINT32_MAX;
    return 0;
}

int demit_os_protect_memory(void)
{
    const struct rlimit none = {0, 0};
    if (setrlimit(RLIMIT_CORE, &none) != 0) {
        return errno;
    }
    return os_backend_deny_tracing();
}
