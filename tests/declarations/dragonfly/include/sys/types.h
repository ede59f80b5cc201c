/* DragonFly: <sys/types.h>. Widths and signs count: the code is compiled with -Wconversion. */
#ifndef DRAGONFLY_SYS_TYPES_H
#define DRAGONFLY_SYS_TYPES_H

#include <stddef.h>
#include <stdint.h>

typedef unsigned long clockid_t;
typedef uint32_t dev_t;
typedef uint32_t gid_t;
typedef int64_t id_t;
typedef uint64_t ino_t;
typedef uint16_t mode_t;
typedef uint32_t nlink_t;
typedef int64_t off_t;
typedef int32_t pid_t;
typedef uint8_t sa_family_t;
typedef uint32_t socklen_t;
typedef long ssize_t;
typedef int64_t time_t;
typedef uint32_t uid_t;

#endif
