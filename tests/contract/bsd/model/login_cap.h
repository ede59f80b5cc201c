/* A model of login_cap(3), for the tests of os/bsd/login_class.c where there is none. The test itself is the library.
 */
#ifndef TESTS_MODEL_LOGIN_CAP_H
#define TESTS_MODEL_LOGIN_CAP_H

#include <pwd.h>
#include <sys/resource.h>
#include <sys/types.h>

/* A number on the BSDs, an enumeration here. */
#define getrlimit(resource, limit) getrlimit((__rlimit_resource_t)(resource), limit)
#define setrlimit(resource, limit) setrlimit((__rlimit_resource_t)(resource), limit)

#define LOGIN_DEFCLASS     "default"
#define LOGIN_SETPRIORITY  0x0008
#define LOGIN_SETRESOURCES 0x0010

typedef struct login_cap {
    char *lc_class;
} login_cap_t;

login_cap_t *login_getclass(char *name);
void login_close(login_cap_t *class);
long long login_getcapnum(login_cap_t *class, char *capability, long long none, long long error);
int setusercontext(login_cap_t *class, struct passwd *account, uid_t uid, unsigned flags);

#endif
