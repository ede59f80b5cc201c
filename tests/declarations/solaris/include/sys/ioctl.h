/* Solaris 11.4: <sys/ioctl.h>. ioctl(2) itself stands in <unistd.h>, the requests with what they are made of. */
#ifndef SOLARIS_SYS_IOCTL_H
#define SOLARIS_SYS_IOCTL_H

#include <unistd.h>

#endif
