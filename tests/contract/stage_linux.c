/* On Linux the program is static, and may find itself alone in a directory. */
#include "tests/contract/stage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

typedef enum kind { DIRECTORY, TEXT, DEVICE, FILE_SYSTEM, LINK } kind_t;

/* In the order in which one needs the other. A directory that is there may still be empty. */
static struct prop {
    const char *path;
    kind_t kind;
    const char *what; /* the text, the file system, the target of the link */
    unsigned mode, major, minor;
    bool made;
} props[] = {
    {"/etc", DIRECTORY, NULL, 0755, 0, 0, false},
    {"/etc/passwd", TEXT, "root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n", 0644, 0, 0, false},
    {"/etc/group", TEXT, "root:x:0:\nnogroup:x:65534:\n", 0644, 0, 0, false},
    {"/run", DIRECTORY, NULL, 0755, 0, 0, false},
    {"/tmp", DIRECTORY, NULL, 01777, 0, 0, false},
    {"/usr", DIRECTORY, NULL, 0755, 0, 0, false},
    {"/dev", DIRECTORY, NULL, 0755, 0, 0, false},
    {"/dev/null", DEVICE, NULL, 0666, 1, 3, false},
    {"/dev/tty", DEVICE, NULL, 0666, 5, 0, false},
    {"/dev/pts", DIRECTORY, NULL, 0755, 0, 0, false},
    {"/dev/pts", FILE_SYSTEM, "devpts", 0, 0, 0, false},
    {"/dev/ptmx", LINK, "pts/ptmx", 0, 0, 0, false},
    {"/proc", DIRECTORY, NULL, 0755, 0, 0, false},
    {"/proc", FILE_SYSTEM, "proc", 0, 0, 0, false},
};
enum { PROP_COUNT = sizeof(props) / sizeof(props[0]) };

/* Mounted if something is to be seen that an empty directory does not have. */
static int mount_prop(const struct prop *prop)
{
    bool is_proc = strcmp(prop->what, "proc") == 0;
    if (access(is_proc ? "/proc/self/status" : "/dev/pts/ptmx", F_OK) == 0) {
        return EEXIST;
    }
    const char *options = is_proc ? NULL : "newinstance,ptmxmode=0666,mode=620";
    return mount(prop->what, prop->path, prop->what, MS_NOSUID | MS_NOEXEC, options) == 0 ? 0 : errno;
}

static int make_device(const struct prop *prop)
{
    return mknod(prop->path, S_IFCHR, makedev(prop->major, prop->minor)) == 0 ? 0 : errno;
}

static int write_prop(const struct prop *prop)
{
    int fd = open(prop->path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (fd < 0) {
        return errno;
    }
    bool whole = write(fd, prop->what, strlen(prop->what)) == (ssize_t)strlen(prop->what);
    (void)close(fd);
    return whole ? 0 : EIO;
}

/* 0: made; EEXIST: it is there. */
static int make(const struct prop *prop)
{
    int code = 0;
    switch (prop->kind) {
    case DIRECTORY:
        code = mkdir(prop->path, 0700) == 0 ? 0 : errno;
        break;
    case TEXT:
        code = write_prop(prop);
        break;
    case DEVICE:
        code = make_device(prop);
        break;
    case FILE_SYSTEM:
        return mount_prop(prop);
    case LINK:
        return symlink(prop->what, prop->path) == 0 ? 0 : errno;
    }
    return code == 0 && chmod(prop->path, prop->mode) != 0 ? errno : code;
}

void stage_set(void)
{
    for (size_t i = 0; i < PROP_COUNT; i++) {
        int code = make(&props[i]);
        props[i].made = code == 0;
        if (code != 0 && code != EEXIST) {
            (void)printf("# %s is missing, and cannot be made: %s\n", props[i].path, strerror(code));
        }
    }
}

void stage_strike(void)
{
    for (size_t i = PROP_COUNT; i-- > 0;) {
        if (!props[i].made) {
            continue;
        }
        int result = props[i].kind == FILE_SYSTEM ? umount(props[i].path) : remove(props[i].path);
        if (result != 0) {
            (void)printf("# %s stays behind: %s\n", props[i].path, strerror(errno));
        }
    }
}
