/* ucred_get(3C), getpeerucred(3C): the ids as Linux tells them, the sets as the model has them. */
#include "tests/model_solaris/model.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <ucred.h>
#include <unistd.h>

enum { GROUPS_MAX = 64 };

struct ucred_s {
    pid_t pid;
    uid_t uid[3];
    gid_t gid[3];
    gid_t groups[GROUPS_MAX];
    int group_count;
    bool has_sets, aware;
    priv_set_t sets[MODEL_SETS];
};

static bool read_groups(ucred_t *credential, const char *list)
{
    char *end = NULL;
    for (const char *at = list; credential->group_count < GROUPS_MAX; at = end) {
        unsigned long gid = strtoul(at, &end, 10);
        if (end == at) {
            break;
        }
        credential->groups[credential->group_count++] = (gid_t)gid;
    }
    return true;
}

/* The ids of any process, by /proc/PID/status. */
static bool read_status(ucred_t *credential, pid_t pid)
{
    char path[64], line[1024];
    uid_t *u = credential->uid;
    gid_t *g = credential->gid;
    (void)snprintf(path, sizeof(path), "/proc/%ld/status", (long)pid);
    FILE *status = fopen(path, "re");
    if (status == NULL) {
        return false;
    }
    while (fgets(line, sizeof(line), status) != NULL) {
        (void)sscanf(line, "Uid: %u %u %u", &u[0], &u[1], &u[2]);
        (void)sscanf(line, "Gid: %u %u %u", &g[0], &g[1], &g[2]);
        if (strncmp(line, "Groups:", 7) == 0) {
            (void)read_groups(credential, line + 7);
        }
    }
    (void)fclose(status);
    return true;
}

/* Those of the calling process, where /proc may be out of reach. */
static void read_own(ucred_t *credential)
{
    (void)getresuid(&credential->uid[0], &credential->uid[1], &credential->uid[2]);
    (void)getresgid(&credential->gid[0], &credential->gid[1], &credential->gid[2]);
    credential->group_count = getgroups(GROUPS_MAX, credential->groups);
}

static void take_sets(ucred_t *credential, const model_credential_t *from)
{
    credential->has_sets = from != NULL;
    for (int i = 0; i < MODEL_SETS && from != NULL; i++) {
        credential->sets[i] = model_observed(from, i, credential->uid);
        credential->aware = from->aware;
    }
}

ucred_t *ucred_get(pid_t pid)
{
    ucred_t *credential = calloc(1, sizeof(*credential));
    if (credential == NULL) {
        return NULL;
    }
    credential->pid = pid == P_MYID ? getpid() : pid;
    if (pid == P_MYID) {
        read_own(credential);
        take_sets(credential, model_own());
    } else if (kill(pid, 0) == 0 && read_status(credential, pid)) {
        take_sets(credential, model_of(pid));
    } else {
        free(credential);
        errno = ESRCH;
        return NULL;
    }
    return credential;
}

int getpeerucred(int fd, ucred_t **credential)
{
    struct {
        pid_t pid;
        uid_t uid;
        gid_t gid;
    } peer;
    socklen_t size = sizeof(peer);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) {
        return -1;
    }
    if (peer.uid == (uid_t)-1) {
        errno = ENOTCONN;
        return -1;
    }
    if (*credential != NULL) {
        abort(); /* one to be filled: os/solaris asks for a new one */
    }
    *credential = calloc(1, sizeof(**credential));
    if (*credential == NULL) {
        return -1;
    }
    const uid_t unknown = (uid_t)-1;
    **credential = (ucred_t){
        .pid = peer.pid, .uid = {unknown, peer.uid, unknown}, .gid = {unknown, peer.gid, unknown}, .group_count = -1};
    return 0;
}

void ucred_free(ucred_t *credential)
{
    free(credential);
}

uid_t ucred_getruid(const ucred_t *credential)
{
    return credential->uid[0];
}

uid_t ucred_geteuid(const ucred_t *credential)
{
    return credential->uid[1];
}

uid_t ucred_getsuid(const ucred_t *credential)
{
    return credential->uid[2];
}

gid_t ucred_getrgid(const ucred_t *credential)
{
    return credential->gid[0];
}

gid_t ucred_getegid(const ucred_t *credential)
{
    return credential->gid[1];
}

gid_t ucred_getsgid(const ucred_t *credential)
{
    return credential->gid[2];
}

int ucred_getgroups(const ucred_t *credential, const gid_t **groups)
{
    *groups = credential->groups;
    return credential->group_count;
}

const priv_set_t *ucred_getprivset(const ucred_t *credential, priv_ptype_t type)
{
    int which = model_set_number(type);
    if (which < 0 || !credential->has_sets) {
        errno = EINVAL;
        return NULL;
    }
    return &credential->sets[which];
}

uint_t ucred_getpflags(const ucred_t *credential, uint_t flag)
{
    return flag == PRIV_AWARE && credential->aware ? 1 : 0;
}

pid_t ucred_getpid(const ucred_t *credential)
{
    return credential->pid;
}
