/* What is taken away on the BSDs: nothing. Root's power is uid 0, and stays whole as long as that does. */
#include "tests/contract/scenes.h"

static const char whole[] = "root is uid 0 here: it has no capabilities or privileges to lose one by one";

void lose_setuid(void)
{
    child_skips(whole);
}

void lose_setgid(void)
{
    child_skips(whole);
}

void lose_low_port(void)
{
    child_skips(whole);
}
