/* expect: 'O_PATH' undeclared|undeclared identifier 'O_PATH' */
#include <fcntl.h>

void pass(const char *path, int *fd);
void pass(const char *path, int *fd)
{
    *fd = open(path, O_PATH | O_DIRECTORY);
}
