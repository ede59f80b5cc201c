/*
 * The log: one line per event, key=value, to standard error, a file or syslog.
 *
 * A line is `TIME event=NAME key=value …`. Whoever logs formats the keys; what a peer sent goes through
 * demit_log_quote() first. Lines are handed to a thread of the log's own, so no caller ever waits for a disk;
 * when that thread cannot keep up, lines are dropped, counted, and the count is logged (event=log_dropped).
 * Before demit_log_start() lines are written at once, by the caller.
 */
#ifndef DEMIT_LOG_H
#define DEMIT_LOG_H

#include <stdarg.h>
#include <stddef.h>

#include <apr_errno.h>
#include <apr_pools.h>

#include "demit/task.h"

typedef enum demit_log_level {
    DEMIT_LOG_ERROR,   /* something the operator must act on */
    DEMIT_LOG_WARNING, /* something the operator should know */
    DEMIT_LOG_INFO,    /* the ordinary events of mail */
    DEMIT_LOG_DEBUG    /* one peer's dialogue and the like; off unless asked for */
} demit_log_level_t;

typedef enum demit_log_target { DEMIT_LOG_STDERR, DEMIT_LOG_SYSLOG, DEMIT_LOG_FILE } demit_log_target_t;

/* The longest value that demit_log_quote() writes, its end included; a longer one is cut and ends in "…". */
enum { DEMIT_LOG_VALUE_MAX = 512 };

/*
 * Logs one event. FORMAT gives the keys after `event=EVENT `; it may be "". Any thread; never blocks on a disk
 * once the log is started. A control character that slipped through is written as `?`, so a line is one line.
 */
void demit_log(demit_log_level_t level, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/*
 * Writes TEXT into BUFFER as one value: bytes below 0x20, 0x7f, `\` and `"` escaped, the whole in double quotes if
 * it holds a space, `=` or a quote or is empty. Returns BUFFER, so that it stands as an argument of demit_log().
 * TEXT may be NULL (`-`). Well-formed UTF-8 is kept, other bytes above 0x7e are escaped.
 */
const char *demit_log_quote(char *buffer, size_t buffer_size, const char *text);

/* Text of STATUS as one value, quoted already, in BUFFER. apr_strerror() with a stable return. */
const char *demit_log_status(char *buffer, size_t buffer_size, apr_status_t status);

/*
 * Chooses where lines go. For DEMIT_LOG_FILE, PATH is opened for appending as the current identity (created with
 * mode 0640), never following a symbolic link; APR_EINVAL: it is no regular file. Call it after the identity is
 * assumed. For syslog the connection must stand already (demit_os_syslog_open()). On an error the former target stays
 * in use. Main thread.
 */
apr_status_t demit_log_open(demit_log_target_t target, const char *path) __attribute__((warn_unused_result));

/* Opens the file again (after a rotation). A failure keeps the old descriptor and returns the reason. Main thread. */
apr_status_t demit_log_reopen(void) __attribute__((warn_unused_result));

/* Lines above LEVEL are not written. Default DEMIT_LOG_INFO. */
void demit_log_set_level(demit_log_level_t level);

/* Starts the log's thread. After it, demit_log() queues. Main thread, once. */
apr_status_t demit_log_start(apr_pool_t *pool) __attribute__((warn_unused_result));

/* Runs TASK->run in the log's thread, which runs. Any thread; never blocks. Not during demit_log_stop(). */
void demit_log_post(demit_task_t *task);

/* Writes what is queued and ends the thread; later lines are written at once again. Main thread. */
void demit_log_stop(void);

#endif
