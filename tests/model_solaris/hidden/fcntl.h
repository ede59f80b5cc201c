/* For os/ alone: Linux's header without what Solaris has not got. open(2) there knows O_SEARCH and no O_PATH. */
#ifndef MODEL_SOLARIS_FCNTL_H
#define MODEL_SOLARIS_FCNTL_H

#include_next <fcntl.h>

#undef O_PATH

#endif
