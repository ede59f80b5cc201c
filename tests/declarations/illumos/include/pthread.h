/* illumos: <pthread.h> */
#ifndef ILLUMOS_PTHREAD_H
#define ILLUMOS_PTHREAD_H

#include_next <pthread.h>

/* pthread_setname_np(3C) */
int pthread_setname_np(pthread_t thread, const char *name);

#endif
