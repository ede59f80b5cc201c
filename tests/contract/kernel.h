/*
 * What one kernel does otherwise than its sisters, as far as giving up root hangs on it: kernel_freebsd.c and the like.
 * Read in manual pages and sources; the suite "kernel" is what tries them on the real thing.
 */
#ifndef TESTS_CONTRACT_KERNEL_H
#define TESTS_CONTRACT_KERNEL_H

#include "tests/contract/scenes.h"

typedef struct kernel {
    bool groups_hold_gid; /* setgroups(2) takes its first element as the effective gid, and setgid(2) replaces it there
                           */
    bool cwd_stays_outside;        /* chroot(2) leaves a working directory outside, and ".." leads on from there */
    bool descriptor_leads_outside; /* fchdir(2) takes a directory outside the root */
} kernel_t;
kernel_t this_kernel(void);

/* The cases that only this kernel has: what it takes away beyond ids. Returns how many failed. */
int run_cases_of_this_kernel(void);

#endif
