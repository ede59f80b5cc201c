/*
 * How the contract is tested: every case runs in a child of its own, because giving up root cannot be undone. The child
 * checks from inside; then it stands still, and the parent looks at it from outside, asking the kernel by its own means
 * (look_linux.c reads /proc/PID/task), so that neither the code under test nor the process under test vouches for
 * itself.
 */
#ifndef TESTS_CONTRACT_HARNESS_H
#define TESTS_CONTRACT_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <cmocka.h>

#include "demit/os.h"

/* An id that no account of any system has. */
enum { STRANGER = 64123 };

/* In the child: ends it, with a line on standard error, unless CONDITION holds. */
#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            child_failed(__FILE__, __LINE__, #condition);                                                              \
        }                                                                                                              \
    } while (0)
/* The same for a text that should hold a part of another. */
#define CHECK_HOLDS(text, part) check_holds(__FILE__, __LINE__, text, part)

_Noreturn void child_failed(const char *file, int line, const char *what);
void check_holds(const char *file, int line, const char *text, const char *part);

/* In the child: the case cannot run on this host; the test is skipped, visibly. */
_Noreturn void child_skips(const char *why);

/*
 * Runs BODY in a child. LOOK (may be NULL) is called when BODY is through, while the child stands still; it uses
 * cmocka's assertions.
 */
void in_child(void (*body)(void), void (*look)(pid_t child));

/* What the kernel says about one thread. */
typedef struct view {
    unsigned long uid[4], gid[4]; /* real, effective, saved, and for files (Linux; elsewhere the effective one again) */
    char groups[256];             /* "27 44", or ""; where the kernel puts the gid among them, without it */
    uint64_t inheritable, permitted, effective, bounding, ambient; /* capabilities; 0 where there are none */
    int no_new_privs;                                              /* -1: the kernel does not tell */
} view_t;
/* Fills VIEWS for every thread of PID, up to COUNT; returns how many there are. Where ids belong to processes: 1. */
size_t look_at_threads(pid_t pid, view_t *views, size_t count);
/* How far this system lets one look. */
typedef struct looks {
    bool at_each_thread;  /* ids belong to threads */
    bool at_no_new_privs; /* view_t.no_new_privs is not -1 */
} looks_t;
extern const looks_t looks;
/* Asserts that the root and the working directory of PID are DIRECTORY, as far as the kernel tells others. */
void assert_jailed(pid_t pid, const char *directory);
/* Whether the mapping of this process that holds ADDRESS is left out of core files, and locked. False: not told. */
bool look_at_mapping(const void *address, bool *not_dumped, bool *locked);
/* Asserts that every thread of PID holds exactly this, and that nothing is inheritable or ambient. */
void assert_held(pid_t pid, unsigned long uid, unsigned long gid, const char *groups, uint64_t capabilities);

bool backend_is(const char *name);

/* Lines told by resolve or audit, joined by newlines. */
typedef struct lines {
    size_t count;
    char text[4096];
} lines_t;
void keep_line(void *lines, const char *line);

/* In the child: resolves, or ends it with the reason. */
demit_identity_t *resolved(const demit_identity_request_t *request, lines_t *warnings);
/* In the child: resolves, assumes and verifies, or ends it with the reason. */
demit_identity_t *assumed(const demit_identity_request_t *request);

/* Where root alone makes files that last until the next boot. */
const char *run_directory(void);
/* One directory for all private ones to come, so that whoever opened it can remove what failed cases left behind. */
bool open_scratch(void);
bool close_scratch(void);
/* A directory that root alone can write, removed with its files by remove_directory(). */
void make_private_directory(char *path, size_t size);
void remove_directory(const char *path);

#endif
