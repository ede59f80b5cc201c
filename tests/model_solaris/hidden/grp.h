/* For os/ alone: setgroups(2) counts with an int on Solaris, and with a size_t on Linux. */
#ifndef MODEL_SOLARIS_GRP_H
#define MODEL_SOLARIS_GRP_H

#include_next <grp.h>

static inline int model_setgroups(int count, const gid_t *groups)
{
    return setgroups((size_t)count, groups);
}
#define setgroups(count, groups) model_setgroups(count, groups)

#endif
