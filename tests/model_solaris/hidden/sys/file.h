/* For os/ alone: Linux's header without what Oracle's Solaris has not got: flock(3C), which illumos has. */
#ifndef MODEL_SOLARIS_FILE_H
#define MODEL_SOLARIS_FILE_H

#include_next <sys/file.h>

#undef LOCK_SH
#undef LOCK_EX
#undef LOCK_NB
#undef LOCK_UN

#endif
