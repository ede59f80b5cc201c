/* illumos: <sys/ioctl.h>. ioctl(2) itself stands in <unistd.h>, the requests with what they are made of. */
#ifndef ILLUMOS_SYS_IOCTL_H
#define ILLUMOS_SYS_IOCTL_H

#include <unistd.h>

#endif
