/* Solaris 11.4: <termios.h> */
#ifndef SOLARIS_TERMIOS_H
#define SOLARIS_TERMIOS_H

#include_next <termios.h>

/* <sys/termios.h>, of which termio(4I) describes a part */
#define TIOCNOTTY (('t' << 8) | 113)

#endif
