/* What a process should hold, against the view from outside. */
#include "tests/contract/harness.h"

#include <string.h>

void assert_held(pid_t pid, unsigned long uid, unsigned long gid, const char *groups, uint64_t capabilities)
{
    view_t views[16];
    size_t count = look_at_threads(pid, views, 16);
    assert_in_range(count, 1, 16);
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < 4; j++) {
            assert_int_equal(views[i].uid[j], uid);
            assert_int_equal(views[i].gid[j], gid);
        }
        assert_string_equal(views[i].groups, groups);
        assert_int_equal(views[i].permitted, capabilities);
        assert_int_equal(views[i].effective, capabilities);
        assert_int_equal(views[i].inheritable, 0);
        assert_int_equal(views[i].ambient, 0);
        if (backend_is("linux")) {
            assert_int_equal(views[i].bounding & ~capabilities, 0);
            assert_int_equal(views[i].no_new_privs, 1);
        }
    }
}
