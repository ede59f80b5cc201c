/* Who restricts this process: a user namespace, a container, a systemd unit, the host. For the texts of errors. */
#include "os/linux/native.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <unistd.h>

bool os_host_read(const char *path, char *text, size_t size)
{
    text[0] = '\0';
    int fd = -1;
    if (os_proc_open(path, 0, &fd) != 0) {
        return false;
    }
    ssize_t got = read(fd, text, size - 1);
    (void)close(fd);
    if (got < 0) {
        return false;
    }
    text[got] = '\0';
    if (got > 0 && text[got - 1] == '\n') {
        text[got - 1] = '\0';
    }
    return true;
}

/* One line of "INSIDE OUTSIDE COUNT": user_namespaces(7). */
typedef struct mapping {
    unsigned long inside, outside, count;
} mapping_t;

/* Reads the line at *AT and moves on to the next. */
static bool read_mapping(const char **at, mapping_t *mapping)
{
    unsigned long *const numbers[] = {&mapping->inside, &mapping->outside, &mapping->count};
    for (size_t i = 0; i < 3; i++) {
        char *end = NULL;
        *numbers[i] = strtoul(*at, &end, 10);
        if (end == *at) {
            return false;
        }
        *at = end;
    }
    return true;
}

/* Line by line: 340 of them, which a kernel takes, are longer than any buffer that one would think of. */
static bool maps(const char *path, unsigned long id)
{
    char line[64];
    int fd = -1;
    if (os_proc_open(path, 0, &fd) != 0) {
        return true;
    }
    FILE *lines = fdopen(fd, "r");
    if (lines == NULL) {
        (void)close(fd);
        return true;
    }
    bool is_mapped = false;
    while (!is_mapped && fgets(line, sizeof(line), lines) != NULL) {
        const char *at = line;
        mapping_t mapping;
        is_mapped = read_mapping(&at, &mapping) && id >= mapping.inside && id - mapping.inside < mapping.count;
    }
    is_mapped = is_mapped || ferror(lines) != 0;
    (void)fclose(lines);
    return is_mapped;
}

bool os_host_maps_uid(uid_t uid)
{
    return maps("/proc/self/uid_map", uid);
}

bool os_host_maps_gid(gid_t gid)
{
    return maps("/proc/self/gid_map", gid);
}

static bool in_user_namespace(void)
{
    char text[256];
    mapping_t mapping;
    const char *at = text;
    if (!os_host_read("/proc/self/uid_map", text, sizeof(text))) {
        return false;
    }
    bool all =
        read_mapping(&at, &mapping) && mapping.inside == 0 && mapping.outside == 0 && mapping.count == UINT32_MAX;
    return !all;
}

static bool in_container(void)
{
    return access("/.dockerenv", F_OK) == 0 || access("/run/.containerenv", F_OK) == 0 ||
           access("/run/systemd/container", F_OK) == 0 || getenv("KUBERNETES_SERVICE_HOST") != NULL;
}

static bool in_systemd_unit(void)
{
    char text[1024];
    return os_host_read("/proc/self/cgroup", text, sizeof(text)) && strstr(text, ".service") != NULL;
}

static bool init_lacks(int capability)
{
    os_status_t init;
    if (os_status_of(1, 0, &init) != 0) {
        return false;
    }
    os_status_free(&init);
    return !os_capset_has(init.bounding, capability);
}

void os_host_blame(int capability, char *text, size_t size)
{
    char *allocated = cap_to_name(capability);
    const char *name = allocated != NULL ? allocated : "it";
    if (cap_get_bound(capability) > 0) {
        os_append(text, size,
                  "the bounding set allows %s, but demitd was started without it: start it as root, or give "
                  "it (systemd: AmbientCapabilities=, a file: setcap)",
                  name);
    } else if (in_container()) {
        os_append(text, size,
                  "the container takes %s away: add it (docker, podman: --cap-add; Kubernetes: "
                  "securityContext.capabilities.add)",
                  name);
    } else if (in_user_namespace()) {
        os_append(text, size, "the user namespace was entered without %s", name);
    } else if (init_lacks(capability)) {
        os_append(text, size, "the whole host runs without %s: even process 1 lacks it", name);
    } else if (in_systemd_unit()) {
        os_append(text, size, "the systemd unit takes %s away: add it to CapabilityBoundingSet=", name);
    } else {
        os_append(text, size, "whoever started demitd dropped %s from the bounding set", name);
    }
    (void)cap_free(allocated);
}

unsigned os_backend_first_free_port(void)
{
    char text[16];
    unsigned long port = 0;
    char *end = NULL;
    if (os_host_read("/proc/sys/net/ipv4/ip_unprivileged_port_start", text, sizeof(text))) {
        port = strtoul(text, &end, 10);
        if (end != text && port <= UINT16_MAX) {
            return (unsigned)port;
        }
    }
    return 1024;
}
