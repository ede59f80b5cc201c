/* OpenBSD: <sys/ioctl.h> */
#ifndef OPENBSD_SYS_IOCTL_H
#define OPENBSD_SYS_IOCTL_H

/* ioctl(2), tty(4) */
#define TIOCNOTTY 0x20007471UL
int ioctl(int fd, unsigned long request, ...);

#endif
