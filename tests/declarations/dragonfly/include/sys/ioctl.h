/* DragonFly: <sys/ioctl.h> */
#ifndef DRAGONFLY_SYS_IOCTL_H
#define DRAGONFLY_SYS_IOCTL_H

/* ioctl(2), tty(4) */
#define TIOCNOTTY 0x20007471UL
int ioctl(int fd, unsigned long request, ...);

#endif
