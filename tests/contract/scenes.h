/* What several contract tests set up: ids, capabilities, a jail. */
#ifndef TESTS_CONTRACT_SCENES_H
#define TESTS_CONTRACT_SCENES_H

#include "tests/contract/harness.h"

#define BIT(capability) (UINT64_C(1) << (capability))

/* STRANGER as user and group, with nothing kept, and with cap_net_bind_service or net_privaddr. */
extern const demit_identity_request_t stranger, stranger_binding;

/* CAPABILITIES as they should be held: the plain back end keeps nothing. */
uint64_t kept(uint64_t capabilities);

/* In the child. By system call, so that the suite needs no libcap. */
void set_capabilities(uint64_t permitted, uint64_t inheritable);
uint64_t permitted_now(void);
/* In the child: what a host takes away before demitd starts. CAPABILITY on Linux, PRIVILEGE on Solaris. */
void lose(int capability, const char *privilege);
/* In the child, which holds what stranger_binding asks for: lets go of the low port. */
void lose_low_port(void);
/* In the child: gives up root by hand. */
void become_stranger(void);
/* In the child: binds some port below 1024. 0 or the errno. */
int bind_low_port(void);
/* In the child. */
void write_text(const char *path, const char *text);

/* A thread's body. */
void *sleep_for_ever(void *baton);

/* The jail of with_jail(), and stranger_binding in it. */
extern char jail[64];
demit_identity_request_t jailed(void);
/* Runs BODY in a child while a jail with a file "mark" and a directory "inner" exists. */
void with_jail(void (*body)(void), void (*look)(pid_t child));

#endif
