/* expect: ignoring return value */
#include "demit/os.h"

void trust(const demit_sandbox_request_t *request, demit_os_error_t *error);
void trust(const demit_sandbox_request_t *request, demit_os_error_t *error)
{
    demit_sandbox_verify(request, error);
}
