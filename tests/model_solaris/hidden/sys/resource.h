/* For os/ alone: Linux's header without what Solaris has not got. getrlimit(2) there knows no RLIMIT_NPROC. */
#ifndef MODEL_SOLARIS_RESOURCE_H
#define MODEL_SOLARIS_RESOURCE_H

#include_next <sys/resource.h>

#undef RLIMIT_NPROC

#endif
