/* The view from outside on Linux: /proc/PID/task. */
#include "tests/contract/harness.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void read_view(const char *path, view_t *view)
{
    FILE *status = fopen(path, "r");
    assert_non_null(status);
    char line[1024];
    *view = (view_t){.no_new_privs = -1};
    while (fgets(line, sizeof(line), status) != NULL) {
        (void)sscanf(line, "Uid: %lu %lu %lu %lu", &view->uid[0], &view->uid[1], &view->uid[2], &view->uid[3]);
        (void)sscanf(line, "Gid: %lu %lu %lu %lu", &view->gid[0], &view->gid[1], &view->gid[2], &view->gid[3]);
        (void)sscanf(line, "CapInh: %" SCNx64, &view->inheritable);
        (void)sscanf(line, "CapPrm: %" SCNx64, &view->permitted);
        (void)sscanf(line, "CapEff: %" SCNx64, &view->effective);
        (void)sscanf(line, "CapBnd: %" SCNx64, &view->bounding);
        (void)sscanf(line, "CapAmb: %" SCNx64, &view->ambient);
        (void)sscanf(line, "NoNewPrivs: %d", &view->no_new_privs);
        if (strncmp(line, "Groups:", 7) == 0) {
            const char *first = line + 7 + strspn(line + 7, " \t\n");
            (void)snprintf(view->groups, sizeof(view->groups), "%s", first);
            size_t length = strlen(view->groups);
            while (length > 0 && strchr(" \n", view->groups[length - 1]) != NULL) {
                view->groups[--length] = '\0';
            }
        }
    }
    (void)fclose(status);
}

size_t look_at_threads(pid_t pid, view_t *views, size_t count)
{
    char path[400];
    (void)snprintf(path, sizeof(path), "/proc/%ld/task", (long)pid);
    DIR *tasks = opendir(path);
    assert_non_null(tasks);
    size_t seen = 0;
    for (const struct dirent *task = readdir(tasks); task != NULL; task = readdir(tasks)) {
        if (task->d_name[0] == '.') {
            continue;
        }
        (void)snprintf(path, sizeof(path), "/proc/%ld/task/%s/status", (long)pid, task->d_name);
        if (seen < count) {
            read_view(path, &views[seen]);
        }
        seen++;
    }
    (void)closedir(tasks);
    return seen;
}
