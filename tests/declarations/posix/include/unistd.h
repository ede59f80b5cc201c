/* <unistd.h>(0p): what every system here has. setresuid(2), closefrom(2) and their like are in the system's own. */
#ifndef DECLARED_UNISTD_H
#define DECLARED_UNISTD_H

#include <stddef.h>
#include <sys/types.h>

#define STDIN_FILENO  0
#define STDOUT_FILENO 1
#define STDERR_FILENO 2

/* getuid(3p), geteuid(3p), getgid(3p), getegid(3p), getgroups(3p) */
uid_t getuid(void);
uid_t geteuid(void);
gid_t getgid(void);
gid_t getegid(void);
int getgroups(int count, gid_t groups[]);
/* setuid(3p), seteuid(3p), setgid(3p), setegid(3p) */
int setuid(uid_t uid);
int seteuid(uid_t uid);
int setgid(gid_t gid);
int setegid(gid_t gid);

/* getpid(3p), getsid(3p), setsid(3p), fork(3p), _Exit(3p) */
pid_t getpid(void);
pid_t getsid(pid_t pid);
pid_t setsid(void);
pid_t fork(void);
void _exit(int code) __attribute__((noreturn));

/* access(3p) */
#define F_OK 0
#define X_OK 1
#define W_OK 2
#define R_OK 4
int access(const char *path, int mode);
/* chdir(3p), getcwd(3p), readlink(3p), unlink(3p) */
int chdir(const char *path);
char *getcwd(char *path, size_t size);
ssize_t readlinkat(int fd, const char *path, char *target, size_t size);
int unlinkat(int fd, const char *path, int flags);
/* faccessat(3p) */
int faccessat(int fd, const char *path, int mode, int flags);

/* close(3p), dup(3p), pipe(3p), read(3p), write(3p), fsync(3p), ftruncate(3p), fchown(3p) */
int close(int fd);
int dup2(int from, int to);
int pipe(int ends[2]);
ssize_t read(int fd, void *bytes, size_t size);
ssize_t pread(int fd, void *bytes, size_t size, off_t offset);
ssize_t write(int fd, const void *bytes, size_t size);
ssize_t pwrite(int fd, const void *bytes, size_t size, off_t offset);
int fsync(int fd);
int ftruncate(int fd, off_t size);
int fchown(int fd, uid_t uid, gid_t gid);

/* sysconf(3p) */
#define _SC_NGROUPS_MAX 4
#define _SC_OPEN_MAX    5
long sysconf(int name);

#endif
