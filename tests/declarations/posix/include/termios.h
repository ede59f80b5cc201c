/* <termios.h>(0p): nothing of it is used; on Solaris the ioctls of terminals come with it. */
#ifndef DECLARED_TERMIOS_H
#define DECLARED_TERMIOS_H

#include <sys/types.h>

#endif
