/* The calls of Solaris: setppriv(2), named with the set that it changes. */
#include "tests/contract/faults.h"

#include <priv.h>
#include <stdio.h>

int __real_setppriv(priv_op_t op, priv_ptype_t type, const priv_set_t *set);
int __wrap_setppriv(priv_op_t op, priv_ptype_t type, const priv_set_t *set);
int __wrap_setppriv(priv_op_t op, priv_ptype_t type, const priv_set_t *set)
{
    char name[32];
    int result = 0;
    (void)snprintf(name, sizeof(name), "setppriv %s", type);
    return misbehaves(name, &result) ? result : __real_setppriv(op, type, set);
}
