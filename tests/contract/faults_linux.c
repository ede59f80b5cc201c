/* The calls of libcap. */
#include "tests/contract/faults.h"

#include <sys/capability.h>

WRAP(cap_set_proc, (cap_t capabilities), (capabilities))
WRAP(cap_drop_bound, (cap_value_t capability), (capability))
WRAP(cap_reset_ambient, (void), ())
