/* expect: of different signedness|of different signs|different signedness */
#include <sys/resource.h>

int allows(const struct rlimit *limit, unsigned long long wanted);
int allows(const struct rlimit *limit, unsigned long long wanted)
{
    return limit->rlim_cur >= wanted;
}
