#include "tests/contract/harness.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "demit/build.h"

enum { SKIPPED = 77, FAILED = 1 };

/* The child's ends: it says "still" on one and waits for the end of the other. */
static int tell_fd = -1, wait_fd = -1;

_Noreturn void child_failed(const char *file, int line, const char *what)
{
    (void)dprintf(STDERR_FILENO, "%s:%d: in the child: %s (errno: %s)\n", file, line, what, strerror(errno));
    _exit(FAILED);
}

void check_holds(const char *file, int line, const char *text, const char *part)
{
    if (strstr(text, part) == NULL) {
        char what[1024];
        (void)snprintf(what, sizeof(what), "\"%s\" should hold \"%s\"", text, part);
        child_failed(file, line, what);
    }
}

_Noreturn void child_skips(const char *why)
{
    (void)dprintf(STDERR_FILENO, "skipped: %s\n", why);
    _exit(SKIPPED);
}

/* In the child: until the parent has looked. */
static void stand_still(void)
{
    char byte = 0;
    if (write(tell_fd, "S", 1) != 1) {
        child_failed(__FILE__, __LINE__, "the parent is gone");
    }
    (void)!read(wait_fd, &byte, 1);
}

void in_child(void (*body)(void), void (*look)(pid_t child))
{
    int tell[2], wait[2], status = 0;
    char byte = 0;
    assert_int_equal(pipe(tell), 0);
    assert_int_equal(pipe(wait), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)close(tell[0]);
        (void)close(wait[1]);
        tell_fd = tell[1];
        wait_fd = wait[0];
        body();
        if (look != NULL) {
            stand_still();
        }
        _exit(0);
    }
    (void)close(tell[1]);
    (void)close(wait[0]);
    bool still = read(tell[0], &byte, 1) == 1;
    if (still && look != NULL) {
        look(child);
    }
    (void)close(wait[1]);
    (void)close(tell[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED) {
        skip();
    }
    if (WIFSIGNALED(status)) {
        fail_msg("the child was ended by signal %d", WTERMSIG(status));
    }
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_true(look == NULL || still);
}

/* ---- conveniences ---- */

bool backend_is(const char *name)
{
    return strcmp(DEMIT_OS_NAME, name) == 0;
}

void keep_line(void *baton, const char *line)
{
    lines_t *lines = baton;
    size_t used = strlen(lines->text);
    (void)snprintf(lines->text + used, sizeof(lines->text) - used, "%s\n", line);
    lines->count++;
}

demit_identity_t *resolved(const demit_identity_request_t *request, lines_t *warnings)
{
    demit_identity_t *identity = NULL;
    demit_os_error_t error = {0};
    if (demit_identity_resolve(&identity, request, warnings != NULL ? keep_line : NULL, warnings, &error) != 0) {
        child_failed(__FILE__, __LINE__, error.text);
    }
    return identity;
}

demit_identity_t *assumed(const demit_identity_request_t *request)
{
    demit_identity_t *identity = resolved(request, NULL);
    demit_os_error_t error = {0};
    if (demit_identity_assume(identity, &error) != 0 || demit_identity_verify(identity, &error) != 0) {
        child_failed(__FILE__, __LINE__, error.text);
    }
    return identity;
}

static int remove_entry(const char *path, const struct stat *about, int type, struct FTW *walk)
{
    (void)about, (void)type, (void)walk;
    return remove(path);
}

/* Below it private directories are made. Not /tmp, which everybody can write. */
static char scratch[40];

const char *run_directory(void)
{
    return access("/run", X_OK) == 0 ? "/run" : "/var/run";
}

bool open_scratch(void)
{
    (void)snprintf(scratch, sizeof(scratch), "%s/demit-contract.XXXXXX", run_directory());
    return mkdtemp(scratch) != NULL && chmod(scratch, 0755) == 0;
}

bool close_scratch(void)
{
    return nftw(scratch, remove_entry, 16, FTW_DEPTH | FTW_PHYS) == 0;
}

void make_private_directory(char *path, size_t size)
{
    (void)snprintf(path, size, "%s/demit-contract-XXXXXX", scratch[0] != '\0' ? scratch : run_directory());
    assert_non_null(mkdtemp(path));
}

void remove_directory(const char *path)
{
    assert_int_equal(nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
}
