/* The rules of FreeBSD's mac_portacl(4): who may bind which port. Private to os/bsd. */
#ifndef OS_BSD_PORTACL_H
#define OS_BSD_PORTACL_H

#include "os/posix/identity_priv.h"

/*
 * The lowest TCP port below 1024 that RULES, as security.mac.portacl.rules has them ("uid:990:tcp:25,gid:80:tcp:80"),
 * let UID, or who holds one of GROUPS (sorted, the gid among them), bind; 0: none. What does not read as a rule counts
 * for nothing.
 */
unsigned os_portacl_lowest(const char *rules, uid_t uid, const os_groups_t *groups);

#endif
