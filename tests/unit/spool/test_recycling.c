/*
 * What keeps a segment in place, link by link: each test lays segments out by hand, lets go of everything else, and
 * starts again. Then the moving of messages: every end of it, and every form of body.
 */
#include "support.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WITH_SPOOL(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

enum { ASKED_MAX = 16 };

typedef enum answer {
    ANSWER_SKIP, /* a delivery is under way, or it is over */
    ANSWER_MOVE,
    ANSWER_MOVE_STALE,   /* an outcome comes in between: what would be written is not the present state */
    ANSWER_MOVE_NONSENSE /* with an envelope that cannot be stored */
} answer_t;

/*
 * One message that the test has something to say about; all others are skipped. So is this one when its answer was
 * given and the end of that was heard: the test can look at what came of it, and nothing changes meanwhile.
 */
typedef struct asked {
    uint64_t id;
    size_t size;
    demit_spool_location_t location;
    answer_t answer;
    unsigned moves, told; /* agreed to; heard the end of */
    bool moved;           /* it ended somewhere else */
} asked_t;

/* A queue that answers by the list. With the mutex, until all are told. */
typedef struct mover {
    pthread_mutex_t mutex;
    fixture_t *fixture;
    asked_t list[ASKED_MAX];
    unsigned count;
} mover_t;

static asked_t *asked_of(mover_t *mover, uint64_t id)
{
    for (unsigned i = 0; i < mover->count; i++) {
        if (mover->list[i].id == id) {
            return &mover->list[i];
        }
    }
    return NULL;
}

static bool is_same(demit_spool_location_t one, demit_spool_location_t other)
{
    return one.segment == other.segment && one.block == other.block;
}

static void agree(mover_t *mover, const asked_t *asked, answer_t answer, void *ticket)
{
    demit_spool_t *spool = mover->fixture->spool;
    demit_envelope_t *envelope;
    apr_pool_t *pool;

    assert_int_equal(apr_pool_create(&pool, NULL), APR_SUCCESS);
    envelope = make_envelope(asked->id, pool);
    if (answer == ANSWER_MOVE_STALE) {
        demit_spool_outcome_t outcome = {.id = asked->id, .location = asked->location, .attempts = 1};

        assert_int_equal(note(mover->fixture, &outcome), APR_SUCCESS);
    } else if (answer == ANSWER_MOVE_NONSENSE) {
        envelope->sender = NULL;
    }
    demit_spool_move(spool, ticket, envelope);
    apr_pool_destroy(pool);
}

static void move(void *baton, uint64_t id, demit_spool_location_t location, void *ticket)
{
    mover_t *mover = baton;
    answer_t answer = ANSWER_SKIP;
    asked_t *asked, copy;

    pthread_mutex_lock(&mover->mutex);
    asked = asked_of(mover, id);
    if (asked != NULL && is_same(asked->location, location)) {
        answer = asked->answer;
        asked->moves += answer != ANSWER_SKIP;
        copy = *asked;
    }
    pthread_mutex_unlock(&mover->mutex);
    if (answer == ANSWER_SKIP) {
        demit_spool_move_skip(mover->fixture->spool, ticket);
    } else {
        agree(mover, &copy, answer, ticket);
    }
}

static void moved(void *baton, uint64_t id, demit_spool_location_t from, demit_spool_location_t to)
{
    mover_t *mover = baton;
    asked_t *asked;

    pthread_mutex_lock(&mover->mutex);
    asked = asked_of(mover, id);
    assert_non_null(asked);
    assert_true(is_same(asked->location, from));
    asked->location = to;
    asked->moved = !is_same(from, to);
    asked->told++;
    asked->answer = ANSWER_SKIP;
    pthread_mutex_unlock(&mover->mutex);
}

static void mover_init(mover_t *mover, fixture_t *fixture)
{
    memset(mover, 0, sizeof *mover);
    pthread_mutex_init(&mover->mutex, NULL);
    mover->fixture = fixture;
}

static void mover_attach(mover_t *mover)
{
    demit_spool_mover_t contract = {move, moved, mover};

    demit_spool_set_mover(mover->fixture->spool, &contract);
}

static bool all_are_told(void *baton)
{
    mover_t *mover = baton;
    bool told = true;

    pthread_mutex_lock(&mover->mutex);
    for (unsigned i = 0; i < mover->count; i++) {
        told = told && (mover->list[i].answer == ANSWER_SKIP || mover->list[i].told > 0);
    }
    pthread_mutex_unlock(&mover->mutex);
    return told;
}

/* Puts a message of SIZE on the mover's list. */
static asked_t *add(mover_t *mover, size_t size, answer_t answer)
{
    asked_t *asked = &mover->list[mover->count++];

    assert_true(mover->count <= ASKED_MAX);
    asked->size = size;
    asked->answer = answer;
    assert_int_equal(put(mover->fixture, size, &asked->id, &asked->location), APR_SUCCESS);
    return asked;
}

/* The first start, without workers: nothing moves, and segments follow each other when they are full. */
static void begin_layout(fixture_t *fixture)
{
    fixture->options.workers = NULL;
    fixture_open(fixture);
}

static void restart(fixture_t *fixture, recovered_t *recovered)
{
    fixture_close(fixture);
    fixture->options.workers = fixture->workers;
    fixture_open(fixture);
    assert_int_equal(recover(fixture, recovered), APR_SUCCESS);
    assert_int_equal(recovered->result.damaged_records, 0);
}

static void restart_finds(fixture_t *fixture, const asked_t *alive, const asked_t *over)
{
    recovered_t recovered;

    restart(fixture, &recovered);
    assert_non_null(find(&recovered, alive->id));
    assert_null(find(&recovered, over->id));
    assert_int_equal(recovered.count, 1);
    recovered_free(&recovered);
}

typedef struct pair {
    fixture_t *fixture;
    uint32_t one, other;
} pair_t;

static bool both_are_gone(void *baton)
{
    const pair_t *pair = baton;

    return !segment_is_there(pair->fixture, pair->one) && !segment_is_there(pair->fixture, pair->other);
}

/* ---- links ---- */

/*
 * A message was moved and is over; its old segment is still there, for another message's sake. The new copy must stay
 * so long, and with it the word that it is over, or the old copy would be the message again.
 */
static void test_a_younger_copy_waits_for_the_older(void **state)
{
    fixture_t *fixture = *state;
    fillers_t fillers = {.count = 0};
    recovered_t recovered;
    asked_t *message, *keeper;
    mover_t mover;
    uint32_t old;

    mover_init(&mover, fixture);
    begin_layout(fixture);
    message = add(&mover, 100, ANSWER_MOVE);
    keeper = add(&mover, 100, ANSWER_SKIP);
    old = message->location.segment;
    assert_int_equal(keeper->location.segment, old);
    fillers_leave(fixture, &fillers, old);
    fillers_end(fixture, &fillers);
    restart(fixture, &recovered);
    assert_int_equal(recovered.count, 2);
    recovered_free(&recovered);
    mover_attach(&mover);
    settle(fixture);
    assert_true(wait_until(all_are_told, &mover, PATIENCE_MS));
    assert_true(message->moved);
    assert_int_equal(note_final(fixture, message->id, message->location), APR_SUCCESS);
    settle(fixture);
    assert_true(segment_is_there(fixture, message->location.segment));
    settle(fixture);

    restart_finds(fixture, keeper, message); /* the link that was made when it was moved */
    settle(fixture);
    assert_true(segment_is_there(fixture, message->location.segment));
    settle(fixture);
    restart_finds(fixture, keeper, message); /* the link that recovery made */

    assert_int_equal(note_final(fixture, keeper->id, keeper->location), APR_SUCCESS);
    settle(fixture);
    assert_true(wait_until(both_are_gone, &(pair_t){fixture, old, message->location.segment}, PATIENCE_MS));
}

/* The word that a message is over must stay as long as the message's segment does. */
static void test_an_outcome_waits_for_its_message(void **state)
{
    fixture_t *fixture = *state;
    fillers_t fillers = {.count = 0};
    recovered_t recovered;
    asked_t *message, *keeper;
    mover_t mover;

    mover_init(&mover, fixture);
    begin_layout(fixture);
    message = add(&mover, 100, ANSWER_SKIP);
    keeper = add(&mover, 100, ANSWER_SKIP);
    assert_int_equal(keeper->location.segment, message->location.segment);
    fillers_leave(fixture, &fillers, keeper->location.segment);
    fillers_end(fixture, &fillers);
    restart(fixture, &recovered);
    assert_int_equal(recovered.count, 2);
    recovered_free(&recovered);
    settle(fixture); /* away from the fillers' outcomes, which stay for the same reason */
    assert_int_equal(note_final(fixture, message->id, message->location), APR_SUCCESS);
    settle(fixture);

    restart_finds(fixture, keeper, message); /* the link that was made when it was noted */
    settle(fixture);
    restart_finds(fixture, keeper, message); /* the link that recovery made */

    assert_int_equal(note_final(fixture, keeper->id, keeper->location), APR_SUCCESS);
    settle(fixture);
    assert_true(wait_until(both_are_gone, &(pair_t){fixture, keeper->location.segment, keeper->location.segment + 1},
                           PATIENCE_MS));
}

/* Outcomes that are carried out of a segment to be emptied keep the next one in place in their turn. */
static void test_a_carried_outcome_waits_as_well(void **state)
{
    enum { OVER = 8 };
    fixture_t *fixture = *state;
    fillers_t fillers = {.count = 0};
    recovered_t recovered;
    asked_t *keeper;
    mover_t mover;
    uint32_t first;

    mover_init(&mover, fixture);
    fixture->options.force_fsync = false; /* no marks after a pause: those that are over find room in one segment */
    begin_layout(fixture);
    keeper = add(&mover, 100, ANSWER_SKIP);
    for (int i = 0; i < OVER; i++) {
        (void)add(&mover, 10, ANSWER_SKIP);
    }
    first = keeper->location.segment;
    fillers_leave(fixture, &fillers, first);
    fillers_end(fixture, &fillers);
    for (int i = 1; i <= OVER; i++) { /* one word in each segment */
        assert_int_equal(mover.list[i].location.segment, first);
        assert_int_equal(note_final(fixture, mover.list[i].id, mover.list[i].location), APR_SUCCESS);
        fillers_leave(fixture, &fillers, first + (uint32_t)i);
        fillers_end(fixture, &fillers);
    }
    restart(fixture, &recovered);
    assert_int_equal(recovered.count, 1);
    recovered_free(&recovered);
    mover_attach(&mover);
    settle(fixture);
    assert_true(wait_until(both_are_gone, &(pair_t){fixture, first + 1, first + 2}, PATIENCE_MS));
    settle(fixture);
    settle(fixture);
    for (int i = 1; i <= OVER; i++) {
        restart_finds(fixture, keeper, &mover.list[i]);
    }
}

/* ---- moving ---- */

/* Puts a message whose chunks stand among FILLERS, so that its segments are sparse when these are over. */
static asked_t *add_among(mover_t *mover, size_t size, fillers_t *fillers)
{
    asked_t *asked = &mover->list[mover->count++];

    asked->size = size;
    asked->answer = ANSWER_MOVE;
    put_among(mover->fixture, size, fillers, &asked->id, &asked->location);
    return asked;
}

/* Flips a byte of what is BODY, wherever it stands up to segment LAST. */
static void spoil(const fixture_t *fixture, const unsigned char *body, size_t size, uint32_t last)
{
    static unsigned char bytes[TEST_SEGMENT];
    const unsigned char *found = NULL;

    for (uint32_t segment = 1; segment <= last && found == NULL; segment++) {
        char path[128];
        int fd;

        snprintf(path, sizeof path, "%s/%08x.seg", fixture->directory, (unsigned)segment);
        fd = open(path, O_RDWR);
        if (fd < 0) {
            continue; /* it held fillers only, and is gone */
        }
        assert_int_equal(pread(fd, bytes, sizeof bytes, 0), sizeof bytes);
        found = memmem(bytes, sizeof bytes, body, size);
        if (found != NULL) {
            assert_int_equal(pwrite(fd, "\xff", 1, found - bytes), 1);
        }
        close(fd);
    }
    assert_non_null(found);
}

/* However a move ends, the mover hears of it, once: it leaves the message alone until then. */
static void test_every_move_has_an_end(void **state)
{
    fixture_t *fixture = *state;
    fillers_t fillers = {.count = 0};
    recovered_t recovered;
    asked_t *good, *spoilt, *stale, *nonsense;
    demit_spool_location_t before[4];
    unsigned char *body;
    mover_t mover;

    mover_init(&mover, fixture);
    begin_layout(fixture);
    spoilt = add_among(&mover, (size_t)2 * TEST_THRESHOLD, &fillers);
    fillers_leave(fixture, &fillers, spoilt->location.segment);
    good = add(&mover, 300, ANSWER_MOVE);
    fillers_leave(fixture, &fillers, good->location.segment);
    stale = add(&mover, 300, ANSWER_MOVE_STALE);
    fillers_leave(fixture, &fillers, stale->location.segment);
    nonsense = add(&mover, 300, ANSWER_MOVE_NONSENSE);
    fillers_leave(fixture, &fillers, nonsense->location.segment);
    fillers_end(fixture, &fillers);
    for (unsigned i = 0; i < mover.count; i++) {
        before[i] = mover.list[i].location;
    }
    restart(fixture, &recovered);
    assert_int_equal(recovered.count, 4);
    recovered_free(&recovered);
    body = make_body(spoilt->id, spoilt->size);
    spoil(fixture, body, 300, spoilt->location.segment); /* in a chunk, so that the record is as good as ever */
    free(body);
    mover_attach(&mover);
    settle(fixture);
    assert_true(wait_until(all_are_told, &mover, PATIENCE_MS));
    fixture_close(fixture); /* and nothing comes after that */
    for (unsigned i = 0; i < mover.count; i++) {
        const asked_t *asked = &mover.list[i];

        assert_int_equal(asked->told, asked->moves);
        assert_int_equal(asked->moved, asked == good);
        assert_int_equal(is_same(asked->location, before[i]), asked != good);
    }
    fixture_open(fixture);
    assert_int_equal(recover(fixture, &recovered), APR_SUCCESS);
    assert_int_equal(recovered.count, 3); /* the spoilt one is set aside, not copied as if it were whole */
    assert_null(find(&recovered, spoilt->id));
    recovered_free(&recovered);
}

static void assert_all_are_found(const mover_t *mover, fixture_t *fixture, const recovered_t *recovered)
{
    assert_int_equal(recovered->count, mover->count);
    for (unsigned i = 0; i < mover->count; i++) {
        const asked_t *asked = &mover->list[i];
        const struct found *found = find(recovered, asked->id);

        assert_non_null(found);
        assert_true(is_same(found->location, asked->location));
        assert_int_equal(found->size, asked->size);
        assert_body(fixture, found->location, asked->id, asked->size);
    }
}

/* Bodies of every form (none, at the threshold and beside it, many chunks) come through moving and a restart whole. */
static void test_bodies_survive_moving(void **state)
{
    static const size_t sizes[] = {
        0,    1, TEST_THRESHOLD - 1, TEST_THRESHOLD, TEST_THRESHOLD + 1, 2 * TEST_THRESHOLD, 3 * TEST_THRESHOLD + 1,
        50000};
    fixture_t *fixture = *state;
    fillers_t fillers = {.count = 0};
    recovered_t recovered;
    mover_t mover;

    mover_init(&mover, fixture);
    begin_layout(fixture);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        (void)add_among(&mover, sizes[i], &fillers);
    }
    fillers_leave(fixture, &fillers, mover.list[mover.count - 1].location.segment);
    fillers_end(fixture, &fillers);
    restart(fixture, &recovered);
    assert_all_are_found(&mover, fixture, &recovered);
    recovered_free(&recovered);
    mover_attach(&mover);
    settle(fixture);
    assert_true(wait_until(all_are_told, &mover, PATIENCE_MS));
    for (unsigned i = 0; i < mover.count; i++) {
        assert_true(mover.list[i].moved);
        assert_body(fixture, mover.list[i].location, mover.list[i].id, mover.list[i].size);
    }
    settle(fixture);
    restart(fixture, &recovered);
    assert_all_are_found(&mover, fixture, &recovered);
    recovered_free(&recovered);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SPOOL(test_a_younger_copy_waits_for_the_older),
        WITH_SPOOL(test_an_outcome_waits_for_its_message),
        WITH_SPOOL(test_a_carried_outcome_waits_as_well),
        WITH_SPOOL(test_every_move_has_an_end),
        WITH_SPOOL(test_bodies_survive_moving),
    };

    return cmocka_run_group_tests_name("spool recycling", tests, NULL, NULL);
}
