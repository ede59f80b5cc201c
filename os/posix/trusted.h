/* Paths that root walks, one directory at a time, and only while nobody else could have planted the next name. */
#ifndef OS_POSIX_TRUSTED_H
#define OS_POSIX_TRUSTED_H

#include "os/posix/identity_priv.h"

/*
 * Opens the directory of PATH in JAIL (NULL: no jail), every part of which is trusted; NAME becomes PATH's last
 * component, which is not looked at. STEP is for ERROR.
 */
int os_open_trusted_parent(const char *jail, const char *path, const char *step, int *parent_fd, char *name,
                           size_t name_size, demit_os_error_t *error) DEMIT_CHECKED;

#endif
