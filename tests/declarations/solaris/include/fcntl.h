/* Solaris 11.4: <fcntl.h> */
#ifndef SOLARIS_FCNTL_H
#define SOLARIS_FCNTL_H

#include_next <fcntl.h>

/* fcntl(2) */
#define F_SETLK 6
#define F_GETLK 14
#define F_RDLCK 1
#define F_WRLCK 2
#define F_UNLCK 3
struct flock {
    short l_type;
    short l_whence;
    off_t l_start;
    off_t l_len;
    int l_sysid;
    pid_t l_pid;
};

#endif
