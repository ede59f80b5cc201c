/* expect: ignoring return value */
#include "demit/os.h"

void trust(const demit_identity_t *identity, demit_os_error_t *error);
void trust(const demit_identity_t *identity, demit_os_error_t *error)
{
    demit_identity_assume(identity, error);
}
