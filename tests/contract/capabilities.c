/* The capabilities of Linux, by system call, so that the suite needs no libcap. */
#include "tests/contract/scenes.h"

#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

void set_capabilities(uint64_t permitted, uint64_t inheritable)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];
    for (size_t i = 0; i < 2; i++) {
        data[i].permitted = data[i].effective = (uint32_t)(permitted >> 32 * i);
        data[i].inheritable = (uint32_t)(inheritable >> 32 * i);
    }
    CHECK(syscall(SYS_capset, &header, data) == 0);
}

uint64_t permitted_now(void)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];
    CHECK(syscall(SYS_capget, &header, data) == 0);
    return (uint64_t)data[1].permitted << 32 | data[0].permitted;
}
