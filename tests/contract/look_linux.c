/* The view from outside on Linux: /proc/PID/task. */
#include "tests/contract/harness.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

const looks_t looks = {.at_each_thread = true, .at_no_new_privs = true};

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

void assert_jailed(pid_t pid, const char *directory)
{
    static const char *const names[] = {"root", "cwd"};
    for (size_t i = 0; i < 2; i++) {
        char path[64], target[256] = "";
        (void)snprintf(path, sizeof(path), "/proc/%ld/%s", (long)pid, names[i]);
        assert_true(readlink(path, target, sizeof(target) - 1) > 0);
        assert_string_equal(target, directory);
    }
}

/* The VmFlags: proc(5). */
bool look_at_mapping(const void *address, bool *not_dumped, bool *locked)
{
    FILE *maps = fopen("/proc/self/smaps", "r");
    char line[512];
    bool here = false, told = false;
    assert_non_null(maps);
    while (fgets(line, sizeof(line), maps) != NULL) {
        uintptr_t first = 0, end = 0;
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &first, &end) == 2) {
            here = (uintptr_t)address >= first && (uintptr_t)address < end;
        } else if (here && strncmp(line, "VmFlags:", 8) == 0) {
            told = true;
            *not_dumped = strstr(line, " dd") != NULL;
            *locked = strstr(line, " lo") != NULL;
        }
    }
    (void)fclose(maps);
    return told;
}
