/* expect: discards.*qualifier */
#include <login_cap.h>

void look_up(const char *name);
void look_up(const char *name)
{
    login_close(login_getclass(name));
}
