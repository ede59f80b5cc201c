#include "tests/contract/look_groups.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int compare(const void *left, const void *right)
{
    gid_t a = *(const gid_t *)left, b = *(const gid_t *)right;
    return (a > b) - (a < b);
}

void format_groups(view_t *view, const gid_t *groups, size_t count)
{
    enum { MOST = 32 };
    gid_t sorted[MOST];
    assert_in_range(count, 0, MOST);
    memcpy(sorted, groups, count * sizeof(*groups));
    qsort(sorted, count, sizeof(*sorted), compare);
    view->groups[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        if (sorted[i] == view->gid[1] || (i > 0 && sorted[i] == sorted[i - 1])) {
            continue;
        }
        size_t used = strlen(view->groups);
        (void)snprintf(view->groups + used, sizeof(view->groups) - used, "%s%lu", used > 0 ? " " : "",
                       (unsigned long)sorted[i]);
    }
}
