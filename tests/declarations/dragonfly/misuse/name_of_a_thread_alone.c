/* expect: too few arguments to function */
#include <pthread_np.h>

void name_it(pthread_t thread);
void name_it(pthread_t thread)
{
    pthread_set_name_np(thread);
}
