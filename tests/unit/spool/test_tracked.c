/* The table of messages that are known one by one, when there are many. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/spool/spool_priv.h"

enum { MANY = 200000, CHUNKS = 3, OWNED = 1000, FIRST_SEGMENT = 7 };

static demit_spool_t spool;

static uint64_t id_of(uint32_t number)
{
    return ((uint64_t)(number % 2 + 1) << SPOOL_GENERATION_SHIFT) + number / 2; /* two starts, both counted from 0 */
}

static int make(void **state)
{
    (void)state;
    spool = (demit_spool_t){.segment_count = 0};
    return spool_tracked_prepare(&spool) == APR_SUCCESS ? 0 : 1;
}

static int end(void **state)
{
    (void)state;
    spool_tracked_forget(&spool);
    return 0;
}

static void add(uint32_t number, uint32_t chunk_count)
{
    spool_tracked_t *tracked =
        spool_tracked_make(id_of(number), (demit_spool_location_t){FIRST_SEGMENT + number, number}, chunk_count);

    assert_non_null(tracked);
    for (uint32_t i = 0; i < chunk_count; i++) {
        spool_owner_of(tracked)->chunk_segments[i] = i + 1;
    }
    spool_tracked_add(&spool, tracked);
}

static uint32_t longest_chain(void)
{
    uint32_t longest = 0;

    for (uint32_t i = 0; i < spool.tracked.bucket_count; i++) {
        uint32_t length = 0;

        for (const spool_tracked_t *tracked = spool.tracked.buckets[i]; tracked != NULL; tracked = tracked->next) {
            length++;
        }
        longest = length > longest ? length : longest;
    }
    return longest;
}

/* Each of many is found as fast as each of few, at any time while they come. */
static void it_grows_with_what_is_in_it(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < MANY; i++) {
        add(i, 0);
        if (i % 20011 == 0) {
            for (uint32_t j = 0; j <= i; j++) {
                assert_non_null(spool_tracked_find(&spool, id_of(j)));
            }
        }
    }
    assert_int_equal(spool.tracked.count, MANY);
    assert_in_range(longest_chain(), 1, 8);
    for (uint32_t i = 0; i < MANY; i++) {
        assert_int_equal(spool_tracked_find(&spool, id_of(i))->segment, FIRST_SEGMENT + i);
    }
    assert_null(spool_tracked_find(&spool, id_of(MANY)));
}

/* Goes through the owners of chunks in SEGMENT; returns how many it was shown. */
static uint32_t walk(uint32_t segment, uint64_t *over)
{
    demit_spool_location_t location;
    uint32_t shown = 0;
    bool more = true;
    uint64_t id;

    spool_owners_rewind(&spool);
    while (more) {
        more = spool_owners_next(&spool, segment, &id, &location);
        if (id != 0) {
            shown++;
            assert_int_equal(spool_tracked_find(&spool, id)->segment, location.segment);
            assert_int_equal(location.block + FIRST_SEGMENT, location.segment);
        }
        if (over != NULL && *over != 0) { /* the very one that the walk comes to next goes meanwhile */
            spool_message_over(&spool, *over, (demit_spool_location_t){0, 0});
            *over = 0;
        }
    }
    return shown;
}

static void a_walk_meets_each_owner_once(void **state)
{
    uint64_t over;

    (void)state;
    for (uint32_t i = 0; i < OWNED; i++) {
        add(i, i % 2 == 0 ? CHUNKS : 0);
    }
    assert_int_equal(walk(2, NULL), OWNED / 2);
    assert_int_equal(walk(CHUNKS + 1, NULL), 0);
    over = id_of(2); /* of 0, 2, 4, … the second */
    assert_int_equal(walk(1, &over), OWNED / 2 - 1);
    assert_int_equal(walk(1, NULL), OWNED / 2 - 1);
    over = id_of(0);
    assert_int_equal(walk(1, &over), OWNED / 2 - 1); /* it was shown, then it went */
    assert_int_equal(walk(1, NULL), OWNED / 2 - 2);
}

/* The lock is let go after some looks though nothing was found. */
static void a_walk_pauses(void **state)
{
    demit_spool_location_t location;
    uint32_t pauses = 0;
    uint64_t id;

    (void)state;
    for (uint32_t i = 0; i < OWNED; i++) {
        add(i, 1);
    }
    spool_owners_rewind(&spool);
    while (spool_owners_next(&spool, 99, &id, &location)) {
        assert_int_equal(id, 0);
        pauses++;
    }
    assert_int_equal(pauses, OWNED / SPOOL_OWNERS_PER_LOOK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_grows_with_what_is_in_it, make, end),
        cmocka_unit_test_setup_teardown(a_walk_meets_each_owner_once, make, end),
        cmocka_unit_test_setup_teardown(a_walk_pauses, make, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
