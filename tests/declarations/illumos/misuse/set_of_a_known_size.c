/* expect: incomplete type */
#include <priv.h>

size_t size(void);
size_t size(void)
{
    return sizeof(priv_set_t);
}
