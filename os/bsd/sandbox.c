/* The sandbox: walks over the parts that this kernel's file lists, whether it has them or says why it has not. */
#include "os/bsd/kernel.h"

#include <errno.h>

static void tell(const os_sandbox_part_t *part, const char *why_not,
                 void (*each)(void *baton, const demit_sandbox_part_t *part), void *baton)
{
    demit_sandbox_part_t line = {
        .name = part->name, .what = part->what, .enforced = why_not == NULL, .why_not = why_not != NULL ? why_not : ""};
    each(baton, &line);
}

static const char *reason(const os_sandbox_part_t *part)
{
    return part->why_not != NULL ? part->why_not() : NULL;
}

int demit_sandbox_explain(const demit_sandbox_request_t *request,
                          void (*each)(void *baton, const demit_sandbox_part_t *part), void *baton,
                          demit_os_error_t *error)
{
    (void)request, (void)error;
    for (size_t i = 0; i < os_kernel_sandbox_size; i++) {
        tell(&os_kernel_sandbox[i], reason(&os_kernel_sandbox[i]), each, baton);
    }
    return 0;
}

/* Before the first part is entered: a start that must fail should fail with everything as it was. */
static int refuse_missing(demit_os_error_t *error)
{
    for (size_t i = 0; i < os_kernel_sandbox_size; i++) {
        const char *why_not = reason(&os_kernel_sandbox[i]);
        if (why_not != NULL) {
            (void)os_fail(error, 0, "sandbox", "Sandbox = required, but %s cannot enforce \"%s\" (%s): %s",
                          os_kernel.name, os_kernel_sandbox[i].name, os_kernel_sandbox[i].what, why_not);
            error->code = ENOTSUP;
            return ENOTSUP;
        }
    }
    return 0;
}

int demit_sandbox_enter(const demit_sandbox_request_t *request, bool required,
                        void (*each)(void *baton, const demit_sandbox_part_t *part), void *baton,
                        demit_os_error_t *error)
{
    int code = required ? refuse_missing(error) : 0;
    for (size_t i = 0; i < os_kernel_sandbox_size && code == 0; i++) {
        const os_sandbox_part_t *part = &os_kernel_sandbox[i];
        const char *why_not = reason(part);
        if (why_not == NULL && part->enter != NULL) {
            code = part->enter(request, error);
        }
        if (code == 0) {
            tell(part, why_not, each, baton);
        }
    }
    return code;
}

int demit_sandbox_verify(const demit_sandbox_request_t *request, demit_os_error_t *error)
{
    for (size_t i = 0; i < os_kernel_sandbox_size; i++) {
        const os_sandbox_part_t *part = &os_kernel_sandbox[i];
        int code = reason(part) == NULL ? part->prove(request, error) : 0;
        if (code != 0) {
            return code;
        }
    }
    return 0;
}
