/* expect: makes pointer from integer|incompatible integer to pointer */
#include <priv.h>

int keep(const priv_set_t *set);
int keep(const priv_set_t *set)
{
    return setppriv(PRIV_SET, 1, set);
}
