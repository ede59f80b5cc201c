/* Signs of life for the supervisor, sent only while there is life in every part that mail passes through. */
#include "core/daemon.h"

#include <stdatomic.h>
#include <stdio.h>

#include "demit/log.h"

enum { LOOKS_WHILE_WITHHELD = 16 /* per interval */, SHORTEST_US = 1000 };

/* One part. Either it runs a task that is sent to it, or it tells by itself how far it is. */
typedef struct part {
    char name[24];
    demit_task_t probe;
    atomic_bool answered; /* the probe came back to nobody: it is here again */
    demit_loop_t *loop;   /* NULL: the queue, or a part without a probe */
    void (*progress)(const demit_daemon_t *daemon, demit_progress_t *progress); /* NULL: probed */
    uint64_t done;                                                              /* at the last ping */
    bool moved;                                                                 /* since the last ping */
    bool blamed;                                                                /* it was logged that it hangs */
} part_t;

typedef struct watchdog {
    demit_daemon_t *daemon;
    demit_timer_t timer;
    uint32_t part_count;
    part_t parts[];
} watchdog_t;

static void answer(demit_task_t *probe)
{
    part_t *part = DEMIT_CONTAINER_OF(probe, part_t, probe);

    atomic_store(&part->answered, true);
}

/* Asks anew. A probe that is still on its way is not sent twice. */
static void ask(const watchdog_t *watchdog, part_t *part)
{
    part->moved = false;
    if (part->progress != NULL) {
        demit_progress_t now;
        part->progress(watchdog->daemon, &now);
        part->done = now.done;
    } else if (atomic_exchange(&part->answered, false)) {
        part->probe.run = answer;
        if (part->loop != NULL) {
            demit_loop_post(part->loop, &part->probe);
        } else {
            demit_queue_post(watchdog->daemon->queue, &part->probe);
        }
    }
}

static bool has_moved(const watchdog_t *watchdog, const part_t *part)
{
    demit_progress_t now;

    if (part->progress == NULL) {
        return atomic_load(&part->answered);
    }
    part->progress(watchdog->daemon, &now);
    return !now.waiting || now.done != part->done;
}

/* Looks at one part and says what has become of it since the last look. */
static bool look_at(const watchdog_t *watchdog, part_t *part)
{
    part->moved = part->moved || has_moved(watchdog, part);
    if (!part->moved && !part->blamed) {
        demit_log(DEMIT_LOG_ERROR, "watchdog_withheld", "part=%s interval_ms=%lld", part->name,
                  (long long)watchdog->daemon->watchdog_us / 1000);
    } else if (part->moved && part->blamed) {
        demit_log(DEMIT_LOG_WARNING, "watchdog_resumed", "part=%s", part->name);
    }
    part->blamed = !part->moved;
    return part->moved;
}

static void tick(demit_timer_t *timer)
{
    watchdog_t *watchdog = DEMIT_CONTAINER_OF(timer, watchdog_t, timer);
    const int64_t interval_us = watchdog->daemon->watchdog_us;
    bool all_moved = true;

    for (uint32_t i = 0; i < watchdog->part_count; i++) {
        all_moved = look_at(watchdog, &watchdog->parts[i]) && all_moved;
    }
    if (all_moved) {
        demit_os_notify("WATCHDOG=1");
        for (uint32_t i = 0; i < watchdog->part_count; i++) {
            ask(watchdog, &watchdog->parts[i]);
        }
    }
    const int64_t pause_us = all_moved ? interval_us / 2 : interval_us / LOOKS_WHILE_WITHHELD;
    demit_timer_start(watchdog->daemon->main_loop, timer, pause_us > SHORTEST_US ? pause_us : SHORTEST_US);
}

static void committer_progress(const demit_daemon_t *daemon, demit_progress_t *progress)
{
    demit_spool_progress(daemon->spool, progress);
}

static void workers_progress(const demit_daemon_t *daemon, demit_progress_t *progress)
{
    demit_workers_progress(daemon->workers, progress);
}

static part_t *add_part(watchdog_t *watchdog, const char *name)
{
    part_t *part = &watchdog->parts[watchdog->part_count++];

    snprintf(part->name, sizeof(part->name), "%s", name);
    atomic_init(&part->answered, true);
    return part;
}

void demit_start_watchdog(demit_daemon_t *daemon)
{
    enum { OTHER_PARTS = 3 };

    if (daemon->watchdog_us == 0) {
        return;
    }
    watchdog_t *watchdog =
        apr_pcalloc(daemon->pool, sizeof(*watchdog) + (daemon->loop_count + OTHER_PARTS) * sizeof(part_t));
    watchdog->daemon = daemon;
    for (uint32_t i = 0; i < daemon->loop_count; i++) {
        char name[sizeof(watchdog->parts[0].name)];
        snprintf(name, sizeof(name), "loop-%u", i + 1);
        add_part(watchdog, name)->loop = daemon->loops[i];
    }
    (void)add_part(watchdog, "queue");
    add_part(watchdog, "committer")->progress = committer_progress;
    add_part(watchdog, "workers")->progress = workers_progress;
    for (uint32_t i = 0; i < watchdog->part_count; i++) {
        ask(watchdog, &watchdog->parts[i]);
    }
    watchdog->timer.fire = tick;
    demit_timer_start(daemon->main_loop, &watchdog->timer, daemon->watchdog_us / 2);
}
