/* The BSDs have neither capabilities nor keyrings nor user namespaces: there is nothing of theirs to try. */
#include "tests/contract/powers.h"

int run_identity_cases_of_capabilities(void)
{
    return 0;
}

int run_starts_cases_of_linux(void)
{
    return 0;
}

int run_sandbox_cases_of_linux(void)
{
    return 0;
}
