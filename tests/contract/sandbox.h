/* What the suite "sandbox" tries on every system, for the cases that only Linux has. */
#ifndef TESTS_CONTRACT_SANDBOX_H
#define TESTS_CONTRACT_SANDBOX_H

#include "tests/contract/powers.h"

/* What was told: "name" for a part that is enforced. */
typedef struct told {
    size_t count, enforced;
    bool files, bind, around, others, calls, kinds, promises;
} told_t;

/* Runs BODY in a child, with directories and files of STRANGER's. */
void with_scene(void (*body)(void));
/* In the child: assumes STRANGER's identity and enters, as demitd does. */
told_t entered(void);
/* 0 or errno. */
int code_of(int result);

/*
 * In scenes_linux.c and its sisters: how this system's sandbox answers, where it has one.
 */
/* Whether the CODE of an act on a file tells that the sandbox forbids it. */
bool is_refusal_of_file(int code);
/* Whether it forbids symbolic links where files may be made. */
extern const bool sandbox_forbids_links;
/* Of the calling thread, where it has one of its own. */
int set_uid_of_thread(uid_t uid);
/* An address of this program's own, if there can be one, so that no other one's connection has taken a port of it. */
uint32_t own_loopback(void);

#endif
