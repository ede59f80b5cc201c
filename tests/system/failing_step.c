/*
 * Preloaded into demitd: the Nth call by which it gives something up, counted from 1, fails as DEMIT_FAIL says
 * ("N ERRNO"), and its name is told on standard error. What is only asked for, and what has nothing to do with the
 * identity, passes. DEMIT_SIGNAL: the signal that comes when the pid file, or what else is first, gets its name.
 */
#include <dlfcn.h>
#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static long nth, seen;
static int code, sent;

/* Before main(), which reduces the environment. */
__attribute__((constructor)) static void read_order(void)
{
    const char *order = getenv("DEMIT_FAIL");
    char *end = NULL;
    if (order != NULL) {
        nth = strtol(order, &end, 10);
        code = (int)strtol(end, NULL, 10);
    }
    const char *number = getenv("DEMIT_SIGNAL");
    sent = number != NULL ? (int)strtol(number, NULL, 10) : 0;
}

static bool fails(const char *name)
{
    if (nth == 0 || ++seen != nth) {
        return false;
    }
    dprintf(STDERR_FILENO, "made to fail: %s\n", name);
    errno = code;
    return true;
}

/* dlsym(3) gives a data pointer where a function is meant; POSIX says that it may be taken for one. */
#define REAL(name) (*(__typeof__(&name) *)&(void *){dlsym(RTLD_NEXT, #name)})

int setgroups(size_t count, const gid_t *groups)
{
    return fails("setgroups") ? -1 : REAL(setgroups)(count, groups);
}

int setresgid(gid_t real, gid_t effective, gid_t saved)
{
    return fails("setresgid") ? -1 : REAL(setresgid)(real, effective, saved);
}

int setresuid(uid_t real, uid_t effective, uid_t saved)
{
    return fails("setresuid") ? -1 : REAL(setresuid)(real, effective, saved);
}

/* Attempts to get back what was given up: that one fails for another reason than privilege proves nothing. */
int setuid(uid_t uid)
{
    return fails("setuid") ? -1 : REAL(setuid)(uid);
}

int seteuid(uid_t uid)
{
    return fails("seteuid") ? -1 : REAL(seteuid)(uid);
}

int setgid(gid_t gid)
{
    return fails("setgid") ? -1 : REAL(setgid)(gid);
}

int chroot(const char *path)
{
    return fails("chroot") ? -1 : REAL(chroot)(path);
}

int chdir(const char *path)
{
    return fails("chdir") ? -1 : REAL(chdir)(path);
}

int renameat(int from, const char *old, int to, const char *new)
{
    const int result = REAL(renameat)(from, old, to, new);
    const int number = sent;
    sent = 0;
    if (result == 0 && number != 0) {
        (void)raise(number);
    }
    return result;
}

static bool gives_up(long option)
{
    return option == PR_SET_SECUREBITS || option == PR_SET_KEEPCAPS || option == PR_SET_NO_NEW_PRIVS ||
           option == PR_CAPBSET_DROP;
}

int prctl(int option, ...)
{
    unsigned long a[4];
    va_list arguments;
    va_start(arguments, option);
    for (size_t i = 0; i < 4; i++) {
        a[i] = va_arg(arguments, unsigned long);
    }
    va_end(arguments);
    return gives_up(option) && fails("prctl") ? -1 : REAL(prctl)(option, a[0], a[1], a[2], a[3]);
}

/* libcap's ways to the kernel: libc's capset(), which no header declares, and syscall(2). */
int capset(void *header, const void *data);
int capset(void *header, const void *data)
{
    return fails("capset") ? -1 : REAL(capset)(header, data);
}

long syscall(long number, ...)
{
    long a[6];
    va_list arguments;
    va_start(arguments, number);
    for (size_t i = 0; i < 6; i++) {
        a[i] = va_arg(arguments, long);
    }
    va_end(arguments);
    if ((number == SYS_capset && fails("capset")) || (number == SYS_prctl && gives_up(a[0]) && fails("prctl"))) {
        return -1;
    }
    return REAL(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
