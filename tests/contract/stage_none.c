/* Here the program is linked with the system's own libraries, so the system is there. */
#include "tests/contract/stage.h"

void stage_set(void)
{
}

void stage_strike(void)
{
}
