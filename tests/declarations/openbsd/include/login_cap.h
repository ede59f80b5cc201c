/* OpenBSD: <login_cap.h>. Its texts are not const. */
#ifndef OPENBSD_LOGIN_CAP_H
#define OPENBSD_LOGIN_CAP_H

#include <sys/types.h>

struct passwd;

/* login_cap(3) */
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
