#include "tests/unit/control/fakes.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "demit/settings.h"
#include "demit/smtp.h"
#include "demit/spool.h"

fake_rooms_t fake_rooms;

/* ---- the queue's thread --------------------------------------------------------------------------------------- */

static struct fake_queue {
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    demit_task_t *head, **tail;
    unsigned posted;
    bool held, stopping, dropping, running;
} queue = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void *queue_thread(void *baton)
{
    (void)baton;
    pthread_mutex_lock(&queue.mutex);
    for (;;) {
        while ((queue.head == NULL || queue.held) && !queue.stopping) {
            pthread_cond_wait(&queue.changed, &queue.mutex);
        }
        if (queue.head == NULL || (queue.stopping && queue.dropping)) {
            break;
        }
        demit_task_t *task = queue.head;
        queue.head = task->next;
        if (queue.head == NULL) {
            queue.tail = &queue.head;
        }
        task->next = NULL;
        queue.running = true;
        pthread_mutex_unlock(&queue.mutex);
        task->run(task);
        pthread_mutex_lock(&queue.mutex);
        queue.running = false;
        pthread_cond_broadcast(&queue.changed);
    }
    pthread_mutex_unlock(&queue.mutex);
    return NULL;
}

void fake_queue_start(void)
{
    queue.head = NULL;
    queue.tail = &queue.head;
    queue.posted = 0;
    queue.held = queue.stopping = queue.dropping = queue.running = false;
    if (pthread_create(&queue.thread, NULL, queue_thread, NULL) != 0) {
        abort();
    }
}

void fake_queue_hold(bool hold)
{
    pthread_mutex_lock(&queue.mutex);
    queue.held = hold;
    pthread_cond_broadcast(&queue.changed);
    pthread_mutex_unlock(&queue.mutex);
}

void fake_queue_wait_posted(unsigned count)
{
    pthread_mutex_lock(&queue.mutex);
    while (queue.posted < count) {
        pthread_cond_wait(&queue.changed, &queue.mutex);
    }
    pthread_mutex_unlock(&queue.mutex);
}

void fake_queue_wait_idle(void)
{
    pthread_mutex_lock(&queue.mutex);
    while (queue.head != NULL || queue.running) {
        pthread_cond_wait(&queue.changed, &queue.mutex);
    }
    pthread_mutex_unlock(&queue.mutex);
}

void fake_queue_stop(bool drop)
{
    pthread_mutex_lock(&queue.mutex);
    queue.stopping = true;
    queue.dropping = drop;
    pthread_cond_broadcast(&queue.changed);
    pthread_mutex_unlock(&queue.mutex);
    pthread_join(queue.thread, NULL);
}

void demit_queue_post(demit_queue_t *unused, demit_task_t *task)
{
    (void)unused;
    pthread_mutex_lock(&queue.mutex);
    task->next = NULL;
    *queue.tail = task;
    queue.tail = &task->next;
    queue.posted++;
    pthread_cond_broadcast(&queue.changed);
    pthread_mutex_unlock(&queue.mutex);
}

void demit_queue_counts(demit_queue_t *unused, demit_queue_counts_t *counts)
{
    (void)unused;
    if (!pthread_equal(pthread_self(), queue.thread)) {
        abort(); /* the contract: queue's thread */
    }
    *counts = fake_rooms.counts;
}

void demit_queue_each_domain(demit_queue_t *unused, void (*each)(void *baton, const demit_queue_domain_view_t *view),
                             void *baton)
{
    (void)unused;
    if (!pthread_equal(pthread_self(), queue.thread)) {
        abort();
    }
    for (uint64_t i = 0; i < fake_rooms.domain_count; i++) {
        each(baton, &fake_rooms.domains[i]);
    }
}

void demit_queue_each_message(demit_queue_t *unused, const char *domain, uint64_t limit,
                              void (*each)(void *baton, const demit_queue_message_view_t *view), void *baton)
{
    (void)unused;
    (void)domain;
    if (!pthread_equal(pthread_self(), queue.thread)) {
        abort();
    }
    for (uint64_t i = 0; i < fake_rooms.message_count && i < limit; i++) {
        const uint64_t at = i < fake_rooms.message_array_size ? i : fake_rooms.message_array_size - 1;
        each(baton, &fake_rooms.messages[at]);
        atomic_fetch_add(&fake_rooms.messages_looked_at, 1);
    }
}

bool demit_queue_find_message(demit_queue_t *unused, uint64_t id,
                              void (*each)(void *baton, const demit_queue_message_view_t *view), void *baton)
{
    (void)unused;
    if (!pthread_equal(pthread_self(), queue.thread)) {
        abort();
    }
    for (uint64_t i = 0; i < fake_rooms.message_array_size; i++) {
        if (fake_rooms.messages[i].envelope->id == id) {
            each(baton, &fake_rooms.messages[i]);
            return true;
        }
    }
    return false;
}

/* ---- spool, smtp, config -------------------------------------------------------------------------------------- */

/* Not the real form: 13 decimal digits. */
const char *demit_id_format(uint64_t id, char text[DEMIT_ID_TEXT_SIZE])
{
    snprintf(text, DEMIT_ID_TEXT_SIZE, "%013llu", (unsigned long long)(id % 10000000000000ULL));
    return text;
}

bool demit_id_parse(const char *text, uint64_t *id)
{
    char *end;

    *id = strtoull(text, &end, 10);
    return strlen(text) == 13 && *end == '\0';
}

void demit_spool_statistics(const demit_spool_t *spool, demit_spool_statistics_t *statistics)
{
    (void)spool;
    *statistics = (demit_spool_statistics_t){.segments = 7, .segments_free = 3, .bytes_written = 5 * 1024 * 1024};
}

void demit_smtp_statistics(const demit_smtp_server_t *server, demit_smtp_statistics_t *statistics)
{
    (void)server;
    *statistics = (demit_smtp_statistics_t){.connections = 11, .sessions = 2, .bytes = 2048};
}

const demit_domain_settings_t *demit_settings_domain(const demit_settings_t *settings, const char *domain)
{
    (void)domain;
    return settings->any_domain;
}

/* ---- os ------------------------------------------------------------------------------------------------------- */

/* Time stands still unless a test says otherwise: a slow machine must not come upon a time limit by itself. */
int64_t demit_os_monotonic_us(void)
{
    return INT64_C(1000000) + atomic_load(&fake_rooms.clock_us);
}

void demit_os_name_thread(const char *name)
{
    (void)name;
}

void demit_os_syslog(int level, const char *line)
{
    (void)level;
    (void)line;
}

unsigned demit_os_processors(void)
{
    return 2;
}

int demit_os_limit_descriptor(int fd, demit_descriptor_use_t use)
{
    (void)fd, (void)use;
    return ENOTSUP;
}

int demit_os_peer(int socket_fd, demit_peer_t *peer)
{
#ifdef SO_PEERCRED
    struct ucred credentials;
    socklen_t size = sizeof(credentials);

    if (getsockopt(socket_fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) {
        return -1;
    }
    *peer = (demit_peer_t){.uid = credentials.uid, .gid = credentials.gid, .pid = credentials.pid};
#else
    *peer = (demit_peer_t){.pid = 0};
    if (getpeereid(socket_fd, &peer->uid, &peer->gid) != 0) {
        return -1;
    }
#endif
    return fake_rooms.peer_error;
}

bool demit_os_group_has(const demit_os_group_t *group, uid_t uid, gid_t gid)
{
    (void)group;
    (void)gid;
    return uid == fake_rooms.group_uid;
}

uid_t demit_identity_uid(const demit_identity_t *identity)
{
    (void)identity;
    return fake_rooms.daemon_uid;
}

void demit_identity_summary(const demit_identity_t *identity, char *line, size_t size)
{
    (void)identity;
    snprintf(line, size, "user=ecuser uid=990 gid=990 groups=- kept=cap_net_bind_service chroot=- backend=fake");
}

int demit_identity_report(pid_t pid, void (*each)(void *baton, const demit_identity_fact_t *fact), void *baton)
{
    (void)pid;
    each(baton, &(demit_identity_fact_t){.thread = 0, .name = "uid", .value = "990 990 990 990"});
    each(baton, &(demit_identity_fact_t){.thread = 0, .name = "securebits", .value = NULL});
    if (fake_rooms.drift > 0) {
        each(baton, &(demit_identity_fact_t){.thread = 4711, .name = "uid", .value = "0 990 990 990"});
    }
    return fake_rooms.report_error;
}

bool demit_identity_sees_threads(void)
{
    return !fake_rooms.sees_one_thread;
}

int demit_identity_audit(const demit_identity_t *identity, void (*drift)(void *baton, const char *line), void *baton)
{
    char line[32];

    (void)identity;
    for (int i = 0; i < fake_rooms.drift; i++) {
        snprintf(line, sizeof(line), "drift %d", i + 1);
        drift(baton, line);
    }
    return fake_rooms.drift;
}
