/* expect: incomplete type */
#include <priv.h>

void measure(size_t *size);
void measure(size_t *size)
{
    *size = sizeof(priv_set_t);
}
