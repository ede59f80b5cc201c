/* Solaris 11.4: <sys/file.h>: no flock(3C), which is of illumos. */
#ifndef SOLARIS_SYS_FILE_H
#define SOLARIS_SYS_FILE_H

#include <sys/types.h>

#endif
