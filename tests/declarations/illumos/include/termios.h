/* illumos: <termios.h> */
#ifndef ILLUMOS_TERMIOS_H
#define ILLUMOS_TERMIOS_H

#include_next <termios.h>

/* <sys/termios.h>, of which termio(4I) describes a part */
#define TIOCNOTTY (('t' << 8) | 113)

#endif
