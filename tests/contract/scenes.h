/* What several contract tests set up: ids, capabilities, a jail. */
#ifndef TESTS_CONTRACT_SCENES_H
#define TESTS_CONTRACT_SCENES_H

#include "tests/contract/harness.h"

#define BIT(capability) (UINT64_C(1) << (capability))

/* STRANGER as user and group, with nothing kept, and with cap_net_bind_service or net_privaddr. */
extern const demit_identity_request_t stranger, stranger_binding;

/* CAPABILITIES as they should be held: the plain back end keeps nothing. */
uint64_t kept(uint64_t capabilities);

/* The capability for low ports, if stranger_binding keeps it here; otherwise 0. */
uint64_t low_port_kept(void);

/* In the child. By system call, so that the suite needs no libcap. Setting them is Linux's. */
void set_capabilities(uint64_t permitted, uint64_t inheritable);
uint64_t permitted_now(void);
/* In the child: what a host takes away before demitd starts. CAPABILITY on Linux, PRIVILEGE on Solaris; there alone. */
void lose(int capability, const char *privilege);
/* In the child: the power to call setuid(2), setgid(2) and setgroups(2). Skips where root is all or nothing. */
void lose_setuid(void);
void lose_setgid(void);
/* In the child, which holds what stranger_binding asks for: lets go of the low port. */
void lose_low_port(void);
/* In the child: gives up root by hand. */
void become_stranger(void);
/* In the child: binds some port below 1024. 0 or the errno. */
int bind_low_port(void);
/* In the child. */
void write_text(const char *path, const char *text);

/* In the child: the groups besides the gid, which some kernels put among them. */
size_t count_groups(void);

/*
 * In the child, in scenes_linux.c and its sisters: what not every system has. Where it is missing, the case is skipped.
 */
/* An account database of the test's own, seen by nobody else. */
void use_accounts(const char *passwd, const char *group);
/* Root of a user namespace where nobody may call setgroups(2). */
void become_root_of_a_namespace(void);
/* A descriptor that cannot be read and still leads to DIRECTORY; -1 with errno. */
int open_by_name_alone(const char *directory);
void need_abstract_sockets(void);
/* By the names of the file system. */
void check_own_memory_is_closed(void);

/* In the child, as root: that many, which is more than a login class of OpenBSD's allows. */
void allow_descriptors(unsigned count);

/* A thread's body. */
void *sleep_for_ever(void *baton);

/* The jail of with_jail(), and stranger_binding in it. */
extern char jail[64];
demit_identity_request_t jailed(void);
/* Runs BODY in a child while a jail with a file "mark" and a directory "inner" exists. */
void with_jail(void (*body)(void), void (*look)(pid_t child));

#endif
