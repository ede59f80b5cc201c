/*
 * The privilege sets are the sandbox here: what Privileges leaves out is gone for every thread and every program to
 * come, from the basic set too (!proc_exec, !proc_fork, !proc_info, !proc_session, !file_link_any). There is no second
 * mechanism that would confine paths, ports or system calls one by one, so every part is told as not enforced.
 */
#include "os/posix/identity_priv.h"

#include <errno.h>

static const demit_sandbox_part_t parts[] = {
    {"file system", "reaching no files but those that demitd needs", false,
     "Solaris confines no process to paths; use chroot, or a zone of its own"},
    {"TCP bind", "binding no ports but those that are configured", false,
     "Solaris confines no process to ports; without net_privaddr in Privileges those below 1024 are out of reach"},
    {"system calls", "doing nothing that demitd never does", false,
     "Solaris filters no system calls; remove basic privileges instead: "
     "Privileges = \"basic !proc_exec !proc_info !proc_session !file_link_any net_privaddr\""},
};

int demit_sandbox_explain(const demit_sandbox_request_t *request,
                          void (*each)(void *baton, const demit_sandbox_part_t *part), void *baton,
                          demit_os_error_t *error)
{
    (void)request, (void)error;
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        each(baton, &parts[i]);
    }
    return 0;
}

int demit_sandbox_enter(const demit_sandbox_request_t *request, bool required,
                        void (*each)(void *baton, const demit_sandbox_part_t *part), void *baton,
                        demit_os_error_t *error)
{
    if (required) {
        return os_fail(error, ENOTSUP, "sandbox",
                       "Sandbox = required, and this system has none beside its privilege sets: say Sandbox = auto, "
                       "and let Privileges leave out what demitd does not need");
    }
    return demit_sandbox_explain(request, each, baton, error);
}

/* No part was enforced, so there is no act that should be forbidden. */
int demit_sandbox_verify(const demit_sandbox_request_t *request, demit_os_error_t *error)
{
    (void)request, (void)error;
    return 0;
}

int demit_os_limit_descriptor(int fd, demit_descriptor_use_t use)
{
    (void)fd, (void)use;
    return ENOTSUP;
}
