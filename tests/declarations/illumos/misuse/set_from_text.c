/* expect: incompatible pointer type */
#include <priv.h>

int keep(void);
int keep(void)
{
    return setppriv(PRIV_SET, PRIV_PERMITTED, "basic,net_privaddr");
}
