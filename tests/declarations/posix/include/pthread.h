/* <pthread.h>(0p) */
#ifndef DECLARED_PTHREAD_H
#define DECLARED_PTHREAD_H

#include <sys/types.h>

/* Opaque. */
typedef struct declared_thread *pthread_t;

/* pthread_self(3p) */
pthread_t pthread_self(void);

#endif
