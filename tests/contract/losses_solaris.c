/* What is taken away on Solaris: privileges. */
#include "tests/contract/scenes.h"

#include <priv.h>

static void remove_from(const char *set, const char *privilege)
{
    priv_set_t *one = priv_allocset();
    CHECK(one != NULL);
    priv_emptyset(one);
    CHECK(priv_addset(one, privilege) == 0 && setppriv(PRIV_OFF, set, one) == 0);
    priv_freeset(one);
}

void lose(int capability, const char *privilege)
{
    (void)capability;
    remove_from(PRIV_PERMITTED, privilege);
    remove_from(PRIV_LIMIT, privilege);
}

/* One privilege for both. */
void lose_setuid(void)
{
    lose(0, PRIV_PROC_SETID);
}

void lose_setgid(void)
{
    lose(0, PRIV_PROC_SETID);
}

void lose_low_port(void)
{
    remove_from(PRIV_PERMITTED, PRIV_NET_PRIVADDR);
}
