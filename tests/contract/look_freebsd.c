/* The view from outside on FreeBSD: sysctl(3), kern.proc.pid. Ids belong to processes. */
#include "tests/contract/look_groups.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysctl.h>
#include <sys/user.h>
#include <unistd.h>

const looks_t looks = {.at_each_thread = false, .at_no_new_privs = false};

size_t look_at_threads(pid_t pid, view_t *views, size_t count)
{
    int name[] = {CTL_KERN, KERN_PROC, KERN_PROC_PID, pid};
    struct kinfo_proc process;
    size_t size = sizeof(process);
    assert_int_equal(sysctl(name, 4, &process, &size, NULL, 0), 0);
    assert_int_equal(size, sizeof(process));
    assert_in_range(count, 1, SIZE_MAX);
    /* kinfo_proc has no field for the effective gid: the kernel puts it first among the groups, before and after 15. */
    assert_in_range(process.ki_ngroups, 1, KI_NGROUPS);
    const gid_t gid = process.ki_groups[0];
    *views = (view_t){.uid = {process.ki_ruid, process.ki_uid, process.ki_svuid, process.ki_uid},
                      .gid = {process.ki_rgid, gid, process.ki_svgid, gid},
                      .no_new_privs = -1};
    format_groups(views, process.ki_groups, (size_t)process.ki_ngroups);
    return 1;
}

/* What kern.proc.WHAT says of PID: records, each of which begins with its own size. The caller frees it. */
static char *read_records(int what, pid_t pid, size_t *size)
{
    int name[] = {CTL_KERN, KERN_PROC, what, pid};
    assert_int_equal(sysctl(name, 4, NULL, size, NULL, 0), 0);
    *size *= 2; /* as sysctl(3) advises: it may have grown */
    char *records = malloc(*size);
    assert_non_null(records);
    assert_int_equal(sysctl(name, 4, records, size, NULL, 0), 0);
    return records;
}

static size_t size_of_record(const char *record)
{
    int size = 0;
    memcpy(&size, record, sizeof(size));
    const size_t most = sizeof(struct kinfo_file) < sizeof(struct kinfo_vmentry) ? sizeof(struct kinfo_file)
                                                                                 : sizeof(struct kinfo_vmentry);
    assert_in_range(size, 1, most);
    return (size_t)size;
}

void assert_jailed(pid_t pid, const char *directory)
{
    size_t size = 0, seen = 0;
    struct stat about;
    char *records = read_records(KERN_PROC_FILEDESC, pid, &size);
    assert_int_equal(stat(directory, &about), 0);
    for (size_t at = 0; at < size; at += size_of_record(records + at)) {
        struct kinfo_file file = {0};
        memcpy(&file, records + at, size_of_record(records + at)); /* shortened: the path is last */
        if (file.kf_fd == KF_FD_TYPE_ROOT || file.kf_fd == KF_FD_TYPE_CWD) {
            assert_int_equal(file.kf_un.kf_file.kf_file_fileid, about.st_ino);
            seen++;
        }
    }
    free(records);
    assert_int_equal(seen, 2);
}

bool look_at_mapping(const void *address, bool *not_dumped, bool *locked)
{
    size_t size = 0;
    bool told = false;
    char *records = read_records(KERN_PROC_VMMAP, getpid(), &size);
    for (size_t at = 0; at < size; at += size_of_record(records + at)) {
        struct kinfo_vmentry entry = {0};
        memcpy(&entry, records + at, size_of_record(records + at));
        if ((uintptr_t)address >= entry.kve_start && (uintptr_t)address < entry.kve_end) {
            told = true;
            *not_dumped = (entry.kve_flags & KVME_FLAG_NOCOREDUMP) != 0;
            *locked = (entry.kve_flags & KVME_FLAG_USER_WIRED) != 0;
        }
    }
    free(records);
    return told;
}
