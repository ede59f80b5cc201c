/* DragonFly: <pthread_np.h> */
#ifndef DRAGONFLY_PTHREAD_NP_H
#define DRAGONFLY_PTHREAD_NP_H

#include <pthread.h>

/* pthread_set_name_np(3) */
void pthread_set_name_np(pthread_t thread, const char *name);

#endif
