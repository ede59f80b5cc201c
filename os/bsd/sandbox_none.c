/* Kernels without a sandbox: each part is told, with the reason, and never enforced. */
#include "os/bsd/kernel.h"

#include <errno.h>

static const char *no_file_system(void)
{
    return "this system cannot confine a process to paths other than by chroot, which is used where it is configured";
}

static const char *no_bind(void)
{
    return "this system cannot take the binding of ports from a process; ports below 1024 need root all the same";
}

static const char *no_system_calls(void)
{
    return "this system cannot take system calls from a process";
}

const os_sandbox_part_t os_kernel_sandbox[] = {
    {"file system", "paths that were not asked for are out of reach", no_file_system, NULL, NULL},
    {"TCP bind", "ports that were not asked for cannot be bound", no_bind, NULL, NULL},
    {"system calls", "system calls that demitd does not use are refused", no_system_calls, NULL, NULL},
};
const size_t os_kernel_sandbox_size = sizeof(os_kernel_sandbox) / sizeof(os_kernel_sandbox[0]);

int demit_os_limit_descriptor(int fd, demit_descriptor_use_t use)
{
    (void)fd, (void)use;
    return ENOTSUP;
}
