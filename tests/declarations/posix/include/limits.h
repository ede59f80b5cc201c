/* <limits.h>(0p): numeric limits. Those of paths are the system's own. */
#ifndef DECLARED_LIMITS_H
#define DECLARED_LIMITS_H

#define INT_MAX    __INT_MAX__
#define UINT_MAX   (__INT_MAX__ * 2U + 1U)
#define LONG_MAX   __LONG_MAX__
#define ULONG_MAX  (__LONG_MAX__ * 2UL + 1UL)
#define ULLONG_MAX (__LONG_LONG_MAX__ * 2ULL + 1ULL)

#endif
