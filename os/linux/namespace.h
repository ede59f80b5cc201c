/* What the user namespace of this process changes: user_namespaces(7). For every back end that runs on Linux. */
#ifndef OS_LINUX_NAMESPACE_H
#define OS_LINUX_NAMESPACE_H

#include <stdbool.h>

/*
 * Whether setgroups(2) is forbidden here to everybody, root included: /proc/self/setgroups is "deny". False also where
 * it cannot be read.
 */
bool os_namespace_denies_setgroups(void);

/*
 * Looks, once, at what demit_os_peer() must know: before chroot, because a bare jail has no /proc. Any thread; the
 * first call counts.
 */
void os_namespace_look(void);

#endif
