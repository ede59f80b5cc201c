/* expect: 'RLIMIT_NPROC' undeclared|undeclared identifier 'RLIMIT_NPROC' */
#include <sys/resource.h>

void ask(struct rlimit *limit);
void ask(struct rlimit *limit)
{
    (void)getrlimit(RLIMIT_NPROC, limit);
}
