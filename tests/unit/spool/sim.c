#include "sim.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SECTOR = 512 };

/* Bytes that were written and not synced. Newest first. */
struct sim_write {
    sim_write_t *next;
    ino_t file;
    uint64_t offset, old_size; /* OLD_SIZE: of the file, before */
    size_t size;
    unsigned char *before, *after;
    bool lost; /* a sync that was about it has failed: no later one is about it any more */
};

/* A name that was changed and not synced. Newest first. */
struct sim_name {
    sim_name_t *next;
    char from[32], to[32]; /* created: FROM empty; unlinked: TO empty */
    ino_t file;
    bool undone; /* in the present cut */
};

static void must(bool holds, const char *what)
{
    if (!holds) {
        perror(what);
        abort();
    }
}

uint64_t sim_random(sim_t *sim)
{
    sim->random ^= sim->random << 13;
    sim->random ^= sim->random >> 7;
    sim->random ^= sim->random << 17;
    return sim->random;
}

/* ---- every call ---- */

static sim_t *begin(const demit_files_t *files)
{
    sim_t *sim = (sim_t *)(uintptr_t)files;

    pthread_mutex_lock(&sim->mutex);
    return sim;
}

static int end(sim_t *sim, int result)
{
    pthread_mutex_unlock(&sim->mutex);
    return result;
}

/* Counts the call; non-zero: it fails so. */
static int count(sim_t *sim, sim_call_t call)
{
    unsigned n = ++sim->counts[call];

    sim->total++;
    if (sim->before != NULL)
        sim->before(sim, sim->baton);
    if (sim->fail_at != 0 && sim->fail == call && n >= sim->fail_at && n - sim->fail_at <= sim->fail_more) {
        sim->failed++;
        return sim->error;
    }
    return 0;
}

static ino_t inode(int fd)
{
    struct stat status;

    must(fstat(fd, &status) == 0, "fstat");
    return status.st_ino;
}

static ino_t inode_of(const demit_files_t *files, int dir, const char *name)
{
    struct stat status;

    (void)files;
    return fstatat(dir, name, &status, AT_SYMLINK_NOFOLLOW) == 0 ? status.st_ino : 0;
}

static void change_name(sim_t *sim, const char *from, const char *to, ino_t file)
{
    sim_name_t *name;

    if (!sim->power)
        return;
    name = calloc(1, sizeof *name);
    snprintf(name->from, sizeof name->from, "%s", from);
    snprintf(name->to, sizeof name->to, "%s", to);
    name->file = file;
    name->next = sim->names;
    sim->names = name;
}

static int sim_open(const demit_files_t *files, int dir, const char *name, int flags, mode_t mode, int *fd)
{
    sim_t *sim = begin(files);
    int error = count(sim, SIM_OPEN);
    bool there = inode_of(files, dir, name) != 0;

    if (error == 0)
        error = demit_files_system.open(&demit_files_system, dir, name, flags, mode, fd);
    if (error == 0 && !there && (flags & O_CREAT) != 0)
        change_name(sim, "", name, inode(*fd));
    return end(sim, error);
}

static int sim_close(const demit_files_t *files, int fd)
{
    sim_t *sim = begin(files);
    int error = count(sim, SIM_CLOSE), real = demit_files_system.close(&demit_files_system, fd);

    return end(sim, error != 0 ? error : real);
}

static int sim_pread(const demit_files_t *files, int fd, void *bytes, size_t size, uint64_t offset, size_t *done)
{
    sim_t *sim = begin(files);
    int error = count(sim, SIM_PREAD);

    if (error == 0)
        error = demit_files_system.pread(&demit_files_system, fd, bytes, size, offset, done);
    return end(sim, error);
}

static void keep_write(sim_t *sim, int fd, const unsigned char *bytes, size_t size, uint64_t offset)
{
    sim_write_t *write = calloc(1, sizeof *write);
    struct stat status;
    size_t done;

    must(fstat(fd, &status) == 0, "fstat");
    write->file = status.st_ino;
    write->old_size = (uint64_t)status.st_size;
    write->offset = offset;
    write->size = size;
    write->before = calloc(1, size + 1);
    write->after = calloc(1, size + 1);
    memcpy(write->after, bytes, size);
    must(demit_files_system.pread(&demit_files_system, fd, write->before, size, offset, &done) == 0, "pread");
    write->next = sim->writes;
    sim->writes = write;
}

static int sim_pwritev(const demit_files_t *files, int fd, const struct iovec *parts, int parts_count, uint64_t offset)
{
    sim_t *sim = begin(files);
    int error = count(sim, SIM_PWRITEV), real;
    unsigned char *bytes;
    struct iovec part;
    size_t size = 0;

    for (int i = 0; i < parts_count; i++)
        size += parts[i].iov_len;
    part.iov_base = bytes = malloc(size + 1);
    part.iov_len = 0;
    for (int i = 0; i < parts_count; i++) {
        memcpy(bytes + part.iov_len, parts[i].iov_base, parts[i].iov_len);
        part.iov_len += parts[i].iov_len;
    }
    if (error != 0)
        part.iov_len = sim->half ? size / 2 : 0;
    if (sim->power && part.iov_len > 0)
        keep_write(sim, fd, bytes, part.iov_len, offset);
    real = part.iov_len > 0 ? demit_files_system.pwritev(&demit_files_system, fd, &part, 1, offset) : 0;
    free(bytes);
    return end(sim, error != 0 ? error : real);
}

static void free_write(sim_write_t *write)
{
    free(write->before);
    free(write->after);
    free(write);
}

static bool overlap(const sim_write_t *one, const sim_write_t *other)
{
    return one->file == other->file && one->offset < other->offset + other->size &&
           other->offset < one->offset + one->size;
}

/* Forgets WRITE, which a sync has covered, and what it stands upon. LINK: to where it stood. */
static void settle_write(sim_write_t **link, sim_write_t *write)
{
    while (*link != NULL) { /* from here on they are older */
        sim_write_t *older = *link;

        if (older->lost && overlap(older, write)) {
            *link = older->next;
            free_write(older);
        } else {
            link = &older->next;
        }
    }
    free_write(write);
}

/*
 * As systems do it, see the findings on PostgreSQL and fsync(2): what a failed sync has left behind counts as clean, so
 * it may be on the disk or not, is read from memory as if it were, and no later sync writes it.
 */
static int sim_datasync(const demit_files_t *files, int fd)
{
    sim_t *sim = begin(files);
    int error = count(sim, SIM_DATASYNC);
    ino_t file = inode(fd);
    sim_write_t **link = &sim->writes;

    while (*link != NULL) {
        sim_write_t *write = *link;

        if (write->file == file && error == 0 && !write->lost) {
            *link = write->next;
            settle_write(link, write);
        } else {
            write->lost |= write->file == file;
            link = &write->next;
        }
    }
    return end(sim, error);
}

/* The file is gone for good, and the next one may have its number. */
static void forget_writes(sim_t *sim, ino_t file)
{
    sim_write_t **link = &sim->writes;

    while (*link != NULL) {
        sim_write_t *write = *link;

        if (write->file == file) {
            *link = write->next;
            free_write(write);
        } else {
            link = &write->next;
        }
    }
}

static void forget_names(sim_t *sim)
{
    while (sim->names != NULL) {
        sim_name_t *name = sim->names;
        char path[128];

        sim->names = name->next;
        if (name->to[0] == '\0') {
            snprintf(path, sizeof path, "%s/%llu", sim->shadow, (unsigned long long)name->file);
            (void)unlink(path);
            forget_writes(sim, name->file);
        }
        free(name);
    }
}

static int sim_sync_directory(const demit_files_t *files, int dir)
{
    sim_t *sim = begin(files);
    int error = count(sim, SIM_SYNC_DIRECTORY);

    (void)dir;
    if (error == 0)
        forget_names(sim);
    return end(sim, error);
}

static int sim_allocate(const demit_files_t *files, int fd, uint64_t size)
{
    sim_t *sim = begin(files);
    int error = count(sim, SIM_ALLOCATE);

    if (error == 0 && sim->power)
        keep_write(sim, fd, (const unsigned char *)"", 0, 0);
    if (error == 0)
        error = demit_files_system.allocate(&demit_files_system, fd, size);
    return end(sim, error);
}

static int sim_rename(const demit_files_t *files, int from_dir, const char *from, int to_dir, const char *to)
{
    sim_t *sim = begin(files);
    int error = count(sim, SIM_RENAME);

    if (error == 0) {
        must(inode_of(files, to_dir, to) == 0, "rename over a file");
        change_name(sim, from, to, inode_of(files, from_dir, from));
        error = demit_files_system.rename(&demit_files_system, from_dir, from, to_dir, to);
    }
    return end(sim, error);
}

static int sim_unlink(const demit_files_t *files, int dir, const char *name)
{
    sim_t *sim = begin(files);
    int error = count(sim, SIM_UNLINK);
    ino_t file = inode_of(files, dir, name);
    char path[128];

    if (error == 0 && sim->power && file != 0) {
        snprintf(path, sizeof path, "%s/%llu", sim->shadow, (unsigned long long)file);
        must(linkat(dir, name, AT_FDCWD, path, 0) == 0, "linkat");
        change_name(sim, name, "", file);
    }
    if (error == 0)
        error = demit_files_system.unlink(&demit_files_system, dir, name);
    return end(sim, error);
}

static int sim_stat(const demit_files_t *files, int dir, const char *name, struct stat *status)
{
    sim_t *sim = begin(files);
    int error = count(sim, SIM_STAT);

    if (error == 0)
        error = demit_files_system.stat(&demit_files_system, dir, name, status);
    return end(sim, error);
}

static int sim_list(const demit_files_t *files, int dir, int (*each)(void *baton, const char *name), void *baton)
{
    sim_t *sim = begin(files);
    int error = end(sim, count(sim, SIM_LIST));

    /* Not with the mutex: EACH may call in here. */
    return error != 0 ? error : demit_files_system.list(&demit_files_system, dir, each, baton);
}

static int sim_free_bytes(const demit_files_t *files, int dir, uint64_t *bytes)
{
    sim_t *sim = begin(files);
    int error = count(sim, SIM_FREE_BYTES);

    if (error == 0)
        error = demit_files_system.free_bytes(&demit_files_system, dir, bytes);
    if (error == 0 && sim->free_bytes != 0)
        *bytes = sim->free_bytes;
    return end(sim, error);
}

static int sim_lock(const demit_files_t *files, int fd)
{
    sim_t *sim = begin(files);
    int error = count(sim, SIM_LOCK);

    if (error == 0)
        error = demit_files_system.lock(&demit_files_system, fd);
    return end(sim, error);
}

void sim_init(sim_t *sim, const char *directory)
{
    memset(sim, 0, sizeof *sim);
    sim->table = (demit_files_t){
        .open = sim_open,
        .close = sim_close,
        .pread = sim_pread,
        .pwritev = sim_pwritev,
        .datasync = sim_datasync,
        .sync_directory = sim_sync_directory,
        .allocate = sim_allocate,
        .rename = sim_rename,
        .unlink = sim_unlink,
        .stat = sim_stat,
        .list = sim_list,
        .free_bytes = sim_free_bytes,
        .lock = sim_lock,
    };
    pthread_mutex_init(&sim->mutex, NULL);
    snprintf(sim->directory, sizeof sim->directory, "%s", directory);
    strcpy(sim->shadow, "/tmp/demit-shadow-XXXXXX");
    must(mkdtemp(sim->shadow) != NULL, "mkdtemp");
    sim->random = 88172645463325252u;
}

void sim_destroy(sim_t *sim)
{
    while (sim->writes != NULL) {
        sim_write_t *write = sim->writes;

        sim->writes = write->next;
        free_write(write);
    }
    forget_names(sim);
    must(rmdir(sim->shadow) == 0, "rmdir");
    pthread_mutex_destroy(&sim->mutex);
}

void sim_watch(sim_t *sim, void (*before)(sim_t *sim, void *baton), void *baton)
{
    pthread_mutex_lock(&sim->mutex);
    sim->before = before;
    sim->baton = baton;
    pthread_mutex_unlock(&sim->mutex);
}

void sim_set_free_bytes(sim_t *sim, uint64_t bytes)
{
    pthread_mutex_lock(&sim->mutex);
    sim->free_bytes = bytes;
    pthread_mutex_unlock(&sim->mutex);
}

/* ---- the cut ---- */

/* The names of the copy, each with the file behind it. */
typedef struct entry {
    char name[32];
    ino_t file;
} entry_t;

typedef struct entries {
    entry_t list[512];
    unsigned count;
} entries_t;

static entry_t *entry_named(entries_t *entries, const char *name)
{
    for (unsigned i = 0; i < entries->count; i++)
        if (strcmp(entries->list[i].name, name) == 0)
            return &entries->list[i];
    return NULL;
}

static void add_entry(entries_t *entries, const char *name, ino_t file)
{
    must(entries->count < sizeof entries->list / sizeof entries->list[0], "too many files");
    must(strlen(name) < sizeof entries->list[0].name, name);
    strcpy(entries->list[entries->count].name, name);
    entries->list[entries->count++].file = file;
}

static void read_names(const sim_t *sim, entries_t *entries)
{
    DIR *stream = opendir(sim->directory);
    struct dirent *entry;

    entries->count = 0;
    while ((entry = readdir(stream)) != NULL)
        if (entry->d_name[0] != '.')
            add_entry(entries, entry->d_name, inode_of(NULL, dirfd(stream), entry->d_name));
    closedir(stream);
}

/* Up to some point they are on the disk, and behind it none. */
static void lose_names_in_order(sim_t *sim)
{
    uint64_t changes = 0, lost;

    for (sim_name_t *name = sim->names; name != NULL; name = name->next)
        changes++;
    lost = sim_random(sim) % (changes + 1);
    for (sim_name_t *name = sim->names; name != NULL; name = name->next)
        name->undone = lost > 0 && lost-- > 0;
}

static bool is_about(const sim_name_t *change, const char *name)
{
    return name[0] != '\0' && (strcmp(change->from, name) == 0 || strcmp(change->to, name) == 0);
}

/* A name is one place in the directory: what came to the disk of it took everything older about it along. */
static void keep_what_stands_below(sim_t *sim)
{
    for (const sim_name_t *kept = sim->names; kept != NULL; kept = kept->next)
        for (sim_name_t *older = kept->next; older != NULL && !kept->undone; older = older->next)
            if (older->file == kept->file || is_about(older, kept->from) || is_about(older, kept->to))
                older->undone = false;
}

/*
 * Nothing says that the changes of two files come to the disk in the order in which they were made, unless they are
 * about the same name.
 */
static void lose_names_file_by_file(sim_t *sim)
{
    for (sim_name_t *name = sim->names; name != NULL; name = name->next) {
        bool is_newest = true;
        uint64_t changes = 0, lost;

        for (const sim_name_t *newer = sim->names; newer != name; newer = newer->next)
            is_newest = is_newest && newer->file != name->file;
        if (!is_newest)
            continue;
        for (const sim_name_t *older = name; older != NULL; older = older->next)
            changes += older->file == name->file;
        lost = sim_random(sim) % (changes + 1);
        for (sim_name_t *older = name; older != NULL; older = older->next)
            if (older->file == name->file)
                older->undone = lost > 0 && lost-- > 0;
    }
    keep_what_stands_below(sim);
}

/* Takes back the changes that were lost, the newest first. */
static void undo_names(const sim_t *sim, entries_t *entries)
{
    for (const sim_name_t *name = sim->names; name != NULL; name = name->next) {
        if (!name->undone)
            continue;
        if (name->to[0] == '\0') {
            add_entry(entries, name->from, name->file);
        } else if (name->from[0] == '\0') {
            entry_t *entry = entry_named(entries, name->to);

            *entry = entries->list[--entries->count];
        } else {
            snprintf(entry_named(entries, name->to)->name, sizeof entries->list[0].name, "%s", name->from);
        }
    }
}

/* Writes through a mapping pass the table by. Where there is no such list, lint has the last word. */
static void assert_nothing_is_mapped(const sim_t *sim)
{
    FILE *file = fopen("/proc/self/maps", "r");
    char line[1024], permissions[8];

    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (strstr(line, sim->directory) != NULL && sscanf(line, "%*s %7s", permissions) == 1)
            must(permissions[1] != 'w' || permissions[3] != 's', "the spool maps a file to write to it");
    }
    if (file != NULL)
        fclose(file);
}

/* The file's bytes as they are now. */
static unsigned char *read_now(const sim_t *sim, ino_t file, size_t *size)
{
    DIR *stream = opendir(sim->directory);
    struct dirent *entry;
    struct stat status;
    unsigned char *bytes;
    char path[512];
    int fd;

    snprintf(path, sizeof path, "%s/%llu", sim->shadow, (unsigned long long)file);
    while ((entry = readdir(stream)) != NULL)
        if (inode_of(NULL, dirfd(stream), entry->d_name) == file)
            snprintf(path, sizeof path, "%s/%s", sim->directory, entry->d_name);
    closedir(stream);
    fd = open(path, O_RDONLY);
    must(fd >= 0 && fstat(fd, &status) == 0, path);
    bytes = calloc(1, (size_t)status.st_size + 1);
    must(read(fd, bytes, (size_t)status.st_size) == status.st_size, "read");
    close(fd);
    *size = (size_t)status.st_size;
    return bytes;
}

/* Replays, oldest first, the sectors that the disk happened to write. */
static void replay(sim_t *sim, const sim_write_t *write, ino_t file, unsigned char **bytes, size_t *size)
{
    unsigned mood;

    if (write == NULL)
        return;
    replay(sim, write->next, file, bytes, size);
    if (write->file != file)
        return;
    mood = (unsigned)(sim_random(sim) % 4); /* all, none, or sector by sector */
    for (size_t at = 0; at < write->size; at += SECTOR) {
        size_t part = write->size - at < SECTOR ? write->size - at : SECTOR, wanted = (size_t)write->offset + at + part;

        if (mood == 0 || (mood != 1 && sim_random(sim) % 2 == 0))
            continue;
        if (wanted > *size) {
            *bytes = realloc(*bytes, wanted);
            memset(*bytes + *size, 0, wanted - *size);
            *size = wanted;
        }
        memcpy(*bytes + write->offset + at, write->after + at, part);
    }
}

static void copy_as_cut(sim_t *sim, const entry_t *entry, const char *copy)
{
    size_t size;
    unsigned char *bytes = read_now(sim, entry->file, &size);
    char path[128];
    int fd;

    for (const sim_write_t *write = sim->writes; write != NULL; write = write->next) /* newest first */
        if (write->file == entry->file) {
            size_t end_of_write = (size_t)write->offset + write->size;

            if (write->size > 0 && end_of_write <= size)
                memcpy(bytes + write->offset, write->before, write->size);
            if (write->old_size < size)
                size = (size_t)write->old_size;
        }
    replay(sim, sim->writes, entry->file, &bytes, &size);
    snprintf(path, sizeof path, "%s/%s", copy, entry->name);
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    must(fd >= 0 && write(fd, bytes, size) == (ssize_t)size, path);
    close(fd);
    free(bytes);
}

void sim_cut(sim_t *sim, char copy[64])
{
    static entries_t entries; /* with the mutex held */

    strcpy(copy, "/tmp/demit-cut-XXXXXX");
    must(mkdtemp(copy) != NULL, "mkdtemp");
    assert_nothing_is_mapped(sim);
    if (sim_random(sim) % 2 == 0)
        lose_names_in_order(sim);
    else
        lose_names_file_by_file(sim);
    read_names(sim, &entries);
    undo_names(sim, &entries);
    for (unsigned i = 0; i < entries.count; i++)
        copy_as_cut(sim, &entries.list[i], copy);
}
