/* expect: too few arguments to function */
#include <unistd.h>

void hide(void);
void hide(void)
{
    (void)unveil("/var/spool/demit");
}
