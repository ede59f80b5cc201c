/* A listening Unix socket that stands in the file system under a name, made and removed without hurting a stranger. */
#ifndef DEMIT_UNIX_SOCKET_H
#define DEMIT_UNIX_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <apr_network_io.h>
#include <apr_pools.h>

typedef struct demit_unix_socket {
    const char *path; /* NULL: not open */
    apr_socket_t *socket;
    dev_t device; /* of the name that we made: another's is not removed */
    ino_t inode;
} demit_unix_socket_t;

typedef struct demit_unix_socket_request {
    const char *path;
    mode_t mode;
    int backlog;
} demit_unix_socket_request_t;

/*
 * Binds and listens, non-blocking, with that mode; until it has it, with what the process's umask leaves (demit's is
 * 077), so that nobody comes in whom the mode does not let in. A socket that is there already is
 * removed only if nobody listens on it (ECONNREFUSED); anything else that is there (a file, a symbolic link wherever it
 * leads, a live socket) stays, and is an error with a sentence in ERROR:
 * APR_EEXIST, EADDRINUSE (somebody listens), ENAMETOOLONG, what the system said otherwise. Main thread.
 */
apr_status_t demit_unix_socket_open(demit_unix_socket_t *socket, const demit_unix_socket_request_t *request,
                                    char *error, size_t error_size, apr_pool_t *pool)
    __attribute__((warn_unused_result));

/* Gives the socket's name another mode. ENOENT: the name is gone, or is another's. Main thread. */
apr_status_t demit_unix_socket_set_mode(const demit_unix_socket_t *socket, mode_t mode, apr_pool_t *scratch_pool)
    __attribute__((warn_unused_result));

/* Closes, and removes the name if it is still the socket that was made. Harmless if not open. */
void demit_unix_socket_close(demit_unix_socket_t *socket);

#endif
