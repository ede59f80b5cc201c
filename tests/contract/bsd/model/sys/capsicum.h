/* A model of cap_rights_limit(2), for the tests of os/bsd/sandbox_freebsd.c elsewhere. The test itself is the kernel.
 */
#ifndef TESTS_MODEL_SYS_CAPSICUM_H
#define TESTS_MODEL_SYS_CAPSICUM_H

#include <stdint.h>

#define ENOTCAPABLE 93

/* rights(4), as far as they are used. */
#define CAP_READ        0x001ULL
#define CAP_WRITE       0x002ULL
#define CAP_FSYNC       0x004ULL
#define CAP_FSTAT       0x008ULL
#define CAP_FCNTL       0x010ULL
#define CAP_EVENT       0x020ULL
#define CAP_ACCEPT      0x040ULL
#define CAP_LISTEN      0x080ULL
#define CAP_GETSOCKNAME 0x100ULL
#define CAP_GETPEERNAME 0x200ULL
#define CAP_GETSOCKOPT  0x400ULL
#define CAP_SETSOCKOPT  0x800ULL
#define CAP_SHUTDOWN    0x1000ULL

#define CAP_FCNTL_GETFL 0x08U
#define CAP_FCNTL_SETFL 0x10U

typedef struct cap_rights {
    uint64_t bits;
} cap_rights_t;

/* 0 ends the list, as cap_rights_init(3) has it behind its macro. */
#define cap_rights_init(...) model_rights_init(__VA_ARGS__, 0ULL)
cap_rights_t *model_rights_init(cap_rights_t *rights, ...);
int cap_rights_limit(int fd, const cap_rights_t *rights);
int cap_fcntls_limit(int fd, uint32_t commands);

/* feature_present(3), which is in <unistd.h> there. */
int feature_present(const char *feature);

#endif
