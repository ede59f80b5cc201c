/* OpenBSD: <sys/file.h>, an older place of what <fcntl.h> has. */
#ifndef OPENBSD_SYS_FILE_H
#define OPENBSD_SYS_FILE_H

#include <fcntl.h>

#endif
