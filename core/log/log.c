/*
 * The log. Callers format a line on their own stack and copy it into a buffer under a mutex; the log's thread swaps
 * that buffer for an empty one and writes. So the mutex is held for a copy, never for a write.
 */
#include "demit/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <apr_strings.h>
#include <apr_thread_cond.h>
#include <apr_thread_mutex.h>
#include <apr_thread_proc.h>
#include <apr_time.h>

#include "demit/os.h"

enum { LINE_SIZE = 4096, BUFFER_SIZE = 1024 * 1024 };

/* One stretch of text that waits to be written: each line is a level byte, the text and a newline. */
typedef struct log_buffer {
    char *bytes;
    size_t size;
} log_buffer_t;

/*
 * The one mutable state of the process besides the signal descriptor: a log that had to be handed to every function
 * would stand in every signature of the house.
 */
static struct demit_logger {
    demit_log_target_t target;
    demit_log_level_t level;
    int fd;
    char path[4096];
    bool threaded;
    bool stopping;
    bool writing;
    uint64_t dropped;
    log_buffer_t filling;
    apr_thread_mutex_t *mutex;
    apr_thread_cond_t *work;
    apr_thread_t *thread;
    demit_errands_t errands;
} the_log = {.target = DEMIT_LOG_STDERR, .level = DEMIT_LOG_INFO, .fd = STDERR_FILENO};

static size_t format_time(char *out, size_t size)
{
    const apr_time_t now = apr_time_now();
    apr_time_exp_t utc;

    apr_time_exp_gmt(&utc, now);
    return (size_t)snprintf(out, size, "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ ", utc.tm_year + 1900, utc.tm_mon + 1,
                            utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, (int)utc.tm_usec);
}

/* Writes all of BYTES, whatever signals say. An error is nowhere to be told, so it is only returned. */
static int write_all(int fd, const char *bytes, size_t size)
{
    while (size > 0) {
        const ssize_t n = write(fd, bytes, size);
        if (n < 0 && errno != EINTR) {
            return errno;
        }
        if (n > 0) {
            bytes += n;
            size -= (size_t)n;
        }
    }
    return 0;
}

/* One finished line, its newline included, to where lines go. */
static void emit(int fd, demit_log_target_t target, demit_log_level_t level, char *line, size_t size)
{
    if (target == DEMIT_LOG_SYSLOG) {
        line[size - 1] = '\0';
        demit_os_syslog((int)level, line);
        return;
    }
    (void)write_all(fd, line, size);
}

/* Makes `TIME event=EVENT keys\n` in LINE; returns its length. Syslog has a time of its own. */
__attribute__((format(printf, 3, 0))) static size_t format_line(char *line, const char *event, const char *format,
                                                                va_list arguments)
{
    size_t used = the_log.target == DEMIT_LOG_SYSLOG ? 0 : format_time(line, LINE_SIZE);
    int n = snprintf(line + used, LINE_SIZE - used, "event=%s ", event);

    used += (size_t)n;
    if (used < LINE_SIZE - 1) {
        n = vsnprintf(line + used, LINE_SIZE - used, format, arguments);
        used += n < 0 ? 0 : (size_t)n;
        used -= n == 0; /* no keys: no space to part them from the name either */
    }
    if (used > LINE_SIZE - 2) {
        used = LINE_SIZE - 2;
    }
    for (size_t i = 0; i < used; i++) {
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f) {
            line[i] = '?';
        }
    }
    line[used++] = '\n';
    line[used] = '\0';
    return used;
}

static void enqueue(demit_log_level_t level, const char *line, size_t size)
{
    apr_thread_mutex_lock(the_log.mutex);
    if (the_log.filling.size + size + 1 > BUFFER_SIZE) {
        the_log.dropped++;
    } else {
        char *to = the_log.filling.bytes + the_log.filling.size;
        to[0] = (char)level;
        memcpy(to + 1, line, size);
        the_log.filling.size += size + 1;
        if (!the_log.writing) {
            apr_thread_cond_signal(the_log.work);
        }
    }
    apr_thread_mutex_unlock(the_log.mutex);
}

void demit_log(demit_log_level_t level, const char *event, const char *format, ...)
{
    char line[LINE_SIZE];
    va_list arguments;

    if (level > the_log.level) {
        return;
    }
    va_start(arguments, format);
    const size_t size = format_line(line, event, format, arguments);
    va_end(arguments);

    if (the_log.threaded) {
        enqueue(level, line, size);
    } else {
        emit(the_log.fd, the_log.target, level, line, size);
    }
}

/* Writes what BUFFER holds: files get it in one call, syslog line by line. Returns the number of lines lost. */
static uint64_t drain(log_buffer_t *buffer, int fd, demit_log_target_t target)
{
    uint64_t lines = 0;
    size_t out = 0;

    for (size_t at = 0; at < buffer->size;) {
        const demit_log_level_t level = (demit_log_level_t)buffer->bytes[at];
        char *line = buffer->bytes + at + 1;
        const char *end = memchr(line, '\n', buffer->size - at - 1);
        const size_t size = (size_t)(end - line) + 1;

        at += size + 1;
        lines++;
        if (target == DEMIT_LOG_SYSLOG) {
            emit(fd, target, level, line, size);
        } else {
            memmove(buffer->bytes + out, line, size); /* closes the gaps of the level bytes */
            out += size;
        }
    }
    buffer->size = 0;
    return out > 0 && write_all(fd, buffer->bytes, out) != 0 ? lines : 0;
}

static void report_dropped(uint64_t dropped, int fd, demit_log_target_t target)
{
    char line[128];
    const size_t used = target == DEMIT_LOG_SYSLOG ? 0 : format_time(line, sizeof(line));

    snprintf(line + used, sizeof(line) - used, "event=log_dropped lines=%llu\n", (unsigned long long)dropped);
    emit(fd, target, DEMIT_LOG_WARNING, line, strlen(line));
}

static void *APR_THREAD_FUNC log_thread(apr_thread_t *thread, void *baton)
{
    log_buffer_t draining = *(log_buffer_t *)baton;

    (void)thread;
    demit_os_name_thread("log");
    apr_thread_mutex_lock(the_log.mutex);
    for (;;) {
        while (the_log.filling.size == 0 && !the_log.stopping && !demit_errands_wait(&the_log.errands)) {
            apr_thread_cond_wait(the_log.work, the_log.mutex);
        }
        if (demit_errands_wait(&the_log.errands)) {
            apr_thread_mutex_unlock(the_log.mutex);
            demit_errands_run(&the_log.errands);
            apr_thread_mutex_lock(the_log.mutex);
            continue;
        }
        if (the_log.filling.size == 0) {
            break;
        }
        const log_buffer_t full = the_log.filling;
        const uint64_t dropped = the_log.dropped;
        const int fd = the_log.fd;
        const demit_log_target_t target = the_log.target;
        the_log.filling = draining;
        the_log.dropped = 0;
        the_log.writing = true;
        apr_thread_mutex_unlock(the_log.mutex);

        draining = full;
        const uint64_t lost = drain(&draining, fd, target);
        if (dropped > 0 && lost == 0) {
            report_dropped(dropped, fd, target);
        }
        apr_thread_mutex_lock(the_log.mutex);
        the_log.dropped += lost > 0 ? lost + dropped : 0; /* said as soon as a line can be written again */
        the_log.writing = false;
        apr_thread_cond_broadcast(the_log.work); /* demit_log_open() may wait to close the descriptor */
    }
    apr_thread_mutex_unlock(the_log.mutex);
    free(draining.bytes);
    return NULL;
}

/* Takes the lock when there is a thread, and waits until it does not use the descriptor. */
static void lock_target(void)
{
    if (the_log.threaded) {
        apr_thread_mutex_lock(the_log.mutex);
        while (the_log.writing) {
            apr_thread_cond_wait(the_log.work, the_log.mutex);
        }
    }
}

static void unlock_target(void)
{
    if (the_log.threaded) {
        apr_thread_mutex_unlock(the_log.mutex);
    }
}

static int open_file(const char *path, int *fd)
{
    struct stat about;

    /* O_NONBLOCK: a FIFO that somebody put there must not hold up the start, or the loop that reopens the log. */
    *fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
    if (*fd < 0) {
        return errno == ENXIO ? EINVAL : errno; /* a FIFO without a reader, or a device that is not there */
    }
    int error = fstat(*fd, &about) != 0 ? errno : S_ISREG(about.st_mode) ? 0 : EINVAL;
    if (error == 0) {
        error = fcntl(*fd, F_SETFL, O_APPEND) != 0 ? errno : demit_os_limit_descriptor(*fd, DEMIT_DESCRIPTOR_LOG);
    }
    if (error != 0 && error != ENOTSUP) {
        close(*fd);
        return error;
    }
    return 0;
}

apr_status_t demit_log_open(demit_log_target_t target, const char *path)
{
    int fd = STDERR_FILENO;

    if (target == DEMIT_LOG_FILE) {
        if (path == NULL || strlen(path) >= sizeof(the_log.path)) {
            return APR_EINVAL;
        }
        const int error = open_file(path, &fd);
        if (error != 0) {
            return APR_FROM_OS_ERROR(error);
        }
    }
    lock_target();
    if (the_log.fd != STDERR_FILENO) {
        close(the_log.fd);
    }
    the_log.fd = fd;
    the_log.target = target;
    if (target == DEMIT_LOG_FILE && path != the_log.path) {
        apr_cpystrn(the_log.path, path, sizeof(the_log.path));
    }
    unlock_target();
    return APR_SUCCESS;
}

apr_status_t demit_log_reopen(void)
{
    return the_log.target == DEMIT_LOG_FILE ? demit_log_open(DEMIT_LOG_FILE, the_log.path) : APR_SUCCESS;
}

void demit_log_set_level(demit_log_level_t level)
{
    the_log.level = level;
}

apr_status_t demit_log_start(apr_pool_t *pool)
{
    static log_buffer_t spare; /* handed to the thread at its start */
    apr_status_t status;

    the_log.filling = (log_buffer_t){.bytes = malloc(BUFFER_SIZE)};
    spare = (log_buffer_t){.bytes = malloc(BUFFER_SIZE)};
    if (the_log.filling.bytes == NULL || spare.bytes == NULL) {
        status = APR_ENOMEM;
        goto failed;
    }
    status = apr_thread_mutex_create(&the_log.mutex, APR_THREAD_MUTEX_DEFAULT, pool);
    if (status == APR_SUCCESS) {
        status = apr_thread_cond_create(&the_log.work, pool);
    }
    if (status == APR_SUCCESS) {
        the_log.stopping = false;
        status = apr_thread_create(&the_log.thread, NULL, log_thread, &spare, pool);
    }
    if (status != APR_SUCCESS) {
        goto failed;
    }
    the_log.threaded = true;
    return APR_SUCCESS;

failed:
    free(the_log.filling.bytes);
    free(spare.bytes);
    the_log.filling.bytes = NULL;
    return status;
}

void demit_log_post(demit_task_t *task)
{
    apr_thread_mutex_lock(the_log.mutex);
    demit_errands_add(&the_log.errands, task);
    apr_thread_cond_broadcast(the_log.work); /* demit_log_open() may wait by the same condition */
    apr_thread_mutex_unlock(the_log.mutex);
}

void demit_log_stop(void)
{
    apr_status_t ignored;

    if (!the_log.threaded) {
        return;
    }
    apr_thread_mutex_lock(the_log.mutex);
    the_log.stopping = true;
    apr_thread_cond_broadcast(the_log.work);
    apr_thread_mutex_unlock(the_log.mutex);
    apr_thread_join(&ignored, the_log.thread);
    the_log.threaded = false;
    free(the_log.filling.bytes);
    the_log.filling.bytes = NULL;
}
