/* DragonFly: <login_cap.h> */
#ifndef DRAGONFLY_LOGIN_CAP_H
#define DRAGONFLY_LOGIN_CAP_H

#include <sys/types.h>

struct passwd;

/* login_cap(3). The page of setusercontext() is login_class(3). */
#define LOGIN_DEFCLASS     "default"
#define LOGIN_SETPRIORITY  0x0008
#define LOGIN_SETRESOURCES 0x0010
typedef struct login_cap {
    char *lc_class;
} login_cap_t;
login_cap_t *login_getclass(const char *name);
void login_close(login_cap_t *class);
int64_t login_getcapnum(login_cap_t *class, const char *capability, int64_t none, int64_t error);
int setusercontext(login_cap_t *class, const struct passwd *account, uid_t uid, unsigned flags);

#endif
