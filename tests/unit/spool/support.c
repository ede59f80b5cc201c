#include "support.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <apr_general.h>
#include <apr_strings.h>
#include <apr_thread_cond.h>
#include <apr_thread_mutex.h>
#include <apr_time.h>

/* ---- the fixture ---- */

int fixture_setup(void **state)
{
    fixture_t *fixture = calloc(1, sizeof *fixture);

    /*
     * A failed assertion ends the program there and then. Else it would jump out of the test, from whatever thread and
     * with whatever mutex held, and the teardown would wait for threads that work on a stack that is gone.
     */
    assert_int_equal(setenv("CMOCKA_TEST_ABORT", "1", 1), 0);
    assert_int_equal(apr_initialize(), APR_SUCCESS);
    assert_int_equal(apr_pool_create(&fixture->pool, NULL), APR_SUCCESS);
    strcpy(fixture->directory, "/tmp/demit-spool-XXXXXX");
    assert_non_null(mkdtemp(fixture->directory));
    assert_int_equal(demit_workers_create(&fixture->workers, 2, fixture->pool), APR_SUCCESS);
    fixture->options = (demit_spool_options_t){
        .directory = fixture->directory,
        .file_mode = 0640,
        .segment_size_bytes = TEST_SEGMENT,
        .large_message_threshold_bytes = TEST_THRESHOLD,
        .force_fsync = true,
        .workers = fixture->workers,
    };
    *state = fixture;
    return 0;
}

int fixture_teardown(void **state)
{
    fixture_t *fixture = *state;

    if (fixture->spool != NULL)
        fixture_close(fixture);
    demit_workers_stop(fixture->workers);
    remove_directory(fixture->directory);
    apr_pool_destroy(fixture->pool);
    free(fixture);
    return 0;
}

apr_status_t fixture_try_open(fixture_t *fixture)
{
    fixture->spool = NULL;
    return demit_spool_open(&fixture->spool, &fixture->options, fixture->pool);
}

void fixture_open(fixture_t *fixture)
{
    assert_int_equal(fixture_try_open(fixture), APR_SUCCESS);
}

void fixture_close(fixture_t *fixture)
{
    demit_spool_close(fixture->spool);
    fixture->spool = NULL;
}

/* ---- messages ---- */

unsigned char *make_body(uint64_t seed, size_t size)
{
    unsigned char *body = malloc(size + 1);
    uint64_t x = seed * 2862933555777941757u + 3037000493u;

    for (size_t i = 0; i < size; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        body[i] = (unsigned char)(32 + x % 95);
    }
    return body;
}

demit_envelope_t *make_envelope(uint64_t id, apr_pool_t *pool)
{
    demit_envelope_t *envelope = apr_pcalloc(pool, sizeof *envelope);

    envelope->id = id;
    envelope->arrived_us = 1700000000000000 + (int64_t)(id & 0xffffff);
    envelope->sender = "sender@example.com";
    envelope->recipient_count = TEST_RECIPIENTS;
    envelope->recipients = apr_pcalloc(pool, TEST_RECIPIENTS * sizeof *envelope->recipients);
    for (uint32_t i = 0; i < TEST_RECIPIENTS; i++)
        envelope->recipients[i].address = apr_psprintf(pool, "r%u@example.org", (unsigned)i);
    return envelope;
}

/* Something that another thread says once. */
typedef struct promise {
    apr_thread_mutex_t *mutex;
    apr_thread_cond_t *cond;
    apr_pool_t *pool;
    bool kept, room;
    apr_status_t status;
    demit_spool_location_t location;
} promise_t;

static void promise_init(promise_t *promise)
{
    memset(promise, 0, sizeof *promise);
    assert_int_equal(apr_pool_create(&promise->pool, NULL), APR_SUCCESS);
    assert_int_equal(apr_thread_mutex_create(&promise->mutex, APR_THREAD_MUTEX_DEFAULT, promise->pool), APR_SUCCESS);
    assert_int_equal(apr_thread_cond_create(&promise->cond, promise->pool), APR_SUCCESS);
}

static void keep(void *baton, apr_status_t status, demit_spool_location_t location)
{
    promise_t *promise = baton;

    apr_thread_mutex_lock(promise->mutex);
    promise->kept = true;
    promise->status = status;
    promise->location = location;
    apr_thread_cond_signal(promise->cond);
    apr_thread_mutex_unlock(promise->mutex);
}

static void give_room(void *baton)
{
    promise_t *promise = baton;

    apr_thread_mutex_lock(promise->mutex);
    promise->room = true;
    apr_thread_cond_signal(promise->cond);
    apr_thread_mutex_unlock(promise->mutex);
}

static void await(promise_t *promise, bool *what)
{
    apr_time_t deadline = apr_time_now() + apr_time_from_msec(PATIENCE_MS);

    apr_thread_mutex_lock(promise->mutex);
    while (!*what) {
        if (apr_time_now() > deadline)
            fail_msg("nobody called back within %d ms", PATIENCE_MS);
        apr_thread_cond_timedwait(promise->cond, promise->mutex, apr_time_from_sec(1));
    }
    *what = false;
    apr_thread_mutex_unlock(promise->mutex);
}

/* Appends BODY in pieces of a size that divides nothing. */
static apr_status_t append_all(demit_spool_writer_t *writer, promise_t *promise, const unsigned char *body, size_t size)
{
    size_t done = 0;

    while (done < size) {
        size_t part = size - done < 1777 ? size - done : 1777;
        apr_status_t status = demit_spool_append(writer, body + done, part);

        if (APR_STATUS_IS_EAGAIN(status)) {
            await(promise, &promise->room);
            continue;
        }
        if (status != APR_SUCCESS)
            return status;
        done += part;
    }
    return APR_SUCCESS;
}

apr_status_t put_with(fixture_t *fixture, demit_envelope_t *envelope, const unsigned char *body, size_t size,
                      const demit_spool_outcome_t *reports, demit_spool_location_t *location)
{
    demit_spool_writer_t *writer;
    promise_t promise;
    apr_status_t status;

    promise_init(&promise);
    assert_int_equal(demit_spool_begin(&writer, fixture->spool, give_room, &promise), APR_SUCCESS);
    status = append_all(writer, &promise, body, size);
    if (status == APR_SUCCESS) {
        assert_int_equal(demit_spool_written(writer), size);
        demit_spool_commit(writer, envelope, reports, keep, &promise);
        await(&promise, &promise.kept);
        assert_int_equal(envelope->size_bytes, size);
        status = promise.status;
        *location = promise.location;
    } else {
        demit_spool_discard(writer);
    }
    apr_pool_destroy(promise.pool);
    return status;
}

apr_status_t put(fixture_t *fixture, size_t size, uint64_t *id, demit_spool_location_t *location)
{
    unsigned char *body;
    apr_pool_t *pool;
    apr_status_t status;

    assert_int_equal(apr_pool_create(&pool, NULL), APR_SUCCESS);
    *id = demit_spool_next_id(fixture->spool);
    body = make_body(*id, size);
    status = put_with(fixture, make_envelope(*id, pool), body, size, NULL, location);
    free(body);
    apr_pool_destroy(pool);
    return status;
}

apr_status_t note(fixture_t *fixture, const demit_spool_outcome_t *outcome)
{
    promise_t promise;

    promise_init(&promise);
    demit_spool_record_outcome(fixture->spool, outcome, keep, &promise);
    await(&promise, &promise.kept);
    apr_pool_destroy(promise.pool);
    return promise.status;
}

apr_status_t note_final(fixture_t *fixture, uint64_t id, demit_spool_location_t location)
{
    demit_spool_outcome_t outcome = {.id = id, .location = location, .final = true};

    return note(fixture, &outcome);
}

void assert_body(fixture_t *fixture, demit_spool_location_t location, uint64_t id, size_t size)
{
    unsigned char *expected = make_body(id, size), *body = malloc(size + 1);
    demit_spool_reader_t *reader;
    demit_envelope_t *envelope;
    apr_pool_t *pool;
    size_t got = size + 1;

    assert_int_equal(apr_pool_create(&pool, NULL), APR_SUCCESS);
    assert_int_equal(demit_spool_reader_open(&reader, &envelope, fixture->spool, location, pool), APR_SUCCESS);
    assert_int_equal(envelope->id, id);
    assert_int_equal(envelope->size_bytes, size);
    assert_int_equal(demit_spool_reader_size(reader), size);
    assert_int_equal(demit_spool_reader_verify(reader), APR_SUCCESS);
    assert_int_equal(demit_spool_reader_read(reader, 0, body, &got), APR_SUCCESS);
    assert_int_equal(got, size);
    assert_memory_equal(body, expected, size);
    demit_spool_reader_close(reader);
    apr_pool_destroy(pool);
    free(expected);
    free(body);
}

/* ---- segments ---- */

bool wait_until(bool (*holds)(void *baton), void *baton, unsigned timeout_ms)
{
    for (unsigned waited_ms = 0; !holds(baton); waited_ms += 2) {
        if (waited_ms >= timeout_ms)
            return false;
        apr_sleep(2000);
    }
    return true;
}

bool segment_is_there(const fixture_t *fixture, uint32_t number)
{
    char path[128];

    snprintf(path, sizeof path, "%s/%08x.seg", fixture->directory, (unsigned)number);
    return access(path, F_OK) == 0;
}

void fillers_put(fixture_t *fixture, fillers_t *fillers)
{
    assert_true(fillers->count < FILLERS_MAX);
    assert_int_equal(put(fixture, 100, &fillers->ids[fillers->count], &fillers->locations[fillers->count]),
                     APR_SUCCESS);
    fillers->last_segment = fillers->locations[fillers->count++].segment;
}

void fillers_leave(fixture_t *fixture, fillers_t *fillers, uint32_t segment)
{
    do
        fillers_put(fixture, fillers);
    while (fillers->last_segment <= segment);
}

void fillers_end(fixture_t *fixture, fillers_t *fillers)
{
    for (unsigned i = 0; i < fillers->count; i++) {
        demit_spool_outcome_t outcome = {.id = fillers->ids[i], .location = fillers->locations[i], .final = true};

        if (i + 1 < fillers->count)
            demit_spool_record_outcome(fixture->spool, &outcome, NULL, NULL);
        else
            assert_int_equal(note(fixture, &outcome), APR_SUCCESS); /* in order: the others are durable, too */
    }
    fillers->count = 0;
}

void put_among(fixture_t *fixture, size_t size, fillers_t *fillers, uint64_t *id, demit_spool_location_t *location)
{
    enum { FILLERS_EACH = 8 };
    demit_spool_writer_t *writer;
    unsigned char *body;
    promise_t promise;
    size_t done = 0;

    *id = demit_spool_next_id(fixture->spool);
    body = make_body(*id, size);
    promise_init(&promise);
    assert_int_equal(demit_spool_begin(&writer, fixture->spool, give_room, &promise), APR_SUCCESS);
    do {
        size_t part = size - done < TEST_THRESHOLD ? size - done : TEST_THRESHOLD;

        for (int i = 0; i < FILLERS_EACH; i++)
            fillers_put(fixture, fillers);
        assert_int_equal(append_all(writer, &promise, body + done, part), APR_SUCCESS);
        done += part;
    } while (done < size);
    demit_spool_commit(writer, make_envelope(*id, promise.pool), NULL, keep, &promise);
    await(&promise, &promise.kept);
    assert_int_equal(promise.status, APR_SUCCESS);
    *location = promise.location;
    apr_pool_destroy(promise.pool);
    free(body);
}

enum { WITNESSES_MAX = 64 };

typedef struct witnesses {
    const fixture_t *fixture;
    uint32_t segments[WITNESSES_MAX];
    unsigned count;
} witnesses_t;

static bool a_witness_is_gone(void *baton)
{
    const witnesses_t *witnesses = baton;

    for (unsigned i = 0; i < witnesses->count; i++)
        if (!segment_is_there(witnesses->fixture, witnesses->segments[i]))
            return true;
    return false;
}

void settle(fixture_t *fixture)
{
    witnesses_t witnesses = {.fixture = fixture};

    /* Compaction may carry something into a witness, which then stays for a reason: call another one. */
    while (witnesses.count < WITNESSES_MAX) {
        fillers_t fillers = {.count = 0};
        uint32_t segment;

        fillers_put(fixture, &fillers);
        fillers_leave(fixture, &fillers, fillers.last_segment);
        segment = fillers.last_segment;
        fillers_leave(fixture, &fillers, segment);
        fillers_end(fixture, &fillers);
        witnesses.segments[witnesses.count++] = segment;
        if (wait_until(a_witness_is_gone, &witnesses, PATIENCE_MS / WITNESSES_MAX))
            return;
    }
    fail_msg("nothing is recycled");
}

/* ---- recovery ---- */

static void take(void *baton, const demit_envelope_t *envelope, demit_spool_location_t location)
{
    recovered_t *recovered = baton;
    struct found *found;

    if (recovered->count == recovered->capacity) {
        recovered->capacity = recovered->capacity * 2 + 64;
        recovered->found = realloc(recovered->found, recovered->capacity * sizeof *recovered->found);
    }
    found = &recovered->found[recovered->count++];
    *found = (struct found){.id = envelope->id,
                            .size = envelope->size_bytes,
                            .location = location,
                            .attempts = envelope->attempts,
                            .next_attempt_us = envelope->next_attempt_us,
                            .delay_dsn_sent = envelope->delay_dsn_sent};
    for (uint32_t i = 0; i < envelope->recipient_count && i < TEST_RECIPIENTS; i++)
        found->states[i] = envelope->recipients[i].state;
}

apr_status_t recover(fixture_t *fixture, recovered_t *recovered)
{
    apr_pool_t *pool;
    apr_status_t status;

    memset(recovered, 0, sizeof *recovered);
    assert_int_equal(apr_pool_create(&pool, NULL), APR_SUCCESS);
    status = demit_spool_recover(fixture->spool, &recovered->result, take, recovered, pool);
    apr_pool_destroy(pool);
    return status;
}

const struct found *find(const recovered_t *recovered, uint64_t id)
{
    const struct found *result = NULL;

    for (size_t i = 0; i < recovered->count; i++)
        if (recovered->found[i].id == id) {
            assert_null(result); /* twice is as wrong as never */
            result = &recovered->found[i];
        }
    return result;
}

void recovered_free(recovered_t *recovered)
{
    free(recovered->found);
    recovered->found = NULL;
}

/* ---- files ---- */

unsigned count_files(const fixture_t *fixture, const char *suffix)
{
    DIR *stream = opendir(fixture->directory);
    struct dirent *entry;
    unsigned count = 0;

    while ((entry = readdir(stream)) != NULL) {
        size_t length = strlen(entry->d_name), end = strlen(suffix);

        count += length > end && strcmp(entry->d_name + length - end, suffix) == 0;
    }
    closedir(stream);
    return count;
}

static void copy_file(const char *from, const char *to)
{
    static __thread char bytes[64 * 1024];
    int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_EXCL, 0600);
    ssize_t n;

    assert_true(in >= 0 && out >= 0);
    while ((n = read(in, bytes, sizeof bytes)) > 0)
        assert_int_equal(write(out, bytes, (size_t)n), n);
    assert_int_equal(n, 0);
    close(in);
    close(out);
}

/* Calls EACH with the path of every file in DIRECTORY. */
static void each_file(const char *directory, void (*each)(const char *path, const char *name, const char *baton),
                      const char *baton)
{
    DIR *stream = opendir(directory);
    struct dirent *entry;

    assert_non_null(stream);
    while ((entry = readdir(stream)) != NULL) {
        char path[512];

        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        each(path, entry->d_name, baton);
    }
    closedir(stream);
}

static void copy_one(const char *path, const char *name, const char *directory)
{
    char to[512];

    snprintf(to, sizeof to, "%s/%s", directory, name);
    copy_file(path, to);
}

static void remove_one(const char *path, const char *name, const char *baton)
{
    (void)name;
    (void)baton;
    assert_int_equal(unlink(path), 0);
}

void copy_directory(const char *from, char copy[64])
{
    strcpy(copy, "/tmp/demit-spool-XXXXXX");
    assert_non_null(mkdtemp(copy));
    each_file(from, copy_one, copy);
}

void remove_directory(const char *directory)
{
    each_file(directory, remove_one, NULL);
    assert_int_equal(rmdir(directory), 0);
}
