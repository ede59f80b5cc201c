/* <signal.h>(0p) */
#ifndef DECLARED_SIGNAL_H
#define DECLARED_SIGNAL_H

#include <sys/types.h>

#define SIGHUP  1
#define SIGINT  2
#define SIGABRT 6
#define SIGKILL 9
#define SIGPIPE 13
#define SIGTERM 15
#define SIGCHLD 20
#define SIGUSR1 30

typedef long sig_atomic_t; /* as wide as on FreeBSD: what fits there fits everywhere */
/* A number or a structure: opaque. */
typedef struct declared_sigset {
    unsigned words[4];
} sigset_t;
typedef struct declared_siginfo siginfo_t;

/* sigaction(3p) */
#define SIG_DFL    ((void (*)(int))0)
#define SIG_IGN    ((void (*)(int))1)
#define SA_RESTART 0x2
struct sigaction {
    union {
        void (*sa_handler)(int number);
        void (*sa_sigaction)(int number, siginfo_t *about, void *context);
    };
    sigset_t sa_mask;
    int sa_flags;
};
int sigaction(int number, const struct sigaction *action, struct sigaction *former);

/* sigaddset(3p), sigemptyset(3p), sigfillset(3p) */
int sigaddset(sigset_t *set, int number);
int sigemptyset(sigset_t *set);
int sigfillset(sigset_t *set);

/* pthread_sigmask(3p) */
#define SIG_BLOCK   1
#define SIG_UNBLOCK 2
#define SIG_SETMASK 3
int pthread_sigmask(int how, const sigset_t *set, sigset_t *former);

#endif
