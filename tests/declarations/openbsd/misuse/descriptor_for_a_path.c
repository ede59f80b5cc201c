/* expect: makes pointer from integer|incompatible integer to pointer */
#include <unistd.h>

int confine(int directory);
int confine(int directory)
{
    return chroot(directory);
}
