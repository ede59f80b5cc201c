/* <sys/resource.h>(0p). The system's own header defines rlim_t and RLIM_INFINITY before it includes this one. */
#ifndef DECLARED_SYS_RESOURCE_H
#define DECLARED_SYS_RESOURCE_H

/* getrlimit(3p) */
#define RLIMIT_CORE   4
#define RLIMIT_NOFILE 8
struct rlimit {
    rlim_t rlim_cur;
    rlim_t rlim_max;
};
int getrlimit(int resource, struct rlimit *limit);
int setrlimit(int resource, const struct rlimit *limit);

/* getpriority(3p) */
#define PRIO_PROCESS 0
int getpriority(int which, id_t who);

#endif
