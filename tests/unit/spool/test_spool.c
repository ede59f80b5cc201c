/* The spool as its callers see it. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const size_t sizes[] = {0, 1, 7, 8, 100, 4095, 4096, 4097, 8192, 8193, 12345, 65536, 200000};
enum { SIZES = sizeof sizes / sizeof sizes[0] };

/* Every size around a boundary comes back as it went in: at once, and after a restart. */
static void test_round_trips(void **state)
{
    fixture_t *fixture = *state;
    demit_spool_location_t locations[SIZES];
    uint64_t ids[SIZES];
    recovered_t recovered;

    fixture_open(fixture);
    for (int i = 0; i < SIZES; i++) {
        assert_int_equal(put(fixture, sizes[i], &ids[i], &locations[i]), APR_SUCCESS);
        assert_body(fixture, locations[i], ids[i], sizes[i]);
    }
    for (int i = 0; i < SIZES; i++)
        assert_body(fixture, locations[i], ids[i], sizes[i]);
    fixture_close(fixture);

    fixture_open(fixture);
    assert_int_equal(recover(fixture, &recovered), APR_SUCCESS);
    assert_int_equal(recovered.count, SIZES);
    assert_int_equal(recovered.result.messages, SIZES);
    assert_int_equal(recovered.result.damaged_records, 0);
    assert_int_equal(recovered.result.torn_records, 0);
    for (int i = 0; i < SIZES; i++) {
        const struct found *found = find(&recovered, ids[i]);

        assert_non_null(found);
        assert_int_equal(found->size, sizes[i]);
        assert_body(fixture, found->location, ids[i], sizes[i]);
    }
    recovered_free(&recovered);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_round_trips, fixture_setup, fixture_teardown),
    };

    return cmocka_run_group_tests_name("spool", tests, NULL, NULL);
}
