/* What is taken away on Linux: capabilities. */
#include "tests/contract/scenes.h"

#include <linux/capability.h>
#include <sys/prctl.h>

void lose(int capability, const char *privilege)
{
    (void)privilege;
    CHECK(prctl(PR_CAPBSET_DROP, (unsigned long)capability, 0, 0, 0) == 0);
    set_capabilities(permitted_now() & ~BIT(capability), 0);
}

void lose_setuid(void)
{
    lose(CAP_SETUID, NULL);
}

void lose_setgid(void)
{
    lose(CAP_SETGID, NULL);
}

void lose_low_port(void)
{
    set_capabilities(0, 0);
}
