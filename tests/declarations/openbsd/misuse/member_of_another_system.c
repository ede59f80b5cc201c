/* expect: no member named 'ki_uid' */
#include <sys/sysctl.h>

void owner(const struct kinfo_proc *process, uid_t *uid);
void owner(const struct kinfo_proc *process, uid_t *uid)
{
    *uid = process->ki_uid;
}
