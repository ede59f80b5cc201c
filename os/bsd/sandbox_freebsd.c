/*
 * Capsicum: rights(4) of the descriptors that stay open. Not capability mode, cap_enter(2): in it a process has no
 * paths, no connect(2) and no bind(2) at all, and a mail server that is one process needs all three.
 */
#include "os/bsd/kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/capsicum.h>
#include <unistd.h>

/* capsicum(4), FreeBSD's default; a kernel of one's own may lack it. feature_present(3) */
static bool has_capsicum(void)
{
    return feature_present("security_capabilities") != 0;
}

/*
 * accept(2) gives a connection the rights of its listener, so these are what a connection needs, too. Gone are connect,
 * bind and all that belongs to files: no listener becomes a client or another port's server.
 */
static void listener_rights(cap_rights_t *rights)
{
    cap_rights_init(rights, CAP_ACCEPT, CAP_LISTEN, CAP_EVENT, CAP_FCNTL, CAP_GETSOCKNAME, CAP_GETPEERNAME,
                    CAP_GETSOCKOPT, CAP_SETSOCKOPT, CAP_READ, CAP_WRITE, CAP_SHUTDOWN);
}

int demit_os_limit_descriptor(int fd, demit_descriptor_use_t use)
{
    cap_rights_t rights;
    if (!has_capsicum()) {
        return ENOTSUP;
    }
    switch (use) {
    case DEMIT_DESCRIPTOR_LISTENER:
        listener_rights(&rights);
        break;
    case DEMIT_DESCRIPTOR_PID_FILE:
        cap_rights_init(&rights); /* to hold a lock takes no right */
        break;
    case DEMIT_DESCRIPTOR_LOG:
        cap_rights_init(&rights, CAP_WRITE, CAP_FSYNC, CAP_FSTAT);
        break;
    case DEMIT_DESCRIPTOR_NOTIFY:
        cap_rights_init(&rights, CAP_WRITE);
        break;
    }
    if (cap_rights_limit(fd, &rights) != 0) {
        return errno;
    }
    /* Only whether it blocks: neither the owner who gets its signals, nor any ioctl(2). */
    const uint32_t commands = CAP_FCNTL_GETFL | CAP_FCNTL_SETFL;
    return use != DEMIT_DESCRIPTOR_LISTENER || cap_fcntls_limit(fd, commands) == 0 ? 0 : errno;
}

static const char *why_no_files(void)
{
    return "without capability mode, in which there are no paths and no connect(2) at all, FreeBSD keeps no process to "
           "some paths; chroot does, where it is configured";
}

static const char *why_no_ports(void)
{
    return "without capability mode FreeBSD keeps no process to some ports; mac_portacl(4) rules who binds which below "
           "1024";
}

static const char *why_no_system_calls(void)
{
    return "only capability mode takes system calls from a process, and it takes connect(2), which deliveries need";
}

static const char *why_no_rights(void)
{
    return has_capsicum() ? NULL : "this kernel was built without capsicum(4)";
}

/* fcntl(2) on an end of a pipe that may only be written, as a log may: nothing but the missing right forbids it. */
static int prove_rights(const demit_sandbox_request_t *request, demit_os_error_t *error)
{
    (void)request;
    int ends[2];
    if (pipe(ends) != 0) {
        return os_fail(error, errno, "capsicum", "there is no pipe to try it on");
    }
    int code = demit_os_limit_descriptor(ends[1], DEMIT_DESCRIPTOR_LOG);
    if (code != 0) {
        code = os_fail(error, code, "capsicum", "the rights of a descriptor cannot be limited");
    } else if (write(ends[1], "x", 1) != 1) {
        code = os_fail(error, errno, "capsicum", "a right that was to stay is gone");
    } else if (fcntl(ends[1], F_GETFL) >= 0) {
        (void)os_fail(error, 0, "capsicum", "fcntl(2) succeeded on a descriptor that lost the right to it");
        code = EPERM;
    } else if (errno != ENOTCAPABLE) {
        code = os_fail(error, errno, "capsicum", "fcntl(2) failed, but not for want of a right");
    }
    (void)close(ends[0]);
    (void)close(ends[1]);
    return code;
}

const os_sandbox_part_t os_kernel_sandbox[] = {
    {"file system", "only the paths listed can be opened", why_no_files, NULL, NULL},
    {"TCP bind", "only the ports listed can be bound", why_no_ports, NULL, NULL},
    {"system calls", "those that demitd does not need fail", why_no_system_calls, NULL, NULL},
    {"descriptors", "listeners, pid file, log and notify socket have no right beyond their use", why_no_rights, NULL,
     prove_rights},
};
const size_t os_kernel_sandbox_size = sizeof(os_kernel_sandbox) / sizeof(os_kernel_sandbox[0]);
