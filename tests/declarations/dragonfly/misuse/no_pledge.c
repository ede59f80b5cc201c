/* expect: function 'pledge' */
#include <unistd.h>

int promise(void);
int promise(void)
{
    return pledge("stdio", NULL);
}
