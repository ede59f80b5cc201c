/* expect: function 'sysctlbyname' */
#include <sys/sysctl.h>

int ask(int *value, size_t *size);
int ask(int *value, size_t *size)
{
    return sysctlbyname("net.inet.ip.portfirst", value, size, NULL, 0);
}
