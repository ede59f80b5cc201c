/* <dirent.h>(0p) */
#ifndef DECLARED_DIRENT_H
#define DECLARED_DIRENT_H

#include <sys/types.h>

typedef struct declared_dir DIR;

/* readdir(3p): the size of d_name is the system's affair. */
struct dirent {
    ino_t d_ino;
    char d_name[];
};

/* fdopendir(3p), readdir(3p), closedir(3p) */
DIR *opendir(const char *path);
struct dirent *readdir(DIR *entries);
int closedir(DIR *entries);

#endif
