#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apr_file_io.h>

void model_init(model_t *model, fixture_t *fixture)
{
    memset(model, 0, sizeof *model);
    pthread_mutex_init(&model->mutex, NULL);
    model->fixture = fixture;
    model->messages = calloc(MODEL_MAX, sizeof *model->messages);
}

void model_destroy(model_t *model)
{
    free(model->messages);
    pthread_mutex_destroy(&model->mutex);
}

static model_message_t *message_of(model_t *model, uint64_t id)
{
    for (size_t i = 0; i < model->count; i++)
        if (model->messages[i].id == id)
            return &model->messages[i];
    return NULL;
}

static void move(void *baton, uint64_t id, demit_spool_location_t location, void *ticket)
{
    model_t *model = baton;
    model_message_t *message;
    bool wanted;

    pthread_mutex_lock(&model->mutex);
    message = message_of(model, id);
    wanted = message != NULL && message->state == MODEL_STORED && !message->reading &&
             message->location.segment == location.segment && message->location.block == location.block;
    if (wanted)
        message->moving = true;
    model->moves += wanted;
    pthread_mutex_unlock(&model->mutex);
    if (wanted) {
        apr_pool_t *pool;

        assert_int_equal(apr_pool_create(&pool, NULL), APR_SUCCESS);
        demit_spool_move(model->fixture->spool, ticket, make_envelope(id, pool));
        apr_pool_destroy(pool);
    } else {
        demit_spool_move_skip(model->fixture->spool, ticket);
    }
}

static void moved(void *baton, uint64_t id, demit_spool_location_t from, demit_spool_location_t to)
{
    model_t *model = baton;
    model_message_t *message;

    pthread_mutex_lock(&model->mutex);
    message = message_of(model, id);
    assert_non_null(message);
    assert_int_equal(message->location.segment, from.segment);
    message->location = to;
    message->moving = false;
    if (to.segment == from.segment && to.block == from.block)
        model->stayed++;
    else
        model->moved++;
    pthread_mutex_unlock(&model->mutex);
}

void model_attach(model_t *model)
{
    demit_spool_mover_t mover = {move, moved, model};

    demit_spool_set_mover(model->fixture->spool, &mover);
}

size_t model_put(model_t *model, size_t size)
{
    uint64_t id = demit_spool_next_id(model->fixture->spool);
    unsigned char *body = make_body(id, size);
    demit_spool_location_t location;
    apr_pool_t *pool;
    apr_status_t status;
    size_t index;

    pthread_mutex_lock(&model->mutex);
    assert_true(model->count < MODEL_MAX);
    index = model->count++;
    model->messages[index] = (model_message_t){.id = id, .size = size, .state = MODEL_SUBMITTED};
    pthread_mutex_unlock(&model->mutex);
    assert_int_equal(apr_pool_create(&pool, NULL), APR_SUCCESS);
    status = put_with(model->fixture, make_envelope(id, pool), body, size, NULL, &location);
    apr_pool_destroy(pool);
    free(body);
    pthread_mutex_lock(&model->mutex);
    if (status == APR_SUCCESS) {
        model->messages[index].location = location;
        model->messages[index].state = MODEL_STORED;
    } else {
        model->refused++;
        index = SIZE_MAX;
    }
    pthread_mutex_unlock(&model->mutex);
    return index;
}

apr_status_t model_end(model_t *model, size_t index)
{
    demit_spool_location_t location;
    apr_status_t status;

    pthread_mutex_lock(&model->mutex);
    location = model->messages[index].location;
    model->messages[index].state = MODEL_ENDING;
    pthread_mutex_unlock(&model->mutex);
    status = note_final(model->fixture, model->messages[index].id, location);
    if (status == APR_SUCCESS) {
        pthread_mutex_lock(&model->mutex);
        model->messages[index].state = MODEL_OVER;
        pthread_mutex_unlock(&model->mutex);
    }
    return status;
}

typedef struct reading {
    model_t *model;
    size_t index;
    model_message_t message; /* as it was then */
} reading_t;

static bool begin_reading(void *baton)
{
    reading_t *reading = baton;
    model_message_t *message = &reading->model->messages[reading->index];

    pthread_mutex_lock(&reading->model->mutex);
    message->reading = !message->moving;
    reading->message = *message;
    pthread_mutex_unlock(&reading->model->mutex);
    return reading->message.reading;
}

void model_assert_bodies(model_t *model)
{
    for (size_t i = 0; i < model->count; i++) {
        reading_t reading = {.model = model, .index = i};

        assert_true(wait_until(begin_reading, &reading, PATIENCE_MS));
        if (reading.message.state == MODEL_STORED)
            assert_body(model->fixture, reading.message.location, reading.message.id, reading.message.size);
        pthread_mutex_lock(&model->mutex);
        model->messages[i].reading = false;
        pthread_mutex_unlock(&model->mutex);
    }
}

unsigned model_moved(model_t *model)
{
    unsigned moved;

    pthread_mutex_lock(&model->mutex);
    moved = model->moved;
    pthread_mutex_unlock(&model->mutex);
    return moved;
}

typedef struct worker {
    pthread_t thread;
    model_t *model;
    unsigned count, keep, seed;
} worker_t;

static void *work(void *baton)
{
    worker_t *worker = baton;

    for (unsigned i = 0; i < worker->count; i++) {
        uint64_t x = (worker->seed * 1000003u + i) * 2654435761u;
        size_t size = (size_t)(x % 8 == 0 ? x / 8 % 30000 : x / 8 % 3000);
        size_t index = model_put(worker->model, size);

        if (index != SIZE_MAX && i % worker->keep != 0)
            (void)model_end(worker->model, index);
    }
    return NULL;
}

void model_load(model_t *model, unsigned threads, unsigned count, unsigned keep)
{
    worker_t workers[16];

    assert_true(threads <= 16);
    for (unsigned i = 0; i < threads; i++) {
        workers[i] = (worker_t){.model = model, .count = count, .keep = keep, .seed = i + 1};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (unsigned i = 0; i < threads; i++)
        pthread_join(workers[i].thread, NULL);
}

model_snapshot_t model_snapshot(model_t *model)
{
    model_snapshot_t snapshot;

    pthread_mutex_lock(&model->mutex);
    snapshot.count = model->count;
    snapshot.states = calloc(model->count + 1, sizeof *snapshot.states);
    for (size_t i = 0; i < model->count; i++)
        snapshot.states[i] = model->messages[i].state;
    pthread_mutex_unlock(&model->mutex);
    return snapshot;
}

static void compare(model_t *model, fixture_t *fixture, const model_snapshot_t *before, const model_snapshot_t *after)
{
    recovered_t recovered;
    size_t expected = 0;

    assert_int_equal(recover(fixture, &recovered), APR_SUCCESS);
    assert_int_equal(recovered.result.damaged_records, 0);
    for (size_t i = 0; i < after->count; i++) {
        const model_message_t *message = &model->messages[i];
        const struct found *found = find(&recovered, message->id);

        if (i < before->count && before->states[i] == MODEL_STORED && after->states[i] == MODEL_STORED)
            assert_non_null(found);
        if (i < before->count && before->states[i] == MODEL_OVER)
            assert_null(found);
        if (found != NULL) {
            expected++;
            assert_int_equal(found->size, message->size);
            assert_body(fixture, found->location, message->id, message->size);
        }
    }
    assert_int_equal(recovered.count, expected); /* nothing is invented */
    recovered_free(&recovered);
}

static void assert_check_finds_no_damage(const char *directory, apr_pool_t *pool)
{
    apr_file_t *out;
    apr_status_t status;

    assert_int_equal(apr_file_open(&out, "/dev/null", APR_FOPEN_WRITE, APR_FPROT_OS_DEFAULT, pool), APR_SUCCESS);
    status = demit_spool_check(directory, out, false, pool);
    apr_file_close(out);
    if (status != APR_SUCCESS && apr_file_open_stderr(&out, pool) == APR_SUCCESS)
        status = demit_spool_check(directory, out, false, pool); /* once more, for who reads of the failure */
    assert_int_equal(status, APR_SUCCESS);
}

void model_verify(model_t *model, const char *directory, const model_snapshot_t *before, const model_snapshot_t *after)
{
    fixture_t fixture = *model->fixture;

    snprintf(fixture.directory, sizeof fixture.directory, "%s", directory);
    fixture.options.directory = fixture.directory;
    fixture.options.files = NULL;
    assert_check_finds_no_damage(directory, fixture.pool);
    for (int twice = 0; twice < 2; twice++) {
        demit_spool_location_t location;
        uint64_t id;

        fixture_open(&fixture);
        compare(model, &fixture, before, after);
        assert_int_equal(put(&fixture, 100, &id, &location), APR_SUCCESS);
        /* Not waited for: closing commits what is ready. */
        demit_spool_record_outcome(fixture.spool,
                                   &(demit_spool_outcome_t){.id = id, .location = location, .final = true}, NULL, NULL);
        for (size_t i = 0; i < after->count; i++)
            assert_int_not_equal(model->messages[i].id, id);
        fixture_close(&fixture);
    }
}
